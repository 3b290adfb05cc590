"""The files that the worker writes to the folder of a round, besides masks and scores."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from napari_singlestrip import __version__
from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.stored_settings import NewerSettings, settings_content, settings_from
from napari_singlestrip.errors import FromNewerVersion, UserError
from napari_singlestrip.events import Event, Progress
from napari_singlestrip.files.atomic import (
    open_to_append,
    read_bytes,
    read_json,
    read_text,
    refuse_links,
    sync_folder,
    write_json_atomic,
    write_text_atomic,
)
from napari_singlestrip.files.portable import rename
from napari_singlestrip.files.temporary import remove_leftovers
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import now
from napari_singlestrip.vocabulary import LEARNING_STAGES

# Settings a trained segmenter depends on: changing them requires training again.
FIXED = ("seed", "conform", "label_map", "synthesis", "network", "training")
ASIDE = "rounds_set_aside_"
TRAINED = "trained"  # in settings.json: time at which training was complete, if it was
REPORT_EVERY = 10  # steps per line of metrics.jsonl
MAX_METRICS_BYTES = 16 * 2**20  # a million steps
MAX_STEP = 10**9
MAX_METRIC = 1e30  # larger values overflow in a plot


@dataclass(frozen=True)
class RoundFolder:
    """Paths of a round."""

    path: Path

    @property
    def segmenter(self) -> Path:
        """Checkpoint of the segmenter."""
        return self.path / "segmenter.pt"

    @property
    def first_pass(self) -> Path:
        """Checkpoint of the segmenter before its pseudo-labels were predicted again."""
        return self.path / "first_pass.pt"

    @property
    def refreshed(self) -> Path:
        """Folder of the pseudo-labels that were predicted again."""
        return self.path / "refreshed_labels"

    @property
    def autoencoder(self) -> Path:
        """Checkpoint of the autoencoder."""
        return self.path / "autoencoder.pt"

    @property
    def settings(self) -> Path:
        """Settings of the round."""
        return self.path / "settings.json"

    @property
    def training_set(self) -> Path:
        """Provenance of every training mask."""
        return self.path / "training_set.json"

    @property
    def metrics(self) -> Path:
        """Loss and validation, one JSON line each."""
        return self.path / "metrics.jsonl"

    @property
    def origins(self) -> Path:
        """Of each mask that another program made, the program and the file."""
        return self.path / "origins.json"

    @property
    def previews(self) -> Path:
        """Folder of preview images."""
        return self.path / "previews"

    def write_settings(self, settings: Settings, device: str) -> None:
        """Record the settings of the round."""
        write_json_atomic(self.settings, {
            "settings": settings_content(settings),
            "version": __version__,
            "python": sys.version.split()[0],
            "device": device,
            TRAINED: "",
        })

    def note_trained(self) -> None:
        """Record the time at which training was complete."""
        write_json_atomic(self.settings, {**read_json(self.settings), TRAINED: now()})

    def read_settings(self) -> Settings | None:
        """Settings of the round; None before it began.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        hint = "Delete it to continue with the present settings, or the folder to start over."
        try:
            return settings_from(read_json(self.settings)["settings"])
        except FileNotFoundError:
            return None
        except UserError as error:
            raise UserError(error.what, hint) from error
        except NewerSettings as error:
            raise FromNewerVersion(self.settings, str(error)) from error
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"{self.settings} is damaged.", hint) from error


def first_round(study: Study) -> int:
    """Number of the round in which a network is trained first.

    It is 1 where the masks of round 0 were made by other programs, which were judged.
    """
    folder = RoundFolder(study.rounds.folder(0))
    return int(folder.origins.is_file() and not folder.segmenter.is_file())


def settings_of_run(
    study: Study, effort: str | None, overrides: dict[str, Any], seed: int | None
) -> Settings:
    """Settings of a run: those it began with, unless others are requested.

    Raises
    ------
    UserError
        If a requested change would affect the trained segmenter.
    """
    begun = RoundFolder(study.rounds.folder(first_round(study))).read_settings()
    wanted = study.settings(effort, overrides, seed)
    if begun is None:
        return wanted
    asked = {*study.overrides, *overrides}
    if seed is not None:
        asked.add("seed")
    if effort is not None and effort != begun.effort:
        asked.update(FIXED)
    names = asked_otherwise(begun, wanted, asked)
    changed = [group for group in FIXED if group in {name.split(".")[0] for name in names}]
    if changed:
        raise UserError(
            f"The study {study.name} was trained with other settings ({', '.join(changed)}).",
            "Run without them to resume, make a new study, or set the rounds aside with --restart.",
        )
    kept = {name: getattr(begun, name) for name in FIXED}
    return wanted.model_copy(update={**kept, "effort": begun.effort})


def asked_otherwise(begun: Settings, wanted: Settings, asked: Iterable[str]) -> list[str]:
    """Which of the settings that were asked for are not those that a network was trained with.

    What nobody asked for stays as it was, also where an update of the program changed a preset.

    Parameters
    ----------
    begun, wanted : Settings
        Of the training, and of a run.
    asked : iterable of str
        Groups, or dotted names. Those that do not concern a trained network are left out.
    """
    return [
        name for name in sorted(asked)
        if name.split(".")[0] in FIXED and _value(begun, name) != _value(wanted, name)
    ]


def _value(settings: Settings, name: str) -> object:
    return reduce(getattr, name.split("."), settings)


def set_aside(study: Study) -> Path | None:
    """Move all rounds of a study aside in one step, so that training starts over.

    The round of masks that other programs made stays where it is. Decisions about the masks stay in
    the study, and a copy is moved with the rounds.

    Returns
    -------
    Path or None
        Where they are kept; None if there were none.
    """
    rounds, first = study.folder / "rounds", first_round(study)
    ours = [number for number in study.rounds.numbers() if number >= first]
    if not ours:
        return None
    refuse_links(rounds)
    with suppress(FileNotFoundError):
        write_text_atomic(rounds / "decisions.csv", read_text(study.folder / "decisions.csv"))
    taken = [p.name.removeprefix(ASIDE) for p in study.folder.glob(f"{ASIDE}*")]
    n = 1 + max((int(number) for number in taken if number.isdecimal()), default=0)
    kept = study.folder / f"{ASIDE}{n:02d}"
    if first:
        kept.mkdir()
        for number in reversed(ours):  # killed in between, the older ones are still a study
            rename(study.rounds.folder(number), kept / f"{number:02d}")
    else:
        rename(rounds, kept)
    sync_folder(study.folder)
    return kept


def heat_map_path(study: Study, round_: int, name: str) -> Path:
    """Path of the difference between a mask and its reconstruction: -1 to 1, on the scan's grid.

    Positive where only the mask has brain, negative where only the reconstruction has.
    """
    file = study.rounds.pseudo_label_path(round_, name).name
    return study.rounds.folder(round_) / "heat_maps" / file


def doubts_path(study: Study, round_: int, name: str) -> Path:
    """Path of the labels of probably wrong regions of a mask: 1 too much, 2 too little."""
    file = study.rounds.pseudo_label_path(round_, name).name
    return study.rounds.folder(round_) / "doubts" / file


def remove_temporary_files(study: Study) -> None:
    """Delete temporary files of killed jobs; the caller must hold the study's lock.

    Only jobs write to the rounds; elsewhere a window may be writing, so files must be old.
    """
    for number in study.rounds.numbers():
        top = study.rounds.folder(number)
        for folder in (top, *(path for path in top.iterdir() if path.is_dir())):
            remove_leftovers(folder, older_than_seconds=0)
    for name in ("", "masks", "rounds", "drafts", "thumbnails", "applied"):
        remove_leftovers(study.folder / name)


@contextmanager
def metrics_log(folder: RoundFolder) -> Iterator[MetricsLog]:
    """Open metrics.jsonl for appending."""
    refuse_links(folder.path)
    folder.path.mkdir(parents=True, exist_ok=True)
    with open_to_append(folder.metrics) as file:
        if file.tell() and not folder.metrics.read_bytes().endswith(b"\n"):
            file.write("\n")  # a killed process left an incomplete line
        yield MetricsLog(file)


class MetricsLog:
    """One JSON line for every `REPORT_EVERY` steps (mean loss) and for every validation."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._losses: list[float] = []

    def follow(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass on events, and record those with metrics."""
        for event in events:
            if isinstance(event, Progress):
                self._write(event)
            yield event

    def _write(self, event: Progress) -> None:
        if "loss" in event.metrics:  # on a graphics card, not at each step
            self._losses.append(event.metrics["loss"])
        if not self._losses or (event.step % REPORT_EVERY and len(event.metrics) < 2):
            return
        line = {**event.metrics, "loss": sum(self._losses) / len(self._losses)}
        self._file.write(json.dumps({"stage": event.stage, "step": event.step, **line}) + "\n")
        self._file.flush()
        self._losses.clear()


def read_metrics(folder: RoundFolder) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl: "stage", "step", and numbers such as "loss".

    Invalid lines are skipped, such as a last one that was truncated by a crash. If a killed run
    resumed from an earlier checkpoint, the later line of a step counts.

    Raises
    ------
    UserError
        If the file cannot be read at all.
    """
    try:
        content = read_bytes(folder.metrics, MAX_METRICS_BYTES)
    except FileNotFoundError:
        return []
    lines = {
        (line["stage"], line["step"]): line
        for line in map(_metrics_of, content.splitlines()) if line is not None
    }
    return sorted(lines.values(), key=lambda line: (line["stage"], line["step"]))


def _metrics_of(content: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or line.get("stage") not in LEARNING_STAGES:
        return None
    step = line.get("step")
    if type(step) is not int or not 0 <= step <= MAX_STEP:
        return None
    numbers = {
        name: value for name, value in line.items()
        if type(value) in (int, float) and not abs(value) > MAX_METRIC  # NaN if it diverged
    }
    return {**numbers, "stage": line["stage"], "step": step}
