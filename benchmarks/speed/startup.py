"""How long one waits: the command line, the import, the worker, the window.

    python benchmarks/speed/startup.py [--repeats 5]

Seconds of the clock, medians, of whole processes that take turns. Beside them what each cannot do
without: Python itself, torch's import, napari's window.
"""

from __future__ import annotations

import compileall
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from measuring import Table, judged, machine, median, parser, processes_in_turns, report

import napari_singlestrip
from napari_singlestrip.sample_data import write_sample_heads

ASKED = {
    "singlestrip --help": 0.4,
    "import napari_singlestrip": 0.1,
    "worker: first event": 1.0,
    "worker: first training step": 8.0,
    "window: our dock, after napari's": 0.5,
}
HEADS = 2
PACKAGE = Path(napari_singlestrip.__file__).parent
DOCK = """
import sys, time
sys.path.insert(0, sys.argv[1])
from window import open_screen
screen = open_screen()
began = time.perf_counter()
import napari
viewer = napari.Viewer()
from qtpy.QtWidgets import QApplication
QApplication.processEvents()
shown = time.perf_counter()
from napari_singlestrip.widgets.dock.main_widget import StripWidget
dock = StripWidget(viewer)
viewer.window.add_dock_widget(dock, area="right", name="SingleStrip")
QApplication.processEvents()
docked = time.perf_counter()
assert "torch" not in sys.modules
print("seconds", shown - began, docked - shown, flush=True)
viewer.close()
if screen is not None:
    screen.stop()
"""


def main() -> None:
    options = parser(__doc__).parse_args()
    load = machine()["load"]
    # As in an installation: compiled, and found without the detour of a developer's link.
    compileall.compile_dir(PACKAGE, quiet=1)
    os.environ["PYTHONPATH"] = str(PACKAGE.parent)
    python = sys.executable
    commands = {
        "floor: Python itself": [python, "-c", "pass"],
        "import napari_singlestrip": [python, "-c", "import napari_singlestrip"],
        "singlestrip --help": [Path(python).with_name("singlestrip"), "--help"],
        "floor: import torch": [python, "-c", "import torch"],
    }
    usages = processes_in_turns(commands, options.repeats)
    seconds = {name: [usage.wall for usage in found] for name, found in usages.items()}
    bare = median(seconds["floor: Python itself"])
    seconds["import napari_singlestrip"] = [
        max(taken - bare, 0.0) for taken in seconds["import napari_singlestrip"]
    ]
    with tempfile.TemporaryDirectory(prefix="singlestrip-") as name:
        seconds |= worker(Path(name), options.repeats)
    table = Table("Start-up (s, medians)", ["what", "s", "asked", "reached"])
    if importlib.util.find_spec("napari") is None:
        table.notes.append("The window is skipped: napari is not installed.")
    else:
        seconds |= dock(options.repeats)
    for what, limit in ASKED.items():
        if what in seconds:
            taken = median(seconds[what])
            table.add(what, taken, limit, judged(taken, limit))
    for what, found in seconds.items():
        if what not in ASKED:
            table.add(what, median(found), "-", "-")
    table.notes.append("The import is told without the time that Python itself takes.")
    table.notes.append(
        f"First training step: of a study of {HEADS} sample heads, with their label maps made, "
        "previews drawn and the fastest precision found."
    )
    report([table], options, load)


def worker(folder: Path, repeats: int) -> dict[str, list[float]]:
    """Start training as the window does, listen to the events, and stop."""
    scans, masks = write_sample_heads(folder / "heads", HEADS, spacing_mm=2.0)
    name = scans[0].name.removesuffix(".nii.gz")
    found: dict[str, list[float]] = defaultdict(list)
    for turn in range(repeats):
        study = folder / f"study-{turn}"
        singlestrip = [sys.executable, "-m", "napari_singlestrip"]
        subprocess.run(
            [*singlestrip, "new", study, *scans, "--mask", f"{name}={masks[0]}"],
            check=True, capture_output=True,
        )
        began = time.perf_counter()
        job = subprocess.Popen(
            [*singlestrip, "run", study, "--events"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        assert job.stdin is not None and job.stdout is not None
        for n, line in enumerate(job.stdout):
            if n == 0:
                found["worker: first event"].append(time.perf_counter() - began)
            event = json.loads(line)
            if (event["event"], event.get("stage")) == ("Progress", "train"):
                found["worker: first training step"].append(time.perf_counter() - began)
                break
        job.stdin.close()  # which cancels
        job.stdout.read()
        job.wait()
    return found


def dock(repeats: int) -> dict[str, list[float]]:
    """Open napari's window, then our dock in it."""
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        ran = subprocess.run(
            [sys.executable, "-c", DOCK, Path(__file__).parent], capture_output=True, text=True,
            check=True,
        )
        (line,) = [line for line in ran.stdout.splitlines() if line.startswith("seconds")]
        window, ours = map(float, line.split()[1:])
        found["window: our dock, after napari's"].append(ours)
        found["floor: napari's import and window"].append(window)
    return found


if __name__ == "__main__":
    main()
