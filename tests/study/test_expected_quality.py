"""What is expected of the masks of a round, and what corrected masks change of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import cube, write_volume

from napari_singlestrip.engine.judging.expected_dice import Shift, expected_dice, shift_by, surprise
from napari_singlestrip.engine.overrides import override, settings_for
from napari_singlestrip.files.atomic import file_digest
from napari_singlestrip.study.expected_quality import kind_of_round, shift_of, with_expected
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.study.training_set import TrainingMask, write_training_set

NAMES = ("a", "b", "c", "d")
SCORES = 0.025, 0.97
WHERE = {"painted": "masks", "corrected": "masks"}


def trained(study: Study, round_: int, kinds: list[str], **changed: object) -> None:
    """Do what a worker notes of a round that is trained."""
    folder = RoundFolder(study.rounds.folder(round_))
    folder.path.mkdir(parents=True, exist_ok=True)
    changes = {name.replace("__", "."): value for name, value in changed.items()}
    settings = override(settings_for("quick"), changes)
    folder.write_settings(settings, "the processor")
    folder.note_trained()
    folder.segmenter.write_bytes(b"weights")
    masks = [
        TrainingMask(name, kind, f"{WHERE.get(kind, 'rounds/00/pseudo_labels')}/{name}.nii.gz", 1.0)  # type: ignore[arg-type]
        for name, kind in zip(NAMES, kinds, strict=False)
    ]
    write_training_set(folder.training_set, masks)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Four scans, the first painted, the others predicted and scored in round 0."""
    scans = [write_volume(tmp_path / "scans" / f"{name}.nii") for name in NAMES]
    made = Study.create(tmp_path / "study", scans, {"a": write_volume(tmp_path / "m.nii", cube())})
    trained(made, 0, ["painted"])
    rows = []
    for rank, name in enumerate(NAMES[1:], 1):
        path = write_volume(made.rounds.pseudo_label_path(0, name), cube())
        rows.append(ScoreRow(name, *SCORES, 27.0, rank, mask_digest=file_digest(path)))
    made.rounds.save_scores(0, rows)
    return made


def test_the_kind_is_what_the_round_learned_from(study: Study) -> None:
    assert kind_of_round(study, 0) == ("quick", "first")
    for kinds, kind in (
        (["painted", "selected", "selected"], "self-trained"),
        (["painted", "accepted"], "self-trained"),
        (["painted", "corrected", "selected"], "corrected"),
        (["painted", "painted"], "corrected"),
    ):
        trained(study, 1, kinds)
        assert kind_of_round(study, 1) == ("quick", kind)


def test_nothing_is_known_of_rounds_that_nothing_was_fitted_for(study: Study) -> None:
    trained(study, 0, ["painted", "painted"])
    assert kind_of_round(study, 0) is None
    for changed in (
        {"conform__spacing_mm": 5}, {"prediction__remove_leaks": False},
        {"prediction__refine_border": False},
    ):
        trained(study, 0, ["painted"], **changed)
        assert kind_of_round(study, 0) is None
    trained(study, 0, ["painted"])
    RoundFolder(study.rounds.folder(0)).segmenter.unlink()  # masks of other programs
    assert kind_of_round(study, 0) is None
    assert kind_of_round(study, 3) is None
    (study.rounds.folder(0) / "settings.json").write_text("{")
    assert kind_of_round(study, 0) is None
    (row, *_) = with_expected(study, 0, study.rounds.scores(0))
    assert math.isnan(row.expected_dice)


def test_scores_get_what_is_expected_and_it_is_kept_in_the_table(study: Study) -> None:
    rows = with_expected(study, 0, study.rounds.scores(0))
    found = expected_dice(*SCORES, "quick", "first")
    assert {row.expected for row in rows} == {found}
    study.rounds.save_scores(0, rows)
    header = study.rounds.scores_path(0).read_text().splitlines()[0]
    assert header.endswith("expected_dice,expected_dice_low,expected_dice_high")
    assert study.rounds.score(0, "b").expected_dice == pytest.approx(found.dice, abs=1e-5)


def correct(study: Study, name: str, n_more: int) -> float:
    """Correct a mask by some voxels; return its Dice with the predicted one."""
    mask = cube().astype(bool)
    mask.reshape(-1)[np.flatnonzero(~mask)[:n_more]] = True
    study.masks.save(name, mask, "corrected")
    return 2 * 27 / (27 + 27 + n_more)


def test_each_corrected_mask_moves_what_is_expected_of_the_others(study: Study) -> None:
    assert shift_of(study) == Shift()
    first = correct(study, "b", 6)
    assert shift_of(study) == shift_by([surprise(*SCORES, "quick", "first", first)])
    second = correct(study, "c", 1)
    surprises = [surprise(*SCORES, "quick", "first", dice) for dice in (first, second)]
    assert shift_of(study).moved == pytest.approx(shift_by(surprises).moved)
    found = with_expected(study, 0, study.rounds.scores(0))[-1]
    assert found.expected == expected_dice(*SCORES, "quick", "first", shift_of(study))


def test_a_correction_counts_for_the_round_it_was_made_in(study: Study) -> None:
    correct(study, "b", 6)
    shift = shift_of(study)
    trained(study, 1, ["painted", "corrected"])
    for name in NAMES[1:]:
        write_volume(study.rounds.pseudo_label_path(1, name), cube(4))
    study.rounds.save_scores(1, [ScoreRow(name, *SCORES, 64.0, 1) for name in NAMES[1:]])
    assert shift_of(study) == shift != Shift()


def test_before_anything_is_trained_nothing_is_said(tmp_path: Path) -> None:
    scans = [write_volume(tmp_path / f"{name}.nii") for name in "ab"]
    made = Study.create(tmp_path / "study", scans, {"a": write_volume(tmp_path / "m.nii", cube())})
    correct(made, "b", 2)
    assert shift_of(made) == Shift()


def test_what_cannot_be_compared_moves_nothing(study: Study) -> None:
    correct(study, "b", 6)
    scores = study.rounds.scores(0)
    study.rounds.save_scores(0, [replace(row, mask_digest="of another mask") for row in scores])
    assert shift_of(study) == Shift()
    study.rounds.save_scores(0, scores)
    assert shift_of(study) != Shift()
    write_volume(study.masks.path("b"), np.zeros((2, 2, 2), np.uint8))  # on another grid
    assert shift_of(study) == Shift()
    study.rounds.pseudo_label_path(0, "b").unlink()
    assert shift_of(study) == Shift()
