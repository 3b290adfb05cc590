"""The network's present answer on one scan, again and again while it trains: to be watched."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_singlestrip.engine.config import override
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
from napari_singlestrip.engine.learning.segmenter import (
    Prediction,
    Segmenter,
    load_segmenter,
    predict,
    predict_array,
    to_mask,
)
from napari_singlestrip.events import Event, Wrote
from napari_singlestrip.failures import attempt
from napari_singlestrip.study.study import Study

SHARE = 0.03  # of the time of training that watching may take
GRACE_SECONDS = 3.0  # beyond that share: the first looks at a scan search it for the brain


class PresentAnswer:
    """Predicts a scan with each checkpoint, and writes the mask for whoever watches.

    The checkpoint is what a stop would leave behind, so that what is watched is what one would
    get. The whole scan is searched only now and then: in between the network looks where it found
    the brain before, which is many times faster.

    Parameters
    ----------
    study : Study
    name : str
        The scan.
    folder : Path
        Where the masks go, ``answer_<scan>.nii.gz``.
    device : torch.device
    """

    def __init__(self, study: Study, name: str, folder: Path, device: torch.device) -> None:
        self._study, self._name, self._device = study, name, device
        self.path = folder / f"answer_{name}.nii.gz"
        self._volume: Volume | None = None
        self._window: Volume | None = None
        self._answers = 0
        self._seen = 0
        self._began = time.monotonic()
        self._spent = 0.0
        self._failed = False

    def follow(self, events: Iterable[Event], checkpoint: Path) -> Iterator[Event]:
        """Pass events of training on, and an answer after each new checkpoint."""
        self._seen = _time_of(checkpoint)
        for event in events:
            yield event
            if self._is_due(checkpoint):
                yield from self._answer(checkpoint)
        yield from self._answer(checkpoint)

    def _is_due(self, checkpoint: Path) -> bool:
        elapsed = time.monotonic() - self._began
        if self._failed or self._spent > GRACE_SECONDS + SHARE * elapsed:
            return False
        return _time_of(checkpoint) != self._seen

    def _answer(self, checkpoint: Path) -> Iterator[Event]:
        if self._failed or not checkpoint.is_file():
            return
        started, self._seen = time.monotonic(), _time_of(checkpoint)
        # Training matters more than watching it.
        failure = attempt(lambda: self._write(load_segmenter(checkpoint, self._device)))
        if failure is not None:
            self._failed = True
            yield failure.note(self._name, "cannot be watched")
            return
        self._spent += time.monotonic() - started
        yield Wrote(self.path.relative_to(self._study.folder).as_posix(), "answer")

    def _write(self, segmenter: Segmenter) -> None:
        scan = open_scan(self._study.scan_path(self._name))
        if self._volume is None:
            self._volume = scan.load()
        prediction = self._predict(segmenter)
        mask = to_mask(prediction, scan.grid, segmenter.settings)
        save_mask(self.path, mask, like=scan)

    def _predict(self, segmenter: Segmenter) -> Prediction:
        assert self._volume is not None
        self._answers += 1
        search = self._answers & (self._answers - 1) == 0  # 1, 2, 4, 8, ...
        if self._window is not None and not search:
            probability = predict_array(segmenter, self._window.data, flip=False)
            return Prediction(probability, self._window)
        changes = {"prediction.flip": False, "prediction.windows": 1}
        quick = replace(segmenter, settings=override(segmenter.settings, changes))
        prediction = predict(quick, self._volume)
        found = np.any(prediction.probability > segmenter.settings.prediction.threshold)
        self._window = prediction.conformed if found else None
        return prediction


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
