"""What all steps share: study, scan, job and settings."""
