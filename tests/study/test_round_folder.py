"""The folder of a round: settings frozen, metrics that survive a crash, old rounds set aside."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Progress
from napari_singlestrip.study.round_folder import (
    FIXED,
    REPORT_EVERY,
    RoundFolder,
    metrics_log,
    read_metrics,
    remove_temporary_files,
    set_aside,
    settings_of_run,
)
from napari_singlestrip.study.study import Study
from napari_singlestrip.vocabulary import StageName


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of one scan, which is never opened here."""
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "a.nii")
    return Study.create(tmp_path / "study", [tmp_path / "a.nii"], overrides={"training.steps": 7})


@pytest.fixture
def begun(study: Study) -> Study:
    """A study whose training began."""
    RoundFolder(study.rounds.folder(0)).write_settings(study.settings(), "CPU")
    return study


# --- settings


def test_settings_are_frozen_with_their_origin(begun: Study) -> None:
    folder = RoundFolder(begun.rounds.folder(0))
    assert folder.read_settings() == begun.settings()
    content = json.loads(folder.settings.read_text())
    assert {"settings", "version", "python", "device"} <= content.keys()


def test_no_settings_before_the_round(study: Study) -> None:
    assert RoundFolder(study.rounds.folder(0)).read_settings() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"settings": {"training": 1}}', "null"])
def test_damaged_settings_are_said(begun: Study, content: str) -> None:
    folder = RoundFolder(begun.rounds.folder(0))
    folder.settings.write_text(content)
    with pytest.raises(UserError, match="damaged") as caught:
        folder.read_settings()
    assert caught.value.hint


def test_settings_of_a_newer_version_are_not_called_damaged(begun: Study) -> None:
    """Its way out must not be to delete what a newer version goes on with."""
    folder = RoundFolder(begun.rounds.folder(0))
    content = json.loads(folder.settings.read_text())
    content["settings"]["network"]["attention"] = 3
    folder.settings.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"newer version.*network\.attention") as caught:
        folder.read_settings()
    assert "Update" in caught.value.hint and "Delete" not in caught.value.hint


def test_a_run_takes_the_settings_of_the_study(study: Study) -> None:
    settings = settings_of_run(study, None, {"ranking.top_k": 3}, seed=5)
    assert (settings.training.steps, settings.ranking.top_k, settings.seed) == (7, 3, 5)


def test_a_later_run_goes_on_with_those_it_began_with(begun: Study) -> None:
    assert settings_of_run(begun, None, {}, None) == begun.settings()


@pytest.mark.parametrize(("effort", "overrides", "seed", "named"), [
    (None, {"training.steps": 8}, None, "training"),
    (None, {"synthesis.gamma": 0.1}, None, "synthesis"),
    (None, {"network.channels": [4, 8]}, None, "network"),
    (None, {"conform.spacing_mm": 5}, None, "conform"),
    (None, {}, 3, "seed"),
    ("standard", {}, None, "conform"),
])  # fmt: skip
def test_other_settings_than_it_was_trained_with_are_refused(
    begun: Study, effort: str | None, overrides: dict[str, Any], seed: int | None, named: str
) -> None:
    with pytest.raises(UserError, match=named) as caught:
        settings_of_run(begun, effort, overrides, seed)
    assert "--restart" in caught.value.hint


def test_settings_changed_in_the_study_are_noticed(begun: Study) -> None:
    begun.set_settings({"training.steps": 9})
    with pytest.raises(UserError, match="training"):
        settings_of_run(begun, None, {}, None)


def test_asking_for_the_same_again_is_fine(begun: Study) -> None:
    settings = settings_of_run(begun, "quick", {"training.steps": 7}, 0)
    assert settings == begun.settings()


def test_other_settings_may_change(begun: Study) -> None:
    changes = {"ranking.top_k": 3, "finetuning.steps": 9, "prediction.threshold": 0.4}
    settings = settings_of_run(begun, None, changes, None)
    assert settings.ranking.top_k == 3
    assert settings.finetuning.steps == 9
    assert settings.prediction.threshold == 0.4
    for name in FIXED:
        assert getattr(settings, name) == getattr(begun.settings(), name)


def test_newer_defaults_do_not_touch_a_study_that_began(begun: Study) -> None:
    """What an update of the program changes is not what a person asked for."""
    folder = RoundFolder(begun.rounds.folder(0))
    old = settings_for("quick", {"training.steps": 7, "synthesis.gamma": 0.123})
    folder.write_settings(old, "CPU")
    assert settings_of_run(begun, None, {}, None).synthesis.gamma == 0.123
    # Nor does it if other settings of that group were asked for, then and now.
    assert settings_of_run(begun, None, {"training.steps": 7}, None).synthesis.gamma == 0.123
    begun.set_settings({"training.steps": 7, "synthesis.noise_std": old.synthesis.noise_std})
    assert settings_of_run(begun, None, {}, None).synthesis == old.synthesis


# --- setting aside


def test_rounds_are_set_aside_not_deleted(begun: Study) -> None:
    for n in (1, 2):
        kept = set_aside(begun)
        assert kept is not None
        assert kept.name == f"rounds_set_aside_{n:02d}"
        assert (kept / "00" / "settings.json").is_file()
        assert begun.rounds.numbers() == []
        RoundFolder(begun.rounds.folder(0)).write_settings(begun.settings(), "CPU")


def test_what_was_decided_is_kept_with_the_rounds(begun: Study) -> None:
    begun.decisions.decide("a", "rejected", "neck")
    kept = set_aside(begun)
    assert kept is not None
    assert (kept / "decisions.csv").read_text() == (begun.folder / "decisions.csv").read_text()


def test_a_gap_in_the_numbers_is_no_reason_to_take_one_twice(begun: Study) -> None:
    (begun.folder / "rounds_set_aside_07").mkdir()
    kept = set_aside(begun)
    assert kept is not None
    assert kept.name == "rounds_set_aside_08"


def test_metrics_are_not_written_through_a_link(tmp_path: Path) -> None:
    folder = RoundFolder(tmp_path / "study" / "rounds" / "00")
    folder.path.mkdir(parents=True)
    (tmp_path / "study" / "study.json").touch()
    (tmp_path / "outside").write_text("mine")
    folder.metrics.symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="is a link"):
        write_log(folder, progress(10))
    assert (tmp_path / "outside").read_text() == "mine"


def test_nothing_to_set_aside(study: Study) -> None:
    assert set_aside(study) is None
    assert not list(study.folder.glob("rounds_set_aside*"))


# --- what killed jobs left


def test_temporary_files_of_killed_jobs_are_removed(begun: Study) -> None:
    """At once where only jobs write; elsewhere another program may be in the middle of it."""
    folder = begun.rounds.folder(0)
    (folder / "pseudo_labels").mkdir()
    dead = [folder / ".~segmenter.1-0.pt", folder / "pseudo_labels" / ".~a.1-0.nii.gz"]
    young = begun.folder / ".~study.1-0.json"
    old = begun.folder / ".~decisions.1-0.csv"
    for path in (*dead, young, old):
        path.write_text("half")
    os.utime(old, (0, 0))
    remove_temporary_files(begun)
    assert not any(path.exists() for path in (*dead, old))
    assert young.exists()
    assert RoundFolder(folder).read_settings() is not None


# --- metrics


def progress(n: int, stage: StageName = "train", first: int = 1) -> Iterator[Event]:
    for step in range(first, n + 1):
        metrics = {"loss": float(step)}
        if step % 25 == 0:
            metrics["validation_dice"] = 0.5
        yield Progress(stage, step, n, metrics)


def write_log(folder: RoundFolder, events: Iterator[Event]) -> list[Event]:
    with metrics_log(folder) as log:
        return list(log.follow(events))


def test_events_pass_through_and_mean_losses_are_written(tmp_path: Path) -> None:
    folder = RoundFolder(tmp_path / "00")
    assert write_log(folder, progress(30)) == list(progress(30))
    lines = read_metrics(folder)
    assert [line["step"] for line in lines] == [10, 20, 25, 30]
    assert REPORT_EVERY == 10
    assert lines[0]["loss"] == np.mean(range(1, 11))
    assert lines[3]["loss"] == np.mean(range(26, 31))
    assert [line["validation_dice"] for line in lines if "validation_dice" in line] == [0.5]


def test_other_events_are_not_metrics(tmp_path: Path) -> None:
    folder = RoundFolder(tmp_path / "00")
    write_log(folder, iter([Note("hello")]))
    assert read_metrics(folder) == []


def test_no_file_is_no_metrics(tmp_path: Path) -> None:
    assert read_metrics(RoundFolder(tmp_path)) == []


def test_a_line_cut_short_is_left_out_and_the_next_ones_are_read(tmp_path: Path) -> None:
    """A killed process leaves half a line, and the next one appends to it."""
    folder = RoundFolder(tmp_path / "00")
    write_log(folder, progress(20))
    whole = folder.metrics.read_text()
    for length in range(len(whole) + 1):
        folder.metrics.write_text(whole[:length])
        before = [line["step"] for line in read_metrics(folder)]
        assert before == [10, 20][: len(before)]
        write_log(folder, progress(40, first=21))
        steps = [line["step"] for line in read_metrics(folder)]
        assert steps[-3:] == [25, 30, 40], f"cut at {length}"


def test_after_going_back_the_later_line_counts(tmp_path: Path) -> None:
    folder = RoundFolder(tmp_path / "00")
    write_log(folder, progress(20))
    write_log(folder, iter([Progress("train", 20, 20, {"loss": 99.0})]))
    lines = read_metrics(folder)
    assert [line["step"] for line in lines] == [10, 20]
    assert lines[1]["loss"] == 99.0


def test_stages_are_kept_apart(tmp_path: Path) -> None:
    folder = RoundFolder(tmp_path / "00")
    write_log(folder, progress(10))
    write_log(folder, progress(10, "autoencoder"))
    assert [(x["stage"], x["step"]) for x in read_metrics(folder)] == [
        ("autoencoder", 10), ("train", 10),
    ]  # fmt: skip


def test_diverged_training_is_still_readable(tmp_path: Path) -> None:
    folder = RoundFolder(tmp_path / "00")
    write_log(folder, iter([Progress("train", 10, 10, {"loss": math.nan})]))
    (line,) = read_metrics(folder)
    assert line["loss"] is None or math.isnan(line["loss"])
