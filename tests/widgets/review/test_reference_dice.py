"""The true Dice of ranked masks, measured in the background."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from gui_fixtures import wait_until
from pytestqt.qtbot import QtBot

from napari_singlestrip.study.ranking_report import ranking_report
from napari_singlestrip.study.references import References, StudyReferences
from napari_singlestrip.study.review import review
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.review.reference_dice import TrueDice, Truth

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def known(ranked_study: Study, heads: object, tmp_path: Path) -> Study:
    """The ranked study with references of all scans but the last."""
    folder = tmp_path / "references"
    folder.mkdir()
    for mask in heads.masks[:-1]:  # type: ignore[attr-defined]
        shutil.copy(mask, folder)
    ranked_study.references.set_folder(folder)
    return ranked_study


def test_as_the_report_says(qtbot: QtBot, known: Study) -> None:
    measure, found = TrueDice(), review(known)
    assert measure.of(known, found).n_missing == 3
    wait_until(lambda: measure.of(known, found).n_missing == 0, "all masks")
    truth, report = measure.of(known, found), ranking_report(known, 0)
    assert truth.dices == {
        row.score.scan: row.dice for row in report.rows if row.dice is not None
    }
    assert len(truth.dices) == 2
    assert math.isnan(truth.consistency)  # of two masks nothing can be said
    asked: list[int] = []
    measure.changed.connect(lambda: asked.append(1))
    measure.of(known, found)
    measure.background.run(lambda: None, lambda _: asked.append(0))  # after what is running
    wait_until(lambda: asked)
    measure.close_all()
    assert asked == [0]  # each was measured once


def test_references_are_listed_once_for_all(
    qtbot: QtBot, known: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[StudyReferences] = []
    listing = StudyReferences.find

    def find(references: StudyReferences) -> References:
        listed.append(references)
        return listing(references)

    monkeypatch.setattr(StudyReferences, "find", find)
    measure, found = TrueDice(), review(known)
    wait_until(lambda: len(measure.of(known, found).dices) == 2, "all masks")
    measure.close_all()
    assert listed == [known.references]


def test_without_references(qtbot: QtBot, ranked_study: Study) -> None:
    measure = TrueDice()
    assert measure.of(ranked_study, review(ranked_study)) == Truth({})
    measure.close_all()


def test_a_damaged_reference_does_not_hide_the_others(qtbot: QtBot, known: Study) -> None:
    first = review(known).rows[0].name
    path = known.references.path(first)
    assert path is not None
    path.write_bytes(b"nothing")
    measure, found = TrueDice(), review(known)
    wait_until(lambda: measure.of(known, found).n_missing == 0, "all masks")
    assert first not in measure.of(known, found).dices
    assert len(measure.of(known, found).dices) == 1
    measure.close_all()
