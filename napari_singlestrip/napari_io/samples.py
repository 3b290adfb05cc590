"""Sample heads for napari's menu File > Open Sample."""

from __future__ import annotations

from typing import Any

LayerData = tuple[Any, dict[str, Any], str]

SAMPLE_SEED = 1
SAMPLE_SPACING_MM = 1.5


def sample_t1w() -> list[LayerData]:
    """Make a sample head with T1w contrast, with its exact brain mask.

    Returns
    -------
    list of (data, attributes, layer type)
        An image and a labels layer, axes (I, P, L), scaled to mm.
    """
    from napari_singlestrip.engine.imaging.display_orientation import Upright
    from napari_singlestrip.sample_data import render_head

    head = render_head(SAMPLE_SEED, "T1w", SAMPLE_SPACING_MM)
    turn = Upright(head.affine)
    image, mask, scale = turn.to_display(head.data), turn.to_display(head.mask), turn.scale
    # Without limits napari searches the whole volume for them, twice.
    limits = (float(image.min()), float(image.max()))
    return [
        (image, {"name": "Sample head (T1w)", "scale": scale, "contrast_limits": limits}, "image"),
        (mask.astype("uint8"), {"name": "Brain mask", "scale": scale, "opacity": 0.5}, "labels"),
    ]
