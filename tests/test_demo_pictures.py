"""The script that goes through the guided demo for the images of the tutorial, on small heads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "docs" / "make_demo.py"
PICTURES = SCRIPT.parent / "pictures"
MOVING = ("paint.webp", "review.webp")
MAX_BYTES = 1_500_000

pytest_plugins = ("gui_fixtures",)  # a study that looks as after a first run


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_it_goes_through_the_demo_as_the_guide_says(tmp_path: Path, ranked_source: Path) -> None:
    heads = tmp_path / "heads"
    for name in ("scans", "masks"):
        (heads / name).mkdir(parents=True)
    shutil.copytree(ranked_source, heads / "finished")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out"), "--heads", str(heads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    for name in MOVING:
        assert (tmp_path / "out" / name).stat().st_size < MAX_BYTES


def test_the_pictures_of_the_tutorial_move_and_are_small() -> None:
    from PIL import Image

    for name in MOVING:
        with Image.open(PICTURES / name) as picture:
            assert getattr(picture, "n_frames", 1) > 5
        assert (PICTURES / name).stat().st_size < MAX_BYTES
