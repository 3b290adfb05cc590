"""How smooth is the window while a job trains, and what does that cost the training?

A real window scrolls through a scan while the real worker trains on sample heads. A timer that is
due every 10 ms says how long the window was away; variants take turns, since other programs may be
at work: compare lines of one run, not of two.

    python benchmarks/speed/window.py [--seconds 15] [--rounds 2]
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Table, machine, parser, report

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
VARIANTS: dict[str, dict[str, str]] = {
    "all threads": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(CORES)},
    "cores - 1": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(max(1, CORES - 1))},
    "all, spinning": {"OMP_NUM_THREADS": str(CORES)},
    "no job": {},
}
TICK_MS, SCROLL_MS = 10, 100


@dataclass
class Measured:
    """Gaps between ticks of the window (ms), and training steps a second, of each turn."""

    gaps: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)


def open_screen(size: tuple[int, int] = (1366, 768)) -> Any:
    """Draw on a virtual screen where there is no other."""
    if os.environ.get("DISPLAY") or not sys.platform.startswith("linux"):
        return None
    from pyvirtualdisplay.display import Display

    return Display(backend="xvfb", size=size, color_depth=24).start()


def make_study(folder: Path) -> Any:
    """Sample heads, one of them painted."""
    from napari_singlestrip.sample_data import write_sample_heads
    from napari_singlestrip.study.study import Study

    scans, masks = write_sample_heads(folder / "heads", 3, spacing_mm=2.0)
    name = scans[0].name.removesuffix(".nii.gz")
    return Study.create(folder / "study", scans, {name: masks[0]})


class Bench:
    """The window, its timers, and what they saw."""

    def __init__(self, study: Any) -> None:
        import napari
        from qtpy.QtCore import QTimer

        from napari_singlestrip.events import Progress
        from napari_singlestrip.widgets.dock.main_widget import StripWidget
        from napari_singlestrip.widgets.viewer.napari_private import main_window_of

        self.viewer = napari.Viewer()
        self.dock = StripWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, area="right")
        main_window_of(self.viewer).resize(1366, 768)
        self.session = self.dock.session
        self.session.take_study(study)
        self.session.show_scan(study.scans.names[1])
        self.session.step_requested.emit("train")
        self.steps: list[tuple[float, int]] = []
        self.gaps: list[float] = []
        self._last = 0.0
        self._progress = Progress
        self.session.job_event.connect(self._on_event)
        self._ticks, self._scrolls = QTimer(), QTimer()
        self._ticks.setInterval(TICK_MS)
        self._ticks.timeout.connect(self._tick)
        self._scrolls.setInterval(SCROLL_MS)
        self._scrolls.timeout.connect(self._scroll)

    def turn(self, seconds: float, training: bool) -> tuple[list[float], float]:
        """Measure for a while; training is running when it begins."""
        from qtpy.QtTest import QTest

        if training:
            self.session.run(rounds=0, options=["--restart"])
            while not any(True for _ in self.steps) and self.session.job.status.busy:
                QTest.qWait(50)
        self.steps.clear()
        self.gaps.clear()
        self._last = time.perf_counter()
        self._ticks.start()
        self._scrolls.start()
        QTest.qWait(round(1000 * seconds))
        self._ticks.stop()
        self._scrolls.stop()
        speed = 0.0
        if len(self.steps) > 1:
            (began, first), (ended, last) = self.steps[0], self.steps[-1]
            speed = (last - first) / (ended - began)
        self.session.job.close()
        gaps = list(self.gaps)
        self.steps.clear()
        return gaps, speed

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(1e3 * (now - self._last))
        self._last = now

    def _scroll(self) -> None:
        i, p, l = self.session.layers.viewpoint.point  # noqa: E741
        n = self.viewer.layers[0].data.shape[0]
        self.session.layers.viewpoint.look_at(((i + 1) % n, p, l))

    def _on_event(self, event: Any) -> None:
        if isinstance(event, self._progress) and event.stage == "train":
            self.steps.append((time.perf_counter(), event.step))


def _given(environment: dict[str, str], launcher: Sequence[str] = ()) -> dict[str, str]:
    """Stand in for `job.worker_environment`."""
    return environment


def measure(seconds: float, rounds: int, folder: Path) -> dict[str, Measured]:
    """Let the variants take turns."""
    from napari_singlestrip.widgets.session import job_process as job_module

    found = {name: Measured() for name in VARIANTS}
    bench = Bench(make_study(folder))
    usual = job_module.worker_environment
    for _ in range(rounds):
        for name, variables in VARIANTS.items():
            environment = {"PYTHONUNBUFFERED": "1", **variables}
            job_module.worker_environment = functools.partial(_given, environment)
            gaps, speed = bench.turn(seconds, training=bool(variables))
            found[name].gaps += gaps
            found[name].speeds.append(speed)
            sys.stderr.write(f"{name}: p99 {np.percentile(gaps, 99):.0f} ms, {speed:.1f}/s\n")
    job_module.worker_environment = usual
    bench.viewer.close()
    return found


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=15.0, help="of each turn")
    arguments.add_argument("--rounds", type=int, default=2)
    options = arguments.parse_args()
    load = machine()["load"]
    table = Table(
        "The window while a job trains: gaps of a timer that is due every 10 ms",
        ["threads of the job", "median, ms", "99%, ms", "longest, ms", "training steps a second"],
    )
    if importlib.util.find_spec("napari") is None:
        table.notes.append("Skipped: napari is not installed.")
    else:
        for name, measured in in_a_window(options.seconds, options.rounds).items():
            p50, p99 = np.percentile(measured.gaps, [50, 99])
            speeds = ", ".join(f"{speed:.1f}" for speed in measured.speeds)
            table.add(name, p50, p99, max(measured.gaps), speeds)
        table.notes.append(f"{CORES} cores; one figure of steps for each turn.")
    report([table], options, load)


def in_a_window(seconds: float, rounds: int) -> dict[str, Measured]:
    """Open a window with a study, and measure."""
    screen = open_screen()
    folder = Path(tempfile.mkdtemp(prefix="singlestrip-"))
    try:
        return measure(seconds, rounds, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if screen is not None:
            screen.stop()


if __name__ == "__main__":
    main()
