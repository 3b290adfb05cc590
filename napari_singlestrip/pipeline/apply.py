"""Applying a trained model: masks for new scans."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.geometry import unconform
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.imaging.scan_files import check_folder_name
from napari_singlestrip.engine.imaging.scan_search import made_for
from napari_singlestrip.engine.imaging.volume import (
    Scan,
    Volume,
    load_mask,
    open_scan,
    save_brain,
    save_map,
    save_mask,
)
from napari_singlestrip.engine.judging.ranking import score_mask
from napari_singlestrip.engine.learning.device import choose_device, in_words, remarks
from napari_singlestrip.engine.learning.model import Model
from napari_singlestrip.engine.learning.prediction import Prediction, to_mask
from napari_singlestrip.engine.learning.segmenter import predict
from napari_singlestrip.events import Event, Finished, Note, Progress, Started, Wrote, seconds_left
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.atomic import file_digest
from napari_singlestrip.files.temporary import remove_leftovers, temporary_folder
from napari_singlestrip.pipeline.axes_check import told_axes
from napari_singlestrip.pipeline.prefetch import overlapped
from napari_singlestrip.pipeline.trained_model import in_doubt, open_model, with_overrides
from napari_singlestrip.study import derivative
from napari_singlestrip.study.found_scans import find_scan_files
from napari_singlestrip.study.layout import Kind, Place
from napari_singlestrip.study.parts import ALL, Part
from napari_singlestrip.study.result_names import AppliedNames, reserve_names
from napari_singlestrip.study.volumes_table import (
    MASK_SUFFIX,
    TABLE,
    AppliedRow,
    add_row,
    read_table,
    tidy,
)
from napari_singlestrip.texts import counted, printable


def apply(
    model: str | Path,
    scans: Sequence[str | Path],
    out: str | Path,
    *,
    device: str = "auto",
    brain: bool = False,
    overrides: Mapping[str, Any] | None = None,
    round_: int | None = None,
    overwrite: bool = False,
    layout: Kind | None = None,
    probability: bool = False,
    part: Part = ALL,
) -> Iterator[Event]:
    """Predict brain masks for new scans.

    While one scan is predicted, the next one is read and the previous one written. A scan is
    reported, and added to the table, once its mask is written. An existing mask is kept, as it may
    have been corrected by hand; it belongs to the scan it was made for, even if that was moved: see
    `applied_names`. The table keeps the rows of other scans, and several jobs may write to the same
    folder.

    Parameters
    ----------
    model : str or Path
        A study folder (its newest trained round) or an exported model file.
    scans : sequence of str or Path
        Files or folders; never changed.
    out : str or Path
        Folder for masks, brain-only images and volumes.csv.
    device : str
        "auto", "cpu", "cuda" or "mps".
    brain : bool
        Also write images in which everything else is zero.
    overrides : mapping, optional
        Settings of the prediction, such as ``prediction.threshold``.
    round_ : int, optional
        Round of the study whose model is applied, instead of the newest.
    overwrite : bool
        Replace existing masks.
    layout : {"flat", "bids"}, optional
        Arrangement of `out`; by default that of its present content, else that of the scans.
    probability : bool
        Also write the brain probability.
    part : Part
        The share of the scans to process; other processes do the others, in the same folder.

    Raises
    ------
    UserError
        If there is no model or no scan, two scans cannot be told apart by name and folders, `out`
        has the name of a file, or its volumes.csv is another table.
    """
    started = time.monotonic()
    model, out = (Path(os.path.expanduser(path)) for path in (model, out))
    check_folder_name(out, f"each scan gets <scan>{MASK_SUFFIX} there")
    found = find_scan_files(scans)
    table = out / TABLE
    tidy(table)
    chosen = choose_device(device)
    loaded = with_overrides(open_model(model, chosen, round_), overrides or {})
    named = reserve_names(model, found, out, overwrite=overwrite, layout=layout)
    given = dict(part.of(list(named.names.items())))
    refused = dict(part.of(list(named.refused.items())))
    before = {row.scan: row for row in read_table(table)}
    job = _Job(loaded, named, out, brain, overwrite, before, probability)
    with temporary_folder(out):  # an unwritable folder is reported before hours of work
        remove_leftovers(out)
    derivative.begin(out, named.layout, loaded.card.name)
    names = {file: name for file, name in given.items() if not job.is_done(file)}
    yield Started("apply", in_words(chosen), counted(len(names), "scan"))
    for text in remarks(device, chosen):
        yield Note(text, "warning")
    for note in found.notes:
        yield Note(note)
    for file, why in refused.items():
        yield Note(why, "warning", file.name)
    if kept := sum(map(job.has_mask, given.values())):
        there = f"{kept} of {len(given)} masks are in {out.name} already"
        yield Note(f"{there} and stay as they are; --overwrite replaces them.")
    with closing(overlapped(list(names), job.read, job.find, job.write)) as rows:
        for n, (row, failure) in enumerate(rows, 1):
            yield from _told(row, failure, job.doubts.pop(row.scan, ()))
            left = seconds_left(time.monotonic() - started, n, len(names))
            yield Progress("apply", n, len(names), {}, left)
    tidy(table)
    yield Wrote(TABLE, "volumes")
    done = sum(bool(row.mask) for row in job.rows)
    failed = len(job.rows) - done + len(refused)
    yield Finished(
        time.monotonic() - started, {"masks": done, "failed": failed},
        len(given) + len(refused) - failed, failed,
    )


def _told(row: AppliedRow, failure: Failure | None, doubts: Sequence[str]) -> Iterator[Event]:
    """Events about one scan."""
    for doubt in doubts:
        yield Note(f"{row.scan}: {doubt}", "warning", row.scan)
    if failure is not None:
        yield failure.note(row.scan)
    elif row.flag:
        yield Note(f"{row.scan}: {row.flag}", "warning", row.scan)
    if row.mask:
        yield Wrote(row.mask, "mask")


@dataclass(frozen=True, eq=False)
class _Found:
    """A mask to be written, or the reason why there is none."""

    row: AppliedRow
    mask: NDArray[np.bool_] | None = None
    scan: Scan | None = None
    is_kept: bool = False  # an existing file is kept
    probability: NDArray[np.float32] | None = None
    failure: Failure | None = None


@dataclass(eq=False)
class _Job:
    """The steps for each scan: `read` and `write` run in threads of their own."""

    model: Model
    named: AppliedNames
    out: Path
    brain: bool
    overwrite: bool
    before: Mapping[str, AppliedRow]
    probability: bool = False
    rows: list[AppliedRow] = field(default_factory=list)
    # Notes on scans: how they were read, and how they were predicted.
    doubts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)  # of existing masks

    def is_done(self, file: Path) -> bool:
        """Whether all requested files exist; a killed job may leave a mask without a row."""
        name = self.named.names[file]
        has_brain = not self.brain or self.has_brain(file)
        return (
            self.has_mask(name) and has_brain and bool(self.row_before(name).mask)
            and (not self.probability or (self.out / self.place(name).probability).is_file())
        )

    def place(self, name: str) -> Place:
        """Paths of the results of a scan."""
        return self.named.places[name]

    def has_brain(self, file: Path) -> bool:
        """Whether the skull-stripped scan exists and was made with the current mask."""
        name = self.named.names[file]
        brain = self.out / self.place(name).brain
        if not brain.is_file() or (made_for(brain) or "") not in ("", self.named.fingerprint(file)):
            return False
        return bool(cut := self.row_before(name).brain_mask_digest) and cut == self.digest(name)

    def has_mask(self, name: str) -> bool:
        """Whether there is a mask to keep."""
        return not self.overwrite and (self.out / self.place(name).mask).is_file()

    def row_before(self, name: str) -> AppliedRow:
        """The table's row of a mask; empty if there is none or the mask was changed since.

        Also empty if the row was written by an older version, without the digest of the mask.
        """
        row = self.before.get(name)
        if row is None or not row.mask_digest or row.mask_digest != self.digest(name):
            return AppliedRow(name)
        return row

    def digest(self, name: str) -> str:
        """Digest of the existing mask, cached at the first call; empty without one.

        File times are not enough: a folder of results may be copied.
        """
        if name not in self.digests:
            self.digests[name] = ""
            with suppress(OSError):
                self.digests[name] = file_digest(self.out / self.place(name).mask)
        return self.digests[name]

    def read(self, file: Path) -> tuple[Scan, Volume]:
        scan = open_scan(file)
        return scan, scan.load()

    def find(self, file: Path, arriving: Future[tuple[Scan, Volume]]) -> _Found:
        row = AppliedRow(
            self.named.names[file], file=str(file), model=self.model.card.name,
            fingerprint=self.named.fingerprint(file),
        )
        found = attempt(self._find, row, arriving)
        if isinstance(found, Failure):
            return _Found(replace(row, flag=str(found)), failure=found)
        return found

    def _find(self, row: AppliedRow, arriving: Future[tuple[Scan, Volume]]) -> _Found:
        scan, volume = arriving.result()
        self.doubts[row.scan] = (*scan.doubts, *volume.notes)
        if self.has_mask(row.scan):
            known = replace(
                self.row_before(row.scan), file=row.file, fingerprint=row.fingerprint,
                mask_digest=self.digest(row.scan),
            )
            found = _as_it_is(self.out, self.place(row.scan).mask, scan, known)
            if not self.probability:
                return found
        try:
            prediction = predict(self.model.segmenter, volume)
            if not self.has_mask(row.scan):
                segmenter = self.model.segmenter
                mask = to_mask(prediction, volume, segmenter.settings, segmenter.autoencoder)
                found = _found(self.model, mask, scan, row, self.place(row.scan).mask)
                found = replace(found, row=told_axes(self.model, volume, found.row))
            if not self.probability:
                return found
            return replace(found, probability=_probability(prediction, volume.grid))
        finally:
            self.doubts[row.scan] += tuple(self.model.segmenter.told())

    def write(self, found: _Found) -> tuple[AppliedRow, Failure | None]:
        row, failure = found.row, found.failure
        if found.mask is not None and found.scan is not None:
            written = attempt(self._write, found, found.mask, found.scan)
            if isinstance(written, Failure):
                failure = written
                row = AppliedRow(row.scan, flag=str(failure), file=row.file, model=row.model)
            else:
                row = written
        # Written at once, so that a stopped or killed job keeps its table.
        told = attempt(add_row, self.out / TABLE, row)
        if told is not None:  # something cannot be written, such as a name that is not text
            failure = failure or told
            row = AppliedRow(printable(row.scan), flag=str(told), file=printable(row.file))
            add_row(self.out / TABLE, row)
        self.rows.append(row)
        return row, failure

    def _write(self, found: _Found, mask: NDArray[np.bool_], scan: Scan) -> AppliedRow:
        row, out, place = found.row, self.out, self.place(found.row.scan)
        if found.probability is not None:
            said = derivative.of_probability(place)
            derivative.write_sidecar(out, place.probability, place, said)
            save_map(out / place.probability, found.probability, scan)
        if not found.is_kept:
            derivative.write_sidecar(out, place.mask, place, derivative.of_mask(place))
            save_mask(out / place.mask, mask, scan, row.fingerprint)
            row = replace(row, mask_digest=file_digest(out / place.mask))
        if self.brain:
            derivative.write_sidecar(out, place.brain, place, derivative.of_brain(place))
            save_brain(out / place.brain, mask, scan, row.fingerprint)
            row = replace(row, brain_mask_digest=row.mask_digest)
        return row


def _as_it_is(out: Path, file: str, scan: Scan, row: AppliedRow) -> _Found:
    """The existing mask, perhaps corrected by hand, for the table or the brain image."""
    mask = load_mask(out / file, like=scan)
    volume_ml = float(np.count_nonzero(mask) * scan.grid.voxel_ml)
    return _Found(replace(row, volume_ml=volume_ml, mask=file), mask, scan, is_kept=True)


def _probability(prediction: Prediction, grid: Grid) -> NDArray[np.float32]:
    on_scan = unconform(prediction.probability, prediction.grid, grid, fill=0.0)
    return np.asarray(np.clip(on_scan, 0, 1), dtype=np.float32)


def _found(
    model: Model, mask: NDArray[np.bool_], scan: Scan, row: AppliedRow, file: str
) -> _Found:
    if not mask.any():
        nothing = Failure("mistake", "no brain was found")
        return _Found(replace(row, volume_ml=0.0, flag=nothing.what), failure=nothing)
    score = score_mask(model.autoencoder, mask, scan.grid, model.segmenter.settings.ranking)
    done = replace(
        row, volume_ml=score.volume_ml, autoencoder_error=score.error, mask=file,
        flag=in_doubt(model.card, score.volume_ml, score.error),
    )
    return _Found(done, mask, scan)
