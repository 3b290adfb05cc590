"""Axial, coronal, sagittal and the surface, each on a quarter of napari's canvas.

napari has a single canvas, which follows the mouse: when the mouse enters another plane, the viewer
switches to that plane and its canvas moves over that pane. The others are drawn by Qt from the
arrays of the same layers. So there is one mask layer with one undo history, every tool works in
every pane without knowing of panes, nothing is duplicated, and a brush dab is rendered once by
napari instead of three times. The alternative, a second viewer for each plane with mirrored layers,
would need every tool, hook and undo once for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRect, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QResizeEvent, QWheelEvent
from qtpy.QtWidgets import QApplication, QSizePolicy, QWidget

from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.panes.linked_camera import LinkedCamera
from napari_singlestrip.widgets.panes.marks import CanvasMarks
from napari_singlestrip.widgets.panes.place_in_window import PlaceInWindow
from napari_singlestrip.widgets.panes.plane_pane import PlanePane
from napari_singlestrip.widgets.panes.redraw import Redraw
from napari_singlestrip.widgets.panes.slice_picture import area_of
from napari_singlestrip.widgets.panes.surface_pane import SurfacePane
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.viewpoint import PLANES, camera_of

NEEDED = (1000, 640)  # pixels of the canvas: below, four panes are too small to paint in
GAP = 2  # pixels between panes
COME_MS = 40  # a mouse that only crosses a pane does not turn the viewer
FILLED_MS = 2500
CLICK = 3  # pixels: a mouse that moves further drags
# Neighbours share an axis: coronal is below axial, sagittal beside coronal.
PLACES = {"axial": (0, 0), "surface": (0, 1), "coronal": (1, 0), "sagittal": (1, 1)}


class FourPanes(QWidget):
    """Places napari's canvas, and draws the other panes around it.

    Parameters
    ----------
    session : Session

    Signals
    -------
    changed()
        Four panes, one, or one enlarged.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("four_panes")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.session = session
        self.viewer = session.viewer
        self.viewpoint = session.layers.viewpoint
        self.wanted = "auto"  # or "four" or "one"
        self.enlarged = ""  # or "plane" or "surface"
        self.camera = LinkedCamera(self.viewer, self.viewpoint)
        self._turning = False
        self._was_four = self._covered = False
        self._coming = ""
        self._marked: object = None  # plane and point of the crosshairs on screen
        self._comes = single_shot(self, COME_MS, self._come)
        self._fades = single_shot(self, FILLED_MS, self._forget_filled)
        # A resize must not make napari draw while it is removing a layer.
        self._arranges = single_shot(self, 0, self.arrange)
        self._fits = single_shot(self, 0, self._fit_new_size)
        self._fitted = (0, 0)
        self._canvas: QWidget | None = None  # events arrive while the constructor still runs
        self._marks: CanvasMarks | None = None
        self.panes = {plane: PlanePane(self, plane) for plane in PLANES}
        self.surface = SurfacePane(session, self)
        self._place = PlaceInWindow(self.viewer, self)
        self._canvas = self._place.canvas
        if self._canvas is not None:
            self._marks = CanvasMarks(self, self._canvas)
        self._redraw = Redraw(self.viewer, self)
        self._connect()
        self.arrange()

    # --- state

    @property
    def plane(self) -> str:
        """The plane that napari's canvas shows; empty in 3D."""
        return self.viewpoint.plane

    @property
    def wants_four(self) -> bool:
        """Whether a scan is shown in four panes, unless one of them is enlarged."""
        if self.wanted == "auto":
            return self.width() >= NEEDED[0] and self.height() >= NEEDED[1]
        return self.wanted == "four"

    @property
    def is_four(self) -> bool:
        """Whether four panes are on screen."""
        return self.has_planes and self.wants_four and not self.enlarged

    @property
    def has_planes(self) -> bool:
        """Whether there is a scan that can be shown in planes."""
        found = self._canvas is not None and self.session.layers.shows_scan
        return found and self.plane in PLANES

    @property
    def _is_turned(self) -> bool:
        """Whether a mask is shown in 3D: shaded, in place of napari's flat labels."""
        in_3d = self.viewer.dims.ndisplay == 3 and self._canvas is not None
        return in_3d and self.session.layers.showing.now is not None

    def set_wanted(self, wanted: str) -> None:
        """Show "four" panes, "one", or as many as there is room for ("auto")."""
        self.wanted, self.enlarged = wanted, ""
        self.arrange()

    def toggle_enlarged(self, surface: bool | None = None) -> None:
        """Enlarge the pane under the mouse, or `surface`; or go back."""
        if self.enlarged:
            self.enlarged = ""
        elif self.has_planes:
            over = self.surface.underMouse() if surface is None else surface
            self.enlarged = "surface" if over else "plane"
        self.arrange()

    def turn_to(self, plane: str) -> None:
        """Move napari's canvas to a plane, with nothing else changed."""
        before = self.plane
        if plane == before or not self.has_planes:
            return
        with self._turn(), self._place.hold():
            self.viewpoint.turn_to(plane)
            self.camera.put()
        self.arrange()
        if before in PLANES:
            self.panes[before].refresh()

    def come(self, plane: str) -> None:
        """Switch to a plane if the mouse stays there; not while an outline is open elsewhere."""
        if plane != self._coming and not self.session.layers.canvas_tools.is_open:
            self._coming = plane
            self._comes.start()

    def stay(self) -> None:
        """Cancel the switch: the mouse has left."""
        self._coming = ""
        self._comes.stop()

    def refresh(self) -> None:
        """Draw the panes that napari does not."""
        self.surface.refresh()
        if not self.is_four:
            return
        for plane, pane in self.panes.items():
            if plane != self.plane:
                pane.refresh()
        if self._marked != (self.plane, self.viewpoint.point):
            self.update_marks()

    def update_marks(self) -> None:
        """Redraw crosshairs and letters over unchanged slices."""
        self._marked = self.plane, self.viewpoint.point
        for pane in self.panes.values():
            pane.update()
        if self._marks is not None:
            self._marks.update()

    def show_filled(self, voxels: NDArray[np.bool_]) -> None:
        """Highlight what a tool has added, for a moment or until the mask changes again."""
        for pane in self.panes.values():
            pane.filled = voxels
        self._fades.start()
        self.refresh()

    # --- geometry

    @property
    def point_mm(self) -> tuple[float, float, float]:
        """The current point (mm; I, P, L)."""
        found = [float(mm) for mm in self.viewer.dims.point[-3:]]
        i, p, l = [0.0] * (3 - len(found)) + found  # noqa: E741
        return i, p, l

    @property
    def pane_size(self) -> tuple[int, int]:
        """Width and height of a plane on screen, in pixels."""
        place = self._quarter("axial") if self.is_four else self.rect()
        return place.width(), place.height()

    def point_on_screen(self, plane: str) -> QPointF:
        """Position of the current voxel in its pane."""
        _, rows, columns = PLANES[plane]
        point, scale = self.viewpoint.point, self.viewpoint.scale
        mm = QPointF(point[columns] * scale[columns], point[rows] * scale[rows])
        return self.camera.transform(plane, self.pane_size).map(mm)

    def area_on_screen(self, plane: str) -> QRectF:
        """Rectangle of the scan in its pane."""
        area = area_of(self.viewpoint.shape, self.viewpoint.scale, (0.0,) * 3, PLANES[plane])
        return self.camera.transform(plane, self.pane_size).mapRect(area)

    def arrange(self) -> None:
        """Lay out the panes."""
        four = self.is_four
        for plane, pane in self.panes.items():
            pane.setGeometry(self._quarter(plane))
            pane.setVisible(four)
        if self._canvas is not None:
            place = self._quarter(self.plane) if four else self.rect()
            if self._canvas.geometry() != place:
                self._canvas.setGeometry(place)
            self._canvas.raise_()
        if self._marks is not None:
            self._marks.setGeometry(QRect(0, 0, *self.pane_size))
            self._marks.setVisible(four)
        alone = (self.has_planes and self.enlarged == "surface") or self._is_turned
        if self._canvas is not None and alone != self._covered:
            self._covered = alone
            self._canvas.setUpdatesEnabled(not alone)
        self.surface.show_in(self.rect() if alone else self._quarter("surface"), four or alone)
        if four != self._was_four:
            self._was_four = four
            self._fit()
        self._marked = None
        self.refresh()
        self.changed.emit()

    # --- events

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay out the panes."""
        self.arrange()
        self._fits.start()  # if it stays: see `PlaceInWindow.hold`

    def hand_on(self, event: QMouseEvent | QWheelEvent) -> None:
        """Forward an event of a pane to the canvas, which lies over that pane."""
        if self._canvas is None:
            return
        QApplication.sendEvent(self._canvas, _copy_of(event))
        if event.type() == QEvent.Type.MouseButtonPress:
            self._canvas.setFocus(Qt.FocusReason.MouseFocusReason)

    def close_all(self) -> None:
        """Restore napari's canvas, and disconnect from the viewer."""
        for timer in (self._comes, self._fades, self._arranges, self._fits):
            timer.stop()
        self._redraw.close()
        self.surface.close_all()
        with suppress(ValueError):
            self.viewer.mouse_drag_callbacks.remove(self._on_drag)
        with suppress(ValueError):
            self.viewer.mouse_move_callbacks.remove(self._on_mouse)
        for emitter, callback in self._connections():
            emitter.disconnect(callback)
        if self._marks is not None:
            self._marks.hide()
            self._marks.deleteLater()
            self._marks = None
        if self._canvas is not None:
            self._canvas.setUpdatesEnabled(True)
        self._place.give_back()
        self._canvas = None
        self.hide()
        self.deleteLater()

    # --- inside

    def _connections(self) -> list[tuple[Any, Callable[..., None]]]:
        dims, camera = self.viewer.dims.events, camera_of(self.viewer).events
        return [
            (dims.order, self._on_turned), (dims.ndisplay, self._on_turned),
            (dims.point, self._redraw.soon),
            (camera.center, self._on_camera), (camera.zoom, self._on_camera),
            (camera.orientation, self._on_camera),
            (self.viewer.events.reset_view, self._on_reset),
            (self.viewer.events.theme, self._take_theme),
        ]

    def _connect(self) -> None:
        layers = self.session.layers
        for emitter, callback in self._connections():
            emitter.connect(callback)
        layers.showing.changed.connect(self._on_shown)
        layers.editing.edited.connect(self._forget_filled)
        layers.editing.edited.connect(self.surface.follow)
        self.session.filled.connect(self.show_filled)
        self.session.correcting.changed.connect(self.update_marks)
        self.viewer.mouse_drag_callbacks.append(self._on_drag)
        self.viewer.mouse_move_callbacks.append(self._on_mouse)
        self._take_theme()

    def _quarter(self, pane: str) -> QRect:
        row, column = PLACES.get(pane, (0, 0))
        width, height = (self.width() - GAP) // 2, (self.height() - GAP) // 2
        return QRect(column * (width + GAP), row * (height + GAP), width, height)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Ignore camera changes that are not made by the user."""
        before, self._turning = self._turning, True
        try:
            yield
        finally:
            self._turning = before

    def _fit(self) -> None:
        if not self.has_planes:
            return
        if not self.is_four:
            self.viewer.reset_view()
            return
        self._fitted = self.pane_size
        with self._turn():
            self.camera.fit(self.pane_size)
            self.camera.put()
        self.update_marks()

    def _fit_new_size(self) -> None:
        if self.is_four and self.pane_size != self._fitted:
            self._fit()

    def _come(self) -> None:
        plane, self._coming = self._coming, ""
        if plane and QApplication.mouseButtons() == Qt.MouseButton.NoButton:
            self.turn_to(plane)

    def _forget_filled(self) -> None:
        for pane in self.panes.values():
            pane.filled = None
        self._fades.stop()
        self._redraw.soon()

    def _on_shown(self, name: str) -> None:
        self._forget_filled()
        if not self.has_planes:
            self.enlarged = ""
        self._arranges.start()
        self.surface.follow()

    def _on_turned(self, event: Any = None) -> None:
        if not self._turning:
            self._arranges.start()

    def _on_camera(self, event: Any = None) -> None:
        if self.is_four and not self._turning:
            self.camera.take()
            self.update_marks()

    def _on_reset(self, event: Any = None) -> None:
        if self.is_four and not self._turning:
            self._fit()

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """Move the other panes to the position of a click or stroke."""
        start = np.array(event.pos)
        if not self.is_four or event.button != 1:
            return
        yield
        while event.type == "mouse_move":
            yield
        dragged = np.abs(np.array(event.pos) - start).max() > CLICK
        active = viewer.layers.selection.active
        if not dragged or str(getattr(active, "mode", "pan_zoom")) != "pan_zoom":
            self.session.layers.viewpoint.look_at(self.viewpoint.voxel(event.position))

    def _on_mouse(self, viewer: Any, event: Any) -> None:
        if "Shift" in event.modifiers and self.has_planes:
            self.session.layers.viewpoint.look_at(self.viewpoint.voxel(event.position))

    def _take_theme(self, event: Any = None) -> None:
        from napari.utils.theme import get_theme

        colour = str(get_theme(self.viewer.theme).canvas.as_hex())
        for pane in self.panes.values():
            pane.background = QColor(colour)
        self.surface.set_background(colour)
        self.update_marks()


def _copy_of(event: QMouseEvent | QWheelEvent) -> QEvent:
    if isinstance(event, QWheelEvent):
        return QWheelEvent(
            event.position(), event.globalPosition(), event.pixelDelta(), event.angleDelta(),
            event.buttons(), event.modifiers(), event.phase(), event.inverted(),
        )
    return QMouseEvent(
        event.type(), event.position(), event.globalPosition(), event.button(), event.buttons(),
        event.modifiers(),
    )
