"""Step 3: train, and monitor it."""
