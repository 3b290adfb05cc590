"""A trained model at work: masks for new scans, and a model file to give away."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_singlestrip import __version__
from napari_singlestrip.atomic_files import remove_leftovers, temporary_folder, write_text_atomic
from napari_singlestrip.engine.config import override
from napari_singlestrip.engine.imaging.scan_files import check_file_name, check_folder_name
from napari_singlestrip.engine.imaging.scan_search import made_for
from napari_singlestrip.engine.imaging.volume import (
    Scan,
    Volume,
    load_mask,
    open_scan,
    save_brain,
    save_mask,
)
from napari_singlestrip.engine.judging.ranking import autoencoder_error, best_views
from napari_singlestrip.engine.learning.autoencoder import load_autoencoder
from napari_singlestrip.engine.learning.device import choose_device, in_words, remarks
from napari_singlestrip.engine.learning.model import Model, load_model, save_model
from napari_singlestrip.engine.learning.model_card import CARD_SUFFIX, ModelCard, card_in_words
from napari_singlestrip.engine.learning.segmenter import load_segmenter, strip_volume
from napari_singlestrip.engine.learning.training import is_done
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress, Started, Wrote
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path
from napari_singlestrip.pipeline.prefetch import overlapped
from napari_singlestrip.study.document import DOCUMENT_NAME, find_scan_files
from napari_singlestrip.study.result_names import AppliedNames, reserve_names
from napari_singlestrip.study.round_facts import describe_round, trained_rounds
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import now
from napari_singlestrip.study.volumes_table import (
    BRAIN_SUFFIX,
    MASK_SUFFIX,
    TABLE,
    AppliedRow,
    add_row,
    read_table,
    tidy,
)
from napari_singlestrip.texts import counted, printable

# Beyond what was seen by this much, a result is flagged: volumes differ by a third between healthy
# adults (Luders et al. 2002), errors grow a little on every new scan.
VOLUME_ROOM = 1.25
ERROR_ROOM = 1.5


def apply(
    model: str | Path,
    scans: Sequence[str | Path],
    out: str | Path,
    *,
    device: str = "auto",
    brain: bool = False,
    overrides: Mapping[str, Any] | None = None,
    round_: int | None = None,
    again: bool = False,
) -> Iterator[Event]:
    """Find the brain in new scans.

    While one is predicted, the next is read and the last one written. A scan is told of, and in
    the table, once its mask is written. A mask that is there already stays as it is: it may have
    been corrected by hand. It is that of the scan which it was made for, wherever that lies now:
    see `applied_names`. The table keeps the rows of other scans, and several jobs may write to one
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
    again : bool
        Replace masks that are there already.

    Raises
    ------
    UserError
        If there is no model, no scan, two scans cannot be told apart by name and folders, `out`
        has the name of a file, or there is another volumes.csv.
    """
    started = time.monotonic()
    model, out = (Path(os.path.expanduser(path)) for path in (model, out))
    check_folder_name(out, f"each scan gets <scan>{MASK_SUFFIX} there")
    found = find_scan_files(scans)
    table = out / TABLE
    written = table.stat().st_mtime if table.is_file() else math.inf
    tidy(table)
    chosen = choose_device(device)
    loaded = _with_overrides(open_model(model, chosen, round_), overrides or {})
    named = reserve_names(model, found, out, again=again)
    given = named.names
    before = {row.scan: row for row in read_table(table)}
    job = _Job(loaded, named, out, brain, again, before, written)
    with temporary_folder(out):  # a folder that cannot be written is told before hours of work
        remove_leftovers(out)
    names = {file: name for file, name in given.items() if not job.is_done(file)}
    yield Started("apply", in_words(chosen), counted(len(names), "scan"))
    for text in remarks(device, chosen):
        yield Note(text, "warning")
    for note in found.notes:
        yield Note(note)
    for file, why in named.refused.items():
        yield Note(why, "warning", file.name)
    if kept := sum(map(job.has_mask, given.values())):
        there = f"{kept} of {len(given)} masks are in {out.name} already"
        yield Note(f"{there} and stay as they are; --again replaces them.")
    with closing(overlapped(list(names), job.read, job.find, job.write)) as rows:
        for n, (row, failure) in enumerate(rows, 1):
            yield from _told(row, failure, job.doubts.pop(row.scan, ()))
            left = (time.monotonic() - started) / n * (len(names) - n)
            yield Progress("apply", n, len(names), {}, left)
    tidy(table)
    yield Wrote(TABLE, "volumes")
    done = sum(bool(row.mask) for row in job.rows)
    failed = len(job.rows) - done + len(named.refused)
    yield Finished(
        time.monotonic() - started, {"masks": done, "failed": failed},
        len(given) + len(named.refused) - failed, failed,
    )


def _told(row: AppliedRow, failure: Failure | None, doubts: Sequence[str]) -> Iterator[Event]:
    """What there is to say of one scan."""
    for doubt in doubts:
        yield Note(f"{row.scan}: {doubt}", "warning", row.scan)
    if failure is not None:
        yield failure.note(row.scan)
    elif row.flag:
        yield Note(f"{row.scan}: {row.flag}", "warning", row.scan)
    if row.mask:
        yield Wrote(row.mask, "mask")


def open_model(path: Path, device: torch.device, round_: int | None = None) -> Model:
    """Open a study's newest trained round (or the one named), or an exported model.

    Raises
    ------
    UserError
        If there is none.
    """
    if not path.is_dir() and path.name != DOCUMENT_NAME:
        if round_ is not None:
            raise UserError(f"{path} holds one model only.", "Leave the round (--round) out.")
        return load_model(path, device)
    study = Study.open(path)
    round_ = _trained(study, round_)
    drawn = autoencoder_path(study, round_)
    return Model(
        load_segmenter(RoundFolder(study.round_dir(round_)).segmenter, device),
        load_autoencoder(drawn, device) if drawn is not None else None,
        model_card(study, round_),
    )


def newest_trained_round(study: Study) -> int:
    """Number of the newest round whose segmenter is done.

    Raises
    ------
    UserError
        If none is.
    """
    for round_ in reversed(study.rounds()):
        if is_done(RoundFolder(study.round_dir(round_)).segmenter, "segmenter"):
            return round_
    raise UserError(
        f"The study {study.name} has no trained model yet.",
        f"Run `singlestrip run {study.folder}` first.",
    )


def _trained(study: Study, round_: int | None) -> int:
    """Return the round that was asked for, or the newest; raise unless it is trained."""
    if round_ is None:
        return newest_trained_round(study)
    if not is_done(RoundFolder(study.round_dir(round_)).segmenter, "segmenter"):
        raise UserError(
            f"Round {round_} of the study {study.name} is not trained.",
            f"Trained rounds: {', '.join(str(r.round) for r in trained_rounds(study)) or 'none'}.",
        )
    return round_


def export_model(study: Study, path: Path, round_: int | None = None) -> Path:
    """Write a trained model of a study to one file, to be applied anywhere.

    Parameters
    ----------
    study : Study
    path : Path
        The file to make.
    round_ : int, optional
        Round whose model is written, instead of the newest.

    Returns
    -------
    Path
        The card, to be read by people, written beside the model.

    Raises
    ------
    UserError
        If nothing is trained, or the file cannot be written, or has the name of a scan.
    """
    check_file_name(path)
    round_ = _trained(study, round_)
    card = model_card(study, round_)
    remove_leftovers(path.parent)
    save_model(
        path,
        RoundFolder(study.round_dir(round_)).segmenter,
        autoencoder_path(study, round_),
        card,
    )
    beside = path.with_name(path.stem + CARD_SUFFIX)
    write_text_atomic(beside, card_in_words(card))
    return beside


def model_card(study: Study, round_: int) -> ModelCard:
    """Say where a model comes from, and which volumes and errors were seen."""
    trained = describe_round(study, round_)
    flagged = {row.scan for row in study.scores(round_) if row.flag}
    usual = [row for row in study.scores(round_) if row.scan not in flagged]
    volumes = [row.volume_ml for row in usual] + _volumes_by_hand(study)
    errors = [row.autoencoder_error for row in usual if math.isfinite(row.autoencoder_error)]
    return ModelCard(
        study=printable(study.name), round=round_, created=now(), version=__version__,
        training_scans=tuple(map(printable, trained.scans)),
        validation_dice=trained.validation_dice, volume_ml=_with_room(volumes),
        max_error=max(errors) * ERROR_ROOM if errors else math.inf,
        effort=trained.effort,
    )


def _with_room(volumes: Sequence[float]) -> tuple[float, float]:
    known = [volume for volume in volumes if math.isfinite(volume)]
    return (min(known) / VOLUME_ROOM, max(known) * VOLUME_ROOM) if known else (0.0, math.inf)


def _volumes_by_hand(study: Study) -> list[float]:
    """Volumes of the masks in masks/, each by its own file: a study may be without its scans."""
    volumes = []
    for name in study.masked_scans():
        volume = attempt(_volume_by_hand, study, name)
        if isinstance(volume, float):  # one that cannot be read leaves the range to the others
            volumes.append(volume)
    return volumes


def _volume_by_hand(study: Study, name: str) -> float:
    file = open_scan(study.mask_path(name))
    mask = load_mask(file.path, like=file)
    return float(mask.sum() * file.grid.voxel_ml)


@dataclass(frozen=True, eq=False)
class _Found:
    """A mask that is to be written; without one, why there is none."""

    row: AppliedRow
    mask: NDArray[np.bool_] | None = None
    scan: Scan | None = None
    is_kept: bool = False  # it is in its file already
    failure: Failure | None = None


@dataclass(eq=False)
class _Job:
    """The steps of a scan: `read` and `write` are called in threads of their own."""

    model: Model
    named: AppliedNames
    out: Path
    brain: bool
    again: bool
    before: Mapping[str, AppliedRow]
    table_time: float = math.inf  # when `before` was written: a row comes after its mask
    rows: list[AppliedRow] = field(default_factory=list)
    # Of scans: how they were read, and what their prediction took.
    doubts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def is_done(self, file: Path) -> bool:
        """Whether all that is asked for is there; a killed job may leave a mask without a row."""
        name = self.named.names[file]
        has_brain = not self.brain or self.has_brain(file)
        return self.has_mask(name) and has_brain and bool(self.row_before(name).mask)

    def has_brain(self, file: Path) -> bool:
        """Whether the scan without skull is there, as its mask is now."""
        name = self.named.names[file]
        brain, mask = (self.out / (name + suffix) for suffix in (BRAIN_SUFFIX, MASK_SUFFIX))
        if not brain.is_file() or (made_for(brain) or "") not in ("", self.named.fingerprint(file)):
            return False
        return not _is_newer(mask, brain.stat().st_mtime)

    def has_mask(self, name: str) -> bool:
        """Whether a mask is there that stays as it is."""
        return not self.again and (self.out / (name + MASK_SUFFIX)).is_file()

    def row_before(self, name: str) -> AppliedRow:
        """What the table says of a mask; nothing, if it has no row of one or was changed since."""
        row = self.before.get(name)
        if row is None or not row.mask or _is_newer(self.out / row.mask, self.table_time):
            return AppliedRow(name)
        return row

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
                self.row_before(row.scan), file=row.file, fingerprint=row.fingerprint
            )
            return _as_it_is(self.out / (row.scan + MASK_SUFFIX), scan, known)
        try:
            return _find(self.model, scan, volume, row)
        finally:
            self.doubts[row.scan] += tuple(self.model.segmenter.told())

    def write(self, found: _Found) -> tuple[AppliedRow, Failure | None]:
        row, failure = found.row, found.failure
        if found.mask is not None and found.scan is not None:
            failure = attempt(self._write, row, found.mask, found.scan, found.is_kept)
            if failure is not None:
                row = AppliedRow(row.scan, flag=str(failure), file=row.file, model=row.model)
        # A stopped or killed job keeps its table.
        told = attempt(add_row, self.out / TABLE, row)
        if told is not None:  # something in it cannot be written, such as a name that is no text
            failure = failure or told
            row = AppliedRow(printable(row.scan), flag=str(told), file=printable(row.file))
            add_row(self.out / TABLE, row)
        self.rows.append(row)
        return row, failure

    def _write(self, row: AppliedRow, mask: NDArray[np.bool_], scan: Scan, is_kept: bool) -> None:
        if not is_kept:
            save_mask(self.out / row.mask, mask, scan, row.fingerprint)
        if self.brain:
            save_brain(self.out / (row.scan + BRAIN_SUFFIX), mask, scan, row.fingerprint)


def _is_newer(mask: Path, time_: float) -> bool:
    return mask.is_file() and mask.stat().st_mtime > time_


def _as_it_is(path: Path, scan: Scan, row: AppliedRow) -> _Found:
    """The mask that is there, perhaps corrected by hand, for the table or the brain's image."""
    mask = load_mask(path, like=scan)
    volume_ml = float(np.count_nonzero(mask) * scan.grid.voxel_ml)
    return _Found(replace(row, volume_ml=volume_ml, mask=path.name), mask, scan, is_kept=True)


def _find(model: Model, scan: Scan, volume: Volume, row: AppliedRow) -> _Found:
    mask = strip_volume(model.segmenter, volume)
    if not mask.any():
        nothing = Failure("mistake", "no brain was found")
        return _Found(replace(row, volume_ml=0.0, flag=nothing.what), failure=nothing)
    error = math.nan
    if model.autoencoder is not None:
        config = model.segmenter.settings.ranking
        views = best_views(model.autoencoder, mask, scan.grid, config)
        error = autoencoder_error(views, config.error)
    volume_ml = float(np.count_nonzero(mask) * scan.grid.voxel_ml)
    flag, name = in_doubt(model.card, volume_ml, error), row.scan + MASK_SUFFIX
    done = replace(row, volume_ml=volume_ml, autoencoder_error=error, flag=flag, mask=name)
    return _Found(done, mask, scan)


def in_doubt(card: ModelCard, volume_ml: float, error: float = math.nan) -> str:
    """Say how a mask is beyond what the model has seen; nothing if it is not.

    Parameters
    ----------
    card : ModelCard
    volume_ml : float
    error : float
        Of the autoencoder; NaN if not measured.
    """
    low, high = card.volume_ml
    words = []
    if not low <= volume_ml <= high:
        words.append(f"volume {volume_ml:.3g} mL is outside {low:.3g} to {high:.3g} mL")
    if error > card.max_error:
        words.append(f"autoencoder error {error:.3f} is above {card.max_error:.3f}")
    return "; ".join(words)


def _with_overrides(model: Model, overrides: Mapping[str, Any]) -> Model:
    other = [name for name in overrides if not name.startswith("prediction.")]
    if other:
        raise UserError(
            f"Setting {other[0]} cannot be changed for a trained model.",
            "Only settings of the prediction can: prediction.threshold, prediction.flip, ...",
        )
    settings = override(model.segmenter.settings, overrides)
    return replace(model, segmenter=replace(model.segmenter, settings=settings))
