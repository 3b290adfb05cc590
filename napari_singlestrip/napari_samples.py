"""Sample heads for napari's menu File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LayerData = tuple[Any, dict[str, Any], str]

SAMPLE_SEED = 1
SAMPLE_SPACING_MM = 1.5


def sample_t1w() -> list[LayerData]:
    """Make a sample head in T1w look, with its exact brain mask.

    Returns
    -------
    list of (data, attributes, layer type)
        An image and a labels layer, axes (I, P, L), scaled to mm.
    """
    from napari_singlestrip.sample_data import render_head

    head = render_head(SAMPLE_SEED, "T1w", SAMPLE_SPACING_MM)
    image, scale = upright(head.data, head.affine)
    mask, _ = upright(head.mask, head.affine)
    # Without limits napari searches the whole volume for them, twice.
    limits = (float(image.min()), float(image.max()))
    return [
        (image, {"name": "Sample head (T1w)", "scale": scale, "contrast_limits": limits}, "image"),
        (mask.astype("uint8"), {"name": "Brain mask", "scale": scale, "opacity": 0.5}, "labels"),
    ]


def upright(
    volume: NDArray[Any], affine: NDArray[np.floating[Any]]
) -> tuple[NDArray[Any], tuple[float, ...]]:
    """Turn a volume (i, j, k) so that napari shows heads upright in all three planes.

    The axes become inferior, posterior, left: rows run down the head and columns to the patient's
    left, as radiologists hang pictures. A view, not a copy. napari's own ``affine`` is not used,
    because its brush ignores it and a permuted one stops the viewer (napari#3410).

    Returns
    -------
    volume : ndarray
        Axes (I, P, L).
    scale : tuple of float
        Voxel size along them in mm.
    """
    import nibabel as nib

    orientations = nib.orientations
    turn = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt("IPL")
    )
    spacing = nib.affines.voxel_sizes(affine)
    source_axes = [int(axis) for axis in turn[:, 0].argsort()]
    scale = tuple(float(spacing[axis]) for axis in source_axes)
    return orientations.apply_orientation(volume, turn), scale
