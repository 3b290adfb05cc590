"""Keeps layers on the grid of their scan: part of `study_layers` and `result_layers`.

Strokes change the voxels of the mask layer under the cursor. If it were moved off the scan, as with
napari's transform tool, the saved mask would not match the displayed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

MOVING = ("affine", "rotate", "shear", "scale", "translate", "units")  # restored in this order
TRANSFORM = "transform"


@dataclass(eq=False)
class _Held:
    """A layer with its required transform, and the last selected tool."""

    layer: Any
    place: dict[str, Any]
    mode: str


class LayersInPlace(QObject):
    """Restores layers that were moved, and deselects napari's transform tool.

    Signals
    -------
    told(str)
        Message about a reverted change.
    """

    told = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._held: list[_Held] = []
        self._quiet = False

    def hold(
        self, layer: Any, scale: Sequence[float], translate: Sequence[float] = (0, 0, 0)
    ) -> None:
        """Keep an existing layer at its present transform; call again after changing it."""
        held = self._of(layer)
        if held is not None:
            held.place.update(scale=np.asarray(scale), translate=np.asarray(translate))
            self._put_back(held)
            return
        place = {
            "affine": np.eye(4), "rotate": np.eye(3), "shear": np.zeros(3),
            "scale": np.asarray(scale), "translate": np.asarray(translate),
        }
        if hasattr(layer, "units"):
            place["units"] = layer.units
        self._held.append(_Held(layer, place, str(layer.mode)))
        for name in MOVING:
            if hasattr(layer.events, name):
                # Last, after napari's own handlers.
                getattr(layer.events, name).connect(self._on_moved, position="last")
        layer.events.mode.connect(self._on_mode, position="last")

    def let_go(self, layer: Any) -> None:
        """Stop tracking a layer."""
        held = self._of(layer)
        if held is None:
            return
        self._held.remove(held)
        for name in (*MOVING, "mode"):
            if hasattr(layer.events, name):
                callback = self._on_mode if name == "mode" else self._on_moved
                with suppress(ValueError):
                    getattr(layer.events, name).disconnect(callback)

    # --- inside

    def _of(self, layer: Any) -> _Held | None:
        return next((held for held in self._held if held.layer is layer), None)

    def _on_moved(self, event: Any) -> None:
        held = self._of(event.source)
        if held is not None and not self._quiet and not _is_in_place(held):
            self._put_back(held)
            self.told.emit(
                f"{held.layer.name} is on the grid of its scan and cannot be moved: it was put "
                "back. Nothing of the mask has changed."
            )

    def _put_back(self, held: _Held) -> None:
        before, self._quiet = self._quiet, True
        try:
            for name in MOVING:
                if name in held.place and not _is_same(held, name):
                    setattr(held.layer, name, held.place[name])
        finally:
            self._quiet = before

    def _on_mode(self, event: Any) -> None:
        held = self._of(event.source)
        if held is None:
            return
        if str(held.layer.mode) != TRANSFORM:
            held.mode = str(held.layer.mode)
            return
        held.layer.mode = held.mode
        self.told.emit(
            f"{held.layer.name} is on the grid of its scan: napari's transform tool would move "
            "it off, and was deselected."
        )


def _is_in_place(held: _Held) -> bool:
    return all(_is_same(held, name) for name in held.place)


def _is_same(held: _Held, name: str) -> bool:
    found, wanted = getattr(held.layer, name), held.place[name]
    if name == "units":
        return bool(tuple(found) == tuple(wanted))
    found = np.asarray(getattr(found, "affine_matrix", found), float)
    return found.shape == np.shape(wanted) and bool(np.allclose(found, wanted, rtol=1e-9))
