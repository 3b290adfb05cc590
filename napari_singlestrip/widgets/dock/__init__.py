"""The dock in napari's window: steps, job bar, keys, orientation labels."""
