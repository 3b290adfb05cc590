"""The whole method on sample heads, from painting to the report."""
