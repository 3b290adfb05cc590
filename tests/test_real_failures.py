"""Memory and disk that really run out under a job: one end, one sentence, and a study that goes on.

Errors that only look like it are in `test_worker`; what a kill does is in `test_kill`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_study
from test_kill import ROOT, check_files

from napari_singlestrip.events import TERMINAL, Event, Failed, Finished, Started, parse_event
from napari_singlestrip.files.locks import lock_path
from napari_singlestrip.pipeline.worker import ended
from napari_singlestrip.study.lock import is_locked
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from conftest import Heads

MB = 1_000_000
DISK_BYTES = 300_000  # of a network's file, which is larger, a part fits
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

# A disk of its own: fills up, and gets larger before the job is started again.
ON_A_SMALL_DISK = """
set -e
mkdir -p "$disk"
mount -t tmpfs -o size=$size tmpfs "$disk"
cp -r "$study" "$disk/study"
for size in "" 64m; do
    [ -z "$size" ] || mount -o remount,size=$size "$disk"
    code=0
    "$@" > "$events$size" 2> "$errors$size" || code=$?
    echo $code > "$events$size.code"
done
cp -r "$disk/study" "$kept"
"""


def command(folder: Path) -> list[str]:
    """A short job as the window starts it."""
    job = ["run", str(folder), "--stages", "train", "--events", "--device", "cpu"]
    return [sys.executable, "-m", "napari_singlestrip", *job]


def run(
    folder: Path,
    before: Callable[[], None] | None = None,
    at: Callable[[Event, int], None] = lambda event, pid: None,
) -> tuple[int, list[Event], str]:
    """Run a job to its end: exit code, events and stderr. `before` is called in its process."""
    pipe: Any = subprocess.PIPE
    with subprocess.Popen(
        command(folder), stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT, preexec_fn=before
    ) as job:
        events = []
        for line in job.stdout or ():
            events.append(parse_event(line.decode()))
            at(events[-1], job.pid)
        errors = job.stderr.read().decode() if job.stderr else ""
    return job.returncode, events, errors


def check_failed(code: int, events: list[Event], errors: str) -> Failed:
    """One end, one sentence with a way out, and nothing on stderr."""
    if not isinstance(events[-1], TERMINAL):  # a library ended the process: its watcher tells
        events, errors, code = [*events, ended(code, errors)], "", 2
    assert [event for event in events if isinstance(event, TERMINAL)] == events[-1:]
    end = events[-1]
    assert isinstance(end, Failed)
    assert end.traceback == "", end.traceback
    assert end.hint.endswith(".")
    assert "\n" not in end.what
    assert code == 2
    assert errors == ""
    return end


def check_goes_on(study: Study) -> None:
    """Nothing is damaged or left over, and the same command does the work."""
    assert Study.open(study.folder).masks.names() == study.scans.names[:1]
    check_files(study.folder)
    assert not is_locked(study.folder)
    code, events, _ = run(study.folder)
    assert code == 0
    assert isinstance(events[-1], Finished)
    check_files(study.folder)
    lock = lock_path(study.folder / "study.json")  # stays, for who changes the study next
    assert [path for path in study.folder.rglob(".*") if path != lock] == []


@pytest.fixture
def study(tmp_path: Path, heads: Heads) -> Study:
    """A study that trains in some seconds."""
    return make_study(tmp_path / "study", heads)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux can take memory from another process"
)
@pytest.mark.parametrize("spare", [0, 105 * MB])
def test_memory_runs_out(study: Study, spare: int) -> None:
    import resource

    def take_memory(event: Event, pid: int) -> None:
        if event.__class__ is Started and event.stage == "train":  # all is loaded
            status = Path(f"/proc/{pid}/status").read_text()
            used = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmSize"))
            resource.prlimit(pid, resource.RLIMIT_AS, (used * 1024 + spare,) * 2)

    end = check_failed(*run(study.folder, at=take_memory))
    assert end.what.startswith("There was not enough memory")  # perhaps for what, too
    assert "batch_size=1" in end.hint
    check_goes_on(study)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of a file's size")
@pytest.mark.parametrize("size", [2_000, DISK_BYTES])
def test_a_file_does_not_fit(study: Study, size: int) -> None:
    """The same as a full disk for a job, and at hand everywhere."""
    import resource

    # Python ignores the signal SIGXFSZ, so that writing more fails as on a full disk.
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    end = check_failed(*run(study.folder, before=limit))
    assert end.what.startswith("Cannot write ")
    assert "disk" in end.what
    check_goes_on(study)


def small_disk(study: Study, folder: Path, size: int) -> subprocess.CompletedProcess[bytes] | None:
    """Run `ON_A_SMALL_DISK`; None where a user may not mount a disk of his own."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    own = [unshare, "--map-root-user", "--mount"]
    probe = f"mount -t tmpfs -o size=4k tmpfs '{folder}'"
    if subprocess.run([*own, "sh", "-c", probe], capture_output=True, check=False).returncode:
        return None
    places = {
        "disk": folder / "disk", "study": study.folder, "events": folder / "events",
        "errors": folder / "errors", "kept": folder / "kept",
    }
    values = {**ENVIRONMENT, "size": str(size), **{n: str(path) for n, path in places.items()}}
    job = command(places["disk"] / "study")
    with subprocess.Popen(["sleep", "600"], stdout=subprocess.PIPE) as waiting:  # an open stdin
        try:
            return subprocess.run(
                [*own, "sh", "-c", ON_A_SMALL_DISK, "sh", *job], env=values,
                stdin=waiting.stdout, capture_output=True, check=False,
            )
        finally:
            waiting.kill()


def test_the_disk_is_full(study: Study, tmp_path: Path) -> None:
    done = small_disk(study, tmp_path, DISK_BYTES)
    if done is None:
        pytest.skip("this user may not mount a small disk of his own")
    assert done.returncode == 0, done.stderr.decode()
    first, second = (
        (int((tmp_path / f"events{n}.code").read_text()),
         [parse_event(line) for line in (tmp_path / f"events{n}").read_text().splitlines()],
         (tmp_path / f"errors{n}").read_text())
        for n in ("", "64m")
    )  # fmt: skip
    end = check_failed(*first)
    assert "the disk is full" in end.what
    assert "Free some space" in end.hint
    assert second[0] == 0
    assert isinstance(second[1][-1], Finished)
    assert Study.open(tmp_path / "kept").masks.names() == study.scans.names[:1]
    check_files(tmp_path / "kept")
