"""The segmenter: what it is trained on, and how it finds the brain of a scan."""

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

from napari_singlestrip.engine.config import Settings, TrainingConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.heads.label_bank import Geometry, brain_box
from napari_singlestrip.engine.heads.label_map import LabelBank
from napari_singlestrip.engine.heads.synthesis import render, sample_params
from napari_singlestrip.engine.imaging.geometry import Box, conform, head_box, resample, unconform
from napari_singlestrip.engine.imaging.grid import Grid, Shape, Volume
from napari_singlestrip.engine.imaging.pose import climb, pitch
from napari_singlestrip.engine.imaging.scipy_parts import load_scipy_parts
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.inference import Reader, probabilities
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.saved_state import build, read_network
from napari_singlestrip.engine.learning.training import Pair, Task, Weights, initial_weights
from napari_singlestrip.engine.masks.cleanup import clean_mask, largest_component

load_scipy_parts()  # at once, as torch: later there may be no room

PITCH_STEP = 20.0  # degrees: about as much as the network has learned to overlook
LEAST_GAINS = 0.002, 0.0065  # of certainty, from one look and from several; smaller ones are chance


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
    remarks : list of str
        What there was to say of the last scans, until `told` asks for it.
    """

    net: nn.Module
    settings: Settings
    spacing_mm: float
    shape: Shape
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    remarks: list[str] = field(default_factory=list, compare=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.net.parameters()).device

    def told(self) -> list[str]:
        """Say once what was remarkable of the scans since the last call."""
        said = list(dict.fromkeys(self.remarks))
        self.remarks.clear()
        return said


@dataclass(frozen=True)
class Prediction:
    """Brain probability of a scan on the grid that the network saw.

    Attributes
    ----------
    probability : (I, J, K) float32
        0 to 1.
    conformed : Volume
        What the network saw: intensities on an isotropic grid, RAS unless the head is pitched.
    """

    probability: npt.NDArray[np.float32]
    conformed: Volume

    @property
    def grid(self) -> Grid:
        """Grid of the probability."""
        return self.conformed.grid


@dataclass(frozen=True)
class Window:
    """Where in a scan the brain is.

    Attributes
    ----------
    conformed : Volume
        The whole scan on an isotropic grid, along the RAS axes unless the head is pitched.
    probability : (I, J, K) float32
        A first, rough prediction on that grid.
    place : (3,) int or None
        Its first voxel; None if no brain was found, so that the window is the whole scan.
    shape : (I, J, K)
        As large as those of the training.
    """

    conformed: Volume
    probability: npt.NDArray[np.float32]
    place: npt.NDArray[np.int64] | None
    shape: Shape

    @property
    def view(self) -> Volume:
        """What the scan shows there."""
        if self.place is None:
            return self.conformed
        affine = self.conformed.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ self.place
        return Volume(
            _cut(self.conformed.data, self.place, self.shape), affine, self.conformed.notes
        )


def segmenter_task(
    bank: LabelBank,
    geometry: Geometry,
    settings: Settings,
    device: torch.device,
    *,
    stage: str = "train",
    initial: Weights | None = None,
    config: TrainingConfig | None = None,
    real_fraction: float = 0.0,
    watched: Sequence[Pair] = (),
) -> Task:
    """Say what the segmenter is trained on.

    Parameters
    ----------
    bank : LabelBank
        Label maps of the labelled scans.
    geometry : Geometry
        The grid of the synthetic heads.
    settings : Settings
    device : torch.device
    stage : str
        Name in the events.
    initial : state dict, optional
        Weights to fine-tune; drawn anew unless given.
    config : TrainingConfig, optional
        Instead of ``settings.training``.
    real_fraction : float
        Share of steps on the real scans instead of synthetic heads, 0 to 1.
    watched : sequence of pairs
        Labelled scans to measure the Dice on, from `watched_scan`.
    """
    bank, config = bank.to(device), config or settings.training
    net = _initial_net(settings, initial).to(device)
    wide_shape = _wide_shape(geometry, config, settings.network.side_multiple)

    def draw(rng: np.random.Generator) -> Pair:
        params = [
            sample_params(rng, bank, settings.synthesis, real=bool(rng.random() < real_fraction))
            for _ in range(config.batch_size)
        ]
        wide = rng.random() < config.wide_fraction
        return render(bank, params, wide_shape if wide else geometry.shape)

    extra = {
        "settings": settings.model_dump_json(), "spacing_mm": geometry.spacing_mm,
        "shape": list(geometry.shape), "offset": list(geometry.offset),
    }
    return Task(
        "segmenter", stage, net, draw,
        _held_out_heads(bank, geometry, settings, config.validation_heads), settings.network,
        config, settings.seed,
        [(transfer.move(x, device), transfer.move(y, device)) for x, y in watched], extra=extra,
    )


def _initial_net(settings: Settings, initial: Weights | None) -> nn.Module:
    net = build_segmenter(settings.network)
    if initial is None:
        initial_weights(net, np.random.default_rng([settings.seed, 2]))
    else:
        net.load_state_dict(initial)
    return net


def _wide_shape(geometry: Geometry, config: TrainingConfig, multiple: int) -> Shape:
    """The window with more neck and air."""
    i, j, k = (round(n * config.wide / multiple) * multiple for n in geometry.shape)
    return i, j, k


def _held_out_heads(
    bank: LabelBank, geometry: Geometry, settings: Settings, n: int
) -> list[Pair]:
    """Synthetic heads that training never draws."""
    rng = np.random.default_rng([settings.seed, 1])
    return [
        render(bank, [sample_params(rng, bank, settings.synthesis)], geometry.shape)
        for _ in range(n)
    ]


def watched_scan(
    volume: Volume, mask: npt.NDArray[np.bool_], geometry: Geometry, settings: Settings
) -> Pair:
    """Prepare a labelled scan, in the window that prediction would find, for validation.

    Returns
    -------
    pair of (1, 1, I, J, K) float32 tensors
        Intensities, and a signed distance in voxels that is exact next to the surface only.
    """
    low, high = brain_box(mask, volume.grid)
    reach = np.asarray(geometry.shape) * geometry.spacing_mm / 2
    box = ((low + high) / 2 - reach, (low + high) / 2 + reach)
    multiple = settings.network.side_multiple
    conformed = conform(volume, geometry.spacing_mm, multiple=multiple, box=box)
    soft = resample(Volume(mask.astype(np.float32), volume.affine), conformed.grid, fill=0.0)
    return torch.from_numpy(conformed.data)[None, None], torch.from_numpy(0.5 - soft)[None, None]


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


def strip_volume(
    segmenter: Segmenter, volume: Volume, settings: Settings | None = None
) -> npt.NDArray[np.bool_]:
    """Find the brain in a scan.

    Parameters
    ----------
    segmenter : Segmenter
    volume : Volume
        The scan on its own grid, whatever its orientation.
    settings : Settings, optional
        By which the prediction becomes a mask, instead of the segmenter's own.

    Returns
    -------
    ndarray of bool, shape of the volume
        Nothing is marked where no brain was found.
    """
    prediction = predict(segmenter, volume)
    return to_mask(prediction, volume.grid, settings or segmenter.settings)


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
        return Prediction(window.probability, window.conformed)
    return _look_closely(segmenter, window, window.place)


def find_window(segmenter: Segmenter, volume: Volume) -> Window:
    """Find the brain of a scan.

    First in the whole head, then in a window as large as those of the training, placed around
    what was found: a network that normalises by the picture's mean is thrown off by more air, or
    more neck, than it has learned on. Where the network is surer of the head when it is pitched,
    the window lies along its axes.

    Parameters
    ----------
    segmenter : Segmenter
    volume : Volume
        The scan on its own grid, whatever its orientation.
    """
    segmenter.remarks.clear()  # of a scan that could not be predicted
    window = _find_window(segmenter, volume)
    degrees = _pitch_of(segmenter, volume, window)
    if not degrees:
        return window
    turned = _find_window(segmenter, Volume(volume.data, pitch(degrees) @ volume.affine))
    if turned.place is None:
        return window
    there = turned.conformed
    here = Volume(there.data, pitch(-degrees) @ there.affine, there.notes)
    return replace(turned, conformed=here)


def _pitch_of(segmenter: Segmenter, volume: Volume, window: Window) -> float:
    """By how many degrees to pitch a head, so that the network is surest of it.

    One look tells whether to look again at all, which hardly any head needs: it is cheap, and often
    wrong.
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
        return _certainty(segmenter, view(degrees), n_windows)

    side = max((PITCH_STEP, -PITCH_STEP), key=lambda side: certainty(side, 1))
    if certainty(side, 1) < certainty(0.0, 1) + LEAST_GAINS[0]:
        return 0.0
    return climb(lambda degrees: certainty(degrees, 3), side, limit, LEAST_GAINS[1])


def _pitched_view(
    segmenter: Segmenter, volume: Volume, middle: npt.NDArray[np.float64], degrees: float
) -> Volume:
    """What is seen around `middle` (RAS mm) when the head is pitched, with room for all windows."""
    multiple = segmenter.settings.network.side_multiple
    turn = pitch(degrees)
    centre = nib.affines.apply_affine(turn, middle)
    reach = (np.asarray(segmenter.shape) + multiple) * segmenter.spacing_mm / 2
    turned = Volume(volume.data, turn @ volume.affine)
    box = (centre - reach, centre + reach)
    return conform(turned, segmenter.spacing_mm, multiple=multiple, box=box)


def _certainty(segmenter: Segmenter, view: Volume, n_windows: int) -> float:
    """Soft Dice of a prediction with the mask it makes; 0 without one."""
    place = (np.array(view.data.shape) - np.array(segmenter.shape)) // 2
    probability = _mean_of_windows(segmenter, view.data, place, n_windows, flip=False)
    brain = largest_component(probability > segmenter.settings.prediction.threshold)
    if not brain.any():
        return 0.0
    return float(2 * probability[brain].sum() / (probability.sum() + brain.sum()))


def _find_window(segmenter: Segmenter, volume: Volume) -> Window:
    """Find the brain in a scan as it lies."""
    settings = segmenter.settings
    multiple = settings.network.side_multiple
    conformed = conform(
        volume, segmenter.spacing_mm, multiple=multiple,
        box=_large_enough(head_box(volume), multiple * segmenter.spacing_mm),
        max_voxels=max(settings.conform.max_voxels, (2 * multiple) ** 3),
    )
    probability = predict_array(segmenter, conformed.data, flip=False)
    window = Window(conformed, probability, None, segmenter.shape)
    found = probability
    for _ in range(3):
        brain = largest_component(found > settings.prediction.threshold)
        if not brain.any():
            return replace(window, place=None)
        place = _place_around(segmenter, brain, window.place)
        if window.place is not None and np.array_equal(place, window.place):
            break
        window = replace(window, place=place)
        found = predict_array(segmenter, window.view.data, flip=False)
    return window


def _large_enough(box: Box, side_mm: float) -> Box:
    """Widen a box that would be one voxel at the bottom of the network, which cannot be normalised.

    Parameters, returns : pair of (3,) RAS mm
        As it is if any side is longer than `side_mm`.
    """
    low, high = box
    if (high - low > side_mm * (1 + 1e-3)).any():  # what is but a rounding longer may be cut off
        return box
    middle = (low + high) / 2
    return middle - side_mm, middle + side_mm


def _place_around(
    segmenter: Segmenter, brain: npt.NDArray[np.bool_], place: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    """First voxel of the window around a brain that was found in the window at `place`."""
    # The centre of mass hardly notices a bit of neck; the middle of the box would.
    middle = np.argwhere(brain).mean(0) - segmenter.offset
    corner = np.rint(middle - (np.asarray(segmenter.shape) - 1) / 2).astype(np.int64)
    return corner if place is None else place + corner


def _look_closely(
    segmenter: Segmenter, window: Window, place: npt.NDArray[np.int64]
) -> Prediction:
    """Average what is seen in several windows, so that no voxel's place decides."""
    config = segmenter.settings.prediction
    probability = _mean_of_windows(
        segmenter, window.conformed.data, place, config.windows, flip=config.flip
    )
    return Prediction(probability, window.view)


def _mean_of_windows(
    segmenter: Segmenter,
    data: npt.NDArray[np.float32],
    place: npt.NDArray[np.int64],
    n_windows: int,
    *,
    flip: bool,
) -> npt.NDArray[np.float32]:
    """Brain probability in the window at `place`, mean of windows a little apart."""
    apart = segmenter.settings.network.side_multiple // 2
    total = np.zeros(segmenter.shape, np.float32)
    weight = np.zeros(segmenter.shape, np.float32)
    shifts = [0, apart, -apart][:n_windows]
    seen = [_cut(data, place + shift, segmenter.shape) for shift in shifts]
    for shift, probability in zip(shifts, _predict_all(segmenter, seen, flip=flip), strict=True):
        back = np.full(3, -shift)
        total += _cut(probability, back, segmenter.shape)
        weight += _cut(np.ones_like(probability), back, segmenter.shape)
    mean: npt.NDArray[np.float32] = total / weight
    return mean


def _cut(
    data: npt.NDArray[np.float32], place: npt.NDArray[np.int64], shape: Shape
) -> npt.NDArray[np.float32]:
    """Cut out `shape` voxels that begin at `place`; zero beyond the edges."""
    out = np.zeros(shape, np.float32)
    source, target = [], []
    for start, n, size in zip(place, shape, data.shape, strict=True):
        first, last = min(max(start, 0), size), max(min(start + n, size), 0)
        source.append(slice(first, max(first, last)))
        target.append(slice(first - start, max(first, last) - start))
    out[tuple(target)] = data[tuple(source)]
    return out


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
    segmenter: Segmenter, pictures: Sequence[npt.NDArray[np.float32]], *, flip: bool
) -> list[npt.NDArray[np.float32]]:
    reader = Reader(segmenter.net, segmenter.settings.network, segmenter.shape, flip)
    return probabilities(reader, pictures, segmenter.remarks.append)


def to_mask(prediction: Prediction, target: Grid, settings: Settings) -> npt.NDArray[np.bool_]:
    """Turn a prediction into a clean mask on a scan's own grid.

    The probability is resampled and thresholded there; a binary mask would show coarse voxels.
    """
    threshold = settings.prediction.threshold
    # What is below the threshold stays below it wherever it is interpolated.
    probability = unconform(
        prediction.probability, prediction.grid, target, fill=0.0, negligible=threshold
    )
    return clean_mask(probability > threshold, target.spacing, settings.prediction)
