"""Decisions are undone step by step, and nothing that was painted is lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.decision_history import ReviewHistory
from napari_singlestrip.study.drafts import (
    load_draft,
    mark_suggested,
    remove_draft,
    save_draft,
    suggested_by,
)
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow


def half(study: Study, name: str, part: int = 2) -> NDArray[np.bool_]:
    """Return a mask of the upper half (or third ...) of a scan."""
    mask = np.zeros(open_scan(study.scans.path(name)).grid.shape, dtype=bool)
    mask[: len(mask) // part] = True
    return mask


def mask_of(study: Study, name: str) -> NDArray[np.bool_]:
    """Return the mask in masks/."""
    return load_mask(study.masks.path(name), like=open_scan(study.scans.path(name)))


@pytest.fixture
def ranked(study: Study) -> Study:
    for name in study.scans.names[1:]:
        scan = open_scan(study.scans.path(name))
        save_mask(study.rounds.pseudo_label_path(0, name), half(study, name), like=scan)
    study.rounds.save_scores(
        0, [ScoreRow(n, 0.1, 0.9, 1400, r) for r, n in enumerate(study.scans.names[1:], 1)]
    )
    return study


def test_steps_go_back_in_turn(ranked: Study) -> None:
    _, b, c, d = ranked.scans.names
    history = ReviewHistory(ranked)
    start = ranked.decisions.all()
    with history.step("accept b", [b]):
        ranked.decisions.decide(b, "accepted", "fine")
    with history.step("accept the rest", [c, d], by_hand=False):
        ranked.decisions.decide_all([c, d], "accepted")
    with history.step("reject b", [b]):
        ranked.decisions.decide(b, "rejected")
    assert history.last is not None and history.last.words == "reject b"
    history.undo()
    assert ranked.decisions.labelled().accepted == (b, c, d)
    assert ranked.decisions.all()[b].note == "fine"
    step = history.undo()
    assert step is not None and step.names == (c, d)
    assert ranked.decisions.labelled().accepted == (b,)
    history.undo()
    assert ranked.decisions.all() == start
    assert history.undo() is None


def test_kept_correction_becomes_unsaved_changes_again(ranked: Study) -> None:
    b = ranked.scans.names[1]
    save_draft(ranked.folder, b, half(ranked, b, 3))
    history = ReviewHistory(ranked)
    with history.step("keep", [b]):
        ranked.masks.save(b, half(ranked, b, 3), "corrected")
        remove_draft(ranked.folder, b)
    history.undo()
    assert not ranked.masks.path(b).exists()
    assert b not in ranked.decisions.all()
    draft = load_draft(ranked.folder, b)
    assert draft is not None and np.array_equal(draft, half(ranked, b, 3))


def test_earlier_correction_comes_back(ranked: Study) -> None:
    b = ranked.scans.names[1]
    ranked.masks.save(b, half(ranked, b, 3), "corrected", source="/somewhere/else.nii")
    history = ReviewHistory(ranked)
    with history.step("keep again", [b]):
        ranked.masks.save(b, half(ranked, b, 4), "corrected")
    with history.step("remove", [b]):
        ranked.masks.remove(b)
    history.undo()
    assert np.array_equal(mask_of(ranked, b), half(ranked, b, 4))
    history.undo()
    assert np.array_equal(mask_of(ranked, b), half(ranked, b, 3))
    assert ranked.masks.records()[b].source == "/somewhere/else.nii"
    assert ranked.decisions.all()[b].state == "corrected"


def test_what_was_painted_since_is_not_overwritten(ranked: Study) -> None:
    b = ranked.scans.names[1]
    save_draft(ranked.folder, b, half(ranked, b, 3))
    history = ReviewHistory(ranked)
    with history.step("keep", [b]):
        ranked.masks.save(b, half(ranked, b, 3), "corrected")
        remove_draft(ranked.folder, b)
    save_draft(ranked.folder, b, half(ranked, b, 5))
    history.undo()
    draft = load_draft(ranked.folder, b)
    assert draft is not None and np.array_equal(draft, half(ranked, b, 5))


def test_a_step_that_failed_is_none(ranked: Study) -> None:
    history = ReviewHistory(ranked)
    with pytest.raises(UserError), history.step("accept", [ranked.scans.names[0]]):
        ranked.decisions.decide(ranked.scans.names[0], "accepted")
    assert history.last is None


@pytest.mark.parametrize("by", ["a network", ""])
def test_a_draft_that_comes_back_is_still_a_suggestion(ranked: Study, by: str) -> None:
    _, b, _, _ = ranked.scans.names
    history = ReviewHistory(ranked)
    save_draft(ranked.folder, b, half(ranked, b, 3))
    mark_suggested(ranked.folder, b, by)
    with history.step("accept b", [b]):
        ranked.decisions.decide(b, "accepted")
        remove_draft(ranked.folder, b)
    assert suggested_by(ranked.folder, b) == ""
    history.undo()
    assert suggested_by(ranked.folder, b) == by


def test_what_was_painted_since_keeps_its_own_mark(ranked: Study) -> None:
    _, b, _, _ = ranked.scans.names
    history = ReviewHistory(ranked)
    save_draft(ranked.folder, b, half(ranked, b, 3))
    mark_suggested(ranked.folder, b, "a network")
    with history.step("accept b", [b]):
        ranked.decisions.decide(b, "accepted")
        remove_draft(ranked.folder, b)
    save_draft(ranked.folder, b, half(ranked, b, 5))
    history.undo()
    assert suggested_by(ranked.folder, b) == ""
