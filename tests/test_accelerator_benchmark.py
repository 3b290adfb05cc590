"""The benchmark for a graphics card runs from end to end on a CPU, resumes and loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "accelerator.py"


def run(out: Path, *words: str) -> str:
    command = [sys.executable, str(SCRIPT), "--out", str(out), "--device", "cpu", "--smoke"]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, env=os.environ, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "out"
    run(folder)
    return folder


def test_all_pieces_are_measured_and_written(out: Path) -> None:
    found = json.loads((out / "results.json").read_text("utf-8"))
    steps = [name for name in found if name.startswith("step, ")]
    assert len(steps) == 6
    for name in steps:
        assert found[name]["step_ms"] > 0
        assert found[name]["share"] > 0
    assert found["standard"]["steps"] == found["standard"]["of"] == 6
    assert found["thorough"]["done"]
    assert found["apply"]["scans"] == 2
    assert found["machine"]["facts"]["differs from the CPU"] == "within the tolerance"
    table = (out / "table.md").read_text("utf-8")
    assert table.count("| quick |") == 2
    assert "share of the network" in table
    assert "- standard: 6 of 6 steps" in table
    assert "- applying standard after 6 steps to 2 scans" in table


def test_called_again_it_measures_what_is_missing_and_keeps_the_rest(out: Path) -> None:
    file = out / "results.json"
    found = json.loads(file.read_text("utf-8"))
    before = found.pop("apply")
    file.write_text(json.dumps(found), "utf-8")
    said = run(out)
    assert "apply ..." in said and "step, quick" not in said
    again = json.loads(file.read_text("utf-8"))
    assert again.pop("apply")["dice"] == pytest.approx(before["dice"])
    assert again == found


def test_without_time_it_says_what_is_missing(tmp_path: Path) -> None:
    said = run(tmp_path / "out", "--seconds", "1")
    assert "Not measured in the time given: machine, step, quick, batch 1" in said
