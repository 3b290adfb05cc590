"""Go through the guided demo in the real window, and make the moving images of the tutorial.

    python docs/make_demo.py [OUT] [--heads FOLDER]

Opens the window on a virtual screen (with openbox, where that is installed), and does with mouse
and keys what the guide says: outlines, the slices between, keeping the mask, the jump to the
finished study, its places to check, a decision. Writes paint.webp and review.webp to docs/pictures,
or to OUT, and fails where the guide does not follow. FOLDER holds scans/ and a study finished/ that
are taken instead of drawing twelve heads.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from opened_window import SIZE, OpenedWindow
from pyvirtualdisplay.display import Display

PICTURES = Path(__file__).parent / "pictures"
WIDTH = 960  # of the moving images
MAX_BYTES = 1_500_000
OUTLINE_OFFSETS_MM = (-32.0, -16.0, 0.0, 16.0)
CORNERS = 28  # of an outline


def main() -> None:
    """Make the images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, nargs="?", default=PICTURES)
    parser.add_argument("--heads", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder, Display(backend="xvfb", size=SIZE, color_depth=24):
        os.environ["XDG_CONFIG_HOME"] = f"{folder}/config"  # nobody's own preferences
        manager = window_manager()
        try:
            Rehearsal(prepare(Path(folder) / "demo", options.heads), options.out).go()
        finally:
            if manager is not None:
                manager.terminate()
                manager.wait()


def window_manager() -> subprocess.Popen[bytes] | None:
    """Start openbox, where it is installed."""
    return subprocess.Popen(["openbox"]) if shutil.which("openbox") else None


def prepare(folder: Path, heads: Path | None) -> Path:
    """Make the demo's folder with all heads drawn, so that nothing waits."""
    from napari_singlestrip.demo.guided_folder import GuidedFolder
    from napari_singlestrip.sample_data.making import make_finished

    GuidedFolder(folder).prepare()
    if heads is not None:
        for name in ("scans", "masks", "finished"):
            shutil.copytree(heads / name, folder / name)
    for _ in make_finished(folder) if heads is None else ():
        pass
    return folder


class Film:
    """Frames of a moving image."""

    def __init__(self, window: Any) -> None:
        self._window = window
        self._frames: list[Any] = []
        self._durations: list[int] = []

    def take(self, milliseconds: int = 120) -> None:
        """Add what is on screen."""
        from PIL import Image
        from qtpy.QtCore import QBuffer

        buffer = QBuffer()
        buffer.open(QBuffer.OpenModeFlag.WriteOnly)
        self._window.grab().save(buffer, "BMP")
        picture = Image.open(BytesIO(bytes(buffer.data().data()))).convert("RGB")
        height = round(picture.height * WIDTH / picture.width)
        self._frames.append(picture.resize((WIDTH, height), Image.Resampling.LANCZOS))
        self._durations.append(milliseconds)

    def write(self, path: Path) -> None:
        """Write an animated WebP, as good as fits."""
        first, *rest = self._frames
        for quality in (80, 65, 50, 35):
            first.save(path, save_all=True, append_images=rest, duration=self._durations, loop=0,
                       quality=quality, method=4)
            if path.stat().st_size < MAX_BYTES:
                break
        sys.stdout.write(f"wrote {path}: {len(self._frames)} frames, {path.stat().st_size} bytes\n")


class Rehearsal(OpenedWindow):
    """The window, and a hand that does what the guide says."""

    def __init__(self, folder: Path, out: Path) -> None:
        super().__init__()
        self.out = out
        self.dock.guide.begin(folder)
        self.film = Film(self.main)
        self.wait(4)

    def go(self) -> None:
        """Go through the demo; the guide must follow."""
        self.paint()
        self.film.write(self.out / "paint.webp")
        self.film = Film(self.main)
        self.review()
        self.film.write(self.out / "review.webp")
        self.viewer.close()

    # --- the steps

    def paint(self) -> None:
        """Outline the brain on a few slices, fill those between, and keep the mask."""
        self.guide_reads("outline")
        self.film.take(1500)
        axis, steps = self.viewer.dims.order[0], self.viewer.dims.current_step
        layer = self.session.layers.showing.image_layer
        assert layer is not None
        spacing = float(layer.scale[axis])
        for offset in OUTLINE_OFFSETS_MM:
            self.viewer.dims.set_current_step(axis, round(steps[axis] + offset / spacing))
            self.wait(0.3)
            self.film.take(500)
            self.draw(self.outline(axis))
        self.guide_reads("interpolate")
        self.film.take(1200)
        self.press("I")
        self.guide_reads("keep")
        self.film.take(800)
        self.click("toggle_panes")
        self.wait(3)
        self.film.take(3000)
        self.click("paint_done")
        self.guide_reads("train")
        self.film.take(1500)

    def review(self) -> None:
        """Jump to the finished study, look at the places to check, and accept a mask."""
        self.click("guide_next")
        self.guide_reads("jump")
        self.click("guide_way")
        self.guide_reads("places")
        self.wait(3)
        self.film.take(1800)
        self.show_worst()
        self.film.take(1800)
        for _ in range(3):
            self.press("Tab")
            self.wait(1.2)
            self.film.take(1800)
        self.guide_reads("follow")
        self.click("guide_next")
        self.press("R")
        self.guide_reads("apply")
        self.wait(1)
        self.film.take(2000)

    def show_worst(self) -> None:
        """Show the mask at the end of the ranking that has places to check."""
        study = self.session.need_study()
        rows = sorted(study.rounds.scores(0), key=lambda row: row.rank or 0)
        self.session.show_scan(rows[-1].scan)
        panel: Any = self.dock.panel
        self.until(lambda: panel.places.places, "places to check")
        self.wait(2)

    # --- the hand

    def outline(self, axis: int) -> list[tuple[float, ...]]:
        """Return voxels round the brain of the painted head, on the slice shown."""
        exact = self.exact_mask()
        at = int(self.viewer.dims.current_step[axis])
        plane = np.take(exact, at, axis)
        others = [a for a in range(3) if a != axis]
        middle = np.argwhere(plane).mean(axis=0)
        points: list[tuple[float, ...]] = []
        for angle in np.linspace(0, 2 * np.pi, CORNERS, endpoint=False):
            ray = middle + np.outer(np.arange(0, 200, 0.5), [np.sin(angle), np.cos(angle)])
            on = np.rint(ray).astype(int)
            on = on[((on >= 0) & (on < plane.shape)).all(axis=1)]
            end = on[np.flatnonzero(plane[tuple(on.T)])[-1]]
            point = [0.0, 0.0, 0.0]
            point[axis] = float(at)
            for a, value in zip(others, end, strict=True):
                point[a] = float(value)
            points.append(tuple(point))
        return [*points, points[0]]

    def exact_mask(self) -> Any:
        """The mask that the head was drawn with, as it is displayed."""
        from napari_singlestrip.engine.imaging.volume import load_mask

        now = self.session.layers.showing.now
        assert now is not None
        name = f"{self.session.scan}.nii.gz"
        scan = self.session.need_study().scans.path(self.session.scan)
        mask = load_mask(scan.parent.parent / "masks" / name, like=now.scan)
        return now.upright.to_display(mask)

    def draw(self, points: Sequence[Sequence[float]]) -> None:
        """Draw with the mouse through voxels, and take frames on the way."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        canvas, left = self.viewer.window._qt_viewer.canvas.native, Qt.MouseButton.LeftButton
        no = Qt.KeyboardModifier.NoModifier
        pixels = [self.pixel(point) for point in points]
        QTest.mouseMove(canvas, pixels[0])
        QTest.mousePress(canvas, left, no, pixels[0])
        for n, (start, end) in enumerate(itertools.pairwise(pixels)):
            for part in (0.25, 0.5, 0.75, 1.0):
                QTest.mouseMove(canvas, start + (end - start) * part)
                self.wait(0.01)
            if n % 5 == 4:
                self.film.take(90)
        QTest.mouseRelease(canvas, left, no, pixels[-1])
        self.wait(0.3)
        self.film.take(400)

    def pixel(self, point: Sequence[float]) -> Any:
        """Where a voxel is on the canvas."""
        from qtpy.QtCore import QPoint

        layer = self.viewer.layers.selection.active
        world = layer.data_to_world(point)
        shown = [world[axis] for axis in self.viewer.dims.displayed][::-1]
        view = self.viewer.window._qt_viewer.canvas.view
        x, y = (view.transform * view.scene.transform).map(shown)[:2]
        return QPoint(round(float(x)), round(float(y)))

    def press(self, key: str) -> None:
        """Press a key on the image."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        canvas.setFocus()
        QTest.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"))
        self.wait(0.3)

    def click(self, name: str) -> None:
        """Click a button of the dock once it can be clicked."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QPushButton

        made = self.dock.findChild(QPushButton, name)
        assert made is not None, name
        self.until(lambda: made.isVisible() and made.isEnabled(), name)
        QTest.mouseClick(made, Qt.MouseButton.LeftButton)
        self.wait(0.3)

    def guide_reads(self, key: str) -> None:
        """Wait until the guide has come to a sentence."""
        from napari_singlestrip.demo.guide import STEPS

        self.until(lambda: STEPS[self.dock.guide.shown].key == key, f"the guide reads {key}")

    def until(self, true: Any, what: str, seconds: float = 60) -> None:
        """Let the window work until something is true."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:g} s for: {what}")
            self.wait(0.1)



if __name__ == "__main__":
    main()
