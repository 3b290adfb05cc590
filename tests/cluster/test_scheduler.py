"""Tasks are handed over with what they need, taken back, and asked for."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from conftest import make_predicted_study

from napari_singlestrip.cluster.follow import Follower
from napari_singlestrip.cluster.scheduler import (
    Resources,
    check_scheduler,
    hand_over,
    in_queue,
    take_back,
)
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Failed, Finished
from napari_singlestrip.pipeline.export_masks import TABLE
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.submission import (
    Plan,
    PlannedTask,
    Submission,
    TaskEvents,
    new_submission,
)

if TYPE_CHECKING:
    from conftest import Heads

pytest.importorskip("submitit")
needs_scripts = pytest.mark.skipif(sys.platform == "win32", reason="SLURM is for POSIX systems")
RESOURCES = Resources(
    90, 6, 1, 12.0, "gpu", {"account": "lab", "--mail-user": "me@here"}
)  # fmt: skip
PLAN = Plan("slurm", (
    PlannedTask("learn", "learn", ("run",)),
    PlannedTask("share_1", "share", ("run",), ("learn",)),
    PlannedTask("share_2", "share", ("run",), ("learn",)),
    PlannedTask("finish", "finish", ("run",), ("learn",), ("share_1", "share_2")),
))  # fmt: skip
# Counts what is submitted, keeps each script, and refuses what --refuse names.
SBATCH = """#!/bin/sh
here=$(dirname "$0")
for last; do :; done
n=$(ls "$here" | grep -c script); n=$((n + 11))
if grep -q -e "$(cat "$here/refuse")" "$last"; then
    echo "sbatch: error: invalid partition specified: gpu" >&2; exit 1
fi
cp "$last" "$here/script_$n"
echo "Submitted batch job $n"
"""
SCANCEL = '#!/bin/sh\necho "$@" >> "$(dirname "$0")/cancelled"\n'
SQUEUE = """#!/bin/sh
case "$*" in
    *=7*) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1 ;;
    *=8*) echo "Unable to contact slurm controller" >&2; exit 1 ;;
    *=9*) exit 0 ;;
esac
echo 3
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs that answer like SLURM's, at the front of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {"sbatch": SBATCH, "scancel": SCANCEL, "squeue": SQUEUE, "srun": "#!/bin/sh\n"}
    for name, script in scripts.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    (folder / "refuse").write_text("nothing at all")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@needs_scripts
def test_slurm_gets_resources_and_what_each_task_waits_for(slurm: Path, tmp_path: Path) -> None:
    submission = new_submission(tmp_path, PLAN)
    ids = hand_over(submission, PLAN, RESOURCES)
    assert ids == {"learn": "11", "share_1": "12_0", "share_2": "12_1", "finish": "13"}
    assert submission.ids() == ids
    learn, share, finish = ((slurm / f"script_{n}").read_text() for n in (11, 12, 13))
    for line in (
        "--time=90", "--cpus-per-task=6", "--gpus-per-node=1", "--mem=12GB", "--partition=gpu",
        "--account=lab", "--mail-user=me@here",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in learn
    assert "srun --unbuffered" in learn and " --cpus-per-task=6 " in learn.split("srun")[1]
    assert "--dependency" not in learn
    assert "#SBATCH --array=0-1%2\n" in share
    assert "#SBATCH --dependency=afterok:11\n" in share
    assert "#SBATCH --dependency=afterok:11,afterany:12\n" in finish
    assert "#SBATCH --kill-on-invalid-dep=yes\n" in finish


@needs_scripts
def test_cards_are_asked_for_as_many_as_processes_train(slurm: Path, tmp_path: Path) -> None:
    """A job that predicts holds no card that it cannot use."""
    tasks = tuple(replace(t, processes=3 if t.step == "learn" else 1) for t in PLAN.tasks)
    plan = replace(PLAN, tasks=tasks)
    submission = new_submission(tmp_path, plan)
    assert submission.plan() == plan
    hand_over(submission, plan, replace(RESOURCES, gpus=3))
    learn, share = ((slurm / f"script_{n}").read_text() for n in (11, 12))
    assert "#SBATCH --gpus-per-node=3\n" in learn
    assert "#SBATCH --gpus-per-node=1\n" in share


@needs_scripts
def test_what_is_refused_is_told_and_the_rest_taken_back(slurm: Path, tmp_path: Path) -> None:
    (slurm / "refuse").write_text("--job-name=singlestrip_finish")
    submission = new_submission(tmp_path, PLAN)
    with pytest.raises(UserError, match="invalid partition specified: gpu"):
        hand_over(submission, PLAN, RESOURCES)
    assert submission.is_stopped
    *_, end = Follower(submission, in_queue).follow()
    assert isinstance(end, Failed) and "invalid partition specified: gpu" in end.what
    assert "--partition" in end.hint
    assert (slurm / "cancelled").read_text() == "11 12\n"


@needs_scripts
def test_stopping_cancels_what_waits(slurm: Path, tmp_path: Path) -> None:
    submission = new_submission(tmp_path, PLAN)
    hand_over(submission, PLAN, RESOURCES)
    take_back(submission, PLAN)
    assert submission.is_stopped and submission.refusal is None
    assert (slurm / "cancelled").read_text() == "11 12 13\n"


@needs_scripts
def test_the_queue_is_asked(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_queue(["3"]) is True
    assert in_queue(["7"]) is False  # SLURM has forgotten it
    assert in_queue(["8"]) is None
    assert in_queue(["9"]) is False
    assert in_queue([]) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert in_queue(["3"]) is None


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    check_scheduler("local")
    with pytest.raises(UserError, match="sbatch was not found"):
        check_scheduler("slurm")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match="not installed"):
        check_scheduler("local")


# --- submitit's own executor for this computer

N_SCANS = 40
SUBMIT = """
import sys
from dataclasses import replace
from pathlib import Path
from napari_singlestrip.cluster.scheduler import Resources, hand_over
from napari_singlestrip.study.submission import Submission
submission = Submission(Path(sys.argv[1]))
hand_over(submission, submission.plan(), Resources(10, 1))
"""


@pytest.fixture
def many(tmp_path: Path, heads: Heads) -> Study:
    """A study of many scans with predicted masks; one scan is broken."""
    study = make_predicted_study(tmp_path, heads, N_SCANS)
    study.rounds.pseudo_label_path(0, "s07").write_bytes(b"no image")
    return study


def exporting(study: Study, out: Path) -> Plan:
    """The masks, written by two workers, and a last one that does what they left."""
    masks = ("masks", str(study.folder), "--out", str(out))
    shares = [PlannedTask(f"share_{k}", "share", (*masks, "--part", f"{k}/2")) for k in (1, 2)]
    return Plan("local", (
        *shares, PlannedTask("finish", "finish", masks, (), ("share_1", "share_2")),
    ))  # fmt: skip


def end_of(submission: Submission, task: str) -> object:
    events, until = TaskEvents(submission, task), time.monotonic() + 120
    while (end := events.ended()) is None and time.monotonic() < until:
        time.sleep(0.05)
    return end


def command_of(submission: Submission, task: str) -> psutil.Process:
    """The process of a task's command, once it is at work."""
    lock, until = submission.lock(task), time.monotonic() + 60
    while time.monotonic() < until:
        owner = lock.holder()
        children = psutil.Process(owner.pid).children() if owner is not None else []
        if children:
            return children[0]
        time.sleep(0.02)
    raise AssertionError(f"{task} did not begin")


def test_processes_here_survive_who_started_them_and_what_one_left_is_done(
    many: Study, tmp_path: Path
) -> None:
    """One worker is killed; a mask that cannot be read stops nobody."""
    out = tmp_path / "out"
    submission = new_submission(many.folder, exporting(many, out))
    # Ends while the processes that it started run; they hold none of its streams.
    subprocess.run(
        [sys.executable, "-P", "-c", SUBMIT, str(submission.path)], check=True, timeout=60,
        capture_output=True,
    )
    command_of(submission, "share_1").kill()
    assert type(end_of(submission, "share_1")).__name__ == "Crashed"
    end = end_of(submission, "finish")
    assert isinstance(end, Finished) and end.n_failed == 1
    with (out / TABLE).open() as file:
        rows = {row["scan"]: row for row in csv.DictReader(file)}
    written = {name for name, row in rows.items() if row["mask"] and (out / row["mask"]).is_file()}
    assert written == set(many.scans.names) - {"s07"}
