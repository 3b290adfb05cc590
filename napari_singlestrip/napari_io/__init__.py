"""napari contributions: reader, writer and sample data."""
