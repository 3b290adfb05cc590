"""Other tools of skull stripping, as commands that take a scan and the mask to write.

They are installed by the extra `benchmark`, into an environment without the window.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_DEEPBET = (
    "import sys, deepbet; "
    "deepbet.run_bet([sys.argv[1]], mask_paths=[sys.argv[2]], no_gpu=True)"
)
COMMANDS: dict[str, list[str | Path]] = {
    "deepbet": [sys.executable, "-c", _DEEPBET],
    "brainextractor": [Path(sys.executable).with_name("brainextractor")],
}


def is_installed(package: str) -> bool:
    """Say whether a tool can be run here."""
    return importlib.util.find_spec(package) is not None
