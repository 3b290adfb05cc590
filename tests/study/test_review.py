"""What is reviewed, and what fine-tuning would train on."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
from napari_singlestrip.study.drafts import save_draft
from napari_singlestrip.study.finetuning_plan import finetuning_plan
from napari_singlestrip.study.review import (
    Review,
    ReviewRow,
    change,
    newer_round,
    ranked_round,
    renewed,
    review,
)
from napari_singlestrip.study.round_facts import unfinished_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision, ScoreRow, State
from napari_singlestrip.study.training_set import masks_of_round, write_training_set


def rank(study: Study, round_: int, *names: str) -> None:
    """Do what a worker does, in short: write pseudo-labels, scores and what was learned from."""
    for name in names:
        scan = open_scan(study.scans.path(name))
        mask = np.ones(scan.grid.shape, dtype=bool)
        mask[0] = False
        save_mask(study.rounds.pseudo_label_path(round_, name), mask, like=scan)
    rows = [ScoreRow(n, 0.1 * r, 0.9, 1400, r, r == 1) for r, n in enumerate(names, 1)]
    study.rounds.save_scores(round_, rows)
    config = study.settings().finetuning.model_copy(update={"pseudo_labels": "decided"})
    masks = masks_of_round(study, max(1, round_), config)
    write_training_set(study.rounds.folder(round_) / "training_set.json", masks)


@pytest.fixture
def ranked(study: Study) -> Study:
    """Four scans, the first painted, the others ranked in the order 3, 1, 2."""
    _, b, c, d = study.scans.names
    rank(study, 0, d, b, c)
    return study


def test_nothing_is_ranked_yet(study: Study) -> None:
    assert ranked_round(study) is None
    assert review(study).rows == ()


def test_rows_say_what_a_person_made_of_the_masks(ranked: Study) -> None:
    _, b, c, d = ranked.scans.names
    shape = open_scan(ranked.scans.path(b)).grid.shape
    ranked.decisions.decide(d, "accepted")
    ranked.masks.save(c, _half(ranked, c), "corrected", note="eye")
    save_draft(ranked.folder, b, np.zeros(shape, dtype=bool))
    rows = review(ranked).rows
    assert [(row.name, row.state) for row in rows] == [
        (d, "accepted"), (b, "unsaved changes"), (c, "corrected")
    ]
    assert [row.is_open for row in rows] == [False, True, False]
    assert rows[2].decision is not None and rows[2].decision.note == "eye"


def _half(study: Study, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask = np.zeros(open_scan(study.scans.path(name)).grid.shape, dtype=bool)
    mask[: len(mask) // 2] = True
    return mask


def test_the_score_that_ranks_is_known_of_each_mask(ranked: Study) -> None:
    names = ranked.scans.names[1:]
    scores = [
        ScoreRow(name, error, agreement, 1400.0, n + 1)
        for n, (name, error, agreement) in enumerate(
            zip(names, (0.03, 0.02, 0.05), (0.99, 0.97, 0.96), strict=False)
        )
    ]
    ranked.rounds.save_scores(0, scores)
    found = review(ranked)
    assert found.ranked_by == "mean"
    values = [row.ranking_score for row in found.rows]
    expected = [0.0003**0.5, 0.0006**0.5, 0.002**0.5]
    assert values == pytest.approx(expected[: len(values)]) and len(values) > 1
    ranked.decisions.decide(found.rows[0].name, "accepted")
    again = renewed(ranked, found, found.rows[0].name)
    assert again.rows[0].ranking_score == values[0]
    ranked.rounds.save_scores(0, [replace(row, rank=len(scores) - row.rank + 1) for row in scores])
    other = review(ranked)  # neither the mean nor a part of it
    assert other.ranked_by == "" and all(math.isnan(row.ranking_score) for row in other.rows)


def test_one_decision_read_again_gives_the_whole_ranking(ranked: Study) -> None:
    _, b, c, d = ranked.scans.names
    before = review(ranked)
    ranked.decisions.decide(d, "accepted")
    ranked.decisions.decide(c, "rejected", note="cut off")
    now = review(ranked)
    assert renewed(ranked, renewed(ranked, before, d), c) == now != renewed(ranked, before, b)


def test_newest_ranked_round_counts_even_when_a_newer_one_is_unfinished(ranked: Study) -> None:
    (ranked.rounds.folder(1)).mkdir()
    assert review(ranked).round == 0
    rank(ranked, 1, *ranked.scans.names[1:])
    assert review(ranked).round == 1
    found = ranked.rounds.newest_pseudo_label(ranked.scans.names[1])
    assert found == (1, ranked.rounds.pseudo_label_path(1, ranked.scans.names[1]))


def test_decisions_about_an_earlier_round_are_marked(ranked: Study) -> None:
    _, b, c, d = ranked.scans.names
    ranked.decisions.decide(b, "accepted")
    ranked.decisions.decide(c, "rejected")
    rank(ranked, 1, b, c, d)
    rows = {row.name: row for row in review(ranked).rows}
    assert (rows[b].in_words, rows[b].is_open) == ("accepted before", False)
    # The mask that was rejected is not there any more: the new one is to be looked at.
    assert (rows[c].in_words, rows[c].is_open) == ("rejected before", True)
    assert rows[d].in_words == "to review"


def test_the_rest_leaves_out_what_was_decided_or_changed(ranked: Study) -> None:
    _, b, c, d = ranked.scans.names
    assert review(ranked).undecided_to(2) == [d, b]
    ranked.decisions.decide(d, "rejected")
    save_draft(ranked.folder, b, _half(ranked, b))
    assert review(ranked).undecided_to(3) == [c]


def test_held_out_scans_are_not_accepted_with_the_rest(ranked: Study, tmp_path: Path) -> None:
    other = tmp_path / "other.nii.gz"
    shutil.copy(ranked.scans.path(ranked.scans.names[1]), other)
    (name,) = ranked.scans.add([other], "held_out")
    rank(ranked, 0, name, *ranked.scans.names[1:-1])
    assert review(ranked).rows[0].held_out
    assert name not in review(ranked).undecided_to(9)


# --- fine-tuning


def test_plan_is_what_the_worker_learns_from(ranked: Study) -> None:
    _, b, c, d = ranked.scans.names
    ranked.decisions.decide(b, "accepted")
    ranked.decisions.decide(d, "rejected")
    ranked.masks.save(c, _half(ranked, c), "corrected")
    plan = finetuning_plan(ranked, top_ranked=False)
    assert plan.counts == {"painted": 1, "corrected": 1, "accepted": 1}
    assert plan.problem == ""
    assert d not in {mask.scan for mask in plan.masks}  # also where the ranking selects it
    assert finetuning_plan(ranked, top_ranked=True).counts == plan.counts


def test_top_ranked_masks_until_enough_is_decided(ranked: Study) -> None:
    plan = finetuning_plan(ranked, top_ranked=False)
    assert plan.counts == {"painted": 1}
    assert "accept or correct" in plan.problem
    for more in (finetuning_plan(ranked, top_ranked=True), finetuning_plan(ranked)):
        assert more.counts == {"painted": 1, "selected": 1}
        assert more.problem == ""
    ranked.set_settings({"finetuning.min_reviewed_masks": 1})
    assert finetuning_plan(ranked).counts == {"painted": 1}


def test_learning_twice_from_the_same_is_not_offered(ranked: Study) -> None:
    _, b, c, d = ranked.scans.names
    ranked.masks.save(c, _half(ranked, c), "corrected")
    rank(ranked, 1, b, c, d)
    assert finetuning_plan(ranked, top_ranked=False).problem
    os.utime(ranked.masks.path(c), (2e9, 2e9))  # copied: a time says nothing
    assert finetuning_plan(ranked, top_ranked=False).problem
    ranked.masks.save(c, ~_half(ranked, c), "corrected")  # corrected once more
    assert not finetuning_plan(ranked, top_ranked=False).problem


def test_without_a_painted_mask(ranked: Study) -> None:
    ranked.masks.remove(ranked.scans.names[0])
    plan = finetuning_plan(ranked)
    assert plan.masks == () and "no painted mask" in plan.problem


def test_what_a_stopped_job_left(ranked: Study) -> None:
    assert unfinished_round(ranked) == ""
    ranked.rounds.folder(1).mkdir()
    assert finetuning_plan(ranked).unfinished == "fine-tuning"
    assert finetuning_plan(ranked).problem == ""
    name = ranked.scans.names[1]
    save_mask(ranked.rounds.pseudo_label_path(1, name), _half(ranked, name),
              like=open_scan(ranked.scans.path(name)))
    assert unfinished_round(ranked) == "ranking"


def test_a_window_keeps_to_the_round_under_review(ranked: Study) -> None:
    _, b, c, d = ranked.scans.names
    ranked.rounds.shown = ranked_round(ranked)
    rank(ranked, 1, b, c, d)
    save_mask(ranked.rounds.pseudo_label_path(1, b), _half(ranked, b),
              like=open_scan(ranked.scans.path(b)))
    found = review(ranked)
    assert (found.round, newer_round(ranked)) == (0, 1)
    assert [row.name for row in found.rows] == [d, b, c]
    accepted = ranked.decisions.decide(b, "accepted")
    assert (accepted.round, accepted.rank) == (0, 2)
    seen = ranked.rounds.pseudo_label_path(0, b)
    assert ranked.decisions.labelled_path(b) == seen

    ranked.rounds.shown = None

    assert newer_round(ranked) is None
    taken = {row.name: row for row in review(ranked).rows}
    assert taken[b].in_words == "accepted before" and not taken[b].is_open
    assert ranked.decisions.labelled_path(b) == seen  # what the person saw
    ranked.decisions.decide(b, "accepted")
    assert ranked.decisions.labelled_path(b) == ranked.rounds.pseudo_label_path(1, b)


def test_new_masks_are_those_that_a_person_decided_about(ranked: Study) -> None:
    _, b, c, d = ranked.scans.names
    assert finetuning_plan(ranked).n_new == 0  # what the ranking selects is no decision
    ranked.decisions.decide(b, "accepted")
    ranked.decisions.decide(d, "rejected")
    ranked.masks.save(c, _half(ranked, c), "corrected")
    assert finetuning_plan(ranked).n_new == 2
    rank(ranked, 1, b, c, d)
    assert finetuning_plan(ranked).n_new == 0


def test_change_in_overlap_and_volume() -> None:
    before = np.zeros((4, 4, 4), dtype=bool)
    before[:2] = True
    after = before.copy()
    after[2] = True
    found = change(after, before, voxel_ml=0.5)
    assert found.dice == pytest.approx(2 * 32 / (32 + 48))
    assert found.volume_ml == 8.0


def test_after_a_decision_all_is_as_if_it_was_counted_anew() -> None:
    states: list[State | None] = ["accepted", "rejected", "corrected", None]
    rows = [
        ReviewRow(
            ScoreRow(f"s{n}", 0.1, math.nan, 1400, n, n == 3), held_out=n == 5,
            decision=None if (state := states[n % 4]) is None else Decision(f"s{n}", state),
        )
        for n in range(1, 13)
    ]
    found = Review(0, tuple(rows))
    for name, state, unsaved in (
        ("s3", "accepted", False), ("s5", "rejected", False), ("s4", None, True),
        ("s3", None, False), ("s12", "rejected", False),
    ):  # fmt: skip
        decision = None if state is None else Decision(name, state)
        row = replace(found.by_name[name], decision=decision, unsaved=unsaved)
        found = found.with_row(row)
        anew = Review(0, found.rows)
        assert found.by_name[name] is row
        for what in ("by_name", "states", "n_unsaved", "scores"):
            assert getattr(found, what) == getattr(anew, what)
        for rank in range(14):
            assert found.n_undecided_to(rank) == len(anew.undecided_to(rank))
