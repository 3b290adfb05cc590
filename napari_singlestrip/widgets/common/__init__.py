"""Controls and helpers shared by several steps."""
