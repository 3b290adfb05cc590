"""Whatever is wrong with one scan is told of that scan, with its kind, and the rest continues."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import make_study

from napari_singlestrip.engine.heads.synthesis import render
from napari_singlestrip.engine.imaging.geometry import head_box
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_brain, save_mask
from napari_singlestrip.engine.judging import ranking
from napari_singlestrip.engine.learning import segmenter
from napari_singlestrip.engine.learning.reconstruction_error import best_views
from napari_singlestrip.engine.learning.segmenter import predict
from napari_singlestrip.engine.masks import evaluation
from napari_singlestrip.engine.masks.metrics import compare
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Failed, Finished, Note, Progress, Started
from napari_singlestrip.failures import attempt, describe
from napari_singlestrip.pipeline import apply as applying
from napari_singlestrip.pipeline import export_masks as masks_export
from napari_singlestrip.pipeline import learn as learn_stage
from napari_singlestrip.pipeline import live_prediction as live_prediction
from napari_singlestrip.pipeline import predict as predict_stage
from napari_singlestrip.pipeline import stages
from napari_singlestrip.pipeline import training_data as training_data_stage
from napari_singlestrip.pipeline.score_keeping import FILE
from napari_singlestrip.pipeline.worker import drive
from napari_singlestrip.report import pictures, write_report
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import TABLE, add_row, read_table

if TYPE_CHECKING:
    from conftest import Heads

SOON = {"training__steps": 3, "autoencoder__steps": 3, "finetuning__rounds": 0}
ERRORS: list[tuple[Exception, str]] = [
    (UserError("It is damaged.", "Copy it again."), "mistake"),
    (MemoryError(), "limit"),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "limit"),
    (RecursionError("maximum recursion depth exceeded"), "limit"),
    (OSError(errno.EFBIG, os.strerror(errno.EFBIG), "x.nii"), "limit"),
    (ValueError("Expected more than 1 spatial element when training"), "bug"),
]


def run(study: Study, **options: Any) -> list[Event]:
    return list(stages.run(study, device="cpu", **options))


def failing(
    work: Callable[..., Any], at: int, error: Exception, calls: list[int] | None = None
) -> Callable[..., Any]:
    """Return `work`, but its call number `at` raises; calls are counted from 1."""
    seen = [] if calls is None else calls

    def wrapped(*args: Any, **options: Any) -> Any:
        seen.append(len(seen) + 1)
        if len(seen) == at:
            raise error
        return work(*args, **options)

    return wrapped


def failures(events: list[Event]) -> list[tuple[str, str]]:
    return [(e.scan, e.kind) for e in events if isinstance(e, Note) and e.kind]


def end_of(events: list[Event]) -> Finished:
    end = events[-1]
    assert isinstance(end, Finished)
    return end


# --- kinds


@pytest.mark.parametrize(("error", "kind"), ERRORS)
def test_kinds(error: Exception, kind: str) -> None:
    def work() -> None:
        raise error

    found = attempt(work)
    assert found is not None
    assert found.kind == kind
    assert found.what and bool(found.traceback) == (kind == "bug")


def test_limits_that_were_put_into_words_stay_limits() -> None:
    for cause, kind in (
        (MemoryError(), "limit"), (OSError(errno.EFBIG, "large"), "limit"), (KeyError(), "mistake"),
    ):  # fmt: skip
        error = UserError("a.nii cannot be read.")
        error.__cause__ = cause
        assert describe(error).kind == kind
    assert describe(UserError("out of memory.nii.gz is damaged.")).kind == "mistake"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_concerns_all(number: int) -> None:
    def work() -> None:
        raise UserError("Cannot write a.nii.gz.") from OSError(number, os.strerror(number))

    with pytest.raises(UserError):
        attempt(work)


# --- run


@pytest.mark.parametrize(("error", "kind"), ERRORS)
def test_prediction_goes_on(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    monkeypatch.setattr(segmenter, "predict", failing(predict, 2, error))
    events = run(trained_copy, stages=["predict"])
    bad = trained_copy.scans.names[2]
    assert failures(events) == [(bad, kind)]
    assert [e.step for e in events if isinstance(e, Progress)] == [1, 2, 3]
    (note,) = (e for e in events if isinstance(e, Note) and e.kind)
    assert bad in note.text and bool(note.traceback) == (kind == "bug")
    assert (end_of(events).n_done, end_of(events).n_failed) == (2, 1)


@pytest.mark.parametrize(("error", "kind"), ERRORS[1::4])
def test_ranking_goes_on(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    monkeypatch.setattr(ranking, "best_views", failing(best_views, 1, error))
    events = run(trained_copy, stages=["rank"])
    bad, *others = trained_copy.scans.names[1:]
    assert failures(events) == [(bad, kind)]
    assert sorted(row.scan for row in trained_copy.rounds.scores(1)) == others
    assert (end_of(events).n_done, end_of(events).n_failed) == (2, 1)


def test_no_brain_counts_as_failed(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenter, "to_mask", lambda _, grid, __: np.zeros(grid.shape, bool))
    end = end_of(run(trained_copy, stages=["predict"]))
    assert (end.n_done, end.n_failed) == (0, 3)


def test_full_disk_stops_the_run_with_one_sentence(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = UserError("Cannot write x: the disk is full.", "Free some space.")
    full.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(predict_stage, "save_mask", failing(save_mask, 1, full))
    seen: list[Event] = []
    assert drive(stages.run(trained_copy, device="cpu", stages=["predict"]), seen.append) == 2
    assert seen[-1] == Failed("Cannot write x: the disk is full.", "Free some space.")
    assert not failures(seen)


def test_disk_that_fails_for_one_mask_is_told(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = UserError("Cannot write x: the disk reports an error.")
    broken.__cause__ = OSError(errno.EIO, os.strerror(errno.EIO))
    monkeypatch.setattr(predict_stage, "save_mask", failing(save_mask, 1, broken))
    assert drive(stages.run(trained_copy, device="cpu", stages=["predict"]), lambda _: None) == 3


@pytest.mark.parametrize("bad", [0, 1])
def test_training_leaves_out_a_painted_scan_that_cannot_be_read(
    tmp_path: Path, heads: Heads, bad: int
) -> None:
    study = make_study(tmp_path / "study", heads, **SOON)
    study.masks.import_file(heads.names[1], heads.masks[1])
    study.masks.path(heads.names[bad]).write_bytes(b"damaged")
    events = run(study, stages=["train"])
    assert failures(events) == [(heads.names[bad], "mistake")]
    used = json.loads(RoundFolder(study.rounds.folder(0)).training_set.read_text())
    assert [row["scan"] for row in used] == [heads.names[1 - bad]]
    assert (end_of(events).n_done, end_of(events).n_failed) == (1, 1)


def test_training_without_any_painted_scan_stops(tmp_path: Path, heads: Heads) -> None:
    study = make_study(tmp_path / "study", heads, **SOON)
    study.masks.import_file(heads.names[1], heads.masks[1])
    for name in heads.names[:2]:
        study.masks.path(name).write_bytes(b"damaged")
    with pytest.raises(UserError, match=heads.names[1]):
        run(study, stages=["train"])


@pytest.mark.parametrize(("error", "kind"), ERRORS[1::4])
def test_watching_and_previews_do_not_stop_training(
    tmp_path: Path, heads: Heads, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    study = make_study(tmp_path / "study", heads, **SOON)
    monkeypatch.setattr(live_prediction, "predict", failing(predict, 1, error))
    monkeypatch.setattr(learn_stage, "render", failing(render, 1, error))
    events = run(study, stages=["train"], watch=heads.names[1])
    assert failures(events) == [("", kind), (heads.names[1], kind)]
    assert end_of(events).n_failed == 1


# --- only what is missing


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each mask that is scored."""
    calls: list[int] = []
    monkeypatch.setattr(ranking, "best_views", failing(best_views, -1, ValueError(), calls))
    return calls


def table(study: Study, round_: int = 1) -> dict[str, tuple[float, int, bool]]:
    return {r.scan: (r.autoencoder_error, r.rank, r.selected) for r in study.rounds.scores(round_)}


def test_a_scan_that_failed_does_not_have_the_others_scored_again(
    trained_copy: Study, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = trained_copy.scans.names[2]
    before = table(trained_copy)
    trained_copy.rounds.pseudo_label_path(1, bad).write_bytes(b"damaged")
    for _ in range(2):
        events = run(trained_copy)
        assert failures(events) == [(bad, "mistake")]  # tried once, in one round
        assert measured == []
        assert set(table(trained_copy)) == set(before) - {bad}
        assert {rank for _, rank, _ in table(trained_copy).values()} == {1, 2}
        assert end_of(events).n_failed == 1
    monkeypatch.setattr(training_data_stage, "open_scan", open_scan)
    run(trained_copy, stages=["predict"])  # all masks again: as they were, but for the bad one
    run(trained_copy)
    assert table(trained_copy) == before


def test_a_scan_that_cannot_be_read_is_tried_once_a_run(
    trained_copy: Study, tmp_path: Path, measured: list[int]
) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(trained_copy.scans.path(trained_copy.scans.names[1]).read_bytes()[:3000])
    trained_copy.scans.add([bad])
    for _ in range(2):
        events = run(trained_copy)
        assert failures(events) == [("bad", "mistake")]
        assert measured == []
        assert (end_of(events).n_done, end_of(events).n_failed) == (3, 1)


def test_a_mask_that_changed_is_scored_anew(trained_copy: Study, measured: list[int]) -> None:
    name = trained_copy.scans.names[1]
    scan = open_scan(trained_copy.scans.path(name))
    mask = load_mask(trained_copy.rounds.pseudo_label_path(1, name), like=scan)
    half = mask.copy()
    half[: mask.shape[0] // 2] = False
    before = {row.scan: row for row in trained_copy.rounds.scores(1)}
    save_mask(trained_copy.rounds.pseudo_label_path(1, name), half, like=scan)
    run(trained_copy)
    after = {row.scan: row for row in trained_copy.rounds.scores(1)}
    assert len(measured) == 1
    assert after[name].volume_ml < before[name].volume_ml
    assert after[name].mask_digest != before[name].mask_digest
    for other in trained_copy.scans.names[2:]:
        assert after[other].mask_digest == before[other].mask_digest
    run(trained_copy)
    assert len(measured) == 1


def test_a_table_that_does_not_say_of_which_masks_is_measured_once_more(
    trained_copy: Study, measured: list[int]
) -> None:
    path = trained_copy.rounds.scores_path(1)
    with path.open() as file:
        rows = [row[:7] for row in csv.reader(file)]
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    run(trained_copy)
    assert len(measured) == len(rows) - 1
    assert all(row.mask_digest for row in trained_copy.rounds.scores(1))
    os.utime(trained_copy.rounds.pseudo_label_path(1, trained_copy.scans.names[1]), (2e9, 2e9))
    run(trained_copy)
    assert len(measured) == len(rows) - 1  # a copied file is no other one


def test_scores_measured_in_another_way_are_not_mixed(
    trained_copy: Study, measured: list[int]
) -> None:
    trained_copy.rounds.pseudo_label_path(1, trained_copy.scans.names[1]).unlink()
    other = {"ranking.error": "mse", "ranking.score": "autoencoder"}
    run(trained_copy, overrides=other)
    assert len({row.measured_with for row in trained_copy.rounds.scores(1)}) == 1


def ranked_so_far(study: Study, n: int) -> Iterator[Event]:
    """Rank until `n` masks are scored, and go no further: as a killed job leaves it."""
    events = stages.run(study, device="cpu", stages=["rank"])
    for event in events:
        if isinstance(event, Progress) and (event.stage, event.step) == ("rank", n):
            return events
    raise AssertionError("it came to its end")


def test_what_a_killed_ranking_scored_is_not_lost(
    trained_copy: Study, measured: list[int]
) -> None:
    before = table(trained_copy)
    trained_copy.rounds.scores_path(1).unlink()
    ranked_so_far(trained_copy, 2)
    path = trained_copy.rounds.folder(1) / FILE
    with path.open("a") as file:
        file.write('{"scan": "half a li')
    assert not trained_copy.rounds.scores_path(1).exists()  # not ranked yet
    del measured[:]
    events = run(trained_copy)
    assert len(measured) == 1
    assert [(e.step, e.n_steps) for e in events if isinstance(e, Progress)] == [(1, 1)]
    assert not path.exists()
    for name, row in before.items():
        assert table(trained_copy)[name] == pytest.approx(row, rel=1e-4)


def test_varied_selection_sees_scans_whose_scores_were_known(
    trained_copy: Study, measured: list[int]
) -> None:
    varied = {"ranking.select": "varied"}
    run(trained_copy, stages=["rank"], overrides=varied)
    whole = table(trained_copy)
    name = trained_copy.scans.names[1]
    os.utime(trained_copy.rounds.pseudo_label_path(1, name))
    rows = [row for row in trained_copy.rounds.scores(1) if row.scan != name]
    trained_copy.rounds.save_scores(1, rows)
    del measured[:]
    run(trained_copy, overrides=varied)
    assert len(measured) == 1
    for each, row in whole.items():
        assert table(trained_copy)[each] == pytest.approx(row, rel=1e-4)


# --- apply, masks, evaluate, report


@pytest.mark.parametrize(("error", "kind"), ERRORS)
@pytest.mark.parametrize("step", ["open_scan", "predict", "save_mask", "save_brain"])
def test_applying_goes_on(
    trained_study: Study, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    step: str, error: Exception, kind: str,
) -> None:
    """Whether it happens where a scan is read, predicted or written: in three threads."""
    works: dict[str, Any] = {"open_scan": open_scan, "predict": predict,
             "save_mask": save_mask, "save_brain": save_brain}  # fmt: skip
    monkeypatch.setattr(applying, step, failing(works[step], 1, error))
    scans = list(heads.scans[1:3])
    events = list(
        applying.apply(trained_study.folder, scans, tmp_path, device="cpu", brain=True)
    )
    assert failures(events) == [(heads.names[1], kind)]
    end = end_of(events)
    assert (end.n_done, end.n_failed, end.summary) == (1, 1, {"masks": 1, "failed": 1})
    bad, good = read_table(tmp_path / TABLE)
    assert (bad.scan, bad.mask, bool(bad.flag)) == (heads.names[1], "", True)
    assert good.mask
    again = list(applying.apply(trained_study.folder, scans[1:], tmp_path, device="cpu"))
    assert (end_of(again).n_done, end_of(again).n_failed) == (1, 0)  # there already


def test_applying_goes_on_when_a_row_cannot_be_written(
    trained_study: Study, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = UnicodeEncodeError("utf-8", "\udcfc", 0, 1, "surrogates not allowed")
    monkeypatch.setattr(applying, "add_row", failing(add_row, 1, error))
    events = list(
        applying.apply(trained_study.folder, list(heads.scans[1:3]), tmp_path, device="cpu")
    )
    assert failures(events) == [(heads.names[1], "bug")]
    assert (end_of(events).n_done, end_of(events).n_failed) == (1, 1)
    assert [row.scan for row in read_table(tmp_path / TABLE)] == list(heads.names[1:3])


def test_applying_stops_at_a_full_disk(
    trained_study: Study, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.nii.gz")
    monkeypatch.setattr(applying, "save_mask", failing(save_mask, 1, full))
    job = applying.apply(trained_study.folder, list(heads.scans[1:3]), tmp_path, device="cpu")
    seen: list[Event] = []
    assert drive(job, seen.append) == 2
    assert isinstance(seen[-1], Failed) and "disk is full" in seen[-1].what


@pytest.mark.parametrize(("error", "kind"), ERRORS[1::4])
def test_masks_go_on(
    trained_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception,
    kind: str,
) -> None:
    monkeypatch.setattr(masks_export, "load_mask", failing(load_mask, 2, error))
    events = list(masks_export.export_masks(trained_study, tmp_path))
    assert failures(events) == [(trained_study.scans.names[1], kind)]
    assert (end_of(events).n_done, end_of(events).n_failed) == (3, 1)


@pytest.mark.parametrize(("error", "kind"), ERRORS)
def test_evaluation_goes_on(
    heads: Heads, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    folder = heads.masks[0].parent
    monkeypatch.setattr(evaluation, "compare", failing(compare, 2, error))
    rows = evaluation.evaluate_folders(folder, folder)
    assert [row.kind for row in rows] == ["", kind, "", ""]
    assert [row.is_measured for row in rows] == [True, False, True, True]
    assert rows[1].problem


@pytest.mark.parametrize(("error", "kind"), ERRORS[1::4])
def test_report_goes_on(
    trained_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception,
    kind: str,
) -> None:
    monkeypatch.setattr(pictures, "head_box", failing(head_box, 1, error))
    problems = write_report(trained_study, tmp_path / "report.html")
    assert len(problems) == 1
    text = (tmp_path / "report.html").read_text()
    assert "There is no image of this scan." in text
    assert text.count("<article") > 3


# --- what killed commands left


def test_leftovers_of_killed_commands_are_removed(
    trained_copy: Study, heads: Heads, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    folders = [out, trained_copy.folder / "drafts", trained_copy.folder / "thumbnails"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / ".~half.7-1.nii.gz").touch()
        os.utime(folder / ".~half.7-1.nii.gz", (1e9, 1e9))
    run(trained_copy)
    list(applying.apply(trained_copy.folder, [heads.scans[1]], out, device="cpu"))
    assert not [p for folder in folders for p in folder.glob(".~*")]


def test_masks_folder_that_cannot_be_written_is_told_at_once(
    trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "masks"
    with pytest.raises(UserError):
        list(masks_export.export_masks(trained_study, out))
    events = applying.apply(trained_study.folder, [heads.scans[1]], out, device="cpu")
    with pytest.raises(UserError):
        assert not isinstance(next(events), Started)
