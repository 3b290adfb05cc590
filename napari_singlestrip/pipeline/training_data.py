"""The labelled scans of a study, ready for training."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.heads.label_bank import (
    Example,
    Geometry,
    make_example,
    training_geometry,
)
from napari_singlestrip.engine.heads.label_map import LabelBank
from napari_singlestrip.engine.heads.vertex import is_cut_off_above, mask_with_vertex, with_vertex
from napari_singlestrip.engine.imaging.volume import Volume, load_mask, open_scan
from napari_singlestrip.engine.learning.segmenter import predict
from napari_singlestrip.engine.learning.training import Pair
from napari_singlestrip.events import Event, Note
from napari_singlestrip.failures import attempt
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.pipeline.round_segmenter import segmenter_of_round
from napari_singlestrip.pipeline.supply import Supply
from napari_singlestrip.pipeline.tally import LEARN
from napari_singlestrip.study.round_facts import describe_round
from napari_singlestrip.study.training_set import TRUSTED, TrainingMask, masks_by_hand


@dataclass(frozen=True)
class TrainingData:
    """Labelled scans, ready for training."""

    bank: LabelBank
    geometry: Geometry
    watched: list[Pair]
    supply: Supply  # exchanges scans if they do not all fit into memory

    @property
    def masks(self) -> list[TrainingMask]:
        """The masks used for training."""
        return self.supply.used


def training_data(
    job: Job, masks: Sequence[TrainingMask], n_maps: int | None, n_steps: int = 1, step: int = 0
) -> Generator[Event, None, TrainingData]:
    """Load the labelled scans that are scheduled for a step, and make their label maps.

    A bad scan is left out; see `Supply`.
    """
    geometry = geometry_of_study(job)

    cut_off: list[str] = []

    def load(mask: TrainingMask) -> tuple[Example, Volume, npt.NDArray[np.bool_]]:
        example, volume, array = load_example(job, mask, geometry)
        if n_maps != 0 and mask.kind == "painted" and is_cut_off_above(array, volume.grid):
            cut_off.append(mask.scan)
        return example, volume, array

    supply = Supply(masks, load, geometry, job.settings, n_maps, n_steps)
    yield from supply.fill(step)
    for name in cut_off:
        yield Note(f"The brain of {name} is cut off above. For training, a vertex is added to the "
                   "head; a scan that shows the whole brain would be better to paint.")
    for name, failure in supply.failed.items():
        job.tally.count(LEARN, name, failure)
    job.tally.learned.update(mask.scan for mask in supply.used)
    return TrainingData(supply.bank(), geometry, supply.watched, supply)


def load_example(
    job: Job, mask: TrainingMask, geometry: Geometry
) -> tuple[Example, Volume, npt.NDArray[np.bool_]]:
    """Read a labelled scan: cropped for training, whole, and its mask on its own grid.

    For training, a painted head gets a vertex if its brain is cut off above. Others do not: they
    are learned from beside it.
    """
    scan = open_scan(job.study.scans.path(mask.scan))
    array = load_mask(job.study.folder / mask.path, like=scan)
    volume = scan.load()
    soft = None
    if job.settings.finetuning.soft_labels and mask.kind not in TRUSTED:
        soft = _probability(job, mask, volume)
    learned = with_vertex(volume, array) if mask.kind == "painted" else (volume, array)
    return make_example(mask.scan, *learned, geometry, mask.weight, soft), volume, array


def _probability(job: Job, mask: TrainingMask, volume: Volume) -> Volume:
    """The probability a pseudo-label was made from, shifted to 0.5 at its surface."""
    round_ = mask.round or 0
    segmenter = segmenter_of_round(job.study, round_, job.settings, job.device)
    prediction = predict(segmenter, volume)
    p, threshold = prediction.probability, segmenter.settings.prediction.threshold
    odds = p * (1 - threshold)
    soft = (odds / (odds + (1 - p) * threshold)).astype(np.float32)
    return Volume(soft, prediction.grid.affine)


def geometry_of_study(job: Job) -> Geometry:
    """The training grid, derived from the first painted mask, and the same in all rounds.

    The next one is used if its scan cannot be read.
    """
    masks, folder = masks_by_hand(job.study), job.folder(0)
    first = describe_round(job.study, 0).scans[:1] if folder.segmenter.is_file() else ()
    masks.sort(key=lambda mask: mask.scan not in first)
    for mask in masks[:-1]:
        found = attempt(_geometry_of, job, mask)
        if isinstance(found, Geometry):
            return found
    return _geometry_of(job, masks[-1])


def _geometry_of(job: Job, mask: TrainingMask) -> Geometry:
    scan = open_scan(job.study.scans.path(mask.scan))
    array = load_mask(job.study.folder / mask.path, like=scan)
    if mask.kind == "painted":
        return training_geometry(*mask_with_vertex(array, scan.grid), job.settings)
    return training_geometry(array, scan.grid, job.settings)
