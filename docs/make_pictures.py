"""Take the pictures of the tutorial and the README from the real window.

    python docs/make_pictures.py [STUDY]

Opens the finished sample study (or a copy of STUDY) on a virtual screen, goes through the five
steps as a person would, and writes docs/pictures/.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from pyvirtualdisplay.display import Display

PICTURES = Path(__file__).parent / "pictures"
SIZE = (1366, 768)
COLOURS = 256  # a third of the size; FASTOCTREE keeps the few voxels of a colour of their own


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, Display(backend="xvfb", size=SIZE, color_depth=24):
        study = prepare(Path(folder))
        Tour(study).go()


def prepare(folder: Path) -> Path:
    """Make the study that is shown; what is done to it does not matter."""
    from napari_singlestrip.sample_data.finished_study import FOLDER
    from napari_singlestrip.sample_data.making import make_finished

    if len(sys.argv) > 1:
        study = folder / Path(sys.argv[1]).name
        shutil.copytree(sys.argv[1], study)
        return study
    for _ in make_finished(folder):
        pass
    return folder / FOLDER


class Tour:
    """The window, and a walk through its steps."""

    def __init__(self, study: Path) -> None:
        import napari

        from napari_singlestrip.widgets.dock.main_widget import StripWidget

        self.viewer = napari.Viewer(show=False)
        self.main = self.viewer.window._qt_window
        self.main.resize(*SIZE)
        self.main.show()
        self.dock = StripWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="SingleStrip", area="right")
        self.wait(2)
        self.session = self.dock.session
        self.session.open_study(study)

    def go(self) -> None:
        """Visit each step and take its picture."""
        self.open("scans", self.session.need_study().names[0], 6)
        self.take("scans")
        self.open("paint", self.session.need_study().names[0])
        self.take("paint")
        self.open("train")
        self.take("train")
        self.open("review")
        self.dock.panel.next_scan()  # type: ignore[attr-defined]
        self.wait(3)
        self.take("review")
        self.open("apply")
        self.take("apply")
        self.viewer.close()

    def open(self, step: str, scan: str = "", seconds: float = 3) -> None:
        """Open a step, and show a scan."""
        self.session.step_requested.emit(step)
        if scan:
            self.session.show_scan(scan)
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Let the window work."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)

    def take(self, name: str) -> None:
        """Write the picture of a step."""
        from PIL import Image

        path = PICTURES / f"{name}.png"
        self.main.grab().save(str(path))
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE)
        small.save(path, optimize=True)
        sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
