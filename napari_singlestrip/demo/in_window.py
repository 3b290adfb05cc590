"""Opening napari, in a process of its own, for the guided demo."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from napari_singlestrip.demo.guided_folder import GuidedFolder
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Started

PLUGIN = "napari-singlestrip"
ADDRESS = "singlestrip://demo/"


def guide(folder: Path) -> Iterator[Event]:
    """Open napari with the guided demo in a folder, and wait until it is closed.

    Parameters
    ----------
    folder : Path
        New, empty, or of a guided demo, which is then continued.

    Raises
    ------
    UserError
        If napari is not installed or ends with an error, or the folder holds other files.
    """
    began = time.monotonic()
    if importlib.util.find_spec("napari") is None:
        raise UserError("napari is not installed here.",
                        "Install it with `pip install \"napari-singlestrip[all]\"`.")
    guided = GuidedFolder(Path(os.path.abspath(folder.expanduser())))
    guided.prepare()
    yield Started("", detail=f"{guided.path.name}, in the window")
    code = subprocess.call(command(guided.path))
    if code:
        raise UserError(f"napari ended with an error ({code}).",
                        "Start `napari` by itself to see whether it opens a window.")
    yield Finished(time.monotonic() - began)


def command(folder: Path) -> list[str]:
    """Return the command that opens napari with the guided demo in a folder."""
    address = ADDRESS + quote(str(folder), safe="/")
    return [sys.executable, "-m", "napari", "--plugin", PLUGIN, address]
