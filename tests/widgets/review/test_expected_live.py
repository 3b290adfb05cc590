"""The expected Dice in the window follows what is corrected."""

from __future__ import annotations

from pathlib import Path

import pytest
from gui_fixtures import wait_until
from pytestqt.qtbot import QtBot

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.judging.expected_dice import Shift
from napari_singlestrip.study.expected_quality import RoundKind
from napari_singlestrip.study.review import Review, review
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.review import expected_live
from napari_singlestrip.widgets.review.expected_live import LiveExpected

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is found of a study: a round of effort quick, moved by each corrected mask."""
    asked: list[str] = []

    def shift_of(study: Study) -> Shift:
        corrected = study.decisions.labelled().corrected
        asked.append(", ".join(corrected))
        return Shift(0.1 * len(corrected), 0.9 ** len(corrected))

    def kind(study: Study, round_: int) -> RoundKind:
        return "quick", "first"

    monkeypatch.setattr(expected_live, "shift_of", shift_of)
    monkeypatch.setattr(expected_live, "kind_of_round", kind)
    return asked


def expected(live: LiveExpected, study: Study) -> list[float]:
    return [row.score.expected_dice for row in live.into(study, review(study)).rows]


def test_it_follows_corrections(qtbot: QtBot, ranked_study: Study, known: list[str]) -> None:
    live = LiveExpected()
    assert live.into(ranked_study, review(ranked_study)) == review(ranked_study)  # as ranked
    wait_until(lambda: expected(live, ranked_study)[0] > 0, "what is expected")
    before = expected(live, ranked_study)
    assert known == [""]  # found once
    name = review(ranked_study).rows[0].name
    scan = open_scan(ranked_study.scans.path(name))
    predicted = load_mask(ranked_study.rounds.pseudo_label_path(0, name), like=scan)
    ranked_study.masks.save(name, predicted, "corrected")
    assert expected(live, ranked_study) == before  # until the mask is compared
    wait_until(lambda: expected(live, ranked_study) != before, "the mask to be compared")
    assert all(a < b for a, b in zip(expected(live, ranked_study), before, strict=True))
    assert known == ["", name]
    live.close_all()


def test_nothing_is_asked_of_a_study_that_was_not_ranked(
    qtbot: QtBot, ranked_study: Study, known: list[str]
) -> None:
    live = LiveExpected()
    assert live.into(ranked_study, Review()) == Review()
    live.close_all()
    assert known == []


def test_a_study_that_cannot_be_read_shows_what_was_ranked(
    qtbot: QtBot, ranked_study: Study, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(study: Study) -> Shift:
        raise OSError(Path("gone"))

    monkeypatch.setattr(expected_live, "shift_of", fail)
    live, done = LiveExpected(), []
    live.into(ranked_study, review(ranked_study))
    live.background.run(lambda: None, lambda _: done.append(1))
    wait_until(lambda: done)
    assert live.into(ranked_study, review(ranked_study)) == review(ranked_study)
    live.close_all()
