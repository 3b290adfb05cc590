"""What the worker writes into the folder of a round, beside masks and scores."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_singlestrip import __version__
from napari_singlestrip.atomic_files import (
    open_to_append,
    read_bytes,
    read_json,
    read_text,
    refuse_links,
    remove_leftovers,
    sync_folder,
    write_json_atomic,
    write_text_atomic,
)
from napari_singlestrip.engine.config import Settings
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Progress
from napari_singlestrip.study.study import Study

# Settings that a trained segmenter depends on: changing them means training anew.
FIXED = ("seed", "conform", "label_map", "synthesis", "network", "training")
ASIDE = "rounds_set_aside_"
REPORT_EVERY = 10  # steps per line of metrics.jsonl
LEARNING_STAGES = ("train", "finetune", "autoencoder")  # those that metrics.jsonl tells of
MAX_METRICS_BYTES = 16 * 2**20  # a million steps
MAX_STEP = 10**9
MAX_METRIC = 1e30  # beyond, a plot of it overflows


@dataclass(frozen=True)
class RoundFolder:
    """Paths of a round."""

    path: Path

    @property
    def segmenter(self) -> Path:
        """Checkpoint of the segmenter."""
        return self.path / "segmenter.pt"

    @property
    def autoencoder(self) -> Path:
        """Checkpoint of the autoencoder."""
        return self.path / "autoencoder.pt"

    @property
    def settings(self) -> Path:
        """What the round ran with."""
        return self.path / "settings.json"

    @property
    def training_set(self) -> Path:
        """Provenance of every mask that was learned from."""
        return self.path / "training_set.json"

    @property
    def metrics(self) -> Path:
        """Loss and validation, one JSON line each."""
        return self.path / "metrics.jsonl"

    @property
    def previews(self) -> Path:
        """Folder of pictures."""
        return self.path / "previews"

    def write_settings(self, settings: Settings, device: str) -> None:
        """Freeze what the round runs with."""
        write_json_atomic(self.settings, {
            "settings": settings.model_dump(mode="json"),
            "version": __version__,
            "python": sys.version.split()[0],
            "device": device,
        })

    def read_settings(self) -> Settings | None:
        """What the round runs with; None before it began.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        hint = "Delete it to go on with the present settings, or the folder to start anew."
        try:
            return Settings.model_validate(read_json(self.settings)["settings"])
        except FileNotFoundError:
            return None
        except UserError as error:
            raise UserError(error.what, hint) from error
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"{self.settings} is damaged.", hint) from error


def settings_of_run(
    study: Study, effort: str | None, overrides: dict[str, Any], seed: int | None
) -> Settings:
    """Settings of a run: those it began with, unless others are asked for.

    Raises
    ------
    UserError
        If others are asked for which the trained segmenter depends on.
    """
    begun = RoundFolder(study.round_dir(0)).read_settings()
    wanted = study.settings(effort, overrides, seed)
    if begun is None:
        return wanted
    asked = {name.split(".")[0] for name in {**study.overrides, **overrides}}
    if seed is not None:
        asked.add("seed")
    if effort is not None and effort != begun.effort:
        asked.update(FIXED)
    changed = [
        name for name in FIXED
        if name in asked and getattr(begun, name) != getattr(wanted, name)
    ]
    if changed:
        raise UserError(
            f"The study {study.name} was trained with other settings ({', '.join(changed)}).",
            "Run without them to go on, make a new study, or set the rounds aside with --restart.",
        )
    kept = {name: getattr(begun, name) for name in FIXED}
    return wanted.model_copy(update={**kept, "effort": begun.effort})


def set_aside(study: Study) -> Path | None:
    """Move all rounds of a study out of the way in one step, so that training starts anew.

    What was decided about their masks stays in the study, and a copy of it goes with them.

    Returns
    -------
    Path or None
        Where they are kept; None when there were none.
    """
    rounds = study.folder / "rounds"
    if not study.rounds():
        return None
    refuse_links(rounds)
    with suppress(FileNotFoundError):
        write_text_atomic(rounds / "decisions.csv", read_text(study.folder / "decisions.csv"))
    taken = [p.name.removeprefix(ASIDE) for p in study.folder.glob(f"{ASIDE}*")]
    n = 1 + max((int(number) for number in taken if number.isdecimal()), default=0)
    kept = study.folder / f"{ASIDE}{n:02d}"
    rounds.rename(kept)
    sync_folder(study.folder)
    return kept


def heat_map_path(study: Study, round_: int, name: str) -> Path:
    """Where the difference between a mask and its reconstruction is: -1 to 1, on the scan's grid.

    Positive where the autoencoder would not have drawn brain, negative where it would have.
    """
    return study.round_dir(round_) / "heat_maps" / study.pseudo_label_path(round_, name).name


def remove_temporary_files(study: Study) -> None:
    """Delete what killed jobs left half written; whoever calls this holds the study's lock.

    Only jobs write into the rounds; elsewhere a window may be writing, so there age decides.
    """
    for number in study.rounds():
        top = study.round_dir(number)
        for folder in (top, *(path for path in top.iterdir() if path.is_dir())):
            remove_leftovers(folder, older_than_seconds=0)
    for name in ("", "masks", "rounds", "drafts", "thumbnails", "applied"):
        remove_leftovers(study.folder / name)


@contextmanager
def metrics_log(folder: RoundFolder) -> Iterator[MetricsLog]:
    """Append to metrics.jsonl for a while."""
    refuse_links(folder.path)
    folder.path.mkdir(parents=True, exist_ok=True)
    with open_to_append(folder.metrics) as file:
        if file.tell() and not folder.metrics.read_bytes().endswith(b"\n"):
            file.write("\n")  # a killed process left half a line
        yield MetricsLog(file)


class MetricsLog:
    """One JSON line for every `REPORT_EVERY` steps (mean loss) and for every validation."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._losses: list[float] = []

    def follow(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass events on and write down those with metrics."""
        for event in events:
            if isinstance(event, Progress):
                self._write(event)
            yield event

    def _write(self, event: Progress) -> None:
        if "loss" in event.metrics:  # on a graphics card, not of each step
            self._losses.append(event.metrics["loss"])
        if not self._losses or (event.step % REPORT_EVERY and len(event.metrics) < 2):
            return
        line = {**event.metrics, "loss": sum(self._losses) / len(self._losses)}
        self._file.write(json.dumps({"stage": event.stage, "step": event.step, **line}) + "\n")
        self._file.flush()
        self._losses.clear()


def read_metrics(folder: RoundFolder) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl: "stage", "step", and numbers such as "loss".

    What is no such line is passed over, as a last one that was cut short by a crash. Where a killed
    run went back to its checkpoint, the later line of a step counts.

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
        if type(value) in (int, float) and not abs(value) > MAX_METRIC  # NaN where it diverged
    }
    return {**numbers, "stage": line["stage"], "step": step}
