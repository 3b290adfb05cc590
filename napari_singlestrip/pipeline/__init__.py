"""The stages of the method, which work on a study, and the process that runs them."""
