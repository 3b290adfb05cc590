"""demo.json: the settings of a demo, and the durations of its stages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_singlestrip import __version__
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Started
from napari_singlestrip.files.atomic import read_json, write_json_atomic

RECORD_NAME = "demo.json"
SECONDS_BETWEEN_SAVES = 10.0
LONGEST_SECONDS = 1e9  # of a stage


def open_record(folder: Path, wanted: Mapping[str, Any]) -> DemoRecord:
    """Open the demo in a folder, or begin one; a folder with other files is refused.

    Parameters
    ----------
    folder : Path
    wanted : mapping
        Effort, seed, overrides etc., which define a demo.

    Raises
    ------
    UserError
        If the folder holds other files or a demo with other settings, or is a file.
    """
    path = folder / RECORD_NAME
    hint = "Choose another folder: `singlestrip demo --out DIR`."
    if path.is_file():
        begun = _read_record(path, hint)
        other = [name for name, value in wanted.items() if begun.get(name) != value]
        if other:
            raise UserError(
                f"The demo in {folder} was begun with other settings ({', '.join(other)}).",
                "Give the same ones to resume, or choose another folder with `--out DIR`.",
            )
        return DemoRecord(path, begun)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file.", hint)
    if folder.is_dir() and any(p.name[0] != "." for p in folder.iterdir()):
        raise UserError(f"{folder} holds other files, and no demo.", hint)
    record = DemoRecord(path, {"version": __version__, **wanted, "seconds": {}})
    record.save()
    return record


def _read_record(path: Path, hint: str) -> dict[str, Any]:
    try:
        content = read_json(path)
        seconds = {name: _seconds(value) for name, value in content["seconds"].items()}
        return {**content, "seconds": seconds}
    except (OSError, UserError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged.", hint) from error


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < LONGEST_SECONDS:
        raise ValueError(f"{value!r:.40} seconds")
    return float(value)


class DemoRecord:
    """The settings of a demo and the wall time of each stage, across interruptions."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path, self._content = path, content
        self.effort: str = content["effort"]
        self.seed: int = content["seed"]
        self.overrides: dict[str, Any] = content["overrides"]
        self.seconds: dict[str, float] = content["seconds"]
        self._stage = ""
        self._since = self._saved = time.monotonic()

    def watch(self, event: Event) -> None:
        """Add the elapsed time to the current stage."""
        self._count()
        if isinstance(event, Started):
            self._stage = event.stage
            self.save()
        elif time.monotonic() - self._saved > SECONDS_BETWEEN_SAVES:
            self.save()

    def stop(self) -> None:
        """Finish and save the last stage."""
        self._count()
        self.save()

    def save(self) -> None:
        """Write the record."""
        self._saved = time.monotonic()
        write_json_atomic(self._path, self._content)

    def _count(self) -> None:
        now = time.monotonic()
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._since = now
