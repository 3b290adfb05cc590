"""Ranking masks of other programs: they become a round of pseudo-labels, with one good mask.

No segmenter is needed: the autoencoder learns the shape of a brain from the masks made by hand (or
declared good), and ranks the others. If several programs segmented a scan, their agreement is a
second score, in place of the network's consistency.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.imaging.volume import Scan, load_mask, open_scan, save_mask
from napari_singlestrip.engine.learning.device import choose_device, in_words, remarks
from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Progress, Started, seconds_left
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.atomic import read_json, write_json_atomic
from napari_singlestrip.pipeline.job import Job, attempt_scan, wrote
from napari_singlestrip.pipeline.learn import train_autoencoder
from napari_singlestrip.pipeline.rank import Agreement, rank_pool
from napari_singlestrip.study.other_masks import (
    OtherMask,
    OtherMasks,
    find_other_masks,
    has_network,
    other_mask,
)
from napari_singlestrip.study.round_folder import remove_temporary_files, settings_of_run
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import counted

ROUND = 0
KEEP_EVERY = 100  # masks; their origins are written together


def judge(
    study: Study,
    folders: Sequence[Path],
    *,
    good: Sequence[str] = (),
    device: str = "auto",
    overwrite: bool = False,
) -> Iterator[Event]:
    """Import masks of other programs, train the autoencoder, and rank them.

    Parameters
    ----------
    study : Study
        Without a trained segmenter; masks of earlier calls are kept, and new ones added.
    folders : sequence of Path
        One for each program. The masks of the first are ranked, or of the next one if it has none;
        the others serve for comparison.
    good : sequence of str
        Scans whose masks in the folders are declared good: they count as painted.
    device : str
        "auto", "cpu", "cuda" or "mps".
    overwrite : bool
        Replace masks that were imported before.

    Raises
    ------
    UserError
        If no mask is good, no mask belongs to a scan, or the study has a trained segmenter.
    """
    started = time.monotonic()
    _check_rounds(study)
    chosen = choose_device(device)
    scans = {name: study.scans.path(name) for name in study.scans.names}
    sources = [find_other_masks(folder, scans) for folder in folders]
    yield Started("", in_words(chosen), study.name)
    notes = (note for source in sources for note in source.notes)
    for text in (*remarks(device, chosen), *notes):
        yield Note(text, "warning")
    good_ones = _declare_good(study, sources, good)
    settings = settings_of_run(study, None, {}, None)
    remove_temporary_files(study)
    score = "mean" if len(sources) > 1 else "autoencoder"  # no agreement with a single program
    ranking = settings.ranking.model_copy(update={"score": score})
    job = Job(study, settings.model_copy(update={"ranking": ranking}), chosen)
    yield from _take_in(job, sources, overwrite, good_ones)
    yield from train_autoencoder(job, ROUND)
    others = ", ".join(str(folder) for folder in folders[1:])
    yield from rank_pool(job, ROUND, Agreement(others, _Others(sources)))
    yield job.tally.finished(time.monotonic() - started)


@dataclass(frozen=True)
class _Others:
    """Agreement of the programs about a scan: mean Dice of its mask with those of the others."""

    sources: Sequence[OtherMasks]

    def __call__(self, name: str, mask: npt.NDArray[np.bool_], scan: Scan) -> float:
        """Dice, 0 to 1; NaN where only one program has a mask."""
        asked = (attempt(source.of, name) for source in self.sources)
        paths = [path for path in asked if isinstance(path, Path)]
        loaded = (attempt(load_mask, path, like=scan) for path in paths[1:])  # [0] is ranked
        found = [dice(mask, other) for other in loaded if isinstance(other, np.ndarray)]
        return sum(found) / len(found) if found else math.nan


def _check_rounds(study: Study) -> None:
    if has_network(study):
        raise UserError(
            f"The study {study.name} has masks of its own network.",
            "Make a new study of the same scans to rank masks of other programs.",
        )


def _declare_good(
    study: Study, sources: Sequence[OtherMasks], good: Sequence[str]
) -> list[OtherMask]:
    """Store masks that are declared good as painted; a person's own stay. Return which."""
    taken = []
    for wanted in good:
        name = study.scans.entry(wanted).name
        if name in study.masks.names():
            continue  # a person's own stays
        mask = other_mask(name, sources)
        if mask is None:
            raise UserError(f"There is no mask of {name} to be called good.", "Check its name.")
        study.masks.import_file(name, mask.file)
        taken.append(mask)
    if not study.masks.names():
        raise UserError(
            f"The study {study.name} has no good mask as a basis for the ranking.",
            "Paint one, or name a scan whose mask is good: --good SCAN.",
        )
    return taken


def _take_in(
    job: Job, sources: Sequence[OtherMasks], overwrite: bool, good: Sequence[OtherMask]
) -> Iterator[Event]:
    """Copy the masks onto the grids of their scans, and remember where they came from."""
    study = job.study
    masked = set(study.masks.names())
    names = [name for name in study.scans.names if name not in masked]
    yield Started("judge", "", counted(len(names), "scan"))
    origins = _Origins(job.folder(ROUND).origins)
    started = time.monotonic()
    try:
        for n, name in enumerate(names, 1):
            taken = attempt(other_mask, name, sources)
            if isinstance(taken, Failure):
                job.tally.count("predict", name, taken)
                yield taken.note(name)
            elif taken is not None:
                copying = _copy(job, taken, overwrite, origins)
                yield from attempt_scan(job, "predict", name, copying)
            left = seconds_left(time.monotonic() - started, n, len(names))
            yield Progress("judge", n, len(names), {}, left)
    finally:
        origins.write()
    if not any(study.rounds.pseudo_label_path(ROUND, name).is_file() for name in names):
        raise UserError(
            f"None of the masks belongs to a scan of the study {study.name}.",
            "Call each like its scan, with _mask behind it: sub-01_T1w_mask.nii.gz.",
        )
    for one in good:
        origins.add(one, is_good=True)
    origins.write()


class _Origins:
    """The program and the file that each mask came from; a killed job loses a few."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, str | bool]] = read_json(path) if path.is_file() else {}
        self._new = 0

    def knows(self, name: str) -> bool:
        return name in self._known

    def add(self, taken: OtherMask, is_good: bool = False) -> None:
        good = {"good": True} if is_good else {}
        file = os.path.abspath(taken.file)
        self._known[taken.name] = {"program": taken.program, "file": file, **good}
        self._new += 1
        if self._new >= KEEP_EVERY:
            self.write()

    def write(self) -> None:
        if self._new:
            write_json_atomic(self._path, self._known)
            self._new = 0


def _copy(job: Job, taken: OtherMask, overwrite: bool, origins: _Origins) -> Iterator[Event]:
    """Copy a mask; one of an earlier call stays, with its origin."""
    path = job.study.rounds.pseudo_label_path(ROUND, taken.name)
    is_there = path.is_file() and not overwrite
    if not is_there:
        scan = open_scan(job.study.scans.path(taken.name))
        save_mask(path, load_mask(taken.file, like=scan), like=scan)
        yield wrote(job, path, "pseudo-label")
    if not (is_there and origins.knows(taken.name)):
        origins.add(taken)
