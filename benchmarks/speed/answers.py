"""How soon does the screen answer a hand, at 256^3, in four panes, alone and while a job trains?

A real window on a screen of 1920 x 1080 gets a mouse and keys. Counted is from the event (of a
lasso and a cut: the release; of a click: the press) to the frame in which the canvas and the panes
show what it changed. The job is the real worker, training sample heads in a process of its own;
turns with and without it alternate.

    python benchmarks/speed/answers.py [--repeats 7] [--turns 2]
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from hand import Hand, on_ring
from measuring import Table, judged, machine, parser, report
from screen_watch import QUIET_MS, ScreenWatch
from window import make_study as make_training_study
from window import open_screen

SIZE, SCREEN = 256, (1920, 1080)
NAMES = ("a", "b", "c", "d")
MIDDLE = (128, 128, 128)
ENDLESS = 100_000  # steps of the job, which is stopped
WORDS = {
    "empty": "an empty window of that size, drawn again",
    "dab": "a dab of the brush, 21 mm", "lasso": "a lasso round 120 mm, released",
    "scissors": "a cut through all slices, released", "piece": "a piece erased by a click",
    "undo": "the cut undone (Ctrl+Z)", "slice": "the next slice (arrow key)",
    "turn": "another plane to paint in", "decision": "a mask accepted (A), and the next scan",
    "scan": "the next scan (N)", "surface": "the surface, after a dab",
    "stroke, 99%": "a long stroke: gaps of frames, 99%",
    "stroke, longest": "a long stroke: longest gap",
}
LIMITS = {
    **dict.fromkeys(("dab", "lasso", "scissors", "piece", "undo", "slice", "turn"), 50),
    "decision": 300, "scan": 300, "stroke, 99%": 100,
}


# --- what is worked on


def make_study(folder: Path) -> Any:
    """Round heads of 256 voxels a side, with predicted and ranked masks."""
    from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
    from napari_singlestrip.study.study import Study
    from napari_singlestrip.study.tables import ScoreRow

    rng = np.random.default_rng(0)
    for name in NAMES:
        values = 300 * ball(1.25) + 500 * ball(1) + rng.integers(0, 100, (SIZE,) * 3)
        nib.save(nib.Nifti1Image(values.astype(np.int16), np.eye(4)), folder / f"{name}.nii")
    study = Study.create(folder / "study", [folder / f"{name}.nii" for name in NAMES])
    for name in NAMES:
        scan = open_scan(study.scans.path(name))
        save_mask(study.rounds.pseudo_label_path(0, name), ball(1), like=scan)
    study.rounds.save_scores(
        0, [ScoreRow(name, 0.1 * n, 0.9, 1500.0, n) for n, name in enumerate(NAMES, 1)]
    )
    return study


@functools.cache
def ball(size: float) -> Any:
    """An ellipsoid of the size of a brain, times a factor; bool."""
    i, j, k = np.ogrid[:SIZE, :SIZE, :SIZE]
    found: Any = ((i - 128) / 65) ** 2 + ((j - 128) / 85) ** 2 + ((k - 128) / 65) ** 2 < size**2
    return found


def with_piece() -> Any:
    """The same as displayed, axes (I, P, L), with a small piece beside it."""
    mask = ball(1).transpose(2, 1, 0).copy()
    mask[124:132, 128:136, 20:28] = True
    return mask


# --- what is measured


class Bench:
    """The window and what it is asked.

    Parameters
    ----------
    window : StripWidget
    watch : ScreenWatch
        Follows the window.
    """

    def __init__(self, window: Any, watch: ScreenWatch) -> None:
        self.window, self.session = window, window.session
        self.layers = window.session.layers
        self.watch = watch
        self.hand = Hand(window, watch)
        self.found: dict[str, list[float]] = defaultdict(list)
        self.cpu: dict[str, list[float]] = defaultdict(list)

    def turn(self, repeats: int) -> None:
        """Measure everything some times."""
        self._empty_window(repeats)
        self._open("paint")
        self.session.show_scan("a")
        for n in range(repeats):
            for name in ("dab", "lasso", "scissors", "piece", "slice", "turn"):
                self._ready()
                getattr(self, f"_{name}")(n)
        self._ready()
        self._take("paint")
        self.found["gaps"] += self.hand.stroke()
        for n in range(repeats):
            self._to("scan", lambda n=n: self.hand.key("N" if n % 2 == 0 else "Shift+N"))
        self._reset()
        self._open("review")
        for n in range(repeats):
            self.session.show_scan(NAMES[n % 2])
            self._to("decision", lambda: self.hand.key("A"))

    def _empty_window(self, repeats: int) -> None:
        """What the screen alone takes, whatever is drawn: nothing of ours is in it."""
        from qtpy.QtOpenGLWidgets import QOpenGLWidget
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication, QMainWindow

        frame, canvas = QMainWindow(), QOpenGLWidget()
        frame.setCentralWidget(canvas)
        frame.resize(*SCREEN)
        frame.show()
        QTest.qWait(1000)
        seen: list[float] = []
        canvas.frameSwapped.connect(lambda: seen.append(time.perf_counter()))
        for _ in range(repeats):
            QTest.qWait(QUIET_MS)
            seen.clear()
            cpu, began = time.thread_time(), time.perf_counter()
            canvas.update()
            while not seen:
                QApplication.processEvents()
            self.found["empty"].append(1e3 * (seen[0] - began))
            self.cpu["empty"].append(1e3 * (time.thread_time() - cpu))
        frame.close()
        frame.deleteLater()
        QTest.qWait(500)

    def _to(self, name: str, action: Callable[[], float]) -> None:
        """Measure once the window rests."""
        self.watch.rest()
        self.found[name].append(action())
        self.cpu[name].append(self.watch.cpu)

    def _open(self, step: str) -> None:
        self.session.step_requested.emit(step)
        self.watch.rest(600)

    def _ready(self) -> None:
        """The same mask and place before each action, with nothing to save."""
        self.layers.editing.change(with_piece())
        self.layers.viewpoint.look_at(MIDDLE)
        self.window.panes.turn_to("axial")
        self.watch.rest(300)

    def _reset(self) -> None:
        for name in self.session.unfinished():
            self.session.forget_draft(name)

    def _take(self, mode: str) -> None:
        self.layers.brush.set_diameter(21)
        self.layers.brush.set_mode(mode)
        self.watch.rest()

    def _dab(self, n: int) -> None:
        self._take("paint")
        self._to("dab", lambda: self.hand.click((128, 40 + n, 128)))
        self.found["surface"].append(self.watch.wait_for_surface())

    def _lasso(self, n: int) -> None:
        self._take("erase")
        self._take("lasso")
        self.layers.editing.change(np.zeros((SIZE,) * 3, bool))
        self.watch.rest()
        self._to("lasso", lambda: self.hand.draw([on_ring(t) for t in np.linspace(0, 1, 60)]))

    def _scissors(self, n: int) -> None:
        self._take("scissors")
        line = [(128.0, p, 100.0 + n) for p in np.linspace(25, 230, 30)]
        self._to("scissors", lambda: self.hand.draw(line))
        self._to("undo", lambda: self.hand.key("Ctrl+Z"))

    def _piece(self, n: int) -> None:
        self._take("piece")
        self._to("piece", lambda: self.hand.click((128, 131, 24)))

    def _slice(self, n: int) -> None:
        self._to("slice", lambda: self.hand.key("Right"))

    def _turn(self, n: int) -> None:
        def turn() -> float:
            self.watch.begin()
            self.window.panes.turn_to("coronal")
            return self.watch.wait()

        self._to("turn", turn)


def measure(bench: Bench, repeats: int, turns: int) -> dict[str, dict[str, list[float]]]:
    """Let turns with and without a job alternate; "processor" is of those without."""
    from qtpy.QtTest import QTest

    session = bench.session
    session.correcting.live = False  # a mask that follows a stroke is another thing to measure
    bench.turn(1)  # warms up
    found: dict[str, dict[str, list[float]]] = {"processor": defaultdict(list)}
    with tempfile.TemporaryDirectory() as folder:
        training = make_training_study(Path(folder))
        for _ in range(turns):
            for name in ("alone", "training"):
                if name == "training":
                    start = ["run", str(training.folder), "--effort", "quick", "--rounds", "0",
                             "--set", f"training.steps={ENDLESS}"]
                    session.start_job([*start, "--restart"], "run", ("train",))
                    wait_for_training(session)
                bench.found, bench.cpu = defaultdict(list), defaultdict(list)
                bench.turn(repeats)
                if name == "alone":
                    for what, values in bench.cpu.items():
                        found["processor"][what] += values
                for what, values in bench.found.items():
                    found.setdefault(name, defaultdict(list))[what] += values
                assert session.job.status.busy == (name == "training"), "the job ended too early"
                session.job.close()
                QTest.qWait(500)
    return found


def wait_for_training(session: Any) -> None:
    """Wait for the job's first steps of training."""
    from qtpy.QtTest import QTest

    from napari_singlestrip.events import Progress

    seen: list[Any] = []
    session.job_event.connect(seen.append)
    while not any(isinstance(e, Progress) and e.stage == "train" and e.step for e in seen):
        assert session.job.status.busy, f"the job ended before it trained: {seen[-3:]}"
        QTest.qWait(50)
    session.job_event.disconnect(seen.append)


def summed_up(found: dict[str, list[float]]) -> dict[str, list[float]]:
    """The stroke's gaps as two figures."""
    made = dict(found)
    gaps = made.pop("gaps")
    made["stroke, 99%"] = [float(np.percentile(gaps, 99))]
    made["stroke, longest"] = [max(gaps)]
    return made


def main() -> None:
    """Open a window, measure, and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--turns", type=int, default=2)
    arguments.set_defaults(repeats=7)
    options = arguments.parse_args()
    load = machine()["load"]
    columns = ["what", "window's thread, CPU", "alone", "worst", "while a job trains", "worst",
               "at most", "reached"]
    table = Table(f"From a hand to the screen at {SIZE}^3, four panes (ms, medians)", columns)
    if importlib.util.find_spec("napari") is None:
        table.notes.append("Skipped: napari is not installed.")
        report([table], options, load)
        return
    screen = open_screen(SCREEN)
    fill(table, in_a_window(options.repeats, options.turns))
    report([table], options, load)
    sys.stdout.flush()  # what OpenGL lets go without its screen ends the process
    if screen is not None:
        screen.stop()


def fill(table: Table, found: dict[str, dict[str, list[float]]]) -> None:
    """One row for each action."""
    alone, training = summed_up(found["alone"]), summed_up(found["training"])
    for name, words in WORDS.items():
        one, two = alone[name], training[name]
        middle = float(np.median(two))
        cpu = float(np.median(found["processor"].get(name, [np.nan])))
        asked = (LIMITS[name], judged(middle, LIMITS[name])) if name in LIMITS else ("-", "-")
        table.add(words, cpu, float(np.median(one)), max(one), middle, max(two), *asked)
    table.notes.append(
        f"{len(alone['dab'])} times each, on a screen of {SCREEN[0]} x {SCREEN[1]} that the "
        "processor draws; \"reached\" is about the median while a job trains."
    )


def in_a_window(repeats: int, turns: int) -> dict[str, dict[str, list[float]]]:
    """Open a window with a study, and measure."""
    watch = ScreenWatch()
    import napari
    from qtpy.QtTest import QTest

    from napari_singlestrip.widgets.dock.main_widget import StripWidget
    from napari_singlestrip.widgets.viewer.napari_private import main_window_of

    viewer = napari.Viewer()
    dock = StripWidget(viewer)
    viewer.window.add_dock_widget(dock, name="SingleStrip", area="right")
    frame = main_window_of(viewer)
    assert frame is not None
    frame.resize(*SCREEN)
    with tempfile.TemporaryDirectory() as folder:
        dock.session.take_study(make_study(Path(folder)))
        dock.session.show_scan("a")
        dock.panes.set_wanted("four")
        QTest.qWait(1000)
        watch.follow(dock)
        found = measure(Bench(dock, watch), repeats, turns)
        viewer.close()
    return found


if __name__ == "__main__":
    main()
