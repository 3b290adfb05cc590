"""Names of files that people really have, through the commands: never a traceback, one meaning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.cli import app as cli
from napari_singlestrip.cli.console import ConsoleSink, make_console, show_table
from napari_singlestrip.cli.options import parse_masks
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Failed, Note
from napari_singlestrip.pipeline.export_masks import export_masks
from napari_singlestrip.study.decision_table import DecisionTable
from napari_singlestrip.study.job_log import JobLog
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision

NAMES = [
    "Zoe\u0308", "a=b", "it's \"quoted\"", "dots.and. ", "new\nline", "\x1b[31mred", "CON", "=1+1",
    "x" * 248, "頭部",
]  # fmt: skip
only_posix = pytest.mark.skipif(os.name != "posix", reason="file names are text there")


def write(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 900, (6, 7, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path.parent / "t.nii")
    (path.parent / "t.nii").rename(path)  # nibabel would not write all names
    return path


def write_mask(path: Path) -> Path:
    values = np.zeros((6, 7, 8), np.uint8)
    values[:3, :3, :3] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


def run_cli(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def latin1(folder: Path, name: bytes = b"M\xfcller.nii") -> Path:
    """A file whose name is not UTF-8; skips where the disk has none."""
    path = folder / os.fsdecode(name)
    try:
        return write(path)
    except OSError:
        pytest.skip("this disk takes UTF-8 names only")


@only_posix
@pytest.mark.parametrize("name", NAMES)
def test_a_scan_of_any_name_in_a_study(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, mask = write(tmp_path / "in" / f"{name}.nii"), write_mask(tmp_path / "m.nii.gz")
    folder = tmp_path / "study"
    assert run_cli("new", folder, file.parent, "--mask", f"{name}={mask}") == 0
    study = Study.open(folder)
    (stored,) = study.scans.names
    assert study.masks.names() == (stored,)
    assert study.scans.path(stored) == file and study.scans.name_of(file) == stored
    list(export_masks(study, tmp_path / "out"))
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 1
    assert run_cli("decide", folder, name, "reject", "--note", "=1+1") == 0
    assert study.decisions.all()[stored].note == "=1+1"
    assert run_cli("add", folder, file.parent) == 0
    out, err = capsys.readouterr()
    assert "Nothing is new" in out
    assert "\x1b" not in out + err and "\nline" not in out + err


@only_posix
def test_a_name_that_is_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = latin1(tmp_path / "in")
    mask = write_mask(tmp_path / "m.nii.gz")
    folder = tmp_path / "study"
    assert run_cli("new", folder, tmp_path / "in", "--mask", f"M%FCller={mask}") == 0
    json.loads((folder / "study.json").read_bytes().decode("utf-8"))
    study = Study.open(folder)
    assert study.scans.names == ("M%FCller",)
    assert study.scans.path("M%FCller") == file and file.exists()
    assert study.scans.entry(file.name.removesuffix(".nii")).name == "M%FCller"
    other = latin1(tmp_path / "more", b"K\xf6nig_mask.nii")
    assert run_cli("add", folder, other) == 0
    assert run_cli("masks", folder, "--out", tmp_path / "out") == 0
    assert run_cli("decide", folder, "M%FCller", "reject") == 0
    assert run_cli("report", folder) == 0
    assert "Traceback" not in capsys.readouterr().err


@only_posix
def test_a_mask_whose_own_path_is_not_utf8(tmp_path: Path) -> None:
    scan = write(tmp_path / "a.nii")
    mask = latin1(tmp_path / "masks", b"\xe4.nii")
    nib.save(nib.load(write_mask(tmp_path / "m.nii")), tmp_path / "m2.nii")
    (tmp_path / "m2.nii").replace(mask)
    study = Study.create(tmp_path / "study", [scan], {"a": mask})
    assert study.masks.records()["a"].source == str(mask)


def test_names_typed_in_any_spelling_of_unicode(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", [write(tmp_path / "Zo\u00eb.nii")])
    for typed in ("Zo\u00eb", "Zoe\u0308"):
        assert study.scans.entry(typed).name == "Zo\u00eb"
    with pytest.raises(UserError, match="no scan"):
        study.scans.entry("Zoe")


@only_posix
@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LANG": "C"}])
def test_no_locale_changes_a_name(locale: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "in" / "Zo\u00eb.nii")
    latin1(tmp_path / "in")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-m", "napari_singlestrip", "new", "study", "in"],
        cwd=tmp_path, env={**clean, **locale}, capture_output=True, check=False, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert Study.open(tmp_path / "study").scans.names == ("M%FCller", "Zo\u00eb")
    assert "Zo" in done.stdout.decode("utf-8", "replace") or done.stdout


# --- NAME=FILE


def test_masks_where_name_or_file_holds_an_equals_sign(tmp_path: Path) -> None:
    for name in ("m.nii", "c=m.nii", "b=c=m.nii"):
        write_mask(tmp_path / name)
    where = os.path.relpath(tmp_path)
    assert parse_masks([f"a={where}/m.nii"]) == {"a": Path(where, "m.nii")}
    assert parse_masks([f"a=b={where}/c=m.nii"]) == {"a=b": Path(where, "c=m.nii")}
    assert parse_masks(["a=gone=1.nii"]) == {"a": Path("gone=1.nii")}  # told when it is read
    assert parse_masks(["x=y=gone.nii"], lambda: ["x=y"]) == {"x=y": Path("gone.nii")}


def test_masks_that_can_be_read_in_two_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("m.nii", "b=m.nii"):
        write_mask(tmp_path / name)
    assert parse_masks(["a=b=m.nii"], lambda: ["a"]) == {"a": Path("b=m.nii")}
    assert parse_masks(["a=b=m.nii"], lambda: ["a=b"]) == {"a=b": Path("m.nii")}
    with pytest.raises(UserError, match="two ways"):
        parse_masks(["a=b=m.nii"], lambda: ["a", "a=b"])
    with pytest.raises(UserError, match="twice"):
        parse_masks(["a=m.nii", "a=b=m.nii"], lambda: ["a"])


@pytest.mark.parametrize("text", ["a", "=m.nii", "a=", ""])
def test_masks_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError, match="Cannot read --mask"):
        parse_masks([text])


# --- what is shown and written


def test_a_terminal_obeys_nothing_in_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;owned\x07\r\nDone.\u202e\udcfc"
    console = make_console()
    sink = ConsoleSink(console=console)
    sink(Note(f"{evil} is odd", "warning", evil))
    sink(Failed(f"{evil} is damaged", evil, f"Traceback:\n  {evil}"))
    show_table(console, [{"scan": evil}])
    (tmp_path / "study.json").touch()
    log = JobLog(tmp_path)
    log(Note(evil, "warning"))
    log(Failed(evil, evil, f"Traceback:\n  {evil}"))
    log.close()
    out, err = capsys.readouterr()
    for text in (out, err, (tmp_path / "job.log").read_text(encoding="utf-8")):
        assert "owned" in text
        assert not any(sign in text for sign in ("\x1b", "\x07", "\r", "\u202e", "\udcfc"))
    assert "\nDone." not in out


def test_tables_of_a_study_are_no_formulas(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    decision = Decision("=1+1", "rejected", "@note")
    table = DecisionTable()
    table.put(decision)
    table.write(path)
    assert path.read_text().splitlines()[1].startswith("'=1+1,rejected,'@note")
    (read,) = DecisionTable.read(path).rows.values()
    assert (read.scan, read.note) == ("=1+1", "@note")


# --- names of files for folders


@pytest.mark.parametrize(
    "command",
    [
        ("apply", "study", "in", "--out", "mask.nii.gz"), ("masks", "study", "--out", "m.nii"),
        ("samples", "heads.nii.gz"), ("new", "sub-01.nii.gz", "in"),
        ("demo", "--out", "demo.mgz"), ("export", "study", "model.nii.gz"),
        ("export", "study", "in"), ("report", "study", "--out", "r.nii.gz"),
        ("evaluate", "in", "in", "--csv", "in/a.nii"),
    ],
)
def test_a_file_name_never_becomes_a_folder(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = write(tmp_path / "in" / "a.nii").read_bytes()
    Study.create("study", ["in"], {"a": write_mask(tmp_path / "m" / "a.nii")})
    there = {path.name for path in tmp_path.iterdir()}
    assert run_cli(*command) == 2
    assert "name of a" in (err := capsys.readouterr().err) or "is a folder" in err
    assert {path.name for path in tmp_path.iterdir()} == there
    assert (tmp_path / "in" / "a.nii").read_bytes() == before
