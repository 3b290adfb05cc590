"""napari started as a person starts it, under a window manager, on a screen of one's choice.

Screen and scale are fixed when a process starts: each start has its own Xvfb, openbox, empty home
and process, which walks through a plan (see `real_window_tour`) and says what it found.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TOUR = Path(__file__).with_name("real_window_tour.py")
SECONDS = 600  # a busy machine needs minutes for twenty-five states
MISSING = [name for name in ("Xvfb", "openbox") if shutil.which(name) is None]

needs_xdotool = pytest.mark.skipif(
    shutil.which("xdotool") is None, reason="needs xdotool: tools/system_packages.sh keys"
)
needs_window_manager = pytest.mark.skipif(
    bool(MISSING), reason=f"needs {' and '.join(MISSING)}: tools/system_packages.sh window"
)


@dataclass(frozen=True)
class RealScreen:
    """A screen, and who sits before it.

    Attributes
    ----------
    size : (int, int)
        In pixels.
    home : Path
        Their home; kept from start to start.
    scale : int
        Of everything that is drawn.
    """

    size: tuple[int, int]
    home: Path
    scale: int = 1

    def tour(self, *arguments: str, **plan: Any) -> Found:
        """Start ``napari ARGUMENTS`` and walk through a plan.

        With SINGLESTRIP_PICTURES, a folder, in the environment, there are images of all steps.
        """
        from pyvirtualdisplay.display import Display

        self.home.mkdir(parents=True, exist_ok=True)
        answer, file = self.home / "answer.json", self.home / "plan.json"
        answer.unlink(missing_ok=True)
        if pictures := os.environ.get("SINGLESTRIP_PICTURES"):
            way = plan.get("way") or "_".join(arguments[:1])
            plan["pictures"] = f"{pictures}/{self.size[0]}x{self.size[1]}_{way}"
        file.write_text(json.dumps({**plan, "arguments": arguments, "answer": str(answer)}))
        with Display(backend="xvfb", size=self.size, color_depth=24) as screen:
            environment = self._environment(screen.new_display_var)
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            manager = subprocess.Popen(["openbox"], env=environment, **quiet)  # type: ignore[call-overload]
            try:
                ended = subprocess.run(
                    [sys.executable, str(TOUR), str(file)], env=environment, text=True,
                    capture_output=True, timeout=SECONDS,
                )  # fmt: skip
            finally:
                manager.terminate()
                manager.wait()
        said = ended.stderr[-3000:]
        assert answer.is_file(), said
        told = json.loads(answer.read_text())
        assert not told["failed"], told["failed"]
        return Found(told["found"], told["facts"], said)

    def _environment(self, display: str) -> dict[str, str]:
        kept = {name: v for name, v in os.environ.items() if not name.startswith(("NAPARI", "QT"))}
        return {
            **kept, "DISPLAY": display, "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "QT_SCALE_FACTOR": str(self.scale), "OMP_NUM_THREADS": "1",
        }  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What a tour found.

    Attributes
    ----------
    cut : list of str
        What is cut or off the screen: state and step, the control, and by how much.
    facts : dict
    said : str
        End of what napari wrote to its terminal.
    """

    cut: list[str]
    facts: dict[str, Any] = field(default_factory=dict)
    said: str = ""
