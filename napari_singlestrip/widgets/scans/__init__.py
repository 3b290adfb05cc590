"""Step 1: the scans of a study."""
