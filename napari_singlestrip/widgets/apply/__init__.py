"""Step 5: apply a model, look at the results, export."""
