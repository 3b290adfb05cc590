"""The napari plugin's widgets. Never imports torch."""
