"""State of a study's training for the window, read from its folder each time, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.study.finetuning_plan import FinetuningPlan, finetuning_plan
from napari_singlestrip.study.other_masks import programs_of
from napari_singlestrip.study.round_facts import device_of, is_trained, learned_masks
from napari_singlestrip.study.round_folder import (
    RoundFolder,
    asked_otherwise,
    first_round,
    read_metrics,
)
from napari_singlestrip.study.study import Study
from napari_singlestrip.vocabulary import StageName
from napari_singlestrip.widgets.train.track import Track

StageState = Literal["to do", "begun", "done"]
COARSEST_MM = 8.0  # limit for proposed settings: a brain is then 20 voxels long


@dataclass(frozen=True)
class Stage:
    """Progress of one stage up to the first ranking."""

    name: StageName
    state: StageState
    step: int = 0
    n_steps: int = 0


@dataclass(frozen=True)
class TrainingFacts:
    """The state of a study for the step "train".

    Attributes
    ----------
    painted, corrected : tuple of str
        Scans whose masks, painted or corrected by a person, are used for training.
    n_to_predict : int
        Scans that were not painted: those that were corrected are predicted, too.
    stages : tuple of Stage
    begun : Settings or None
        Settings that training began with.
    other_settings : tuple of str
        Settings that have changed since training began.
    device : str
        Device of the first round.
    present : Settings
        Settings that a new training would use.
    painted_since : tuple of str
        Scans whose current masks were not used in training.
    ranked : bool
        Whether some round has a ranking.
    judged : tuple of str
        Programs whose masks were judged, while there is no network yet.
    learns_from : mapping of str to int
        Then, how many masks the first network would learn from, by kind.
    """

    painted: tuple[str, ...]
    n_to_predict: int
    stages: tuple[Stage, ...]
    begun: Settings | None
    other_settings: tuple[str, ...]
    device: str
    present: Settings
    corrected: tuple[str, ...] = ()
    painted_since: tuple[str, ...] = ()
    ranked: bool = False
    judged: tuple[str, ...] = ()
    learns_from: Mapping[str, int] = field(default_factory=dict)

    @property
    def by_hand(self) -> tuple[str, ...]:
        """Scans whose masks are used for training."""
        return (*self.painted, *self.corrected)

    @property
    def done(self) -> bool:
        """Whether all scans are ranked."""
        return all(stage.state == "done" for stage in self.stages)

    @property
    def unfinished(self) -> Stage | None:
        """The stage that training would go on with, if it began."""
        if self.stages and self.judged and self.stages[0].state == "to do":
            return None  # the autoencoder that judged is there already
        if all(stage.state == "to do" for stage in self.stages):
            return None
        return next((stage for stage in self.stages if stage.state != "done"), None)


def training_facts(study: Study) -> TrainingFacts:
    """Read the state from a study folder.

    Raises
    ------
    UserError
        If a file of the study is damaged.
    """
    first = first_round(study)
    folder = RoundFolder(study.rounds.folder(first))
    plan = finetuning_plan(study) if first else FinetuningPlan()
    labelled = study.decisions.labelled()
    begun = folder.read_settings()
    present = study.settings()
    to_predict = [name for name in study.scans.names if name not in labelled.painted]
    used = begun or present
    return TrainingFacts(
        painted=tuple(labelled.painted),
        corrected=tuple(labelled.corrected),
        n_to_predict=len(to_predict),
        stages=_stages(study, used.training.steps, present.autoencoder.steps, to_predict),
        begun=begun,
        other_settings=() if begun is None else _differences(study, begun, present),
        device=device_of(folder),
        present=present,
        painted_since=_painted_since(study, folder, labelled.painted),
        ranked=any(study.rounds.scores_path(r).is_file() for r in study.rounds.numbers()),
        judged=programs_of(study) if plan.is_first else (),
        learns_from=plan.counts if plan.is_first else {},
    )


def tracks(study: Study) -> dict[tuple[int, str], Track]:
    """Curves of all rounds, by round and stage, as the worker wrote them."""
    found: dict[tuple[int, str], Track] = {}
    for round_ in study.rounds.numbers():
        folder = RoundFolder(study.rounds.folder(round_))
        settings = folder.read_settings() or study.settings()
        n_steps = {
            "train": settings.training.steps, "autoencoder": settings.autoencoder.steps,
            "finetune": settings.finetuning.steps + settings.finetuning.refresh_steps,
        }
        for line in read_metrics(folder):
            new = Track(n_steps=n_steps.get(line["stage"], 0))
            track = found.setdefault((round_, line["stage"]), new)
            metrics = {k: v for k, v in line.items() if isinstance(v, (int, float))}
            track.add(int(line["step"]), metrics)
    return found


def _stages(
    study: Study, steps: int, autoencoder_steps: int, names: Sequence[str]
) -> tuple[Stage, ...]:
    first = first_round(study)
    folder = RoundFolder(study.rounds.folder(first))
    reached = {"train": 0, "autoencoder": 0}
    for line in read_metrics(folder):
        if line["stage"] in reached:
            reached[line["stage"]] = max(reached[line["stage"]], int(line["step"]))
    n_predicted = sum(study.rounds.pseudo_label_path(first, name).is_file() for name in names)
    ranked = {row.scan for row in study.rounds.scores(first)}
    n_ranked = sum(name in ranked for name in names)
    # A later stage runs only when those before it are done; and a study that was copied may lack
    # the curves.
    trained = folder.autoencoder.is_file() or n_predicted > 0 or is_trained(study, first)
    # Other programs' masks were judged by one that serves on.
    judged = first > 0 and RoundFolder(study.rounds.folder(0)).autoencoder.is_file()
    return (
        _stage("train", steps if trained else reached["train"], steps),
        _stage(
            "autoencoder",
            autoencoder_steps if n_predicted or judged else reached["autoencoder"],
            autoencoder_steps,
        ),
        _stage("predict", n_predicted, len(names)),
        _stage("rank", n_ranked, len(names)),
    )


def _stage(name: StageName, step: int, n_steps: int) -> Stage:
    state: StageState = "to do" if step == 0 else "done" if step >= n_steps else "begun"
    return Stage(name, state, step, n_steps)


def _differences(study: Study, begun: Settings, present: Settings) -> tuple[str, ...]:
    """Changed settings that affect a trained network, or the effort."""
    if begun.effort != present.effort:
        return (f"effort {begun.effort}",)
    return tuple(asked_otherwise(begun, present, study.overrides))


def _painted_since(
    study: Study, folder: RoundFolder, painted: Sequence[str]
) -> tuple[str, ...]:
    """Scans whose masks were not used in training, or changed since."""
    learned = {scan: digest for (scan, _), digest in learned_masks(folder).items()}
    if not learned:
        return ()
    now = {name: study.masks.digest(name) for name in painted}
    # Without a digest (older versions), masks are assumed to be unchanged.
    return tuple(n for n in painted if learned.get(n) not in ("", now[n]))


# --- less memory


@dataclass(frozen=True)
class Smaller:
    """Settings for a smaller job, after one that ran out of memory.

    Attributes
    ----------
    changes : dict
        Settings to override.
    anew : bool
        Whether training has to start over, because its network depends on the changes.
    words : str
        Description of the change.
    """

    changes: dict[str, Any]
    anew: bool
    words: str


def smaller(settings: Settings, stage: str) -> Smaller | None:
    """Propose settings that need less memory in a stage; None if impossible.

    Parameters
    ----------
    settings : Settings
        Those of the job that failed.
    stage : str
        The stage that failed.
    """
    if stage == "autoencoder" and settings.autoencoder.batch_size > 1:
        n = settings.autoencoder.batch_size // 2
        return Smaller({"autoencoder.batch_size": n}, False, f"{n} masks per step")
    if stage == "finetune" and settings.finetuning.label_maps > 1:
        return Smaller({"finetuning.label_maps": 1}, False, "one label map per mask")
    if settings.training.batch_size > 1:
        n = settings.training.batch_size // 2
        return Smaller({"training.batch_size": n}, True, f"{n} synthetic images per step")
    spacing = round(1.3 * settings.conform.spacing_mm, 2)  # half as many voxels
    if spacing > COARSEST_MM:
        return None
    return Smaller({"conform.spacing_mm": spacing}, True, f"{spacing:g} mm voxels")


def out_of_memory(what: str, exit_code: int | None) -> bool:
    """Whether a job failed for lack of memory: by its message, or killed by the system."""
    return "not enough memory" in what or exit_code in (-9, 137)
