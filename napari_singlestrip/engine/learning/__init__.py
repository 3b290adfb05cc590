"""Networks, their training, checkpoints and devices."""
