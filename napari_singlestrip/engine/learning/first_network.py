"""The network that comes with the program: for a first suggestion, before anybody painted anything.

It has learned from heads that the program draws (``tools/make_first_network.py``), and knows adult
heads of humans only: what it finds elsewhere is told by its size. Needs no torch.
"""

from __future__ import annotations

from pathlib import Path

from napari_singlestrip.engine.imaging.grid import Grid

PATH = Path(__file__).with_name("first_network.safetensors")
SMALLEST_VIEW_MM = 100.0  # along the longest side; half a head, cut across, is longer
# Brains of humans from two years on, and what a mask of one can be off (Luders et al. 2002).
VOLUMES_ML = 600.0, 2300.0


def why_not_asked(grid: Grid) -> str:
    """Say why a scan cannot be that of a human head; empty when it may be."""
    longest = max(n * step for n, step in zip(grid.shape, grid.spacing, strict=True))
    if longest < SMALLEST_VIEW_MM:
        return f"the field of view is {longest:.0f} mm long, too small for a human head"
    return ""


def why_not_believed(volume_ml: float) -> str:
    """Say why a mask is no human brain; empty when it may be one."""
    least, most = VOLUMES_ML
    if not least <= volume_ml <= most:
        return f"what was found has {volume_ml:.0f} mL, which is no human brain"
    return ""
