"""Many programs that change one study at once: what each says is done is there afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_study import write_volume

from napari_singlestrip.study.document import ScanEntry, StudyDocument, write_document
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import now

DECIDE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from napari_singlestrip.study.study import Study

folder, names, threads = sys.argv[1], sys.argv[2].split(), int(sys.argv[3])

def decide(some):
    study = Study.open(folder)
    for name in some:
        study.decisions.decide(name, "rejected", f"by {name}")

with ThreadPoolExecutor(threads) as pool:
    list(pool.map(decide, [names[n::threads] for n in range(threads)]))
"""
ADD = """
import sys
from napari_singlestrip.study.study import Study
study = Study.open(sys.argv[1])
print(*[name for scan in sys.argv[2:] for name in study.scans.add([scan])])
"""


def large_study(folder: Path, n: int) -> Study:
    """A study of scans that are nowhere: nobody looks at them here."""
    scans = tuple(ScanEntry(name=f"s{i:05d}", path=f"../s{i:05d}.nii.gz") for i in range(n))
    folder.mkdir()
    write_document(folder, StudyDocument(created=now(), scans=scans))
    return Study.open(folder)


def decide_at_once(study: Study, processes: int, threads: int) -> float:
    """Have many decide about all scans, each about its own; return the seconds it took."""
    began = time.monotonic()
    running = [
        subprocess.Popen([
            sys.executable, "-c", DECIDE, str(study.folder),
            " ".join(study.scans.names[n::processes]), str(threads),
        ])
        for n in range(processes)
    ]  # fmt: skip
    assert [process.wait(1200) for process in running] == [0] * processes
    return time.monotonic() - began


def check(study: Study) -> None:
    decisions = study.decisions.all()
    assert list(decisions) == list(study.scans.names)
    assert all(d.note == f"by {name}" for name, d in decisions.items())


def test_decisions_made_at_once_are_all_kept(tmp_path: Path) -> None:
    study = large_study(tmp_path / "study", 200)
    decide_at_once(study, processes=4, threads=2)
    check(study)


@pytest.mark.soak
def test_ten_thousand_decisions_made_at_once_are_all_kept(tmp_path: Path) -> None:
    """SOAK_DECISIONS sets another number."""
    n = int(os.environ.get("SOAK_DECISIONS", "10000"))
    study = large_study(tmp_path / "study", n)
    seconds = decide_at_once(study, processes=8, threads=4)
    check(study)
    sys.stdout.write(f"{n} decisions by 32 at once: {seconds:.0f} s\n")


def test_scans_added_at_once_are_all_kept(tmp_path: Path) -> None:
    first = write_volume(tmp_path / "first.nii.gz")
    study = Study.create(tmp_path / "study", [first])
    files = [write_volume(tmp_path / "new" / f"n{i}.nii.gz") for i in range(24)]
    running = [
        subprocess.Popen([sys.executable, "-c", ADD, str(study.folder), *map(str, files[n::6])])
        for n in range(6)
    ]
    assert [process.wait(300) for process in running] == [0] * 6
    study.set_settings({"seed": 5})  # of a window that knew only the first scan
    opened = Study.open(study.folder)
    assert sorted(opened.scans.names) == sorted(["first", *(f"n{i}" for i in range(24))])
    backup = json.loads((study.folder / "study.json.bak").read_text())
    assert len(backup["scans"]) == 25
    assert study.scans.names == opened.scans.names


def test_one_decision_among_thousands_takes_no_time(tmp_path: Path) -> None:
    study = large_study(tmp_path / "study", 5000)
    study.decisions.decide_all(study.scans.names, "rejected")
    began = time.process_time()
    for name in study.scans.names[:20]:
        study.decisions.decide(name, "rejected", "seen")
    assert time.process_time() - began < 20 * 0.1  # 0.01 s each, where nothing else runs
