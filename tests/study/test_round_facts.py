"""Which rounds are trained is told from what they wrote, without torch."""

from __future__ import annotations

import json
import math

from napari_singlestrip.study.round_facts import describe_round, is_trained, trained_rounds
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study


def test_rounds_of_a_finished_study(trained_study: Study) -> None:
    newest, first = trained_rounds(trained_study)
    assert (newest.round, newest.parent) == (1, 0)
    assert (first.round, first.parent) == (0, None)
    assert first.scans == trained_study.masks.names()
    assert first.kinds == {"painted": 1}
    assert newest.kinds["painted"] == 1
    assert sum(newest.kinds.values()) == len(newest.scans) > 1
    for one in (newest, first):
        assert 0 < one.validation_dice <= 1
        assert one.effort == "quick"
        assert one.version


def test_dice_is_the_segmenters_not_the_autoencoders(trained_copy: Study) -> None:
    folder = RoundFolder(trained_copy.rounds.folder(0))
    with folder.metrics.open("a") as file:
        for stage, dice in (("autoencoder", 0.123), ("zoo", 0.456)):
            line = {"stage": stage, "step": 9999, "loss": 1, "validation_dice": dice}
            file.write(json.dumps(line) + "\n")
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    own = [m["validation_dice"] for m in lines if m["stage"] == "train" and "validation_dice" in m]
    assert describe_round(trained_copy, 0).validation_dice == own[-1]


def test_an_untrained_study_has_none(study: Study) -> None:
    assert trained_rounds(study) == ()


def test_a_round_that_was_stopped_does_not_count(trained_copy: Study) -> None:
    folder = RoundFolder(trained_copy.rounds.folder(1))
    folder.write_settings(trained_copy.settings(), "CPU")  # as when it begins
    assert not is_trained(trained_copy, 1)  # whatever its log says
    assert [one.round for one in trained_rounds(trained_copy)] == [0]
    folder.note_trained()
    assert is_trained(trained_copy, 1)


def test_a_round_of_before_it_was_noted_tells_by_its_log(trained_copy: Study) -> None:
    folder = RoundFolder(trained_copy.rounds.folder(1))
    written = json.loads(folder.settings.read_text())
    del written["trained"]
    folder.settings.write_text(json.dumps(written))
    assert is_trained(trained_copy, 1)
    assert describe_round(trained_copy, 1).finished.year > 2000
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    steps = written["settings"]["finetuning"]["steps"]  # all that rounds of then consisted of
    kept = [m for m in lines if m["step"] < steps]
    folder.metrics.write_text("".join(json.dumps(m) + "\n" for m in kept))
    assert not is_trained(trained_copy, 1)
    assert [one.round for one in trained_rounds(trained_copy)] == [0]


def test_without_its_checkpoint_a_round_does_not_count(trained_copy: Study) -> None:
    RoundFolder(trained_copy.rounds.folder(1)).segmenter.unlink()
    assert [one.round for one in trained_rounds(trained_copy)] == [0]


def test_damaged_records_hide_nothing_else(trained_copy: Study) -> None:
    folder = RoundFolder(trained_copy.rounds.folder(1))
    folder.training_set.write_text('{"half')
    newest = trained_rounds(trained_copy)[0]
    assert newest.round == 1
    assert newest.scans == ()
    folder.settings.write_text("[]")
    assert [one.round for one in trained_rounds(trained_copy)] == [0]
    assert math.isfinite(describe_round(trained_copy, 1).validation_dice)
