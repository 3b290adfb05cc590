"""From some strokes inside a brain to a whole one, and from nothing to a first suggestion.

Classical: no network, no human size assumed. Both work on a coarse copy of the head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Image = NDArray[np.floating]
Spacing = tuple[float, float, float]


def grow_from_seeds(mask: Mask, image: Image, spacing: Spacing) -> Mask:
    """Grow from strokes inside the brain to its border."""
    values = image[mask]
    if values.size == 0:
        return mask.copy()
    low, high = np.percentile(values, (2, 98))
    labels, _ = ndimage.label((image >= low) & (image <= high) | mask)
    grown: Mask = np.isin(labels, np.unique(labels[mask]))
    return grown
