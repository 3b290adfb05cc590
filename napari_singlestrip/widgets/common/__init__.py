"""Controls and helpers that more than one step uses."""
