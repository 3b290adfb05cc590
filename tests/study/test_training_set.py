"""Which masks a round trains on: what a person decided comes first, and rejected ones never."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal, get_args

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_singlestrip.engine.config import FinetuningConfig
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.study.training_set import (
    TrainingMask,
    masks_by_hand,
    masks_of_round,
    takes_selected,
    write_training_set,
)

Rule = Literal["auto", "decided", "selected"]
RULES: tuple[Rule, ...] = get_args(Rule)
NAMES = ("a", "b", "c", "d", "e")
SHAPE = (6, 7, 8)
CONFIG = FinetuningConfig(trusted_weight=3)


def write_cube(path: Path, marked: bool = True) -> Path:
    values = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    if marked:
        values = np.zeros(SHAPE, np.uint8)
        values[1:4, 1:4, 1:4] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return path


@pytest.fixture
def predicted(tmp_path: Path) -> Study:
    """Five scans; a is painted, the others are predicted, and the best three selected."""
    scans = [write_cube(tmp_path / "scans" / f"{n}.nii.gz", marked=False) for n in NAMES]
    made = Study.create(
        tmp_path / "study", scans, {"a": write_cube(tmp_path / "painted.nii.gz")}
    )
    predict(made, 0)
    return made


def predict(study: Study, round_: int, best: str = "bcd") -> None:
    for name in NAMES[1:]:
        write_cube(study.rounds.pseudo_label_path(round_, name))
    rows = [
        ScoreRow(n, 0.1 * r, 0.9, 27.0, r, selected=n in best) for r, n in enumerate(NAMES[1:], 1)
    ]
    study.rounds.save_scores(round_, rows)


def kinds(masks: list[TrainingMask]) -> dict[str, str]:
    return {mask.scan: mask.kind for mask in masks}


def test_unattended_the_selected_are_taken(predicted: Study) -> None:
    masks = masks_of_round(predicted, 1, CONFIG)
    assert kinds(masks) == {"a": "painted", "b": "selected", "c": "selected", "d": "selected"}
    assert {m.scan: m.weight for m in masks} == {"a": 3, "b": 1, "c": 1, "d": 1}
    assert [(m.rank, m.autoencoder_error, m.round) for m in masks if m.scan == "b"] == [(1, 0.1, 0)]


def test_once_a_person_has_decided_enough_only_decisions_count(predicted: Study) -> None:
    """With two or three scans alone a network would overfit."""
    enough = FinetuningConfig(min_reviewed_masks=2)
    assert len(masks_of_round(predicted, 1, enough)) == 4
    predicted.decisions.decide("e", "accepted")
    assert kinds(masks_of_round(predicted, 1, enough)) == {"a": "painted", "e": "accepted"}
    assert kinds(masks_of_round(predicted, 1, CONFIG)) == {
        "a": "painted", "e": "accepted", "b": "selected", "c": "selected", "d": "selected",
    }  # fmt: skip


def test_a_rejection_is_not_enough_but_counts(predicted: Study) -> None:
    predicted.decisions.decide("b", "rejected")
    found = masks_of_round(predicted, 1, FinetuningConfig(min_reviewed_masks=2))
    assert kinds(found) == {"a": "painted", "c": "selected", "d": "selected"}


def test_selected_can_be_added_to_decisions_but_rejected_never(predicted: Study) -> None:
    predicted.decisions.decide("b", "rejected")
    predicted.decisions.decide("e", "accepted")
    config = FinetuningConfig(pseudo_labels="selected")
    assert kinds(masks_of_round(predicted, 1, config)) == {
        "a": "painted", "e": "accepted", "c": "selected", "d": "selected",
    }  # fmt: skip


def test_decided_alone_takes_no_selected(predicted: Study) -> None:
    config = FinetuningConfig(pseudo_labels="decided")
    assert kinds(masks_of_round(predicted, 1, config)) == {"a": "painted"}


def test_corrected_masks_are_trusted(predicted: Study, tmp_path: Path) -> None:
    predicted.decisions.decide("c", "corrected", mask=write_cube(tmp_path / "better.nii.gz"))
    masks = {m.scan: m for m in masks_of_round(predicted, 1, CONFIG)}
    assert masks["c"].kind == "corrected"
    assert masks["c"].weight == 3
    assert masks["c"].path == "masks/c.nii.gz"


def test_accepted_mask_stays_that_which_was_looked_at(predicted: Study) -> None:
    predicted.decisions.decide("e", "accepted")
    predict(predicted, 1)
    (accepted,) = (m for m in masks_of_round(predicted, 2, CONFIG) if m.kind == "accepted")
    assert accepted.path == "rounds/00/pseudo_labels/e.nii.gz"
    assert (accepted.round, accepted.rank) == (0, 4)


def test_selected_come_from_the_round_before(predicted: Study) -> None:
    predict(predicted, 1, best="e")
    assert kinds(masks_of_round(predicted, 2, CONFIG)) == {"a": "painted", "e": "selected"}
    assert kinds(masks_of_round(predicted, 1, CONFIG)).keys() == {"a", "b", "c", "d"}


def test_selected_mask_that_is_gone_is_left_out(predicted: Study) -> None:
    predicted.rounds.pseudo_label_path(0, "b").unlink()
    assert "b" not in kinds(masks_of_round(predicted, 1, CONFIG))


def test_held_out_scans_are_never_learned_from(predicted: Study, tmp_path: Path) -> None:
    held = write_cube(tmp_path / "held" / "h.nii.gz", marked=False)
    predicted.scans.add([held], role="held_out")
    write_cube(predicted.rounds.pseudo_label_path(0, "h"))
    rows = [*predicted.rounds.scores(0), ScoreRow("h", 0.01, 0.9, 27.0, 5, selected=True)]
    predicted.rounds.save_scores(0, rows)
    assert "h" not in kinds(masks_of_round(predicted, 1, CONFIG))
    predicted.decisions.decide("h", "accepted")
    for rule in RULES:
        config = FinetuningConfig(pseudo_labels=rule)
        assert "h" not in kinds(masks_of_round(predicted, 1, config))
    predicted.decisions.decide("h", "corrected", mask=write_cube(tmp_path / "h_mask.nii.gz"))
    assert "h" not in kinds(masks_by_hand(predicted))


Choice = Literal["accepted", "rejected", "none"]


@given(
    st.lists(st.sampled_from(["accepted", "rejected", "none"]), min_size=4, max_size=4),
    st.sampled_from(RULES),
)
def test_rules_hold_for_any_decisions(
    tmp_path_factory: pytest.TempPathFactory, choices: list[Choice],
    rule: Rule,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    scans = [write_cube(folder / "scans" / f"{n}.nii.gz", marked=False) for n in NAMES]
    study = Study.create(folder / "study", scans, {"a": write_cube(folder / "painted.nii.gz")})
    predict(study, 0)
    chosen = dict(zip(NAMES[1:], choices, strict=True))
    for name, choice in chosen.items():
        if choice != "none":
            study.decisions.decide(name, choice)
    config = FinetuningConfig(pseudo_labels=rule, min_reviewed_masks=3)
    found = kinds(masks_of_round(study, 1, config))
    accepted = {n for n, c in chosen.items() if c == "accepted"}
    rejected = {n for n, c in chosen.items() if c == "rejected"}
    assert found["a"] == "painted"
    assert {n for n, k in found.items() if k == "accepted"} == accepted
    assert not rejected & found.keys()
    selected = {n for n, k in found.items() if k == "selected"}
    if rule == "decided" or (rule == "auto" and 1 + len(accepted) >= 3):
        assert not selected
    else:
        assert selected == {"b", "c", "d"} - accepted - rejected


def test_selected_masks_are_learned_from_beside_a_few_made_by_hand() -> None:
    """Five alone may lack a contrast, which the network would forget."""
    assert [takes_selected(n, FinetuningConfig()) for n in (1, 5, 8, 9)] == [True] * 3 + [False]


def test_nothing_painted_says_what_to_do(predicted: Study) -> None:
    predicted.masks.remove("a")
    for find in (masks_by_hand, lambda s: masks_of_round(s, 1, CONFIG)):
        with pytest.raises(UserError, match="no painted mask") as caught:
            find(predicted)
        assert "singlestrip decide" in caught.value.hint


def test_painted_mask_whose_file_is_gone_does_not_count(predicted: Study) -> None:
    predicted.masks.path("a").unlink()
    with pytest.raises(UserError, match="no painted mask"):
        masks_by_hand(predicted)


def test_record_is_json_for_any_reader(predicted: Study, tmp_path: Path) -> None:
    predicted.decisions.decide("e", "accepted")
    masks = [*masks_of_round(predicted, 1, FinetuningConfig(pseudo_labels="decided")),
             TrainingMask("x", "accepted", "p", 1.0, 0, 1, math.nan)]
    write_training_set(tmp_path / "set.json", masks)
    rows = json.loads((tmp_path / "set.json").read_text(), parse_constant=pytest.fail)
    assert [row["scan"] for row in rows] == ["a", "e", "x"]
    assert rows[1]["kind"] == "accepted"
    assert rows[2]["autoencoder_error"] is None
