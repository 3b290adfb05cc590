"""Step 3: train, and watch it."""
