"""What each command tells a script by its exit code: all done, some failed, none, a mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.cli import app as cli
from napari_singlestrip.errors import NOTHING_DONE, OK, SOME_FAILED, USER_MISTAKE
from napari_singlestrip.events import Finished, parse_event
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from conftest import Heads

Command = tuple[object, ...]


class Place:
    """What the commands are about."""

    def __init__(self, folder: Path, study: Study, heads: Heads) -> None:
        self.folder, self.study, self.heads = folder, study, heads
        self.good = heads.scans[1]
        self.bad = folder / "bad.nii.gz"
        self.bad.write_bytes(b"not a scan")
        self.flat = folder / "flat.nii.gz"  # can be read, but no brain is in it
        nib.save(nib.Nifti1Image(np.full((20, 20, 20), 7, np.int16), np.eye(4)), self.flat)
        self.nowhere = folder / "nowhere.nii.gz"
        self.out = folder / "out"
        self.painted = f"{heads.names[0]}={heads.masks[0]}"

    def damage(self, path: Path) -> Path:
        """Make a file of the study unreadable."""
        path.write_bytes(b"damaged")
        return path

    def prediction(self, number: int) -> Path:
        """File of a predicted mask."""
        return self.study.rounds.pseudo_label_path(1, self.heads.names[number])


@pytest.fixture
def place(tmp_path: Path, trained_copy: Study, heads: Heads) -> Place:
    return Place(tmp_path, trained_copy, heads)


def new(*scans: str) -> Callable[[Place], Command]:
    return lambda p: ("new", p.out, *(getattr(p, scan) for scan in scans))


def add(*scans: str) -> Callable[[Place], Command]:
    return lambda p: ("add", p.study.folder, *(getattr(p, scan) for scan in scans))


def apply(*scans: str) -> Callable[[Place], Command]:
    return lambda p: (
        "apply", p.study.folder, *(getattr(p, scan) for scan in scans), "--out", p.out,
        "--device", "cpu",
    )  # fmt: skip


def predict_with(n_bad: int) -> Callable[[Place], Command]:
    def command(p: Place) -> Command:
        for name in p.heads.names[1 : 1 + n_bad]:
            path = p.folder / "scans" / f"{name}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            p.damage(path)
            entries = (e.model_copy(update={"path": str(path)}) if e.name == name else e
                       for e in p.study.scans)  # fmt: skip
            with p.study._folder.changing(document=True):
                p.study._folder.write_document(scans=tuple(entries))
        return "run", p.study.folder, "--stages", "predict", "--device", "cpu"

    return command


def masks_with(*numbers: int) -> Callable[[Place], Command]:
    def command(p: Place) -> Command:
        for number in numbers:
            p.damage(p.prediction(number) if number else p.study.masks.path(p.heads.names[0]))
        return "masks", p.study.folder, "--out", p.out

    return command


def with_references(what: str, damaged: bool) -> Callable[[Place], Command]:
    def command(p: Place) -> Command:
        p.study.references.set_folder(p.heads.masks[0].parent)
        if damaged:
            p.damage(p.prediction(1))
        return what, p.study.folder

    return command


def evaluate(*masks: str) -> Callable[[Place], Command]:
    def command(p: Place) -> Command:
        for folder in ("masks", "truth"):
            (p.folder / folder).mkdir()
        for name in masks:
            for folder in ("masks", "truth"):
                (p.folder / folder / f"{name}.nii.gz").write_bytes(p.heads.masks[1].read_bytes())
        for path in (p.folder / "masks").glob("bad*"):
            p.damage(path)
        return "evaluate", p.folder / "masks", p.folder / "truth"

    return command


CASES: list[tuple[str, Callable[[Place], Command], int]] = [
    ("new", new("good"), OK),
    ("new", new("good", "bad"), SOME_FAILED),
    ("new", new("good", "nowhere"), SOME_FAILED),
    ("new", new("bad"), NOTHING_DONE),
    ("new", new("nowhere"), USER_MISTAKE),
    ("new", lambda p: ("new", p.out, p.good, "--mask", f"x={p.bad}"), USER_MISTAKE),
    ("add", add("flat"), OK),
    ("add", add("good"), OK),  # it is there
    ("add", add("flat", "bad"), SOME_FAILED),
    ("add", add("flat", "nowhere"), SOME_FAILED),
    ("add", add("bad"), NOTHING_DONE),
    ("add", add("nowhere"), USER_MISTAKE),
    ("run", lambda p: ("run", p.study.folder, "--device", "cpu"), OK),
    ("run", predict_with(1), SOME_FAILED),
    ("run", predict_with(3), NOTHING_DONE),
    ("run", lambda p: ("run", p.folder), USER_MISTAKE),
    ("apply", apply("good"), OK),
    ("apply", apply("good", "flat", "bad"), SOME_FAILED),
    ("apply", apply("good", "nowhere"), SOME_FAILED),
    ("apply", apply("flat", "bad"), NOTHING_DONE),
    ("apply", apply("nowhere"), USER_MISTAKE),
    ("masks", masks_with(), OK),
    ("masks", masks_with(1), SOME_FAILED),
    ("masks", masks_with(0, 1, 2, 3), NOTHING_DONE),
    ("masks", lambda p: ("masks", p.folder, "--out", p.out), USER_MISTAKE),
    ("evaluate", evaluate("a", "b"), OK),
    ("evaluate", evaluate("a", "bad"), SOME_FAILED),
    ("evaluate", evaluate("bad", "bad2"), NOTHING_DONE),
    ("evaluate", lambda p: ("evaluate", p.nowhere, p.nowhere), USER_MISTAKE),
    ("rank", with_references("rank", damaged=False), OK),
    ("rank", with_references("rank", damaged=True), SOME_FAILED),
    ("rank", lambda p: ("rank", p.nowhere), USER_MISTAKE),
    ("report", with_references("report", damaged=False), OK),
    ("report", with_references("report", damaged=True), SOME_FAILED),
    ("report", lambda p: ("report", p.nowhere), USER_MISTAKE),
    ("export", lambda p: ("export", p.study.folder, p.folder / "model.pt"), OK),
    ("export", lambda p: ("export", p.nowhere, p.folder / "model.pt"), USER_MISTAKE),
    ("estimate", lambda p: ("estimate", p.nowhere), USER_MISTAKE),
    ("decide", lambda p: ("decide", p.study.folder, p.heads.names[1], "accept"), OK),
    ("decide", lambda p: ("decide", p.study.folder, "nobody", "accept"), USER_MISTAKE),
    ("samples", lambda p: ("samples", p.out, "--n", "1", "--spacing", "8"), OK),
    ("samples", lambda p: ("samples", p.bad), USER_MISTAKE),
    ("demo", lambda p: ("demo", "--out", p.study.folder), USER_MISTAKE),
]


@pytest.mark.parametrize(
    ("command", "expected"), [case[1:] for case in CASES],
    ids=[f"{name}-{code}" for name, _, code in CASES],
)
def test_exit_code(
    place: Place, command: Callable[[Place], Command], expected: int,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main() sets its own
    arguments = [str(word) for word in command(place)]
    assert cli.main(arguments) == expected
    said = capfd.readouterr()
    if expected != OK:
        assert said.err or "failed" in said.out  # not without a word


def test_masks_that_are_there_already_are_done(place: Place) -> None:
    arguments = [str(word) for word in apply("good")(place)]
    assert [cli.main(arguments), cli.main(arguments)] == [OK, OK]
    arguments = [str(word) for word in apply("good", "bad")(place)]
    assert [cli.main(arguments), cli.main(arguments)] == [SOME_FAILED, SOME_FAILED]


def test_help_says_what_the_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == OK
    text = " ".join(capsys.readouterr().out.split())
    codes = "0 done", "1 a bug", "2 not started", "3 done but", "4 all scans failed", "130 stopped"
    for words in codes:
        assert words in text


@pytest.mark.parametrize("command", ["masks", "report"])
def test_programs_are_told_the_same(place: Place, command: str) -> None:
    arguments = [str(word) for word in (
        masks_with(1) if command == "masks" else with_references("report", damaged=True)
    )(place)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-m", "napari_singlestrip", *arguments, "--events"], stdin=pipe,
        stdout=pipe, text=True,
    ) as process:
        assert process.stdout is not None
        *_, end = [parse_event(line) for line in process.stdout]  # stdin stays open meanwhile
    assert isinstance(end, Finished) and end.n_failed
    assert process.returncode == SOME_FAILED


@pytest.mark.skipif(sys.platform == "win32", reason="its file names are no bytes")
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_terminals_of_few_letters_are_spoken_to(tmp_path: Path, encoding: str) -> None:
    names = ["M\u00fcller\u2192.nii.gz", os.fsdecode(b"Z\xfcrich.nii.gz")]
    for name in names:
        (tmp_path / name).write_bytes(b"damaged")
    environment = {**os.environ, "LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-m", "napari_singlestrip", "evaluate", tmp_path, tmp_path],
        env=environment, check=False, capture_output=True,
    )
    assert done.returncode == NOTHING_DONE, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"rich" in done.stdout
