"""A trained model for notebooks and scripts: an image in, its mask out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.imaging.scan_image import scan_of_array, scan_of_image
from napari_singlestrip.engine.imaging.volume import Scan, mask_image, open_scan
from napari_singlestrip.engine.learning.device import choose_device, remarks
from napari_singlestrip.engine.learning.model import Model
from napari_singlestrip.engine.learning.model_card import ModelCard
from napari_singlestrip.engine.learning.segmenter import strip_volume
from napari_singlestrip.errors import UserError
from napari_singlestrip.pipeline.apply import in_doubt, open_model
from napari_singlestrip.pipeline.tally import NO_BRAIN


class Stripper:
    """A trained model; `load_model` opens one.

    Attributes
    ----------
    notes : tuple of str
        What a person should know: of the device at first, then of the scan that was stripped last,
        such as "4D: mean of 12 frames" or a volume beyond those that the model has seen.
    """

    def __init__(self, model: Model, notes: tuple[str, ...] = ()) -> None:
        self._model = model
        self.notes = notes

    @property
    def card(self) -> ModelCard:
        """Where the model comes from, and what it has seen."""
        return self._model.card

    @property
    def settings(self) -> Settings:
        """With what it was trained, and how it predicts."""
        return self._model.segmenter.settings

    def __repr__(self) -> str:
        return f"<Stripper: {self.card.name}, on {self._model.segmenter.device}>"

    def strip(self, image: Any, affine: Any = None) -> Any:
        """Find the brain in a scan.

        The mask is the one that ``singlestrip apply`` writes for the same scan, if it was saved
        without rounding.

        Parameters
        ----------
        image : str, Path, nibabel image or array
            A scan in any orientation: its file, a spatial image of nibabel, or values of shape
            (i, j, k). Of a 4D scan (i, j, k, frames) the mean is taken. Never changed.
        affine : array, shape (4, 4), optional
            Of an array, and of nothing else: voxel index to RAS mm.

        Returns
        -------
        nibabel.Nifti1Image (Nifti2Image where the scan is one), or ndarray of bool
            The mask, of shape (i, j, k) and on the grid of the scan; an array for an array. Values
            of an image are uint8, 0 outside and 1 inside.

        Raises
        ------
        UserError
            If the scan is missing, damaged, no 3D or 4D volume of plain numbers, constant or
            without a usable position; an array comes without an affine, or something else with
            one; or no brain was found.
        """
        self.notes = ()
        scan = _scan_of(image, affine)
        volume = scan.load()
        mask = strip_volume(self._model.segmenter, volume)
        doubt = in_doubt(self.card, float(np.count_nonzero(mask) * scan.grid.voxel_ml))
        said = (*scan.notes, *volume.notes, *self._model.segmenter.told(), doubt)
        self.notes = tuple(filter(None, said))
        if not mask.any():
            raise UserError(
                f"{scan.path.name}: {NO_BRAIN}", "Look at it in a viewer: is it a whole head?"
            )
        return mask if affine is not None else mask_image(mask, scan)


def load_model(
    path: str | os.PathLike[str], device: str = "auto", round: int | None = None
) -> Stripper:
    """Open a trained model.

    Parameters
    ----------
    path : str or Path
        A study folder (its newest trained round), or an exported model file.
    device : str
        "auto", "cpu", "cuda" or "mps".
    round : int, optional
        Round of the study whose model is opened, instead of the newest.

    Raises
    ------
    UserError
        If there is none, the file is damaged, or the device is not there.
    """
    chosen = choose_device(device)
    model = open_model(Path(os.path.expanduser(path)), chosen, round)
    return Stripper(model, tuple(remarks(device, chosen)))


def _scan_of(image: Any, affine: Any) -> Scan:
    if isinstance(image, str | os.PathLike | SpatialImage):
        if affine is not None:
            raise UserError(
                "A file or an image has a position of its own, and an affine was given, too.",
                "Leave the affine out, or give the values as an array.",
            )
        if isinstance(image, SpatialImage):
            return scan_of_image(image)
        return open_scan(Path(os.path.expanduser(image)))
    if affine is None:
        what = f"An array of shape {np.shape(image)}" if hasattr(image, "__array__") else (
            f"{type(image).__name__!r} is neither a file, nor an image of nibabel: an array"
        )
        raise UserError(
            f"{what} needs an affine: strip(array, affine=...).",
            "It says where voxels lie, as the affine of a nibabel image does.",
        )
    return scan_of_array(image, affine)
