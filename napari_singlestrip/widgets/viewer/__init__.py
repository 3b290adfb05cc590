"""The scan on screen: layers, brush, planes, viewpoint."""
