"""On a real SLURM of one node: trained, shared out, killed, stopped, followed (make cluster)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from one_node_slurm import missing, one_node_slurm

from napari_singlestrip.study.study import Study
from napari_singlestrip.study.submission import Submission, newest_submission
from napari_singlestrip.study.volumes_table import TABLE, read_table

if TYPE_CHECKING:
    from conftest import Heads

WHY_NOT = missing()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(WHY_NOT), reason=f"no SLURM can be started here: {WHY_NOT}"),
    pytest.mark.timeout(900),
]
SINGLESTRIP = [sys.executable, "-P", "-m", "napari_singlestrip"]
ON_SLURM = ("--cores", "1", "--time", "10", "--device", "cpu")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """SLURM, for all that runs inside."""
    pytest.importorskip("submitit")
    with ExitStack() as stack:
        environment = stack.enter_context(one_node_slurm(tmp_path_factory.mktemp("slurm")))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


def run(*words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SINGLESTRIP, *words], capture_output=True, text=True, timeout=timeout, check=False
    )


def submitted(study: Study, *words: str) -> Submission:
    done = run("submit", str(study.folder), *ON_SLURM, *words)
    assert done.returncode == 0, done.stderr
    found = newest_submission(study.folder)
    assert found is not None
    return found


def wait_until(true: Callable[[], object], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.2)


def queue() -> str:
    done = subprocess.run(
        ["squeue", "--noheader", "--format=%i %T"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def add_bad_scan(study: Study, heads: Heads) -> str:
    """Break one scan after it was added."""
    name = heads.names[2]
    bad = study.folder / f"{name}.nii.gz"
    bad.write_bytes(heads.scans[2].read_bytes()[:4000])
    document = (study.folder / "study.json").read_text()
    path = os.path.relpath(heads.scans[2], study.folder)
    for written in (str(heads.scans[2]), path):
        document = document.replace(f'"{written}"', f'"{bad.name}"')
    (study.folder / "study.json").write_text(document)
    return name


def test_a_study_is_trained_and_shared_out_and_killed_workers_lose_nothing(
    slurm: None, study: Study, heads: Heads
) -> None:
    """One scan is broken, and the whole task that predicts the first share is killed."""
    bad = add_bad_scan(study, heads)
    submission = submitted(Study.open(study.folder), "--workers", "2", "--rounds", "0")
    lock = submission.lock("scans_0_1_of_2")
    wait_until(lambda: lock.holder() is not None, 300)
    owner = lock.holder()
    assert owner is not None
    killed = psutil.Process(owner.pid)
    for process in (*killed.children(recursive=True), killed):
        process.kill()
    followed = run("follow", str(study.folder))
    assert followed.returncode == 3, followed.stdout + followed.stderr
    assert "scans_0_1_of_2: its process ended unexpectedly" in followed.stdout
    assert bad in followed.stdout and "1 scan failed" in followed.stdout
    there = Study.open(study.folder)
    scored = {row.scan for row in there.rounds.scores(0)}
    assert scored == set(heads.names[1:]) - {bad}
    wait_until(lambda: not queue())


def test_stopped_jobs_save_and_leave_the_queue_and_are_gone_on_with(
    slurm: None, study: Study
) -> None:
    submission = submitted(study, "--workers", "2", "--rounds", "0")
    wait_until((study.folder / "rounds/00/settings.json").is_file, 300)
    assert run("follow", str(study.folder), "--stop").returncode == 130
    wait_until(lambda: not queue())
    assert submission.is_stopped and not study.rounds.scores(0)
    submitted(study, "--workers", "2", "--rounds", "0")
    followed = run("follow", str(study.folder))
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert len(study.rounds.scores(0)) == len(study.scans.names) - 1


def test_a_job_whose_time_is_nearly_up_saves_and_is_queued_again(
    slurm: None, study: Study
) -> None:
    """By the signal that SLURM sends then, and when it makes way for others."""
    submission = submitted(study, "--workers", "1", "--rounds", "0", "--set", "training.steps=300")
    wait_until((study.folder / "rounds/00/settings.json").is_file, 300)
    number = submission.ids()["finish"]
    subprocess.run(["scancel", "--signal=USR2", number], check=True)
    wait_until(lambda: "Requeued job" in _text(submission.logs), 120)
    followed = run("follow", str(study.folder))
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert len(study.rounds.scores(0)) == len(study.scans.names) - 1


def _text(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*_log.*"))


def test_jobs_that_somebody_cancels_are_missed(slurm: None, study: Study) -> None:
    submission = submitted(study, "--sbatch", "begin=now+1hour")
    numbers = {number.split("_")[0] for number in submission.ids().values()}
    subprocess.run(["scancel", *numbers], check=True)
    followed = run("follow", str(study.folder))
    assert followed.returncode == 2
    assert "none of the jobs any more" in followed.stderr


def test_a_failed_training_takes_what_waits_for_it_along(
    slurm: None, study: Study, heads: Heads
) -> None:
    submission = submitted(study, "--workers", "2", "--rounds", "0", "--sbatch", "begin=now+3")
    study.masks.path(heads.names[0]).write_bytes(b"no image")
    followed = run("follow", str(study.folder))
    assert followed.returncode == 2, followed.stdout
    wait_until(lambda: not queue())
    assert not submission.events("scans_0_1_of_2").exists()


def test_scans_are_stripped_by_an_array(
    slurm: None, trained_copy: Study, heads: Heads, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [word for scan in heads.scans for word in ("--apply", str(scan))]
    submitted(trained_copy, "--workers", "2", *words, "--out", str(out))
    followed = run("follow", str(trained_copy.folder))
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert {row.scan for row in read_table(out / TABLE) if row.mask} == set(heads.names)


def test_what_slurm_refuses_is_told(slurm: None, study: Study) -> None:
    done = run("submit", str(study.folder), *ON_SLURM, "--partition", "no_such")
    assert done.returncode == 2
    assert "invalid partition" in done.stderr.lower()
    assert not queue()
