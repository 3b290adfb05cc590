"""Commands that people copy: found in scripts and pages, and read by the programs they call."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from napari_singlestrip.cli import app, bids_app
from napari_singlestrip.cli.options import spread_labels

_START = re.compile(r"(?<![\w./-])(singlestrip-bids|singlestrip\.sif|singlestrip)(?= )")
_END = re.compile(r"[|;>]|&&|(?<!\S)#|\)|\"$|`")


@dataclass(frozen=True)
class Recipe:
    """A command as it stands somewhere: the program, and its words."""

    program: str
    words: tuple[str, ...]

    def check(self) -> None:
        """Let the program read its arguments, and do nothing.

        Raises
        ------
        ValueError
            If it would not take them, with what it says.
        """
        programs: dict[str, tuple[typer.Typer, Callable[[Sequence[str]], list[str]]]] = {
            "singlestrip": (app.app, spread_labels),
            "singlestrip-bids": (bids_app.app, bids_app.spread_bids_labels),
        }
        programs["singlestrip.sif"] = programs["singlestrip-bids"]
        of_typer, spread = programs[self.program]
        command: Any = typer.main.get_command(of_typer)
        words = spread(self.words)
        try:
            if hasattr(command, "commands"):
                around = command.make_context(self.program, list(words), resilient_parsing=True)
                around.resilient_parsing = False
                _name, command, words = command.resolve_command(around, words)
            command.make_context(self.program, list(words))
        except Exception as error:
            if not hasattr(error, "format_message"):  # typer has click's classes within, or not
                raise
            raise ValueError(f"{self}: {error.format_message()}") from error


def recipes(path: Path) -> list[Recipe]:
    """All commands of ours in a script, or in the blocks of a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        text = "\n".join(block for language, block in blocks if language in ("", "sh", "bash"))
    if path.name == "Snakefile":
        text = re.sub(r'"\n\s*"', "", text).replace("{", "x").replace("}", "x")
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return list(_commands(text.replace("\\\n", " ")))


def _commands(text: str) -> Iterator[Recipe]:
    for line in text.splitlines():
        if " build " in line:  # of docker and apptainer: names an image
            continue
        for found in _START.finditer(line):
            rest = line[found.end() :]
            end = _END.search(rest)
            words = shlex.split(rest[: end.start()] if end else rest)
            # A synopsis is no command.
            if not {"...", "STUDY", "..", "--help"} & set(words) and "[" not in rest:
                yield Recipe(found[1], tuple(words))
