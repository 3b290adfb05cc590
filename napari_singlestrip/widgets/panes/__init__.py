"""Four linked panes: axial, coronal and sagittal to paint in, and the lit surface of the mask."""
