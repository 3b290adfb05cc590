"""Step 5: apply a model, review the results, export."""
