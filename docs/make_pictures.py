"""Take the images of the tutorial and the README from the real window.

    python docs/make_pictures.py [STUDY]

Opens the finished sample study (or a copy of STUDY) on a virtual screen, goes through the five
steps as a person would, and writes docs/pictures/.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from opened_window import SIZE, OpenedWindow
from pyvirtualdisplay.display import Display

PICTURES = Path(__file__).parent / "pictures"
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


class Tour(OpenedWindow):
    """The window, and a walk through its steps."""

    def __init__(self, study: Path) -> None:
        super().__init__()
        self.session.open_study(study)

    def go(self) -> None:
        """Visit each step and take its image."""
        self.open("scans", self.session.need_study().scans.names[0], 20)  # all thumbnails
        self.take("scans")
        self.open("paint", self.session.need_study().scans.names[0])
        self.take("paint")
        self.open("train")
        self.take("train")
        self.open("review")
        panel: Any = self.dock.panel
        ranked = self.session.need_study().rounds.scores(0)
        plain = [row for row in ranked if not row.flag] or ranked
        self.session.show_scan(max(plain, key=lambda row: row.largest_place_ml).scan)
        self.wait(5)
        panel.places.step(1)
        self.wait(2)
        self.take("review")
        self.open("apply")
        self.apply()
        self.session.tell("")  # the job's last words name a temporary folder
        self.wait(1)
        self.take("apply")
        self.viewer.close()

    def apply(self) -> None:
        """Apply the model to the study's scans, and look at a result."""
        panel: Any = self.dock.panel
        panel.scans.take_study()
        panel.start()
        self.wait(2)
        while self.session.job.status.busy:
            self.wait(0.5)
        panel.next_scan()
        self.wait(3)

    def open(self, step: str, scan: str = "", seconds: float = 3) -> None:
        """Open a step, and show a scan."""
        self.session.step_requested.emit(step)
        if scan:
            self.session.show_scan(scan)
        self.wait(seconds)


    def take(self, name: str) -> None:
        """Write the image of a step."""
        from PIL import Image

        path = PICTURES / f"{name}.png"
        self.main.grab().save(str(path))
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE)
        small.save(path, optimize=True)
        sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
