"""Stripping one scan with the interface of ``mri_synthstrip``: brain, mask and distance map."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.imaging.scan_files import real_file
from napari_singlestrip.engine.imaging.volume import (
    WRITTEN,
    Scan,
    open_scan,
    save_brain,
    save_map,
    save_mask,
)
from napari_singlestrip.engine.learning import first_network
from napari_singlestrip.engine.learning.device import choose_device, in_words, remarks
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress, Started, Wrote
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.pipeline.stripper import Stripper
from napari_singlestrip.pipeline.trained_model import open_model, with_overrides

N_STEPS = 3  # the model was read, the brain was found, files were written


@dataclass(frozen=True)
class Outputs:
    """Files to write; None for those not wanted.

    Attributes
    ----------
    brain : Path or None
        The skull-stripped scan: 0 outside the mask.
    mask : Path or None
        0 outside, 1 inside.
    distance : Path or None
        Signed distance to the brain's surface in mm, negative inside, without the border.
    """

    brain: Path | None = None
    mask: Path | None = None
    distance: Path | None = None

    def given(self) -> list[Path]:
        """The files to write."""
        values = (getattr(self, field.name) for field in fields(self))
        return [path for path in values if path is not None]


def strip_one(
    model: str | Path | None,
    image: str | Path,
    outputs: Outputs,
    *,
    border_mm: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    round_: int | None = None,
) -> Iterator[Event]:
    """Strip one scan; existing files are replaced.

    Parameters
    ----------
    model : str, Path or None
        A study folder (its newest trained round) or an exported model file; None for the network
        that comes with the program.
    image : str or Path
        The scan; never changed.
    outputs : Outputs
        Formats follow from the extensions.
    border_mm : float, optional
        Distance of the mask's border from the brain's surface, instead of the model's setting.
    device : str
        "auto", "cpu", "cuda" or "mps".
    threads : int, optional
        Number of CPU threads.
    round_ : int, optional
        Round of the study whose model is used, instead of the newest.

    Raises
    ------
    UserError
        If there is no model or no scan, no output is named, or one cannot be written.
    """
    started = time.monotonic()
    scan = open_scan(Path(os.path.expanduser(image)))
    _check(scan, outputs)
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = choose_device(device)
    changes = {} if border_mm is None else {"prediction.border_mm": border_mm}
    path = first_network.PATH if model is None else Path(os.path.expanduser(model))
    opened = open_model(path, chosen, round_)
    stripper = Stripper(with_overrides(opened, changes))
    yield Started("strip", in_words(chosen), scan.path.name)
    for text in remarks(device, chosen):
        yield Note(text, "warning")
    yield Progress("strip", 1, N_STEPS)
    mask = attempt(_mask, stripper, scan)
    for text in stripper.notes:
        yield Note(text, "warning", scan.name)
    if model is None:
        yield from _of_a_suggestion(mask, scan)
    yield Progress("strip", 2, N_STEPS)
    failure = mask if isinstance(mask, Failure) else attempt(
        _write, outputs, mask, scan, stripper.settings.prediction.border_mm
    )
    if failure is not None:
        yield failure.note(scan.path.name)
        yield Finished(time.monotonic() - started, {}, 0, 1)
        return
    for path in outputs.given():
        yield Wrote(str(path), "strip")
    yield Finished(time.monotonic() - started, {"masks": 1}, 1, 0)


def _of_a_suggestion(mask: NDArray[np.bool_] | Failure, scan: Scan) -> Iterator[Event]:
    """Say what a mask of the network that comes with the program is worth."""
    yield Note("The network has learned from drawn heads only: correct this first suggestion.")
    found = 0.0 if isinstance(mask, Failure) else np.count_nonzero(mask) * scan.grid.voxel_ml
    doubts = (first_network.why_not_asked(scan.grid), first_network.why_not_believed(found))
    for doubt in filter(None, doubts):
        yield Note(f"It knows adult heads of humans: {doubt}.", "warning", scan.name)


def _check(scan: Scan, outputs: Outputs) -> None:
    given = outputs.given()
    if not given:
        raise UserError(
            "Nothing is to be written.", "Name at least one of -o BRAIN, -m MASK and -d SDT."
        )
    for path in given:
        if not path.name.lower().endswith(WRITTEN):
            raise UserError(
                f"Cannot write {path.name}.", f"Give it a name that ends in {', '.join(WRITTEN)}."
            )
        if real_file(path) in (real_file(scan.path), real_file(scan.layout.path)):
            raise UserError(f"{path} is the scan itself.", "Choose another name.")
    if len(set(map(real_file, given))) < len(given):
        raise UserError("Two outputs have one name.", "Give each a name of its own.")


def _mask(stripper: Stripper, scan: Scan) -> NDArray[np.bool_]:
    image = stripper.strip(scan.path)
    return np.asarray(np.asanyarray(image.dataobj) > 0)


def _write(outputs: Outputs, mask: NDArray[np.bool_], scan: Scan, border_mm: float) -> None:
    if outputs.mask is not None:
        save_mask(outputs.mask, mask, scan)
    if outputs.brain is not None:
        save_brain(outputs.brain, mask, scan)
    if outputs.distance is not None:
        distance = signed_distance(mask, scan.grid.spacing)
        if border_mm and math.isfinite(border_mm):  # the mask already includes it
            distance = distance + np.float32(border_mm)
        save_map(outputs.distance, distance, scan)
