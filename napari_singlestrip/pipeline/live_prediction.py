"""The current prediction for one scan, updated while the network trains."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from napari_singlestrip.engine.config import PredictionConfig
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
from napari_singlestrip.engine.learning.prediction import Prediction, to_mask
from napari_singlestrip.engine.learning.segmenter import Segmenter, predict, predict_again
from napari_singlestrip.events import Event, Wrote
from napari_singlestrip.failures import attempt
from napari_singlestrip.files.stamp import FileStamp, file_stamp
from napari_singlestrip.pipeline.round_segmenter import segmenter_in_training
from napari_singlestrip.study.study import Study

SHARE = 0.03  # of the training time that may be spent on it
GRACE_SECONDS = 3.0  # beyond that share: the first predictions search the whole scan


class LivePrediction:
    """Predicts a scan with each new checkpoint, and writes the mask.

    The checkpoint is what remains if training is stopped, so that the mask shown is the one that
    would be obtained. The whole scan is searched only occasionally: in between, the window of the
    previous prediction is used, which is many times faster. Always a single window is predicted,
    without mirroring.

    Parameters
    ----------
    study : Study
    name : str
        The scan.
    folder : Path
        Folder of the masks, ``answer_<scan>.nii.gz``.
    prediction : PredictionConfig
        With what the network will predict when it is trained.
    device : torch.device
    """

    def __init__(
        self, study: Study, name: str, folder: Path, prediction: PredictionConfig,
        device: torch.device,
    ) -> None:
        self._study, self._name, self._device = study, name, device
        self._prediction = prediction.model_copy(update={"flip": False, "windows": 1})
        self.path = folder / f"answer_{name}.nii.gz"
        self._volume: Volume | None = None
        self._before: Prediction | None = None
        self._answers = 0
        self._seen: FileStamp | None = None
        self._began = time.monotonic()
        self._spent = 0.0
        self._failed = False

    def follow(self, events: Iterable[Event], checkpoint: Path) -> Iterator[Event]:
        """Pass on the events of training, with a prediction after each new checkpoint."""
        self._seen = file_stamp(checkpoint)
        for event in events:
            yield event
            if self._is_due(checkpoint):
                yield from self._answer(checkpoint)
        yield from self._answer(checkpoint)

    def _is_due(self, checkpoint: Path) -> bool:
        elapsed = time.monotonic() - self._began
        if self._failed or self._spent > GRACE_SECONDS + SHARE * elapsed:
            return False
        return file_stamp(checkpoint) != self._seen

    def _answer(self, checkpoint: Path) -> Iterator[Event]:
        if self._failed or not checkpoint.is_file():
            return
        started, self._seen = time.monotonic(), file_stamp(checkpoint)
        # Training has priority.
        failure = attempt(self._write, checkpoint)
        if failure is not None:
            self._failed = True
            yield failure.note(self._name, "cannot be shown during training")
            return
        self._spent += time.monotonic() - started
        yield Wrote(self.path.relative_to(self._study.folder).as_posix(), "answer")

    def _write(self, checkpoint: Path) -> None:
        segmenter = segmenter_in_training(checkpoint, self._prediction, self._device)
        scan = open_scan(self._study.scans.path(self._name))
        if self._volume is None:
            self._volume = scan.load()
        prediction = self._predict(segmenter)
        mask = to_mask(prediction, self._volume, segmenter.settings)
        save_mask(self.path, mask, like=scan)

    def _predict(self, segmenter: Segmenter) -> Prediction:
        assert self._volume is not None
        self._answers += 1
        search = self._answers & (self._answers - 1) == 0  # 1, 2, 4, 8, ...
        if self._before is not None and not search:
            return predict_again(segmenter, self._before)
        prediction = predict(segmenter, self._volume)
        found = np.any(prediction.probability > self._prediction.threshold)
        self._before = prediction if found else None
        return prediction

