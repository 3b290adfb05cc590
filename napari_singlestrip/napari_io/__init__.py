"""What napari's menus offer: reader, writer and sample data."""
