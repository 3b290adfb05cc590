"""Work that must not grow with the number of scans: counted, as times differ between computers."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_study import cube, predict, write_volume

from napari_singlestrip.study import decision_table, document, folder, scans
from napari_singlestrip.study.masks import StudyMasks
from napari_singlestrip.study.review import ReviewRow, renewed, review
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.widgets.review.facts_reader import NOTHING
from napari_singlestrip.widgets.review.view import review_view
from napari_singlestrip.widgets.session.job_process import JobStatus


def study_of(home: Path, n: int) -> Study:
    """A study of n tiny scans with predicted masks, half of them accepted."""
    first = write_volume(home / "scans" / "s000.nii")
    for k in range(1, n):
        os.link(first, home / "scans" / f"s{k:03d}.nii")
    mask = write_volume(home / "mask.nii", cube())
    made = Study.create(home / "study", [home / "scans"], {"s000": mask})
    predict(made, 0, *made.scans.names)
    made.decisions.decide_all(made.scans.names[1 : n // 2], "accepted")
    return made


Count = Callable[[Any, str], Counter[str]]


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Count:
    """Count the calls of functions of modules, or of methods of classes."""
    called = Counter[str]()

    def begin(owner: Any, name: str) -> Counter[str]:
        function = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            called[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)
        return called

    return begin


def test_a_study_that_is_opened_reads_its_document_once(tmp_path: Path, count: Count) -> None:
    """The first look for changes by others, and the first decision, use what was read."""
    study_of(tmp_path, 8)
    called = count(folder, "read_document")
    study = Study.open(tmp_path / "study")
    entries = study.scans.entries
    study.follow()
    study.decisions.decide(study.scans.names[-1], "accepted")
    assert called["read_document"] == 1
    assert study.scans.entries is entries


def test_what_was_made_from_the_scans_is_kept_while_they_are_the_same(tmp_path: Path) -> None:
    study_of(tmp_path, 8)
    study, other = Study.open(tmp_path / "study"), Study.open(tmp_path / "study")
    entries = study.scans.entries
    study.follow()
    study.set_settings(effort="standard")
    assert study.scans.entries is entries
    other.set_settings(effort="thorough")
    study.follow()
    assert study.effort == "thorough" and study.scans.entries is entries
    document.write_document(study.folder, study._folder.document)  # the same, written again
    study.follow()
    assert study.scans.entries is entries
    other.scans.remove(other.scans.names[-1])
    study.follow()
    assert study.scans.entries is not entries and len(study.scans) == 7


def test_each_path_is_made_once(tmp_path: Path, count: Count) -> None:
    study_of(tmp_path, 8)
    called = count(scans, "resolved_path")
    study = Study.open(tmp_path / "study")
    assert len(study.scans.names) == 8 and called["resolved_path"] == 0
    for _ in range(3):
        for name in study.scans.names:
            study.scans.path(name)
    assert study.scans.name_of(study.scans.path("s003")) == "s003"
    assert called["resolved_path"] == 8


@pytest.mark.parametrize("n", [8, 40])
def test_a_decision_reads_and_looks_at_as_much_in_any_study(
    tmp_path: Path, count: Count, n: int
) -> None:
    study_of(tmp_path, n)
    study = Study.open(tmp_path / "study")
    study.decisions.decide(study.scans.names[-1], "accepted")
    for module, name in (
        (folder, "read_document"), (folder, "file_digest"), (decision_table, "_parse"),
    ):
        count(module, name)
    called = count(folder, "file_stamp")
    study.decisions.decide(study.scans.names[-2], "accepted")
    assert called["read_document"] == 0
    assert called["file_digest"] == 1 and called["_parse"] <= 1  # the mask; what was just written
    assert called["file_stamp"] <= 12


@pytest.mark.parametrize("n", [8, 40])
def test_a_key_in_review_looks_at_as_many_rows_in_any_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Count, n: int
) -> None:
    """What the step says follows from the one row that a decision changes."""
    study = study_of(tmp_path, n)
    study.rounds.save_scores(0, [
        ScoreRow(name, 0.1, math.nan, 1.0, rank) for rank, name in enumerate(study.scans.names, 1)
    ])  # fmt: skip
    found = review(study)

    def decided(place: int) -> tuple[str, int]:
        """Decide as a key does, and return what the step then says."""
        nonlocal found
        study.decisions.decide(study.scans.names[place], "accepted")
        found = renewed(study, found, study.scans.names[place])
        view = review_view(True, replace(NOTHING, review=found), JobStatus())
        return view.head.summary, view.finetune.review.n_undecided_to(n)

    before = decided(-2)  # the first one counts all
    looked = Counter[str]()
    for name in ("state", "name", "is_open"):
        asked = getattr(ReviewRow, name).fget
        monkeypatch.setattr(ReviewRow, name, property(_counting(asked, looked, name)))
    count(decision_table.DecisionTable, "_take")
    called = count(StudyMasks, "records")
    after = decided(-1)
    assert after[1] == before[1] - 1 and after[0] != before[0]
    assert looked["state"] <= 8 and looked["name"] <= 4 and not looked["is_open"]
    assert not called["records"]  # which lists all masks
    assert called["_take"] == 1  # what others may have written; not what was just written


def _counting(
    asked: Callable[[Any], Any], looked: Counter[str], name: str
) -> Callable[[Any], Any]:
    def counting(row: Any) -> Any:
        looked[name] += 1
        return asked(row)

    return counting
