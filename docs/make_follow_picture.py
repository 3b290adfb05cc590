"""Record how a mask follows two corrected slices, as an animated image.

    python docs/make_follow_picture.py [--still FOLDER]

Opens a sample head with a mask that is too small all around in the real window, under a window
manager on a virtual screen, and lassoes the brain on two slices with a real mouse (xdotool). Writes
docs/pictures/follow.webp; with --still also each image as a PNG.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy
from opened_window import SIZE, OpenedWindow
from PIL import Image, ImageDraw
from pyvirtualdisplay.display import Display

OUT = Path(__file__).parent / "pictures" / "follow.webp"
WIDTH = 900  # of the image
MASK, SHRUNK_MM = "too_small.nii.gz", 5.0
SPACING_MM = 2.0  # of the head
PLACES = (0.45, 0.75)  # of the brain's height, from below
POINTS = 90  # of an outline
LONG_MS, SHORT_MS = 1800, 160
Frames = list[tuple[Image.Image, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--still", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as folder, screen():
        frames = record(Path(folder))
        gc.collect()  # a window that Python lets go after its screen waits for it for ever
    write(frames, OUT)
    if options.still is not None:
        options.still.mkdir(parents=True, exist_ok=True)
        for n, (frame, _) in enumerate(frames):
            frame.save(options.still / f"{n:02d}.png")


def record(folder: Path) -> Frames:
    """Correct two slices with a real mouse; images and how long each is seen (ms)."""
    recording = Recording(folder)
    recording.go()
    return recording.frames


def write(frames: Frames, path: Path) -> None:
    """Write all images as one that moves."""
    first, *rest = [frame for frame, _ in frames]
    first.save(
        path, save_all=True, append_images=rest, loop=0, quality=70, method=6,
        duration=[milliseconds for _, milliseconds in frames],
    )


@contextmanager
def screen() -> Iterator[None]:
    """A virtual screen with a window manager."""
    with Display(backend="xvfb", size=SIZE, color_depth=24):
        manager = subprocess.Popen(["openbox"], stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            manager.terminate()
            manager.wait()


def make_study(folder: Path) -> tuple[Any, np.ndarray]:
    """A sample head, beside it a mask that is too small; and the true mask as displayed."""
    from napari_singlestrip.engine.imaging.display_orientation import Upright
    from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
    from napari_singlestrip.sample_data.making import make_samples
    from napari_singlestrip.study.study import Study

    for _ in make_samples(folder, 1, spacing_mm=SPACING_MM):
        pass
    scan = sorted((folder / "scans").glob("*.nii.gz"))[0]
    opened = open_scan(scan)
    truth = load_mask(folder / "masks" / scan.name, like=opened)
    depth = scipy.ndimage.distance_transform_edt(truth, opened.grid.spacing)
    study = Study.create(folder / "study", [scan])
    save_mask(folder / MASK, depth > SHRUNK_MM, like=opened)
    return study, Upright(opened.grid.affine).to_display(truth)


class Recording(OpenedWindow):
    """The window, a hand, and the images of it."""

    def __init__(self, folder: Path) -> None:
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")  # nobody's own preferences
        self.frames: Frames = []
        study, self.truth = make_study(folder)
        super().__init__(maximised=True)
        self.session.take_study(study)
        self.session.show_scan(study.scans.names[0])
        self.dock.go_to("paint")
        self.dock.panel.load_mask(folder / MASK)  # type: ignore[attr-defined]
        self.session.correcting.set_live(True)
        self.session.layers.brush.set_outline(True)
        self.dock.panes.set_wanted("four")
        self.wait(4)

    def go(self) -> None:
        """Correct two slices, and look at the end."""
        used = np.flatnonzero(self.truth.any(axis=(1, 2)))
        top_first = self._top_first(used)
        for place in PLACES:
            self.lasso(int(used[round((1 - place if top_first else place) * (used.size - 1))]))
        self.shoot(2 * LONG_MS)
        self.viewer.close()

    def lasso(self, index: int) -> None:
        """Go to an axial slice and draw round the true brain."""
        layers = self.session.layers
        middle = [n // 2 for n in self.truth.shape]
        layers.viewpoint.set_plane("axial")
        layers.viewpoint.look_at((index, middle[1], middle[2]))
        layers.brush.set_mode("lasso")
        self.wait(0.5)
        self.shoot(LONG_MS)
        way = [self._on_screen((index, *point)) for point in outline(self.truth[index])]
        self._mouse("mousemove", *way[0])
        self._mouse("mousedown", 1)
        for n, at in enumerate(way):
            self._mouse("mousemove", *at)
            if n % (POINTS // 6) == POINTS // 12:
                self.shoot(SHORT_MS, at)
        self._mouse("mouseup", 1)
        edits = self.session.correcting
        self.wait(0.03)
        self.shoot(LONG_MS // 2, way[-1])
        end = time.monotonic() + 30
        while not edits.last and time.monotonic() < end:
            self.wait(0.05)
        self.wait(1.5)
        self.shoot(LONG_MS, way[-1])

    def shoot(self, milliseconds: int, mouse: tuple[int, int] | None = None) -> None:
        """Take an image of the screen, with the mouse on it."""
        from qtpy.QtCore import QBuffer
        from qtpy.QtWidgets import QApplication

        buffer = QBuffer()
        buffer.open(QBuffer.OpenModeFlag.WriteOnly)
        seen: Any = QApplication.primaryScreen()
        seen.grabWindow(0).save(buffer, "BMP")
        picture = Image.open(BytesIO(bytes(buffer.data().data()))).convert("RGB")
        if mouse is not None:
            x, y = mouse
            arrow = [(x, y), (x, y + 18), (x + 5, y + 14), (x + 13, y + 13)]
            ImageDraw.Draw(picture).polygon(arrow, fill="white", outline="black")
        height = round(picture.height * WIDTH / picture.width)
        self.frames.append(
            (picture.resize((WIDTH, height), Image.Resampling.LANCZOS), milliseconds)
        )

    # --- inside

    def _mouse(self, *words: object) -> None:
        subprocess.run(["xdotool", *map(str, words)], check=True)
        self.wait(0.03)

    def _top_first(self, used: np.ndarray) -> bool:
        """Whether slices count from above: the brain is wider at its middle than at its top."""
        areas = self.truth.sum(axis=(1, 2))[used]
        return bool(areas[: used.size // 2].sum() < areas[used.size // 2 :].sum())

    def _on_screen(self, voxel: tuple[float, ...]) -> tuple[int, int]:
        """Where a voxel is on the screen."""
        from qtpy.QtCore import QPoint

        seen = self.viewer.window._qt_viewer
        layer = self.session.layers.editing.layer
        assert layer is not None
        world = layer.data_to_world(voxel)
        shown = [world[axis] for axis in self.viewer.dims.displayed][::-1]
        view = seen.canvas.view
        x, y = (view.transform * view.scene.transform).map(shown)[:2]
        point = seen.canvas.native.mapToGlobal(QPoint(round(float(x)), round(float(y))))
        return point.x(), point.y()


def outline(mask: np.ndarray) -> list[tuple[float, float]]:
    """Points around the largest piece of a slice, as a hand goes."""
    from skimage.measure import find_contours

    contours: Any = find_contours  # it has no types
    longest = max(contours(np.pad(mask, 1).astype(float), 0.5), key=len) - 1
    few = longest[np.linspace(0, len(longest) - 1, POINTS).astype(int)]
    return [(float(row), float(column)) for row, column in few]


if __name__ == "__main__":
    main()
