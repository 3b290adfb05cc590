"""The study folder: scans, masks, decisions and rounds on disk."""
