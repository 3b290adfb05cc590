"""The scan on screen: layers, brush, planes, point of view."""
