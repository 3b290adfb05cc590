"""What a person feels while painting: switching scans, a dab, undo, autosave, at full size.

Times are medians, in milliseconds of the clock, of what is done before the window listens again;
drawing on the screen comes on top.

    python benchmarks/speed/painting.py
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from measuring import Table, judged, machine, parser, report
from window import open_screen

from napari_singlestrip.engine.masks.logic import between

SIZE = 256
TIMES = 7
WORDS = {
    "switch": "another scan, both in memory", "reviewed": "another scan, its marks, and a look (H)",
    "dab": "a dab of the brush, 21 voxels",
    "lasso": "a lasso round 120 mm, from its release", "smart": "a touch of the smart brush, 20 mm",
    "ball": "the same as a ball", "push": "a touch of the push brush, 20 mm",
    "snap": "a touch of the snap brush, 20 mm", "scissors": "a cut through all slices",
    "piece": "a piece erased by a click", "threshold": "a new threshold seen",
    "undo": "undo", "autosave": "saving the draft", "planes": "three planes drawn anew",
}
TOUCHES = ("lasso", "smart", "ball", "push", "snap")
WHOLE = ("scissors", "piece", "threshold")  # change a good part of the volume
LIMITS = {"switch": 300, "reviewed": 300, "dab": 40, "undo": 40, "autosave": 20, "planes": 10,
          **dict.fromkeys(TOUCHES, 50), **dict.fromkeys(WHOLE, 150)}


def make_study(folder: Path) -> Any:
    """Two scans of 256 voxels a side, with values that do not compress away."""
    from napari_singlestrip.study.study import Study

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        values = rng.integers(0, 1000, (SIZE,) * 3, dtype=np.int16)
        nib.save(nib.Nifti1Image(values, np.eye(4)), folder / f"{name}.nii")
    return Study.create(folder / "study", [folder / "a.nii", folder / "b.nii"])


def median_ms(action: Callable[[int], object]) -> float:
    """Median time of an action, after one that warms up."""
    action(0)
    seconds = []
    for n in range(1, TIMES + 1):
        begin = time.perf_counter()
        action(n)
        seconds.append(time.perf_counter() - begin)
    return 1000 * statistics.median(seconds)


def measure(session: Any) -> dict[str, float]:
    """Time what a person waits for; both scans are in memory."""
    from napari_singlestrip.study.drafts import save_draft

    layers, names = session.layers, session.study.scans.names
    for name in names:
        session.show_scan(name)
    layer = layers.editing.layer
    layer.brush_size = 21

    def dab(n: int) -> None:
        with layer.block_history():
            layer.paint((128, 60 + 10 * n, 128), 1)

    mask = layers.editing.mask_on_scan()
    marks = [np.zeros((SIZE,) * 3, np.uint8) for _ in names]
    for n, array in enumerate(marks):
        array[60 + n : 90, 60:90, 60:90] = 1 + n
    return {
        "switch": median_ms(lambda n: session.show_scan(names[n % 2])),
        "reviewed": median_ms(lambda n: review(session, names[n % 2], marks[n % 2])),
        "dab": median_ms(dab),
        **measure_tools(session),
        "undo": median_ms(lambda n: layers.editing.undo()),
        "autosave": median_ms(lambda n: save_draft(session.study.folder, "a", mask)),
        "planes": median_ms(lambda n: session.parent().panes.refresh()),
    }


def review(session: Any, name: str, marks: Any) -> None:
    """Go to another scan in step 4, look at what is probably wrong, and let go."""
    session.show_scan(name)
    for seen in (False, True, False):
        session.layers.overlays.show_doubts(marks, seen)


def measure_tools(session: Any) -> dict[str, float]:
    """Time our own tools on a mask of the size of a brain, from a press to its release."""
    layers, brush = session.layers, session.layers.brush
    i, p, l = np.ogrid[:SIZE, :SIZE, :SIZE]  # noqa: E741
    brain = ((i - 128) / 65) ** 2 + ((p - 128) / 85) ** 2 + ((l - 128) / 65) ** 2 < 1
    brain[5, 5, 5] = True
    brush.set_diameter(20)
    session.layers.viewpoint.look_at((128, 128, 128))
    turn = np.linspace(0, 2 * np.pi, 200)
    ring = [(128, 128 + 60 * np.sin(a), 128 + 60 * np.cos(a)) for a in turn]
    paths = {
        "lasso": ring, "smart": [(128, 43, 128)], "ball": [(128, 43, 128)],
        "push": [(128, 44, 128), (128, 42, 128)], "snap": [(128, 43, 128)],
        "scissors": [(128, 20, 110), (128, 230, 110)], "piece": [(5, 5, 5)],
    }

    def seconds(name: str) -> float:
        layers.editing.change(np.zeros_like(brain) if name == "lasso" else brain)
        brush.set_ball(name == "ball")
        return touch(layers, "smart" if name == "ball" else name, paths[name])

    found = {name: 1000 * statistics.median(seconds(name) for _ in range(TIMES)) for name in paths}
    brush.set_ball(False)
    image = layers.showing.image_on_display()
    now = layers.showing.now

    def threshold(n: int) -> None:
        made = between(image, (100 + n, 900), brain)
        layers.overlays.show("Preview", now.upright.to_scan(made))

    found["threshold"] = median_ms(threshold)
    layers.overlays.show("Preview", None)
    return found


def touch(layers: Any, name: str, path: list[tuple[float, float, float]]) -> float:
    """Use a tool along voxels; the seconds of its last event that changes the mask."""
    from napari_singlestrip.widgets.viewer.canvas_tools import Pointer

    tool = layers.canvas_tools.get(name)
    places = [Pointer(np.array(v, float), (4.0 * v[2], 4.0 * v[1]), False) for v in path]
    begin = time.perf_counter()
    tool.press(places[0])
    for place in places[1:]:
        if name in ("lasso", "scissors"):
            begin = time.perf_counter()  # drawing the line is nothing to wait for
        tool.move(place)
    tool.release(places[-1])
    return time.perf_counter() - begin


def main() -> None:
    """Open a window, measure, and print."""
    options = parser(__doc__).parse_args()
    load = machine()["load"]
    table = Table(f"Painting at {SIZE}^3 (ms, medians)", ["what", "ms", "at most", "reached"])
    if importlib.util.find_spec("napari") is None:
        table.notes.append("Skipped: napari is not installed.")
    else:
        for what, ms in in_a_window().items():
            table.add(WORDS[what], ms, LIMITS[what], judged(ms, LIMITS[what]))
    report([table], options, load)


def in_a_window() -> dict[str, float]:
    """Open a window with a study, and measure."""
    screen = open_screen()
    import napari

    from napari_singlestrip.widgets.dock.main_widget import StripWidget

    viewer = napari.Viewer()
    dock = StripWidget(viewer)
    viewer.window.add_dock_widget(dock, name="SingleStrip")
    with tempfile.TemporaryDirectory() as folder:
        dock.session.take_study(make_study(Path(folder)))
        found = measure(dock.session)
        viewer.close()
    if screen is not None:
        screen.stop()
    return found


if __name__ == "__main__":
    main()
