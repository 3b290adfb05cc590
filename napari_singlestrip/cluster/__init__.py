"""Work on a scheduler: what is submitted, the process that does it, and following it."""
