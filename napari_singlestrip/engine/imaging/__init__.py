"""Scans as files and grids: reading, geometry, resampling, names."""
