"""How time and memory grow with the number of scans.

    python benchmarks/scaling/growth.py [--counts 10 100 1000 5000] [--export-up-to 1000] [--wall]

Each count in processes of its own: studies of hard links to eight sample heads of 6 mm, with
predicted masks, heat maps and scores, and half of the masks decided. Milliseconds of the
processors, since other programs may be at work, or with --wall by the clock; peak memory of the
whole process. "window: open" ends when step 1 is drawn and takes clicks, "window: Review" begins
there and ends when the step shows its first scan, which napari makes its layers for, and "window:
key" goes from the key A to the next scan on screen, the median of seven. "window: longest" is the
longest processor time that its thread works without taking an event: while keys decide, and while
the table is scrolled.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "speed"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from measuring import machine

ASKED = {"window: open": 1000.0, "window: key": 100.0}
KEYS = 7
CLOCK: list[Callable[[], float]] = [time.process_time]  # --wall takes another one


def main() -> None:
    options = _options()
    if options.wall:
        CLOCK[:] = [time.monotonic]
    if options.one:
        print("RESULT " + json.dumps(ONE[options.one](options.home, options.counts[0], options)))
        return
    facts, table = machine(), {}
    print(facts)
    with tempfile.TemporaryDirectory(prefix="singlestrip-growth-") as folder:
        _heads(Path(folder))
        for n in options.counts:
            table[n] = {}
            for kind in ONE:
                table[n] |= _in_a_process(kind, Path(folder), n, options)
            print(n, json.dumps(table[n]), flush=True)
            shutil.rmtree(Path(folder) / str(n))
    _show(table)
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "counts": table}, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 1000, 5000])
    parser.add_argument("--export-up-to", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--wall", action="store_true", help="by the clock of an idle computer")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process(kind: str, home: Path, n: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", kind, "--home", str(home), "--counts", str(n),
               "--export-up-to", str(options.export_up_to), *["--wall"] * options.wall]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    found: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return found


def _heads(home: Path) -> None:
    from napari_singlestrip.sample_data import write_sample_heads

    write_sample_heads(home / "heads", 8, seed=3, spacing_mm=6.0)


def of_folder(home: Path, n: int, options: argparse.Namespace) -> dict[str, float]:
    """Make, open, add, list, decide, rank, report, export."""
    from napari_singlestrip.engine.config import RankingConfig
    from napari_singlestrip.pipeline.export_masks import export_masks
    from napari_singlestrip.pipeline.score_keeping import ScoreKeeper, ranked
    from napari_singlestrip.report.writing import write_report
    from napari_singlestrip.study.review import review
    from napari_singlestrip.study.study import Study

    folder = home / str(n)
    scans = _scans(home, folder / "scans", n)
    painted = {"s00000": home / "heads" / "masks" / _of_head(home, 0)}
    found: dict[str, float] = {}
    timed(found, "make", lambda: Study.create(folder / "study", [scans], painted))
    study = Study.open(folder / "study")
    _predict(home, study)
    study.decisions.decide_all(study.scans.names[1 : n // 2], "accepted")
    timed(found, "open", lambda: _opened(Study.open(folder / "study")))
    os.link(scans / "s00000.nii.gz", folder / "new.nii.gz")
    timed(found, "add one", lambda: study.scans.add([folder / "new.nii.gz"]))
    timed(found, "list", lambda: review(Study.open(folder / "study")))
    names = iter(study.scans.names[n // 2 + 1 : n // 2 + 4])
    timed(found, "decide one", lambda: study.decisions.decide(next(names), "accepted"), 3)

    def rank() -> None:
        keeper = ScoreKeeper(study, 0)
        keeper.save(ranked(list(keeper.known().values()), RankingConfig(), {}))

    timed(found, "rank", rank)
    found["memory, MB"] = _peak()
    timed(found, "report", lambda: write_report(study, folder / "report.html"))
    found["memory with report, MB"] = _peak()
    if n <= options.export_up_to:
        timed(found, "export", lambda: list(export_masks(study, folder / "out")))
        shutil.rmtree(folder / "out")
    return found


def of_window(home: Path, n: int, options: argparse.Namespace) -> dict[str, float]:
    """Open a study in the window, and press the key that accepts."""
    from window import open_screen

    screen = open_screen()
    import napari
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    from napari_singlestrip.widgets.dock.main_widget import StripWidget

    viewer = napari.Viewer()
    dock = StripWidget(viewer)
    viewer.window.add_dock_widget(dock, area="right", name="SingleStrip")
    QTest.qWait(1000)  # what the dock imports in a thread
    session, found = dock.session, {}
    canvas = viewer.window._qt_viewer.canvas.native

    def key() -> None:
        before = session.scan
        QTest.keyClick(canvas, Qt.Key.Key_A)
        _until(lambda: session.scan != before)

    def opened() -> None:
        session.open_study(home / str(n) / "study")
        _until(lambda: dock.panels["scans"].view.isVisible())

    def reviewed() -> None:
        session.step_requested.emit("review")
        _until(lambda: bool(session.scan))

    timed(found, "window: open", opened)
    QTest.qWait(1500)
    timed(found, "window: Review", reviewed)
    canvas.setFocus()
    QTest.qWait(1500)
    QTest.keyClick(canvas, Qt.Key.Key_N)
    QTest.qWait(500)
    with _stretches(found, "window: longest with keys"):
        timed(found, "window: key", key, min(KEYS, n // 5))  # as long as some are undecided
        QTest.qWait(1500)
    with _stretches(found, "window: longest when scrolling"):
        bar = dock.panels["review"].table.verticalScrollBar()
        for k in range(40):
            bar.setValue(bar.maximum() * k // 40)
            QTest.qWait(25)
    found["window: memory, MB"] = _peak()
    viewer.close()
    if screen is not None:
        screen.stop()
    return found


ONE: dict[str, Callable[[Path, int, argparse.Namespace], dict[str, float]]] = {
    "folder": of_folder, "window": of_window,
}


def timed(
    found: dict[str, float], name: str, work: Callable[[], Any], repeats: int = 1
) -> None:
    taken = []
    for _ in range(repeats):
        began = CLOCK[0]()
        work()
        taken.append(1e3 * (CLOCK[0]() - began))
    found[name] = round(float(np.median(taken)), 1)


@contextmanager
def _stretches(found: dict[str, float], name: str) -> Iterator[None]:
    """Add the most milliseconds of the processor between two ticks of the window's thread."""
    from qtpy.QtCore import QTimer

    at: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: at.append(time.thread_time()))
    timer.start(5)
    yield
    timer.stop()
    found[name] = round(1e3 * float(np.diff(at).max()), 1)


def _until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not true():
        QApplication.processEvents()
        if time.monotonic() > end:
            raise RuntimeError("the window did not get there")
    QApplication.processEvents()


def _scans(home: Path, folder: Path, n: int) -> Path:
    folder.mkdir(parents=True)
    heads = _files(home / "heads" / "scans")
    for k in range(n):
        os.link(heads[k % len(heads)], folder / f"s{k:05d}.nii.gz")
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.nii.gz"))


def _of_head(home: Path, k: int) -> str:
    return _files(home / "heads" / "masks")[k].name


def _opened(study: Any) -> None:
    assert len(study.scans.names) and study.rounds.scores(0) and study.decisions.all()


def _predict(home: Path, study: Any) -> None:
    """Masks, heat maps and scores of all scans, as after a first run."""
    from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_map, save_mask
    from napari_singlestrip.study.round_folder import heat_map_path
    from napari_singlestrip.study.tables import ScoreRow

    sources: dict[int, tuple[Path, Path, str]] = {}
    masks = _files(home / "heads" / "masks")
    rows = []
    for k, name in enumerate(study.scans.names):
        mask, heat = study.rounds.pseudo_label_path(0, name), heat_map_path(study, 0, name)
        if k % len(masks) not in sources:
            scan = open_scan(study.scans.path(name))
            truth = load_mask(masks[k % len(masks)], like=scan)
            save_mask(mask, truth, like=scan)
            save_map(heat, np.round(truth * np.float32(0.3), 2), like=scan)
            sources[k % len(masks)] = mask, heat, _digest(mask)
        else:
            os.link(sources[k % len(masks)][0], mask)
            os.link(sources[k % len(masks)][1], heat)
        error = 0.02 + 0.3 * (k * 7919 % 1000) / 1000
        rows.append(ScoreRow(
            name, error, 1 - error, 1200.0, k + 1, False, "", sources[k % len(masks)][2], "x", 1.0
        ))
    study.rounds.save_scores(0, rows)


def _digest(path: Path) -> str:
    from napari_singlestrip.files.atomic import file_digest

    return file_digest(path)


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _show(table: dict[int, dict[str, float]]) -> None:
    counts = list(table)
    print("Milliseconds of the processors")
    print("| | " + " | ".join(f"{n} scans" for n in counts) + " | grows as |")
    print("|---" * (len(counts) + 2) + "|")
    for name in dict.fromkeys(name for row in table.values() for name in row):
        values = [table[n].get(name, float("nan")) for n in counts]
        cells = " | ".join("-" if np.isnan(v) else f"{v:.0f}" for v in values)
        print(f"| {name} | {cells} | {growth(counts, values)} |")
    for name, most in ASKED.items():
        last = table[counts[-1]][name]
        print(f"{name}: {last:.0f} ms at {counts[-1]} scans, asked for {most:.0f} ms")


def growth(counts: Sequence[int], values: Sequence[float]) -> str:
    """The power of n with which the last two values grow."""
    known = [(n, v) for n, v in zip(counts, values, strict=True) if v > 0]
    if len(known) < 2:
        return ""
    (n, v), (m, w) = known[-2:]
    return f"n^{np.log(w / v) / np.log(m / n):.2f}"


if __name__ == "__main__":
    main()
