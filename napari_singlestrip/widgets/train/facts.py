"""What a study's folder says about its training, for the window: read anew each time, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.study.round_facts import device_of
from napari_singlestrip.study.round_folder import FIXED, RoundFolder, read_metrics
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.train.curves import Track

CLOCK_SECONDS = 2.0  # stored times are whole seconds, and a disk has its own clock
StageState = Literal["to do", "begun", "done"]
COARSEST_MM = 8.0  # of the settings proposed for little memory: a brain is then 20 voxels long


@dataclass(frozen=True)
class Stage:
    """One stage up to the first ranking: how far it is."""

    name: str
    state: StageState
    step: int = 0
    n_steps: int = 0


@dataclass(frozen=True)
class TrainingFacts:
    """All that the step "train" shows of a study.

    Attributes
    ----------
    painted : tuple of str
        Scans whose masks are learned from.
    n_to_predict : int
    stages : tuple of Stage
    begun : Settings or None
        What training began with.
    other_settings : tuple of str
        In what the study's settings differ from those training began with.
    device : str
        What the first round ran on, in words.
    painted_since : tuple of str
        Scans whose masks were painted after training began.
    """

    painted: tuple[str, ...]
    n_to_predict: int
    stages: tuple[Stage, ...]
    begun: Settings | None
    other_settings: tuple[str, ...]
    device: str
    painted_since: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether there is a first ranking of all scans."""
        return all(stage.state == "done" for stage in self.stages)

    @property
    def unfinished(self) -> Stage | None:
        """The stage that training would go on with, if it began."""
        if all(stage.state == "to do" for stage in self.stages):
            return None
        return next((stage for stage in self.stages if stage.state != "done"), None)


def training_facts(study: Study) -> TrainingFacts:
    """Read what the folder of a study says.

    Raises
    ------
    UserError
        If a file of the study is damaged.
    """
    folder = RoundFolder(study.round_dir(0))
    labelled = study.labelled()
    begun = folder.read_settings()
    present = study.settings()
    to_predict = [name for name in study.names if name not in labelled.painted]
    used = begun or present
    return TrainingFacts(
        painted=(*labelled.painted, *labelled.corrected),
        n_to_predict=len(to_predict),
        stages=_stages(study, folder, used.training.steps, present.autoencoder.steps, to_predict),
        begun=begun,
        other_settings=() if begun is None else _differences(begun, present),
        device=device_of(folder),
        painted_since=_painted_since(study, folder, labelled.painted),
    )


def tracks(study: Study) -> dict[tuple[int, str], Track]:
    """Curves of all rounds, by round and stage, as the worker wrote them."""
    found: dict[tuple[int, str], Track] = {}
    for round_ in study.rounds():
        folder = RoundFolder(study.round_dir(round_))
        settings = folder.read_settings() or study.settings()
        n_steps = {
            "train": settings.training.steps, "autoencoder": settings.autoencoder.steps,
            "finetune": settings.finetuning.steps,
        }
        for line in read_metrics(folder):
            new = Track(n_steps=n_steps.get(line["stage"], 0))
            track = found.setdefault((round_, line["stage"]), new)
            metrics = {k: v for k, v in line.items() if isinstance(v, (int, float))}
            track.add(int(line["step"]), metrics)
    return found


def _stages(
    study: Study, folder: RoundFolder, steps: int, autoencoder_steps: int, names: Sequence[str]
) -> tuple[Stage, ...]:
    reached = {"train": 0, "autoencoder": 0}
    for line in read_metrics(folder):
        if line["stage"] in reached:
            reached[line["stage"]] = max(reached[line["stage"]], int(line["step"]))
    n_predicted = sum(study.pseudo_label_path(0, name).is_file() for name in names)
    ranked = {row.scan for row in study.scores(0)}
    n_ranked = sum(name in ranked for name in names)
    # A later stage runs only when those before it are done; and a study that was copied may lack
    # the curves.
    trained = folder.autoencoder.is_file() or n_predicted > 0
    return (
        _stage("train", steps if trained else reached["train"], steps),
        _stage(
            "autoencoder", autoencoder_steps if n_predicted else reached["autoencoder"],
            autoencoder_steps,
        ),
        _stage("predict", n_predicted, len(names)),
        _stage("rank", n_ranked, len(names)),
    )


def _stage(name: str, step: int, n_steps: int) -> Stage:
    state: StageState = "to do" if step == 0 else "done" if step >= n_steps else "begun"
    return Stage(name, state, step, n_steps)


def _differences(begun: Settings, present: Settings) -> tuple[str, ...]:
    """Settings on which a trained network depends, and the effort."""
    if begun.effort != present.effort:
        return (f"effort {begun.effort}",)
    before, after = begun.model_dump(), present.model_dump()
    names: list[str] = []
    for group in FIXED:
        if isinstance(before[group], dict):
            names += [
                f"{group}.{name}" for name, value in before[group].items()
                if after[group].get(name) != value
            ]
        elif before[group] != after[group]:
            names.append(group)
    return tuple(names)


def _painted_since(
    study: Study, folder: RoundFolder, painted: Sequence[str]
) -> tuple[str, ...]:
    if not folder.settings.is_file():
        return ()
    began = folder.settings.stat().st_mtime
    records = study.mask_records()
    return tuple(
        name for name in painted
        if name in records and _seconds(records[name].time) > began + CLOCK_SECONDS
    )


def _seconds(time: str) -> float:
    with suppress(ValueError):
        return datetime.fromisoformat(time).timestamp()
    return 0.0


# --- less memory


@dataclass(frozen=True)
class Smaller:
    """A smaller job, after one that did not fit into memory.

    Attributes
    ----------
    changes : dict
        Settings to override.
    anew : bool
        Whether training has to start anew: its network depends on what changes.
    words : str
        What will be different, for a person.
    """

    changes: dict[str, Any]
    anew: bool
    words: str


def smaller(settings: Settings, stage: str) -> Smaller | None:
    """Propose settings that take less memory in a stage; None when there is nothing to gain.

    Parameters
    ----------
    settings : Settings
        Those of the job that failed.
    stage : str
        Where it failed.
    """
    if stage == "autoencoder" and settings.autoencoder.batch_size > 1:
        n = settings.autoencoder.batch_size // 2
        return Smaller({"autoencoder.batch_size": n}, False, f"{n} masks in a step")
    if stage == "finetune" and settings.finetuning.label_maps > 1:
        return Smaller({"finetuning.label_maps": 1}, False, "one label map of each mask")
    if settings.training.batch_size > 1:
        n = settings.training.batch_size // 2
        return Smaller({"training.batch_size": n}, True, f"{n} synthetic heads in a step")
    spacing = round(1.3 * settings.conform.spacing_mm, 2)  # half as many voxels
    if spacing > COARSEST_MM:
        return None
    return Smaller({"conform.spacing_mm": spacing}, True, f"{spacing:g} mm voxels")


def out_of_memory(what: str, exit_code: int | None) -> bool:
    """Whether a job ended for lack of memory: it said so, or the system killed it."""
    return "not enough memory" in what or exit_code in (-9, 137)
