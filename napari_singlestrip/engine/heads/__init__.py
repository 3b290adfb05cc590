"""Label maps from one mask, and the synthetic heads rendered from them."""
