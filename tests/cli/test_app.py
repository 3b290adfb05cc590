"""The command line: every command, its help, its exit codes, and its words for bad input."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip import __version__
from napari_singlestrip.cli import app as cli
from napari_singlestrip.engine.devices.launch import Place
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import (
    Cancelled,
    Event,
    Finished,
    Note,
    Progress,
    Started,
    Wrote,
    parse_event,
)
from napari_singlestrip.study.lock import StudyLock
from napari_singlestrip.study.parts import ALL
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow

COMMANDS = (
    "demo", "dicom", "new", "add", "run", "judge", "rank", "report", "decide", "apply", "strip",
    "evaluate", "export", "masks", "doctor",
)  # fmt: skip
Output = pytest.CaptureFixture[str]


def write_volume(path: Path, values: np.ndarray[Any, Any] | None = None) -> Path:
    """Write a small scan, or the given values as one."""
    if values is None:
        values = np.random.default_rng(0).random((6, 7, 8), dtype=np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


def cube(size: int = 3) -> np.ndarray[Any, Any]:
    """Return a mask with a cube in it."""
    mask = np.zeros((6, 7, 8), dtype=np.uint8)
    mask[:size, :size, :size] = 1
    return mask


@pytest.fixture(autouse=True)
def excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main() sets its own
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("a", "b", "c", "d"):
        write_volume(tmp_path / "scans" / f"{name}.nii.gz")
    write_volume(tmp_path / "a_mask.nii.gz", cube())
    return tmp_path


@pytest.fixture
def study(data: Path) -> Study:
    return Study.create(data / "study", [data / "scans"], {"a": data / "a_mask.nii.gz"})


class FakeStages(ModuleType):
    """Stands in for the stages: remembers how it was called, and yields what it is told to."""

    def __init__(self) -> None:
        super().__init__("napari_singlestrip.pipeline.stages")
        self.calls: list[dict[str, Any]] = []
        self.events: list[Event] = [
            Started("train", "cpu"),
            Progress("train", 1, 2, {"loss": 0.5}, 3.0),
            Progress("train", 2, 2, {"loss": 0.25}, 0.0),
            Note("[bold] is only a name", "warning", "sub-[01]"),
            Note("Nothing unusual."),
            Finished(200.0, {"dice": 0.97}),
        ]
        self.error: Exception | None = None

    def run(self, study: Study, **options: Any) -> Iterator[Event]:
        self.calls.append({"study": study.folder, **options})
        yield from self.events
        if self.error is not None:
            raise self.error

    def apply(self, model: Path, scans: Sequence[Path], out: Path, **o: Any) -> Iterator[Event]:
        self.calls.append({"model": model, "scans": scans, "out": out, **o})
        yield from self.events

    def export_model(
        self, study: Study, path: Path, round_: int | None = None, form: str = ""
    ) -> None:
        path.write_text(study.name if round_ is None else f"{study.name} {round_}")


def put_module(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Have `import` find `module`, whether or not the real one was imported before."""
    package, _, name = module.__name__.rpartition(".")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(importlib.import_module(package), name, module, raising=False)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> FakeStages:
    fake = FakeStages()
    put_module(monkeypatch, fake)
    applying = ModuleType("napari_singlestrip.pipeline.apply")
    applying.apply = fake.apply  # type: ignore[attr-defined]
    put_module(monkeypatch, applying)
    model = ModuleType("napari_singlestrip.pipeline.trained_model")
    model.export_model = fake.export_model  # type: ignore[attr-defined]
    put_module(monkeypatch, model)
    return fake


def run_cli(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def refusal(capsys: Output, *arguments: object) -> str:
    """Return the two lines on stderr of a command that a person has to change."""
    assert run_cli(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 2, err
    return err


# --- help and version


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_teaches(command: str, capsys: Output) -> None:
    assert run_cli(command, "--help") == 0
    text = capsys.readouterr().out
    assert f"singlestrip {command}" in text
    if command != "doctor":
        assert "Example" in text


def test_help_lists_the_commands_and_how_to_begin(capsys: Output) -> None:
    assert run_cli("--help") == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text, re.MULTILINE)
    assert "singlestrip new my_study" in text
    assert "…" not in text
    assert "..." not in text.split("Commands:")[1]  # no description is cut off


def test_version(capsys: Output) -> None:
    assert run_cli("--version") == 0
    assert capsys.readouterr().out == f"singlestrip {__version__}\n"


def test_help_is_fast_and_light() -> None:
    code = (
        "import sys, time; from napari_singlestrip.cli.app import main; code = main(['--help']);"
        "heavy = {'torch', 'numpy', 'nibabel', 'pydantic', 'scipy', 'monai'} & set(sys.modules);"
        "print(time.process_time(), file=sys.stderr); sys.exit(code or bool(heavy))"
    )
    seconds = []  # of the processor: those of the clock depend on what else is running
    for _ in range(3):
        run = [sys.executable, "-c", code]
        done = subprocess.run(run, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
        seconds.append(float(done.stderr))
    assert min(seconds) < 0.4


@pytest.mark.parametrize("arguments", [["fly"], ["run"], ["run", "x", "--fast"], ["decide", "x"]])
def test_wrong_usage(arguments: list[str], capsys: Output) -> None:
    assert run_cli(*arguments) == 2
    assert "Usage" in capsys.readouterr().err


# --- new


def test_new(data: Path, capsys: Output) -> None:
    code = run_cli(
        "new", data / "study", data / "scans", "--mask", f"a={data / 'a_mask.nii.gz'}",
        "--reference", data / "scans", "--effort", "standard", "--set", "training.steps=5",
    )  # fmt: skip
    assert code == 0
    text = capsys.readouterr().out
    assert "4 scans, 1 painted mask" in text
    assert f"singlestrip run {data / 'study'}" in text
    study = Study.open(data / "study")
    assert study.masks.names() == ("a",)
    assert study.references.folder == data / "scans"
    assert "Reference masks: of 0 of 4 scans. Name each like its scan" in text
    assert (study.settings().effort, study.settings().training.steps) == ("standard", 5)


def test_new_says_how_many_scans_have_a_reference_mask(data: Path, capsys: Output) -> None:
    references = data / "true"
    references.mkdir()
    shutil.copy(data / "a_mask.nii.gz", references)
    arguments = ("new", data / "study", data / "scans", "--reference", references)
    assert run_cli(*arguments) == 0
    assert "Reference masks: of 1 of 4 scans.\n" in capsys.readouterr().out
    (references / "a_mask.nii.gz").unlink()
    assert run_cli(arguments[0], data / "other", *arguments[2:]) == 0
    assert "No reference masks: " in capsys.readouterr().out


def test_new_of_one_scan_without_mask_says_what_is_missing(data: Path, capsys: Output) -> None:
    assert run_cli("new", data / "study", data / "scans" / "a.nii.gz") == 0
    text = capsys.readouterr().out
    assert "1 scan, 0 painted masks" in text
    assert "nothing to predict" in text
    assert "paint" in text


def test_new_with_a_damaged_scan_goes_on(data: Path, capsys: Output) -> None:
    bad = data / "scans" / "bad.nii.gz"
    bad.write_bytes(b"not a scan")
    assert run_cli("new", data / "study", data / "scans", "--quiet") == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "bad.nii.gz" in err
    assert "bad" in Study.open(data / "study").scans.names


def test_new_of_one_folder_for_each_patient(data: Path, capsys: Output) -> None:
    for patient in ("p1", "p2"):
        write_volume(data / "ward" / patient / "T1.nii.gz")
    mask = data / "a_mask.nii.gz"
    assert run_cli("new", data / "study", data / "ward", "--mask", f"p2_T1={mask}") == 0
    study = Study.open(data / "study")
    assert (study.scans.names, study.masks.names()) == (("p1_T1", "p2_T1"), ("p2_T1",))
    assert "2 scans, 1 painted mask" in capsys.readouterr().out
    assert "p1_T1" in refusal(
        capsys, "new", data / "other", data / "ward", "--mask", f"T1={mask}"
    )


def test_bad_input_of_new(data: Path, capsys: Output) -> None:
    folder = data / "study"
    (data / "empty").mkdir()
    twins = [write_volume(data / "twins" / f"a.{ending}") for ending in ("nii", "nii.gz")]
    mask = data / "a_mask.nii.gz"
    cases: list[tuple[list[str], list[object]]] = [
        (["empty"], [data / "empty"]),
        (["nowhere.nii"], [data / "nowhere.nii"]),
        ([str(path) for path in twins], [data / "twins"]),
        (["trainig.steps", "training.steps"], [data / "scans", "--set", "trainig.steps=5"]),
        (["training.steps"], [data / "scans", "--set", "training.steps=many"]),
        (["NAME=VALUE"], [data / "scans", "--set", "training.steps"]),
        (["'aa'", "scan"], [data / "scans", "--mask", f"aa={mask}"]),
        (["NAME=FILE"], [data / "scans", "--mask", mask]),
        (["no_mask.nii"], [data / "scans", "--mask", "a=no_mask.nii"]),
        (["hasty", "quick"], [data / "scans", "--effort", "hasty"]),
        (["no_references"], [data / "scans", "--reference", "no_references"]),
    ]
    for words, arguments in cases:
        text = refusal(capsys, "new", folder, *arguments)
        assert all(word in text for word in words), text
        assert not folder.exists()


def test_new_where_nothing_can_be_written(data: Path, capsys: Output) -> None:
    (data / "file").touch()
    text = refusal(capsys, "new", data / "file" / "study", data / "scans")
    assert "file" in text


def test_new_twice(study: Study, data: Path, capsys: Output) -> None:
    assert "study already" in refusal(capsys, "new", study.folder, data / "scans")


# --- add


def test_add_names_what_is_new(study: Study, data: Path, capsys: Output) -> None:
    had = study.scans.names
    write_volume(data / "more" / "z.nii.gz")
    assert run_cli("add", study.folder, data / "scans", data / "more") == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0] == "z"
    assert f"1 scan added to the study {study.name}, which has {len(had) + 1} now" in text
    assert f"singlestrip run {study.folder}" in text
    assert Study.open(study.folder).scans.names == (*had, "z")


def test_add_again_changes_nothing(study: Study, data: Path, capsys: Output) -> None:
    before = (study.folder / "study.json").read_bytes()
    assert run_cli("add", study.folder, data / "scans") == 0
    assert "Nothing is new" in capsys.readouterr().out
    assert (study.folder / "study.json").read_bytes() == before


def test_add_with_a_damaged_scan_goes_on(study: Study, data: Path, capsys: Output) -> None:
    bad = data / "more" / "bad.nii.gz"
    write_volume(data / "more" / "z.nii.gz")
    bad.write_bytes(b"not a scan")
    assert run_cli("add", study.folder, data / "more", "--quiet") == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "bad.nii.gz" in err
    assert {"bad", "z"} <= set(Study.open(study.folder).scans.names)


def test_add_refuses_what_is_no_scan_and_no_study(
    study: Study, data: Path, capsys: Output
) -> None:
    assert "nowhere.nii" in refusal(capsys, "add", study.folder, "nowhere.nii")
    assert "singlestrip new" in refusal(capsys, "add", data / "nowhere", data / "scans")


# --- run


def test_run_passes_everything_on(study: Study, stages: FakeStages, capsys: Output) -> None:
    code = run_cli(
        "run", study.folder, "--stages", "predict, rank", "--rounds", 2, "--effort", "standard",
        "--device", "cpu", "--seed", 3, "--set", "training.steps=5", "--set", "label_map.denoise=1",
        "--restart",
    )  # fmt: skip
    assert code == 0
    assert stages.calls == [
        {
            "study": study.folder,
            "stages": ("predict", "rank"),
            "rounds": 2,
            "effort": "standard",
            "device": "cpu",
            "seed": 3,
            "overrides": {"training.steps": "5", "label_map.denoise": "1"},
            "restart": True,
            "watch": "",
            "part": ALL,
            "learn_only": False,
            "place": Place(),
        }
    ]
    text = capsys.readouterr().out
    assert "Warning: sub-[01]: [bold] is only a name" in text
    assert "train 2/2" in text
    assert "dice: 0.970" in text
    assert "Done in 3 min" in text


def test_run_without_options(study: Study, stages: FakeStages) -> None:
    assert run_cli("run", study.folder) == 0
    assert stages.calls[0]["stages"] is None
    assert stages.calls[0]["overrides"] == {}
    assert stages.calls[0]["seed"] is None


def test_quiet_run_shows_warnings_only(study: Study, stages: FakeStages, capsys: Output) -> None:
    assert run_cli("run", study.folder, "--quiet") == 0
    assert capsys.readouterr().out.splitlines() == ["Warning: sub-[01]: [bold] is only a name"]


def test_cancelled_run(study: Study, stages: FakeStages, capsys: Output) -> None:
    stages.events = [Started("train"), Cancelled("train", 3)]
    assert run_cli("run", study.folder) == 130
    assert "same command" in capsys.readouterr().out


def test_interrupt_cancels_the_run(study: Study, stages: FakeStages) -> None:
    import signal

    def interrupted(study: Study, **options: Any) -> Iterator[Event]:
        signal.raise_signal(signal.SIGINT)
        yield Progress("train", 1, 2)
        raise AssertionError("goes on")

    stages.run = interrupted  # type: ignore[method-assign]
    assert run_cli("run", study.folder) == 130


def test_failures_of_a_run(study: Study, stages: FakeStages, capsys: Output) -> None:
    stages.events = []
    stages.error = UserError("b.nii.gz is empty.", "Leave it out.")
    assert refusal(capsys, "run", study.folder).splitlines() == [
        "b.nii.gz is empty.",
        "Leave it out.",
    ]
    stages.error = MemoryError()
    assert "conform.spacing_mm" in refusal(capsys, "run", study.folder)
    stages.error = ZeroDivisionError("division by zero")
    assert run_cli("run", study.folder) == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "singlestrip doctor" in text


def test_bad_input_of_run(study: Study, stages: FakeStages, data: Path, capsys: Output) -> None:
    cases: list[tuple[list[str], list[object]]] = [
        (["nowhere", "singlestrip new"], [data / "nowhere"]),
        (["scans", "study.json"], [data / "scans"]),
        (["dance", "train, autoencoder"], [study.folder, "--stages", "train,dance"]),
        (["no stage"], [study.folder, "--stages", ","]),
        (["no_such"], [study.folder, "--set", "no_such=1"]),
        (["training.steps"], [study.folder, "--set", "training.steps=0"]),
        (["hasty"], [study.folder, "--effort", "hasty"]),
    ]
    for words, arguments in cases:
        text = refusal(capsys, "run", *arguments)
        assert all(word in text for word in words), text
    assert stages.calls == []


def test_damaged_and_newer_study(study: Study, stages: FakeStages, capsys: Output) -> None:
    path = study.folder / "study.json"
    content = json.loads(path.read_text())
    path.write_text("{")
    assert "study.json.bak" in refusal(capsys, "run", study.folder)
    path.write_text(json.dumps({**content, "format": 99}))
    assert "newer version" in refusal(capsys, "run", study.folder)


def test_second_worker_is_refused(study: Study, stages: FakeStages, capsys: Output) -> None:
    with StudyLock(study.folder):
        assert str(os.getpid()) in refusal(capsys, "run", study.folder)
    assert run_cli("run", study.folder) == 0


def test_log_of_the_study_can_be_sent(study: Study, stages: FakeStages) -> None:
    assert run_cli("run", study.folder) == 0
    stages.error = ZeroDivisionError("division by zero")
    stages.events = [Note("second job")]
    assert run_cli("run", study.folder) == 1
    log = (study.folder / "job.log").read_text()
    assert __version__ in log
    assert "WARNING [bold] is only a name" in log
    assert log.index("Finished in 200 s") < log.index("second job") < log.index("Traceback")
    assert "Progress" not in log


FAKE_RUN = """
import sys, types, time
from napari_singlestrip.events import *
import napari_singlestrip.pipeline
fake = types.ModuleType("napari_singlestrip.pipeline.stages")
def run(study, **options):
    print("a library says hello")
    for step in range(1000):
        yield Progress("train", step + 1, 1000)
        time.sleep(0.01)
fake.run = run
sys.modules[fake.__name__] = napari_singlestrip.pipeline.stages = fake
from napari_singlestrip.cli.app import main
sys.exit(main(sys.argv[1:]))
"""


def test_events_mode_speaks_lines_and_obeys(study: Study) -> None:
    command = [sys.executable, "-c", FAKE_RUN, "run", str(study.folder), "--events"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        sign_of_life = parse_event(process.stdout.readline())
        first = parse_event(process.stdout.readline())
        out, err = process.communicate("cancel\n", timeout=20)
    events = [first, *(parse_event(line) for line in out.splitlines())]
    assert process.returncode == 130
    assert sign_of_life == Started("", detail="loading torch")
    assert first == Progress("train", 1, 1000)
    assert isinstance(events[-1], Cancelled)
    assert "a library says hello" in err
    assert not (study.folder / "rounds" / ".lock").exists()
    assert "Cancelled in train" in (study.folder / "job.log").read_text()


def test_module_runs_and_mistakes_exit_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_singlestrip", "run", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 2


def test_bug_outside_a_job_keeps_its_traceback(study: Study) -> None:
    code = (
        "import sys, napari_singlestrip.study.study as s; "
        "from napari_singlestrip.cli.app import main; "
        "s.Study.open = lambda folder: 1 / 0; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "rank", str(study.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "singlestrip doctor" in done.stderr


# --- rank and decide


def test_rank(study: Study, capsys: Output) -> None:
    study.rounds.save_scores(0, [ScoreRow("b", 0.5, 0.8, 20.0, 2), ScoreRow("c", 0.25, rank=1)])
    (study.rounds.folder(1) / "previews").mkdir(parents=True)  # begun, and not ranked yet
    study.decisions.decide("b", "rejected")
    assert run_cli("rank", study.folder) == 0
    title, header, first, second = capsys.readouterr().out.splitlines()
    assert "Round 0" in title
    assert header.split()[0] == "rank"
    assert first.split()[:4] == ["1", "c", "0.250", "-"]
    assert second.split()[:3] == ["2", "b", "0.500"]
    assert second.split()[-1] == "rejected"


def test_rank_before_anything_was_ranked(study: Study, capsys: Output) -> None:
    assert "singlestrip run" in refusal(capsys, "rank", study.folder)


def test_decide(study: Study, data: Path, capsys: Output) -> None:
    write_volume(study.rounds.pseudo_label_path(0, "b"), cube())
    mask = data / "a_mask.nii.gz"
    assert run_cli("decide", study.folder, "b", "accept") == 0
    assert run_cli("decide", study.folder, "c", "reject", "--note", "eyes") == 0
    assert run_cli("decide", study.folder, "d", "correct", "--mask", mask) == 0
    states = {name: decision.state for name, decision in study.decisions.all().items()}
    assert states == {"a": "painted", "b": "accepted", "c": "rejected", "d": "corrected"}
    assert study.decisions.all()["c"].note == "eyes"
    assert run_cli("decide", study.folder, "c", "undo") == 0
    assert "c" not in study.decisions.all()
    assert "b: accepted" in capsys.readouterr().out


def test_bad_input_of_decide(study: Study, data: Path, capsys: Output) -> None:
    cases: list[tuple[str, list[object]]] = [
        ("'bb'", ["bb", "reject"]),
        ("no predicted mask", ["b", "accept"]),
        ("--mask", ["b", "correct"]),
        ("does not go with", ["b", "reject", "--mask", data / "a_mask.nii.gz"]),
    ]
    for word, arguments in cases:
        assert word in refusal(capsys, "decide", study.folder, *arguments)
    assert run_cli("decide", study.folder, "b", "perhaps") == 2


# --- the other commands


def test_apply(study: Study, stages: FakeStages, data: Path) -> None:
    code = run_cli(
        "apply", study.folder, data / "scans", "--out", data / "masks", "--brain",
        "--set", "prediction.border_mm=1",
    )  # fmt: skip
    assert code == 0
    (call,) = stages.calls
    assert call["model"] == study.folder
    assert [path.name for path in call["scans"]] == [f"{n}.nii.gz" for n in "abcd"]
    assert call["out"] == data / "masks"
    assert (call["brain"], call["device"]) == (True, "auto")
    assert call["overrides"] == {"prediction.border_mm": "1"}


def test_apply_to_nothing(study: Study, stages: FakeStages, data: Path, capsys: Output) -> None:
    (data / "empty").mkdir()
    text = refusal(capsys, "apply", study.folder, data / "empty", "--out", data / "masks")
    assert "empty" in text


def test_export(study: Study, stages: FakeStages, data: Path) -> None:
    assert run_cli("export", study.folder, data / "model.pt") == 0
    assert (data / "model.pt").read_text() == "study"
    assert run_cli("export", study.folder, data / "model.pt", "--round", 0) == 0
    assert (data / "model.pt").read_text() == "study 0"


def test_report_speaks_to_programs(study: Study, data: Path) -> None:
    command = [sys.executable, "-m", "napari_singlestrip", "report", str(study.folder), "--events"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        events = [parse_event(line) for line in process.stdout]  # stdin stays open meanwhile
    written = study.folder / "report.html"
    assert events[:2] == [Started("report"), Wrote(str(written), "report")]
    assert isinstance(events[2], Finished)
    assert written.is_file()


def test_masks(study: Study, data: Path) -> None:
    assert run_cli("masks", study.folder, "--out", data / "masks_out", "--brain") == 0
    names = sorted(path.name for path in (data / "masks_out").iterdir())
    assert names == ["a_desc-brain.nii.gz", "a_desc-brain_mask.nii.gz", "masks.csv"]


def test_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Output) -> None:
    calls: list[dict[str, Any]] = []

    def demo(out: Path, **options: Any) -> Iterator[Event]:
        calls.append({"out": out, **options})
        yield Note("report.html is written.")

    fake = ModuleType("napari_singlestrip.demo.run")
    fake.demo = demo  # type: ignore[attr-defined]
    put_module(monkeypatch, fake)
    assert run_cli("demo", "--out", tmp_path, "--seed", 5, "--set", "training.steps=5") == 0
    assert calls == [
        {
            "out": tmp_path,
            "effort": "quick",
            "device": "auto",
            "seed": 5,
            "overrides": {"training.steps": "5"},
        }
    ]
    assert "report.html" in capsys.readouterr().out


@dataclass(frozen=True)
class Figures:
    """A row of an evaluation."""

    scan: str
    dice: float

    @property
    def is_measured(self) -> bool:
        return True


def test_evaluate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Output) -> None:
    fake = ModuleType("napari_singlestrip.engine.masks.evaluation")
    rows = [Figures("a", 0.9712)]

    def evaluate_folders(masks: Path, references: Path) -> Sequence[Figures]:
        assert (masks, references) == (tmp_path / "m", tmp_path / "r")
        return rows

    def write_csv(rows: Sequence[Figures], path: Path) -> None:
        path.write_text(str(len(rows)))

    fake.evaluate_folders = evaluate_folders  # type: ignore[attr-defined]
    fake.write_csv = write_csv  # type: ignore[attr-defined]
    put_module(monkeypatch, fake)
    csv = tmp_path / "figures.csv"
    assert run_cli("evaluate", tmp_path / "m", tmp_path / "r", "--csv", csv) == 0
    assert csv.read_text() == "1"
    assert "0.971" in capsys.readouterr().out


def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    fake = ModuleType("napari_singlestrip.engine.learning.device")

    def describe() -> Mapping[str, str]:
        return {"torch": "2.8.0", "memory": "8 GiB"}

    fake.describe = describe  # type: ignore[attr-defined]
    put_module(monkeypatch, fake)
    assert run_cli("doctor") == 0
    text = capsys.readouterr().out
    assert re.search(r"^torch +2\.8\.0$", text, re.MULTILINE)
