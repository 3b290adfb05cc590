"""A trained model at work: masks for new scans, and a model file to give away."""

from __future__ import annotations

import math
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
from napari_singlestrip.ahead import overlapped
from napari_singlestrip.applied_table import (
    BRAIN_SUFFIX,
    MASK_SUFFIX,
    TABLE,
    AppliedRow,
    add_row,
    read_table,
)
from napari_singlestrip.autoencoders import autoencoder_path
from napari_singlestrip.engine.autoencoder import load_autoencoder
from napari_singlestrip.engine.config import override
from napari_singlestrip.engine.device import choose_device, in_words, remarks
from napari_singlestrip.engine.model import Model, load_model, save_model
from napari_singlestrip.engine.model_card import CARD_SUFFIX, ModelCard, card_in_words
from napari_singlestrip.engine.ranking import autoencoder_error, best_views
from napari_singlestrip.engine.segmenter import load_segmenter, predict, to_mask
from napari_singlestrip.engine.training import is_done
from napari_singlestrip.engine.volume import (
    Scan,
    Volume,
    find_scans,
    load_mask,
    open_scan,
    save_brain,
    save_mask,
)
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress, Started, Wrote
from napari_singlestrip.files import write_text_atomic
from napari_singlestrip.rounds import RoundFolder
from napari_singlestrip.study import Study
from napari_singlestrip.study_document import DOCUMENT_NAME, names_to_apply
from napari_singlestrip.study_tables import now
from napari_singlestrip.trained_rounds import describe_round, trained_rounds

# Beyond what was seen by this much, a result is flagged: volumes differ by a third between healthy
# adults (Luders et al. 2002), errors grow a little on every new scan.
VOLUME_ROOM = 1.25
ERROR_ROOM = 1.5


def apply(
    model: Path,
    scans: Sequence[Path],
    out: Path,
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
    been corrected by hand. The table keeps the rows of other scans, and several jobs may write to
    one folder.

    Parameters
    ----------
    model : Path
        A study folder (its newest trained round) or an exported model file.
    scans : sequence of Path
        Files or folders; never changed.
    out : Path
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
        If there is no model, no scan, two scans cannot be told apart by name and folders, or
        there is another volumes.csv.
    """
    started = time.monotonic()
    given = names_to_apply(model, _some(find_scans(scans)))
    table = out / TABLE
    before = {row.scan: row for row in read_table(table)}
    written = table.stat().st_mtime if table.is_file() else math.inf
    chosen = choose_device(device)
    loaded = _with_overrides(open_model(model, chosen, round_), overrides or {})
    job = _Job(loaded, given, out, brain, again, before, written)
    names = {file: name for file, name in given.items() if not job.is_done(name)}
    yield Started("apply", in_words(chosen), f"{len(names)} scans")
    for text in remarks(device, chosen):
        yield Note(text, "warning")
    if kept := sum(map(job.has_mask, given.values())):
        there = f"{kept} of {len(given)} masks are in {out.name} already"
        yield Note(f"{there} and stay as they are; --again replaces them.")
    with closing(overlapped(list(names), job.read, job.find, job.write)) as rows:
        for n, row in enumerate(rows, 1):
            while job.remarks:
                yield job.remarks.pop(0)
            if row.flag:
                yield Note(f"{row.scan}: {row.flag}", "warning", row.scan)
            if row.mask:
                yield Wrote(row.mask, "mask")
            left = (time.monotonic() - started) / n * (len(names) - n)
            yield Progress("apply", n, len(names), {}, left)
    yield Wrote(TABLE, "volumes")
    done = sum(bool(row.mask) for row in job.rows)
    yield Finished(time.monotonic() - started, {"masks": done, "failed": len(job.rows) - done})


def open_model(path: Path, device: torch.device, round_: int | None = None) -> Model:
    """Open a study's newest trained round (or the one named), or an exported model.

    Raises
    ------
    UserError
        If there is none.
    """
    if not path.is_dir() and path.name != DOCUMENT_NAME:
        if round_ is not None:
            raise UserError(f"{path} holds one model only.", "Leave --round out.")
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
        If nothing is trained, or the file cannot be written.
    """
    round_ = _trained(study, round_)
    card = model_card(study, round_)
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
        study=study.name, round=round_, created=now(), version=__version__,
        training_scans=trained.scans, validation_dice=trained.validation_dice,
        volume_ml=(min(volumes) / VOLUME_ROOM, max(volumes) * VOLUME_ROOM),
        max_error=max(errors) * ERROR_ROOM if errors else math.inf,
        effort=trained.effort,
    )


def _volumes_by_hand(study: Study) -> list[float]:
    volumes = []
    for name in study.masked_scans():
        scan = open_scan(study.scan_path(name))
        mask = load_mask(study.mask_path(name), like=scan)
        volumes.append(float(mask.sum() * scan.grid.voxel_ml))
    return volumes


@dataclass(frozen=True, eq=False)
class _Found:
    """A mask that is to be written; without one, the row says why."""

    row: AppliedRow
    mask: NDArray[np.bool_] | None = None
    scan: Scan | None = None
    is_kept: bool = False  # it is in its file already


@dataclass(eq=False)
class _Job:
    """The steps of a scan: `read` and `write` are called in threads of their own."""

    model: Model
    names: Mapping[Path, str]
    out: Path
    brain: bool
    again: bool
    before: Mapping[str, AppliedRow]
    table_time: float = math.inf  # when `before` was written: a row comes after its mask
    rows: list[AppliedRow] = field(default_factory=list)
    remarks: list[Note] = field(default_factory=list)

    def is_done(self, name: str) -> bool:
        """Whether all that is asked for is there; a killed job may leave a mask without a row."""
        has_brain = not self.brain or (self.out / (name + BRAIN_SUFFIX)).is_file()
        return self.has_mask(name) and has_brain and bool(self.row_before(name).mask)

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
        row = AppliedRow(self.names[file], file=str(file), model=self.model.card.name)
        try:
            scan, volume = arriving.result()
            if self.has_mask(row.scan):
                known = replace(self.row_before(row.scan), file=row.file)
                return _as_it_is(self.out / (row.scan + MASK_SUFFIX), scan, known)
            found = _find(self.model, scan, volume, row)
            said = self.model.segmenter.told()
            self.remarks += [Note(f"{row.scan}: {text}", "warning", row.scan) for text in said]
            return found
        except UserError as error:
            return _Found(replace(row, flag=str(error)))

    def write(self, found: _Found) -> AppliedRow:
        row = found.row
        if found.mask is not None and found.scan is not None:
            try:
                if not found.is_kept:
                    save_mask(self.out / row.mask, found.mask, like=found.scan)
                if self.brain:
                    save_brain(self.out / (row.scan + BRAIN_SUFFIX), found.mask, found.scan)
            except UserError as error:
                row = AppliedRow(row.scan, flag=str(error), file=row.file, model=row.model)
        self.rows.append(row)
        add_row(self.out / TABLE, row)  # a stopped or killed job keeps its table
        return row


def _is_newer(mask: Path, time_: float) -> bool:
    return mask.is_file() and mask.stat().st_mtime > time_


def _as_it_is(path: Path, scan: Scan, row: AppliedRow) -> _Found:
    """The mask that is there, perhaps corrected by hand, for the table or the brain's image."""
    mask = load_mask(path, like=scan)
    volume_ml = float(np.count_nonzero(mask) * scan.grid.voxel_ml)
    return _Found(replace(row, volume_ml=volume_ml, mask=path.name), mask, scan, is_kept=True)


def _find(model: Model, scan: Scan, volume: Volume, row: AppliedRow) -> _Found:
    mask = to_mask(predict(model.segmenter, volume), scan.grid, model.segmenter.settings)
    if not mask.any():
        return _Found(replace(row, volume_ml=0.0, flag="no brain was found"))
    error = math.nan
    if model.autoencoder is not None:
        config = model.segmenter.settings.ranking
        views = best_views(model.autoencoder, mask, scan.grid, config)
        error = autoencoder_error(views, config.error)
    volume_ml = float(np.count_nonzero(mask) * scan.grid.voxel_ml)
    flag, name = _flag(model.card, volume_ml, error), row.scan + MASK_SUFFIX
    done = replace(row, volume_ml=volume_ml, autoencoder_error=error, flag=flag, mask=name)
    return _Found(done, mask, scan)


def _flag(card: ModelCard, volume_ml: float, error: float) -> str:
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


def _some(files: Sequence[Path]) -> Sequence[Path]:
    if not files:
        raise UserError("There are no scans.", "Name scan files, or a folder that holds some.")
    return files
