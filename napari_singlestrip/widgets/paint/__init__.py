"""Step 2: paint one brain."""
