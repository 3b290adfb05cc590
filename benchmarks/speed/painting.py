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

SIZE = 256
TIMES = 7
WORDS = {
    "switch": "another scan, both in memory", "dab": "a dab of the brush, 21 voxels",
    "undo": "undo", "autosave": "saving the draft", "planes": "three planes drawn anew",
}
LIMITS = {"switch": 300, "dab": 40, "undo": 40, "autosave": 20, "planes": 10}


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

    layers, names = session.layers, session.study.names
    for name in names:
        session.show_scan(name)
    layer = layers.mask_layer
    layer.brush_size = 21

    def dab(n: int) -> None:
        with layer.block_history():
            layer.paint((128, 60 + 10 * n, 128), 1)

    mask = layers.mask_on_scan()
    return {
        "switch": median_ms(lambda n: session.show_scan(names[n % 2])),
        "dab": median_ms(dab),
        "undo": median_ms(lambda n: layers.undo()),
        "autosave": median_ms(lambda n: save_draft(session.study.folder, "a", mask)),
        "planes": median_ms(lambda n: session.parent().planes.refresh()),
    }


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
