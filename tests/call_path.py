"""By which modules something is written: how far one has to follow the code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest


def watch_writes(
    monkeypatch: pytest.MonkeyPatch, is_watched: Callable[[str], bool]
) -> list[list[str]]:
    """Return a list that gets the modules on the way to each watched file, the first called first.

    Files are written beside their place and moved there: the move is what is watched.
    """
    ways: list[list[str]] = []
    replace = os.replace

    def watched(source: Any, target: Any, **more: Any) -> None:
        if is_watched(os.fspath(target)):
            ways.append(_modules_on_the_way())
        replace(source, target, **more)

    monkeypatch.setattr(os, "replace", watched)
    return ways


def _modules_on_the_way() -> list[str]:
    found: list[str] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found.append(str(frame.f_globals.get("__name__", "")))
        frame = frame.f_back
    ours = [name for name in reversed(found) if name.startswith("napari_singlestrip.")]
    return list(dict.fromkeys(ours))
