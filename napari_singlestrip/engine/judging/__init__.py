"""How good a mask probably is: autoencoder error, agreement, ranks."""
