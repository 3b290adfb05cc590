"""Selected pseudo-labels are predicted again within a round of fine-tuning."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_singlestrip.engine.learning.segmenter import Segmenter, load_segmenter, strip_volume
from napari_singlestrip.engine.learning.training import step_of
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Progress
from napari_singlestrip.pipeline import learn as learn_stage
from napari_singlestrip.pipeline import refreshed_labels, stages
from napari_singlestrip.study.round_facts import is_trained
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study

CPU = torch.device("cpu")
STEPS, MORE = 4, 2  # of the first pass, and on the labels predicted again


@pytest.fixture
def ready(trained_study: Study, tmp_path: Path) -> Study:
    """A study whose next round will train on selected masks."""
    shutil.copytree(trained_study.folder, tmp_path / "study")
    return Study.open(tmp_path / "study")


def finetune(study: Study, fraction: float = MORE / STEPS) -> list[Event]:
    changes = {"finetuning.steps": STEPS, "finetuning.refresh_fraction": fraction}
    return list(stages.run(study, device="cpu", stages=["finetune"], overrides=changes))


def folder_of(study: Study) -> RoundFolder:
    return RoundFolder(study.rounds.folder(study.rounds.current()))


def learned_from(study: Study) -> list[dict[str, Any]]:
    masks: list[dict[str, Any]] = json.loads(folder_of(study).training_set.read_text())
    return masks


def test_the_second_part_learns_from_new_masks_of_the_selected_scans(ready: Study) -> None:
    events = finetune(ready)
    folder = folder_of(ready)
    by_kind = {mask["kind"]: mask for mask in learned_from(ready)}
    assert set(by_kind) == {"painted", "selected"}
    assert (ready.folder / by_kind["selected"]["path"]).parent == folder.refreshed
    assert by_kind["painted"]["path"].startswith("masks/")  # a person's mask stays as it is
    steps = [e for e in events if isinstance(e, Progress) and e.stage == "finetune"]
    assert [(e.step, e.n_steps) for e in steps] == [
        (i, STEPS + MORE) for i in range(1, STEPS + MORE + 1)
    ]
    assert (step_of(folder.first_pass, "segmenter"), step_of(folder.segmenter, "segmenter")) == (
        STEPS, MORE
    )
    assert is_trained(ready, ready.rounds.current())


def test_the_teacher_is_the_mean_of_two_networks(
    ready: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Segmenter] = []

    def record(segmenter: Segmenter, volume: Any) -> Any:
        seen.append(segmenter)
        return strip_volume(segmenter, volume)

    monkeypatch.setattr(refreshed_labels, "strip_volume", record)
    before = RoundFolder(ready.rounds.folder(ready.rounds.current())).segmenter
    finetune(ready)
    both = seen[0].net
    x = torch.rand(1, 1, *seen[0].shape)
    with torch.inference_mode():
        one, other = (
            torch.sigmoid(load_segmenter(path, CPU).net(x))
            for path in (folder_of(ready).first_pass, before)
        )
        assert torch.allclose(torch.sigmoid(both(x)), (one + other) / 2, atol=1e-5)
    assert seen[0].autoencoder is not None  # that of the round before


@pytest.mark.parametrize(
    "changed", [{"finetuning.pseudo_labels": "decided"}, {"finetuning.soft_labels": True}]
)
def test_without_selected_masks_nothing_is_learned_twice(
    ready: Study, changed: dict[str, Any]
) -> None:
    """Nor where probabilities are learned, which are those of the network before."""
    changes = {"finetuning.steps": STEPS, **changed}
    events = list(stages.run(ready, device="cpu", stages=["finetune"], overrides=changes))
    steps = [e for e in events if isinstance(e, Progress) and e.stage == "finetune"]
    assert [e.n_steps for e in steps] == [STEPS] * STEPS
    assert not folder_of(ready).first_pass.exists()
    assert is_trained(ready, ready.rounds.current())


def test_it_can_be_switched_off(ready: Study) -> None:
    finetune(ready, 0.0)
    assert not folder_of(ready).refreshed.exists()
    assert step_of(folder_of(ready).segmenter, "segmenter") == STEPS


@pytest.mark.parametrize("at", [2, STEPS, STEPS + 1])
def test_stopped_in_either_part_it_goes_on(ready: Study, at: int) -> None:
    changes = {"finetuning.steps": STEPS, "finetuning.refresh_fraction": MORE / STEPS}
    events = stages.run(ready, device="cpu", stages=["finetune"], overrides=changes)
    for event in events:
        if isinstance(event, Progress) and (event.stage, event.step) == ("finetune", at):
            break
    events.close()  # type: ignore[attr-defined]
    assert not is_trained(ready, ready.rounds.current())
    later = [e for e in finetune(ready) if isinstance(e, Progress) and e.stage == "finetune"]
    assert [e.step for e in later] == list(range(at + 1, STEPS + MORE + 1))
    assert is_trained(ready, ready.rounds.current())


@pytest.mark.parametrize("problem", ["fails", "nothing"])
def test_a_scan_that_cannot_be_predicted_keeps_its_mask(
    ready: Study, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    def strip(segmenter: Segmenter, volume: Any) -> Any:
        if problem == "fails":
            raise UserError("It cannot be read.")
        return np.zeros(volume.data.shape, bool)

    monkeypatch.setattr(refreshed_labels, "strip_volume", strip)
    events = finetune(ready)
    selected = [mask for mask in learned_from(ready) if mask["kind"] == "selected"]
    assert selected
    assert all("pseudo_labels" in mask["path"] for mask in selected)
    said = {e.scan for e in events if isinstance(e, Note) and "earlier pseudo-label" in e.text}
    assert said == ({mask["scan"] for mask in selected} if problem == "fails" else set())


def test_seconds_left_are_those_of_both_parts() -> None:
    events = [Progress("finetune", 1, 4, {}, 30.0), Progress("prepare", 1, 2)]
    first, other = learn_stage._part_of(6, 0, events)
    assert first == Progress("finetune", 1, 6, {}, 50.0)
    assert other == Progress("prepare", 1, 2)
