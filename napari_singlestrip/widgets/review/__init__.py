"""Step 4: accept, correct or reject the ranked masks."""
