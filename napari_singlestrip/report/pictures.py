"""Images of heads: three planes of a scan with outlines of masks or a heat map.

Only the three slices shown are sampled, with isotropic pixels in RAS orientation.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imsave

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.imaging.geometry import head_box, normalize, resample
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_bytes
from napari_singlestrip.pipeline.previews import outline, side_by_side
from napari_singlestrip.report.style import (
    MASK_COLOUR,
    REFERENCE_COLOUR,
    TOO_LITTLE_COLOUR,
    TOO_MUCH_COLOUR,
)

PIXELS = 200  # along the longest side of the head
PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
MAX_PNG_BYTES, MAX_PNG_SIDE = 16 * 2**20, 16_384
GREYS = 64  # enough for the eye; more grey levels would double the file size


class HeadView:
    """Three planes through one scan.

    Parameters
    ----------
    scan : Path
        Any file that can be read.
    through : Path, optional
        A mask; the planes go through its centre instead of the centre of the head.

    Raises
    ------
    UserError
        If a file is missing, damaged or does not fit.
    """

    def __init__(self, scan: Path, through: Path | None = None) -> None:
        self._scan = open_scan(scan)
        volume = self._scan.load()
        low, high = head_box(volume)
        centre = (low + high) / 2
        if through is not None:
            mask = load_mask(through, like=self._scan, check=False)
            if mask.any():
                middle = np.array([axis.mean() for axis in mask.nonzero()])
                centre = self._scan.grid.affine[:3, :3] @ middle + self._scan.grid.affine[:3, 3]
        self._planes = [_plane(low, high, centre, axis) for axis in range(3)]
        self._grey = normalize(self._flat(volume, float(volume.data.min())))

    def with_masks(self, mask: Path | None, reference: Path | None = None) -> str:
        """Outlines of a mask and of its reference, as a data URI."""
        picture = self._rgb(1.0)
        for path, colour in ((reference, REFERENCE_COLOUR), (mask, MASK_COLOUR)):
            if path is not None:
                picture[self._outline(path)] = to_rgb(colour)
        return data_uri(picture)

    def with_heat(self, heat: Path, mask: Path | None = None) -> str:
        """A map of -1 to 1 in blue and red, with the outline of the mask, as a data URI."""
        picture = self._rgb(0.7)
        stored = np.nan_to_num(open_scan(heat).read_float(), posinf=1, neginf=-1)
        values = self._flat(Volume(stored, self._scan.grid.affine))
        for sign, colour in ((1, TOO_MUCH_COLOUR), (-1, TOO_LITTLE_COLOUR)):
            share = np.clip(sign * values, 0, 1)[..., None] * np.float32(0.85)
            picture += share * (np.array(to_rgb(colour), np.float32) - picture)
        if mask is not None:
            picture[self._outline(mask)] = to_rgb(MASK_COLOUR)
        return data_uri(picture)

    def _rgb(self, brightness: float) -> AnyArray:
        grey = np.rint(self._grey * (GREYS - 1)) / (GREYS - 1) * brightness
        return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)

    def _outline(self, path: Path) -> AnyArray:
        mask = load_mask(path, like=self._scan, check=False).astype(np.float32)
        return outline(self._flat(Volume(mask, self._scan.grid.affine)) > 0.5)

    def _flat(self, volume: Volume, fill: float = 0.0) -> AnyArray:
        slices = [resample(volume, plane, fill=fill) for plane in self._planes]
        return side_by_side(slices[0][0], slices[1][:, 0], slices[2][:, :, 0])


def data_uri(picture: AnyArray) -> str:
    """Return an RGB image (0 to 1) as a data URI of a PNG."""
    buffer = io.BytesIO()
    rgb = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    imsave(buffer, rgb, format="png")
    return png_uri(buffer.getvalue())


def stored_png(path: Path) -> str:
    """Return a stored preview image of a round as a data URI.

    Raises
    ------
    UserError
        If it is not a PNG or too large, since it is embedded in the report unchanged.
    """
    content = read_bytes(path, MAX_PNG_BYTES)
    sides = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    if not content.startswith(PNG_START) or not 0 < min(sides) <= max(sides) <= MAX_PNG_SIDE:
        raise UserError(f"{path} is not a preview image of this program.")
    return png_uri(content)


def png_uri(content: bytes) -> str:
    """Return a PNG file's bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _plane(low: AnyArray, high: AnyArray, centre: AnyArray, axis: int) -> Grid:
    """Grid of a plane across `axis` with isotropic pixels that cover the box."""
    spacing = float((high - low).max()) / PIXELS
    shape = np.maximum(np.ceil((high - low) / spacing), 1).astype(int)
    origin = low + spacing / 2
    shape[axis], origin[axis] = 1, np.clip(centre[axis], low[axis], high[axis])
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = origin
    i, j, k = (int(n) for n in shape)
    return Grid((i, j, k), affine)
