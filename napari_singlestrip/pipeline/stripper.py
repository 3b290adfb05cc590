"""A trained model for notebooks and scripts."""

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
from napari_singlestrip.pipeline.tally import NO_BRAIN
from napari_singlestrip.pipeline.trained_model import in_doubt, open_model


class Stripper:
    """A trained model; `load_model` opens one.

    Attributes
    ----------
    notes : tuple of str
        Remarks for the user: on the device at first, then on the latest scan, such as "4D: mean of
        12 frames" or a volume outside the range of the training data.
    """

    def __init__(self, model: Model, notes: tuple[str, ...] = ()) -> None:
        self._model = model
        self.notes = notes

    @property
    def card(self) -> ModelCard:
        """Provenance and training data of the model."""
        return self._model.card

    @property
    def settings(self) -> Settings:
        """Settings of its training and prediction."""
        return self._model.segmenter.settings

    def __repr__(self) -> str:
        return f"<Stripper: {self.card.name}, on {self._model.segmenter.device}>"

    def strip(self, image: Any, affine: Any = None) -> Any:
        """Compute the brain mask of a scan.

        The mask equals that of ``singlestrip apply`` for the same scan, if the values are not
        rounded in the file.

        Parameters
        ----------
        image : str, Path, nibabel image or array
            A scan in any orientation: its file, a spatial image of nibabel, or values of shape (i,
            j, k). A 4D scan (i, j, k, frames) is averaged over its frames. Never changed.
        affine : array, shape (4, 4), optional
            For an array only: voxel index to RAS mm.

        Returns
        -------
        nibabel.Nifti1Image (Nifti2Image if the scan is one), or ndarray of bool
            The mask, of shape (i, j, k) and on the grid of the scan; an array for an array. Values
            of an image are uint8, 0 outside and 1 inside.

        Raises
        ------
        UserError
            If the scan is missing, damaged, not a 3D or 4D volume of plain numbers, constant or
            without a usable position; if an array comes without an affine, or anything else with
            one; or if no brain was found.
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
                f"{scan.path.name}: {NO_BRAIN}", "Inspect it in a viewer: is it a whole head?"
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
        If there is none, the file is damaged, or the device is not available.
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
