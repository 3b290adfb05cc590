"""The planes that the canvas does not show, with a crosshair that is linked to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QDockWidget, QHBoxLayout, QMainWindow, QWidget

from napari_singlestrip.widgets.common.napari_preferences import Wishes, follow, wish, wishes
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.plane_view import PlaneView
from napari_singlestrip.widgets.viewer.viewpoint import PLANES

LOWEST, HEIGHT = 90, 150
NEEDED = 760  # height of a screen on which the window fits with these at full height
FILLED_MS = 2500


class OtherPlanes(QWidget):
    """Two small pictures below napari's list of layers, while a scan of the study is on screen.

    They follow the slice, the mask and the contrast of the canvas. A click or drag moves the
    point that is looked at, and the canvas with it; Shift and the mouse over the canvas moves
    the crosshair here.

    Parameters
    ----------
    session : Session

    Signals
    -------
    wanted_changed(bool)
        Whether they are shown while there is a scan.
    """

    wanted_changed = Signal(bool)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("other_planes")
        self.session = session
        self.wanted = Wishes.other_planes  # until the Preferences are read
        self._unfollow: Callable[[], None] | None = None
        self.views = (PlaneView("first"), PlaneView("second"))
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 2, 2, 2)
        row.setSpacing(4)
        for view in self.views:
            row.addWidget(view)
            view.picked.connect(session.layers.look_at)
        self.setFixedHeight(HEIGHT)
        self._due = QTimer(self)
        self._due.setSingleShot(True)
        self._due.setInterval(0)
        self._due.timeout.connect(self.refresh)
        self._filled: NDArray[np.bool_] | None = None
        self._fades = QTimer(self)
        self._fades.setSingleShot(True)
        self._fades.setInterval(FILLED_MS)
        self._fades.timeout.connect(self._forget_filled)
        self.frame = self._dock()
        self._connect()
        self._on_shown()

    # --- what is shown

    def set_wanted(self, wanted: bool) -> None:
        """Show the planes while there is a scan, or never."""
        self.wanted = wanted
        self._on_shown()
        self.wanted_changed.emit(wanted)

    def toggle(self) -> None:
        """Show the planes, or hide them; napari's Preferences keep it for the next time."""
        self._read_wish()
        self.set_wanted(not self.wanted)
        wish("other_planes", self.wanted)

    def shown_planes(self) -> tuple[str, str]:
        """The planes that the canvas does not show; in 3D the last two."""
        others = [plane for plane in PLANES if plane != self.session.layers.plane]
        return others[-2], others[-1]

    def refresh(self) -> None:
        """Draw what is looked at now."""
        layers = self.session.layers
        image, mask = layers.image_on_display(), layers.mask_view()
        if image is None or mask is None or layers.now is None or not self.isVisible():
            return
        scale, limits = layers.now.upright.scale, layers.contrast
        for view, plane in zip(self.views, self.shown_planes(), strict=True):
            view.show_slice(image, mask, plane, layers.point, scale, limits, self._filled)

    def show_filled(self, voxels: NDArray[np.bool_]) -> None:
        """Tint what a tool has added, for a moment or until the mask changes again."""
        self._filled = voxels
        self._fades.start()
        self._on_moved()

    def close_all(self) -> None:
        """Let go of the viewer."""
        self._due.stop()
        self._fades.stop()
        if self._unfollow is not None:
            self._unfollow()
        viewer = self.session.viewer
        with suppress(ValueError):
            viewer.mouse_move_callbacks.remove(self._on_mouse)
        viewer.dims.events.ndisplay.disconnect(self._on_moved)
        self.hide()
        if self.frame is not None:
            self.frame.hide()
            self.frame.deleteLater()
            self.frame = None

    # --- inside

    def _dock(self) -> QDockWidget | None:
        """Put this below napari's list of layers; there is no public way to its window."""
        main = getattr(getattr(self.session.viewer, "window", None), "_qt_window", None)
        if not isinstance(main, QMainWindow):
            return None
        screen = main.screen()
        if screen is not None:
            self.setFixedHeight(height_on(screen.availableGeometry().height()))
        frame = QDockWidget("Other planes", main)
        frame.setObjectName("other_planes_frame")
        frame.setFeatures(QDockWidget.DockWidgetFeature.NoDockWidgetFeatures)
        frame.setTitleBarWidget(QWidget(frame))  # no room for a title
        frame.setWidget(self)
        main.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, frame)
        frame.hide()
        return frame

    def _connect(self) -> None:
        layers, viewer = self.session.layers, self.session.viewer
        layers.shown_changed.connect(self._forget_filled)
        layers.shown_changed.connect(self._on_shown)
        layers.edited.connect(self._forget_filled)
        self.session.filled.connect(self.show_filled)
        layers.moved.connect(self._on_moved)
        layers.contrast_changed.connect(self._on_moved)
        viewer.dims.events.ndisplay.connect(self._on_moved)
        viewer.mouse_move_callbacks.append(self._on_mouse)

    def _read_wish(self) -> None:
        """Read the Preferences, once, when it matters: napari looks through all plugins for it."""
        if self._unfollow is None:
            self.wanted = wishes().other_planes
            self._unfollow = follow("other_planes", lambda: self.set_wanted(wishes().other_planes))
            self.wanted_changed.emit(self.wanted)

    def _on_shown(self, name: str = "") -> None:
        has_scan = self.session.layers.now is not None
        if has_scan:
            self._read_wish()
        if self.frame is not None:
            self.frame.setVisible(self.wanted and has_scan)
        self._on_moved()

    def _forget_filled(self, *_: object) -> None:
        self._filled = None
        self._fades.stop()
        self._on_moved()

    def _on_moved(self, event: Any = None) -> None:
        if self.isVisible() and not self._due.isActive():
            self._due.start()  # once for all that happens now

    def _on_mouse(self, viewer: Any, event: Any) -> None:
        layers = self.session.layers
        if "Shift" in event.modifiers and layers.now is not None and viewer.dims.ndisplay == 2:
            layers.look_at(layers.viewpoint.voxel(event.position))


def height_on(screen: int) -> int:
    """Height of the planes on a screen of this height: on a low one the window has to fit."""
    return min(HEIGHT, max(LOWEST, HEIGHT - (NEEDED - screen)))
