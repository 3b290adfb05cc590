"""One file of a finished study is spoiled in one way: each command says so, or goes on without it.

A study is copied, mailed, synchronised and edited; whatever its files hold, nobody sees a traceback
and nothing hangs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from napari_singlestrip.cli.app import main
from napari_singlestrip.errors import NOTHING_DONE, OK, SOME_FAILED, USER_MISTAKE, UserError
from napari_singlestrip.report import charts
from napari_singlestrip.sample_data.finished_study import unfold
from napari_singlestrip.study.finetuning_plan import finetuning_plan
from napari_singlestrip.study.review import review
from napari_singlestrip.study.round_facts import trained_rounds
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.apply.model_list import models_of
from napari_singlestrip.widgets.train.facts import tracks, training_facts

Spoil = Callable[[Path], None]

JSON_FILES = ("study.json", "masks/provenance.json", "rounds/00/settings.json",
              "rounds/00/training_set.json", "rounds/00/metrics.jsonl")  # fmt: skip
TABLES = ("decisions.csv", "rounds/00/scores.csv")
SETTINGS, TRAINING_SET = JSON_FILES[2:4]
STRIDES = {SETTINGS: 17, TRAINING_SET: 4}  # of so many values one is tried in the short test
FILES = JSON_FILES + TABLES
N_SCANS = 3
CALM = (OK, USER_MISTAKE, SOME_FAILED, NOTHING_DONE)


# --- ways to spoil a file


def content(change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return spoil


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(2 * 2**30)  # sparse: it takes no place


WAYS: dict[str, Spoil] = {
    "missing": Path.unlink, "folder": folder, "huge": huge,
    **({"pipe": pipe} if hasattr(os, "mkfifo") else {}),
    **({"loop": loop} if os.name != "nt" else {}),
    **{name: content(change) for name, change in {
        "empty": lambda c: b"", "other bytes": lambda c: bytes(range(256)),
        "one byte": lambda c: c[: len(c) // 2] + b"\xff" + c[len(c) // 2 :],
        "NUL": lambda c: c[: len(c) // 2] + b"\0" + c[len(c) // 2 :],
        "half": lambda c: c[: len(c) // 2], "CRLF": lambda c: c.replace(b"\n", b"\r\n"),
        "BOM": lambda c: b"\xef\xbb\xbf" + c, "UTF-16": lambda c: c.decode().encode("utf-16"),
        "deep": lambda c: b"[" * 100_000, "deep pairs": lambda c: b"[" * 600 + b"]" * 600,
        "deep names": lambda c: b'{"a":' * 600 + b"1" + b"}" * 600,
        "null": lambda c: b"null", "list": lambda c: b"[]", "pairs": lambda c: b"{}",
        "number": lambda c: b"1e400", "long number": lambda c: b"9" * 5000,
        "half a letter": lambda c: b'"\\ud800"', "twice": lambda c: c + c,
    }.items()},
}  # fmt: skip

# What stands for a value in JSON, as text: some of it no JSON library writes.
VALUES = ("null", "true", "-1", "1.5", "1e400", "NaN", "9" * 400, '"abc"', '"\\ud800\\u0000"',
          '"' + "x" * 3000 + '"', "[]", "{}", "[[1]]", '{"a": {"b": []}}', "[null]")  # fmt: skip
CELLS = ("", "abc", "nan", "inf", "1e400", "-1", "1.5", "9" * 400, "\0", "=1+1", "x" * 200_000,
         '"', "../../x", "1e300", "٣", "\u202e", "\x1b[2J")  # fmt: skip
MARK = "put the value here"


def places(value: Any, depth: int = 0) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a document; of a list only the first."""
    yield ()
    parts = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(
        value, list) else ()
    for key, part in parts if depth < 3 else ():
        for place in places(part, depth + 1):
            yield (key, *place)


def with_value(document: Any, place: tuple[Any, ...], value: str) -> str:
    """The document with `value`, as text, at a place."""
    if not place:
        return value
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = MARK
    return json.dumps(copy).replace(f'"{MARK}"', value)


def spoilt_json(path: Path) -> list[tuple[str, str]]:
    """All documents with one value replaced, with what was done."""
    text = path.read_text()
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    document, rest = json.loads(lines[-1]), "".join(line + "\n" for line in lines[:-1])
    return [
        (f"{'/'.join(map(str, place))}={value[:20]}", rest + with_value(document, place, value))
        for place in places(document) for value in VALUES
    ]


def spoilt_table(path: Path) -> list[tuple[str, str]]:
    """All tables with one cell of the first row replaced, or a column renamed."""
    header, first, *rest = path.read_text().splitlines()
    found = []
    for n, name in enumerate(header.split(",")):
        for value in CELLS:
            cells = first.split(",")
            cells[n] = value
            found.append((f"{name}={value[:20]}", "\n".join([header, ",".join(cells), *rest])))
        names = header.split(",")
        names[n] = "other"
        found.append((f"no {name}", "\n".join([",".join(names), first, *rest])))
    return found


# --- what is done with the study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged study with a decision, and with few scans: each probe copies it."""
    study = Study.open(unfold(tmp_path_factory.mktemp("finished")))
    study.decisions.decide(study.scans.names[1], "accepted", note="good")
    for name in study.scans.names[N_SCANS:]:
        study.scans.remove(name)
    for unused in ("heat_maps", "reconstructions", "previews"):
        shutil.rmtree(study.rounds.folder(0) / unused)
    rows = [row for row in study.rounds.scores(0) if row.scan in study.scans.names]
    study.rounds.save_scores(0, rows)
    return study.folder


@pytest.fixture
def copy(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(charts, "_render", lambda *_: "data:image/png;base64,")
    return Path(shutil.copytree(finished, tmp_path / "study"))


def survives(folder: Path, *, commands: bool = True) -> None:
    """Whatever can be done with a study ends well, or in a sentence."""
    with suppress(UserError):
        study = Study.open(folder)
        assert [one.round for one in trained_rounds(study)] in ([], [0])
        looks: list[Callable[[], Any]] = [
            lambda: review(study), lambda: finetuning_plan(study), lambda: training_facts(study),
            lambda: tracks(study), lambda: models_of(study, ()), study.decisions.labelled,
            study.masks.records,
        ]
        for look in looks:
            with suppress(UserError):
                look()
    if not commands:
        return
    name = "sample-02_T2w"
    for arguments in (["rank"], ["report"], ["decide", name, "accept"],
                      ["masks", "--out", str(folder / "out"), "--quiet"]):  # fmt: skip
        command, *rest = arguments
        assert main([command, str(folder), *rest]) in CALM, arguments


@pytest.mark.parametrize("way", WAYS)
def test_a_spoiled_file_is_survived(copy: Path, finished: Path, way: str) -> None:
    """Each file in turn; the commands are tried on one of them."""
    for n, file in enumerate(FILES):
        restore(copy, finished)
        WAYS[way](copy / file)
        survives(copy, commands=n == list(WAYS).index(way) % len(FILES))


@pytest.mark.soak
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("file", FILES)
def test_a_spoiled_file_is_survived_by_every_command(copy: Path, file: str, way: str) -> None:
    WAYS[way](copy / file)
    survives(copy)


def restore(copy: Path, finished: Path) -> None:
    for file in FILES:
        path = copy / file
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.copy(finished / file, path)


@pytest.mark.parametrize("file", JSON_FILES)
def test_values_of_other_types_are_survived(copy: Path, file: str) -> None:
    """In the window's lists; each command is tried by the long test."""
    for what, text in spoilt_json(copy / file)[:: STRIDES.get(file, 1)]:
        (copy / file).write_text(text)
        try:
            survives(copy, commands=False)
        except Exception as error:
            error.add_note(what)
            raise


@pytest.mark.parametrize("file", TABLES)
def test_other_cells_are_survived(copy: Path, file: str) -> None:
    for what, text in spoilt_table(copy / file):
        (copy / file).write_text(text)
        try:
            survives(copy, commands=False)
        except Exception as error:
            error.add_note(what)
            raise


@pytest.mark.soak
@pytest.mark.parametrize("file", FILES)
def test_every_value_is_survived_by_every_command(copy: Path, file: str, finished: Path) -> None:
    spoilt = spoilt_table if file in TABLES else spoilt_json
    for what, text in spoilt(finished / file)[:: 5 if file == SETTINGS else 1]:
        restore(copy, finished)
        (copy / file).write_text(text)
        try:
            survives(copy)
        except Exception as error:
            error.add_note(what)
            raise
