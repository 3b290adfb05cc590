"""The segmenter: a trained network, and how it segments the brain of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.imaging.geometry import conform, head_box
from napari_singlestrip.engine.imaging.grid import Shape, Volume
from napari_singlestrip.engine.imaging.pose import climb, pitch
from napari_singlestrip.engine.imaging.scipy_parts import load_scipy_parts
from napari_singlestrip.engine.imaging.shading import steep_shading
from napari_singlestrip.engine.learning.autoencoder import Autoencoder
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.inference import Reader, probabilities
from napari_singlestrip.engine.learning.networks import Committee, build_segmenter, logit
from napari_singlestrip.engine.learning.prediction import Prediction, to_mask
from napari_singlestrip.engine.learning.saved_state import build, read_network
from napari_singlestrip.engine.learning.window import Window, cut_out, large_enough
from napari_singlestrip.engine.masks.cleanup import largest_component

load_scipy_parts()  # at import, together with torch: later there may be too little memory

PITCH_STEP = 20.0  # degrees: about the rotation that training covers
LEAST_GAINS = 0.002, 0.0065  # of certainty, from one window and from several; less is chance


@dataclass(frozen=True)
class Segmenter:
    """A trained network and what it takes to apply it.

    Attributes
    ----------
    net : nn.Module
        In evaluation mode, on its device.
    settings : Settings
        Those it was trained with.
    spacing_mm : float
        Voxel size of the grid it was trained on.
    shape : (I, J, K)
        Of that grid.
    offset : three floats
        From the middle of that grid to the brain's centre of mass (voxels).
    autoencoder : Autoencoder or None
        Trained on the same masks, to recognise leaks.
    remarks : list of str
        Remarks on the latest scans, until `told` collects them.
    """

    net: nn.Module
    settings: Settings
    spacing_mm: float
    shape: Shape
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    autoencoder: Autoencoder | None = None
    remarks: list[str] = field(default_factory=list, compare=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.net.parameters()).device

    def told(self) -> list[str]:
        """Return the remarks on the scans since the last call, once."""
        said = list(dict.fromkeys(self.remarks))
        self.remarks.clear()
        return said


def load_segmenter(path: Path, device: torch.device) -> Segmenter:
    """Read a trained segmenter from its checkpoint or an exported model.

    Raises
    ------
    UserError
        If the file is missing, damaged or of a newer version.
    """
    return segmenter_from(load_checkpoint(path, "segmenter"), device, path)


def segmenter_from(saved: Any, device: torch.device, path: Path) -> Segmenter:
    """Build a segmenter from the contents of a checkpoint.

    Raises
    ------
    UserError
        If they are not those of a segmenter; `path` is the file to name.
    """
    found = read_network(saved, path)
    network = found.settings.network
    net = build(
        found, path, lambda: build_segmenter(network), network.channels, network.side_multiple
    )
    return Segmenter(
        net.to(device).eval(), found.settings, found.spacing_mm, found.shape, found.offset
    )


def committee(one: Segmenter, other: Segmenter) -> Segmenter:
    """Combine two segmenters of the same kind: the mean of their probabilities.

    Segmenters that were trained on different data make different errors, so that their mean is
    better than either. Their logits are shifted so that their thresholds agree.

    Parameters
    ----------
    one : Segmenter
        Its settings and grid are used.
    other : Segmenter
        One that was fine-tuned from the first, or vice versa. Its autoencoder is used.
    """
    thresholds = (s.settings.prediction.threshold for s in (one, other))
    first, second = map(logit, thresholds)
    net = Committee(one.net, other.net, one.settings.network.target, first - second)
    return replace(one, net=net.eval(), autoencoder=other.autoencoder, remarks=[])


def strip_volume(
    segmenter: Segmenter, volume: Volume, settings: Settings | None = None
) -> npt.NDArray[np.bool_]:
    """Segment the brain in a scan: `predict`, then `to_mask`.

    Callers that also need the prediction use these two: applying may write the probability, and
    live prediction reuses the window of the previous prediction (`predict_again`).

    Parameters
    ----------
    segmenter : Segmenter
    volume : Volume
        The scan on its own grid, whatever its orientation.
    settings : Settings, optional
        Settings of the postprocessing, instead of the segmenter's own.

    Returns
    -------
    ndarray of bool, shape of the volume
        Empty if no brain was found.
    """
    prediction = predict(segmenter, volume)
    return to_mask(prediction, volume, settings or segmenter.settings, segmenter.autoencoder)


def predict(segmenter: Segmenter, volume: Volume) -> Prediction:
    """Predict the brain probability of a scan, on the conformed grid.

    Parameters
    ----------
    segmenter : Segmenter
    volume : Volume
        The scan on its own grid, whatever its orientation.
    """
    window = find_window(segmenter, volume)
    if window.place is None:
        return Prediction(window.probability, window.conformed, window.shading)
    return _look_closely(segmenter, window, window.place)


def predict_again(segmenter: Segmenter, before: Prediction) -> Prediction:
    """Predict where the brain was found before, without searching the scan for it.

    Parameters
    ----------
    segmenter : Segmenter
    before : Prediction
        That of a network of the same kind.
    """
    flip = segmenter.settings.prediction.flip
    probability = predict_array(segmenter, before.conformed.data, flip=flip)
    return replace(before, probability=probability)


def find_window(segmenter: Segmenter, volume: Volume) -> Window:
    """Find the brain of a scan.

    First in the whole head, then in a window of the size used in training, placed around the first
    result: a network with instance normalisation is misled by more air, or more neck, than in
    training. If the scan is much brighter on one side, and the network is more certain without that
    shading, it is taken away. If the network is more certain when the head is pitched, the window
    has the pitched axes.

    Parameters
    ----------
    segmenter : Segmenter
    volume : Volume
        The scan on its own grid, whatever its orientation.
    """
    segmenter.remarks.clear()  # from an earlier scan that could not be predicted
    window, volume = _find_without_shading(segmenter, volume)
    degrees = _pitch_of(segmenter, volume, window)
    if not degrees:
        return window
    turned, _ = _find_window(segmenter, Volume(volume.data, pitch(degrees) @ volume.affine))
    if turned.place is None:
        return window
    there = turned.conformed
    here = Volume(there.data, pitch(-degrees) @ there.affine, there.notes)
    return replace(turned, conformed=here, shading=window.shading)


def _find_without_shading(segmenter: Segmenter, volume: Volume) -> tuple[Window, Volume]:
    """Find the brain, and the scan in which the network is more certain of it."""
    window, found = _find_window(segmenter, volume)
    shading = steep_shading(window.view, _brain(segmenter, found))
    if shading is None:
        return window, volume
    flat = shading.flatten(volume)
    again, found_again = _find_window(segmenter, flat)
    if _certainty(segmenter, found_again) <= _certainty(segmenter, found):
        return window, volume
    return replace(again, shading=shading), flat


def _pitch_of(segmenter: Segmenter, volume: Volume, window: Window) -> float:
    """Pitch (degrees) at which the network is most certain.

    A first search with a single window is cheap but often wrong; it only decides whether to search
    again, which few heads need.
    """
    limit = segmenter.settings.prediction.pitch_deg
    if window.place is None or limit < PITCH_STEP:
        return 0.0
    middle = window.view.grid.middle

    @cache
    def view(degrees: float) -> Volume:
        return _pitched_view(segmenter, volume, middle, degrees)

    @cache
    def certainty(degrees: float, n_windows: int) -> float:
        return _certainty_of_view(segmenter, view(degrees), n_windows)

    side = max((PITCH_STEP, -PITCH_STEP), key=lambda side: certainty(side, 1))
    if certainty(side, 1) < certainty(0.0, 1) + LEAST_GAINS[0]:
        return 0.0
    return climb(lambda degrees: certainty(degrees, 3), side, limit, LEAST_GAINS[1])


def _pitched_view(
    segmenter: Segmenter, volume: Volume, middle: npt.NDArray[np.float64], degrees: float
) -> Volume:
    """The pitched view around `middle` (RAS mm), with a margin for all windows."""
    multiple = segmenter.settings.network.side_multiple
    turn = pitch(degrees)
    centre = nib.affines.apply_affine(turn, middle)
    reach = (np.asarray(segmenter.shape) + multiple) * segmenter.spacing_mm / 2
    turned = Volume(volume.data, turn @ volume.affine)
    box = (centre - reach, centre + reach)
    return conform(turned, segmenter.spacing_mm, multiple=multiple, box=box)


def _certainty_of_view(segmenter: Segmenter, view: Volume, n_windows: int) -> float:
    """How certain the network is in the middle of a view."""
    place = (np.array(view.data.shape) - np.array(segmenter.shape)) // 2
    probability = _mean_of_windows(segmenter, view.data, place, n_windows, flip=False)
    return _certainty(segmenter, probability)


def _certainty(segmenter: Segmenter, probability: npt.NDArray[np.float32]) -> float:
    """Soft Dice of a prediction and the mask made from it; 0 without one."""
    brain = _brain(segmenter, probability)
    if not brain.any():
        return 0.0
    return float(2 * probability[brain].sum() / (probability.sum() + brain.sum()))


def _brain(
    segmenter: Segmenter, probability: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """What a prediction takes for brain."""
    return largest_component(probability > segmenter.settings.prediction.threshold)


def _find_window(
    segmenter: Segmenter, volume: Volume
) -> tuple[Window, npt.NDArray[np.float32]]:
    """Find the brain in a scan as it is; the window, and what was predicted in its view."""
    settings = segmenter.settings
    multiple = settings.network.side_multiple
    conformed = conform(
        volume, segmenter.spacing_mm, multiple=multiple,
        box=large_enough(head_box(volume), multiple * segmenter.spacing_mm),
        max_voxels=max(settings.conform.max_voxels, (2 * multiple) ** 3),
    )
    probability = predict_array(segmenter, conformed.data, flip=False)
    window = Window(conformed, probability, None, segmenter.shape)
    found = probability
    for _ in range(3):
        brain = _brain(segmenter, found)
        if not brain.any():
            return replace(window, place=None), probability
        place = _place_around(segmenter, brain, window.place)
        if window.place is not None and np.array_equal(place, window.place):
            break
        window = replace(window, place=place)
        found = predict_array(segmenter, window.view.data, flip=False)
    return window, found


def _place_around(
    segmenter: Segmenter, brain: npt.NDArray[np.bool_], place: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    """First voxel of the window around the brain found in the window at `place`."""
    # Unlike the middle of the bounding box, the centre of mass is robust to some neck.
    middle = np.argwhere(brain).mean(0) - segmenter.offset
    corner = np.rint(middle - (np.asarray(segmenter.shape) - 1) / 2).astype(np.int64)
    return corner if place is None else place + corner


def _look_closely(
    segmenter: Segmenter, window: Window, place: npt.NDArray[np.int64]
) -> Prediction:
    """Average the predictions of several shifted windows, to cancel grid effects."""
    config = segmenter.settings.prediction
    probability = _mean_of_windows(
        segmenter, window.conformed.data, place, config.windows, flip=config.flip
    )
    return Prediction(probability, window.view, window.shading)


def _mean_of_windows(
    segmenter: Segmenter,
    data: npt.NDArray[np.float32],
    place: npt.NDArray[np.int64],
    n_windows: int,
    *,
    flip: bool,
) -> npt.NDArray[np.float32]:
    """Brain probability in the window at `place`, mean over shifted windows."""
    apart = segmenter.settings.network.side_multiple // 2
    total = np.zeros(segmenter.shape, np.float32)
    weight = np.zeros(segmenter.shape, np.float32)
    shifts = [0, apart, -apart][:n_windows]
    seen = [cut_out(data, place + shift, segmenter.shape) for shift in shifts]
    for shift, probability in zip(shifts, _predict_all(segmenter, seen, flip=flip), strict=True):
        back = np.full(3, -shift)
        total += cut_out(probability, back, segmenter.shape)
        weight += cut_out(np.ones_like(probability), back, segmenter.shape)
    mean: npt.NDArray[np.float32] = total / weight
    return mean


def predict_array(
    segmenter: Segmenter, data: npt.NDArray[np.float32], *, flip: bool
) -> npt.NDArray[np.float32]:
    """Brain probability of conformed intensities.

    Parameters
    ----------
    segmenter : Segmenter
    data : (I, J, K) float32
        0 to 1, sides multiples of `side_multiple`.
    flip : bool
        Average with the prediction of the mirrored head (first axis).
    """
    (probability,) = _predict_all(segmenter, [data], flip=flip)
    return probability


def _predict_all(
    segmenter: Segmenter, images: Sequence[npt.NDArray[np.float32]], *, flip: bool
) -> list[npt.NDArray[np.float32]]:
    reader = Reader(segmenter.net, segmenter.settings.network, segmenter.shape, flip)
    return probabilities(reader, images, segmenter.remarks.append)
