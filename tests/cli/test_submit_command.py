"""`singlestrip submit` and `follow`: mistakes are told at once, and the whole way works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_singlestrip.cli.app import main
from napari_singlestrip.cli.submit_command import minutes_of
from napari_singlestrip.errors import OK, USER_MISTAKE, UserError
from napari_singlestrip.events import Failed, Finished, Note
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.submission import Plan, PlannedTask, new_submission
from napari_singlestrip.study.volumes_table import TABLE, read_table

if TYPE_CHECKING:
    from conftest import Heads

ONE = Plan("slurm", (PlannedTask("finish", "finish", ("run",)),))


def submit(study: Study, *words: str) -> int:
    return main(["submit", str(study.folder), *words])


def test_dry_run_says_what_would_be_submitted(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--workers", "3", "--rounds", "1", "--gpus", "1", "--partition", "gpu"]
    assert submit(study, *words, "--seed", "4", "--time", "1:30:00", "--dry-run") == OK
    said = capsys.readouterr().out
    assert "Each job: 4 processors, 90 minutes, 1 graphics card, partition gpu." in said
    assert "scans_1: 3 jobs, after learn_1 succeeded" in said
    assert "learn_1: 1 job, after learn_0 succeeded and after all of scans_0 ended" in said
    assert f"singlestrip run {study.folder} --seed 4 --rounds 1 --learn-only" in said
    assert "... to --part 3/3" in said
    assert not (study.folder / "submissions").exists()


def test_several_cards_are_given_to_what_trains(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(study, "--workers", "2", "--rounds", "0", "--gpus", "4", "--dry-run") == OK
    said = capsys.readouterr().out
    assert "1 graphics card (4 for one that trains)" in said
    here = "torchrun --standalone --local-addr 127.0.0.1 --nproc-per-node 4"
    assert f"  {here} -m napari_singlestrip run {study.folder}" in said
    assert said.count("torchrun") == 1
    assert f"  singlestrip run {study.folder} --part 1/2" in said


def test_a_trained_study_is_only_applied(
    trained_study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--apply", str(tmp_path), "--out", str(tmp_path / "out"), "--dry-run", "-n", "2"]
    assert submit(trained_study, *words) == OK
    said = capsys.readouterr().out
    assert "apply: 2 jobs" in said and "learn_0" not in said


@pytest.mark.parametrize(("words", "why"), (
    (("--apply", "scans"), "--apply and --out go together"),
    (("--out", "masks"), "--apply and --out go together"),
    (("--scheduler", "pbs"), "Unknown scheduler 'pbs'"),
    (("--time", "soon"), "Cannot read --time 'soon'"),
    (("--sbatch", "account"), "Cannot read --sbatch 'account'"),
    (("--set", "training.stepz=3"), "training.stepz"),
))  # fmt: skip
def test_mistakes_are_told_before_anything_is_handed_over(
    study: Study, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    assert submit(study, *words) == USER_MISTAKE
    assert why in capsys.readouterr().err
    assert not (study.folder / "submissions").exists()


def test_a_study_without_a_painted_mask_is_not_queued(
    heads: Heads, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = Study.create(tmp_path / "bare", heads.scans)
    assert submit(bare, "--scheduler", "local") == USER_MISTAKE
    assert "paint" in capsys.readouterr().err.lower()
    assert not (bare.folder / "submissions").exists()


def test_without_slurm_it_says_so(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert submit(study) == USER_MISTAKE
    assert "--scheduler local" in capsys.readouterr().err
    assert not (study.folder / "submissions").exists()


def test_nothing_to_follow_is_told(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["follow", str(study.folder)]) == USER_MISTAKE
    assert "was submitted" in capsys.readouterr().err


def test_following_shows_the_end(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    made = new_submission(study.folder, ONE)
    with made.writing("finish") as write:
        write(Note("s: it cannot be read", "warning", "s", "mistake"))
        write(Finished(n_done=3, n_failed=1))
    assert main(["follow", str(study.folder)]) == 3
    said = capsys.readouterr().out
    assert "s: it cannot be read" in said and "1 scan failed" in said
    assert made.is_over


def test_following_shows_a_failure(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    made = new_submission(study.folder, ONE)
    with made.writing("finish") as write:
        write(Failed("There was not enough memory.", "Ask for more."))
    assert main(["follow", str(study.folder)]) == USER_MISTAKE
    assert "Ask for more." in capsys.readouterr().err


def test_stopping_asks_the_jobs(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no scancel: the file is enough
    made = new_submission(study.folder, ONE)
    assert main(["follow", str(study.folder), "--stop"]) == 130
    assert made.is_stopped and "Stopped." in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send there")
def test_leaving_stops_nothing(study: Study) -> None:
    made = new_submission(study.folder, ONE)
    command = [sys.executable, "-P", "-m", "napari_singlestrip", "follow", str(study.folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(2)
    said = process.communicate(timeout=30)[0]
    assert "The jobs go on." in said
    assert not made.is_stopped and not made.is_over


@pytest.mark.parametrize(("text", "minutes"), (
    ("90", 90), ("1:30:00", 90), ("00:10:30", 11), ("2-00:00:00", 2880), ("12:30", 750),
))  # fmt: skip
def test_times_are_read(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ("", "4", "x", "1:2:3", "1d"))
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="Cannot read --time"):
        minutes_of(text)


def test_scans_are_stripped_by_processes_here(
    trained_copy: Study, heads: Heads, tmp_path: Path
) -> None:
    """The whole way: submit, return, follow to the end; a scan that is broken stops nobody."""
    pytest.importorskip("submitit")
    scans, out = tmp_path / "new", tmp_path / "out"
    scans.mkdir()
    for n, scan in enumerate(heads.scans):
        (scans / f"new{n}.nii.gz").write_bytes(scan.read_bytes())
    (scans / "new9.nii.gz").write_bytes(heads.scans[0].read_bytes()[:5000])
    singlestrip = [sys.executable, "-P", "-m", "napari_singlestrip"]
    done = subprocess.run(
        [*singlestrip, "submit", str(trained_copy.folder), "--scheduler", "local", "-n", "2",
         "--apply", str(scans), "--out", str(out), "--device", "cpu"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "Submitted 3 tasks" in done.stdout
    assert not (out / TABLE).exists()  # it did not wait
    followed = subprocess.run(
        [*singlestrip, "follow", str(trained_copy.folder)], capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert followed.returncode == 3, followed.stdout
    assert "new9" in followed.stdout and "1 scan failed" in followed.stdout
    masks = {row.scan for row in read_table(out / TABLE) if row.mask}
    assert masks == {f"new{n}" for n in range(len(heads.scans))}
