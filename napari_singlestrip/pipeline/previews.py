"""Preview images of a round: label maps, synthetic images, current predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.image import imsave

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.files.atomic import atomic_path

RED = np.array([0.95, 0.25, 0.2], np.float32)


def three_planes(data: AnyArray) -> AnyArray:
    """Sagittal, coronal and axial slices through the middle, side by side, upright.

    Parameters
    ----------
    data : (I, J, K) array
        On a RAS grid.

    Returns
    -------
    (height, width) array
        Radiological convention: the patient's right is on the left of the image.
    """
    i, j, k = (n // 2 for n in data.shape)
    return side_by_side(data[i], data[:, j], data[:, :, k])


def side_by_side(sagittal: AnyArray, coronal: AnyArray, axial: AnyArray) -> AnyArray:
    """Arrange three slices as in `three_planes`.

    Parameters
    ----------
    sagittal : (J, K) array
    coronal : (I, K) array
    axial : (I, J) array
    """
    views = [view[::-1].T[::-1] for view in (sagittal, coronal, axial)]
    height = max(view.shape[0] for view in views)
    padded = []
    for view in views:
        above = (height - view.shape[0]) // 2
        padded.append(np.pad(view, ((above, height - view.shape[0] - above), (1, 1))))
    return np.concatenate(padded, axis=1)


def head_picture(data: AnyArray, mask: AnyArray | None = None) -> AnyArray:
    """RGB image of a head, 0 to 1, with the outline of a mask.

    Parameters
    ----------
    data : (I, J, K) float32, 0 to 1
    mask : (I, J, K) bool, optional
    """
    grey = three_planes(data)
    picture = np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2).astype(np.float32)
    if mask is not None:
        picture[outline(three_planes(mask.astype(bool)))] = RED
    return picture


def outline(mask: AnyArray) -> AnyArray:
    """Inner edge of a 2D mask."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def label_picture(labels: AnyArray) -> AnyArray:
    """RGB image of a label map, 0 to 1; 0 is black."""
    flat = three_planes(labels).astype(float)
    picture = colormaps["nipy_spectral"](flat / max(flat.max(), 1))[..., :3]
    picture[flat == 0] = 0
    return picture.astype(np.float32)


def label_pictures(maps: list[AnyArray]) -> list[AnyArray]:
    """RGB images of label maps of one head, cropped to where the first is not 0."""
    found = [np.flatnonzero(maps[0].any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(part[0], part[-1] + 1) if len(part) else slice(None) for part in found)
    return [label_picture(labels[box]) for labels in maps]


def montage(pictures: list[AnyArray], columns: int) -> AnyArray:
    """Arrange RGB images in rows."""
    height = max(p.shape[0] for p in pictures)
    width = max(p.shape[1] for p in pictures)
    blank = np.zeros((height, width, 3), np.float32)
    cells = []
    for picture in pictures:
        cell = blank.copy()
        cell[: picture.shape[0], : picture.shape[1]] = picture
        cells.append(np.pad(cell, ((2, 2), (2, 2), (0, 0))))
    cells += [np.pad(blank, ((2, 2), (2, 2), (0, 0)))] * (-len(cells) % columns)
    rows = [np.concatenate(cells[r : r + columns], 1) for r in range(0, len(cells), columns)]
    return np.concatenate(rows, axis=0)


def save_picture(path: Path, picture: AnyArray, scale: int = 2) -> None:
    """Write an RGB image (0 to 1) as PNG, enlarged without interpolation."""
    large = np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1)
    with atomic_path(path) as temporary:
        imsave(temporary, np.clip(large, 0, 1))
