"""Estimated quality of masks: autoencoder error, agreement under augmentation, ranks."""
