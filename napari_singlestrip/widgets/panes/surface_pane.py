"""The pane with the shaded surface, updated while painting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFileDialog, QLabel, QWidget

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.masks.surface import Surface, surface_of
from napari_singlestrip.engine.masks.surface_files import write_surface
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.controls import button
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.panes.surface_view import BONE, SurfaceView
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.own_layers import DOUBTS

COARSE_MS, FINE_MS = 60, 450  # delay after a change; the fine one after a pause
COARSE, FINE = 48, 84  # cells along the longest side of the scan
DEPTHS = np.array([0.0, 1.0, -1.0, 2.0, -2.0])  # voxels inside and outside; what lacks is outside
EMPTY = Surface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
NOTHING = "Surface: nothing is painted yet"
THIN = "Surface: single slices are too thin to show"
STYLE = "color: white; background: rgba(0, 0, 0, 130); padding: 1px 3px;"



class SurfacePane(QWidget):
    """The surface of the mask; dragging rotates it, a click moves the planes to that point.

    Parameters
    ----------
    session : Session
    parent : QWidget
    """

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("pane_surface")
        self._session = session
        self._layers = session.layers
        self._background = Background("surface", self)
        self._colour = "black"
        self.view: SurfaceView | None = None  # created when it is first shown
        self._shown_scan = ""
        self._shown_doubts: Any = None
        self._shown_point: object = None
        self._name = QLabel("Surface", self)
        self._name.setStyleSheet(STYLE)
        self._name.move(6, 5)
        self._name.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.save_button = button(
            "Save ...", "Save this surface for other programs: PLY or STL, in RAS mm",
            self._ask_save, "save_surface",
        )
        self.save_button.setParent(self)
        self.save_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._writer = Background("surface_file", self)
        self._writer.failed.connect(lambda text: session.tell(text, "error"))
        self._coarse = single_shot(self, COARSE_MS, self._make_coarse)
        self._fine = single_shot(self, FINE_MS, self._make_fine)
        self.hide()

    # --- what is shown

    def show_in(self, place: QRect, visible: bool) -> None:
        """Show at a position, or hide."""
        self.setGeometry(place)
        if visible and self.view is None:
            self._make_view()
        appears = visible and self.isHidden()
        self.setVisible(visible)
        if visible:
            self.raise_()
        if appears:
            self.follow()

    def set_background(self, colour: str) -> None:
        """Set the background colour of the other panes."""
        self._colour = colour
        if self.view is not None:
            self.view.set_background(colour)

    def follow(self) -> None:
        """Update the surface: a coarse one immediately, a fine one after a pause."""
        if self.isHidden():
            return
        if self._scan != self._shown_scan:
            self._clear()
        if not self._coarse.isActive():
            self._coarse.start()
        self._fine.start()

    def refresh(self) -> None:
        """Update crosshair and colours of an unchanged surface."""
        solid = self._layers.solid()
        if self.view is None or self.isHidden():
            return
        if solid is None:
            self._shown_point = None
            self.view.hide_point()
            return
        self._show_point(*solid)
        if self._doubts() is not self._shown_doubts:
            self._show(self.view.surface)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Resize to fill the pane."""
        if self.view is not None:
            self.view.native.setGeometry(self.rect())
        self.save_button.adjustSize()
        self.save_button.move(self.width() - self.save_button.width() - 6, 5)

    def save(self, path: Path) -> None:
        """Write the current surface of the mask, at full resolution."""
        solid = self._layers.solid()
        if solid is None:
            return
        mask, affine = solid[0].copy(), solid[1]
        self._session.tell("Writing the surface ...")
        self._writer.run(
            lambda: write_surface(path, surface_of(mask, affine)),
            lambda _: self._session.tell(f"Wrote {path.name}."),
        )

    def close_all(self) -> None:
        """End the thread, and release the canvas."""
        self._coarse.stop()
        self._fine.stop()
        self._background.close_all()
        self._writer.close_all()
        if self.view is not None:
            self.view.close()
            self.view = None

    # --- inside

    @property
    def _scan(self) -> str:
        """The scan or result on screen."""
        return self._layers.showing.name or self._layers.result.name

    def _clear(self) -> None:
        """Show no surface until that of the scan on screen is found: another brain misleads."""
        self._background.forget()
        self._show(EMPTY)
        self._say("Surface ..." if self._layers.solid() is not None else NOTHING)

    def _make_view(self) -> None:
        self.view = SurfaceView(self, self._look_at)
        native = self.view.native
        native.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys are for the planes
        native.setGeometry(self.rect())
        native.lower()
        native.show()
        self.view.set_background(self._colour)

    def _ask_save(self) -> None:
        name = self._layers.showing.name or self._layers.result.name
        path, chosen = QFileDialog.getSaveFileName(
            self, "Save the surface", f"{name}_surface.ply", "PLY (*.ply);;STL (*.stl)"
        )
        if path:
            ending = ".stl" if "stl" in chosen else ".ply"
            self.save(Path(path if Path(path).suffix else path + ending))

    def _look_at(self, mm: AnyArray) -> None:
        solid = self._layers.solid()
        if solid is not None:
            near = np.round(_placed(np.linalg.inv(solid[1]), mm)).astype(int)
            i, p, l = np.clip(near, 0, np.array(solid[0].shape) - 1)  # noqa: E741
            self._layers.viewpoint.look_at((int(i), int(p), int(l)))

    def _show_point(self, mask: AnyArray, affine: AnyArray) -> None:
        """Show the crosshair, unless it is there: drawing the surface again takes long."""
        point = np.array(self._layers.viewpoint.point, float)
        here = (*point, *mask.shape, affine.tobytes())
        if self.view is None or here == self._shown_point:
            return
        self._shown_point = here
        ends = np.repeat(point[None], 6, 0)
        for axis in range(3):
            ends[2 * axis, axis], ends[2 * axis + 1, axis] = 0, mask.shape[axis] - 1
        self.view.show_point(_placed(affine, point), _placed(affine, ends))

    def _make_coarse(self) -> None:
        """Extract the surface of every n-th voxel, in a thread."""
        solid = self._layers.solid()
        if solid is None:
            self._show(EMPTY)
            return
        mask, affine = solid
        steps = [max(1, round(cell_of(solid, COARSE) / mm)) for mm in _spacing(affine)]
        few = np.ascontiguousarray(mask[:: steps[0], :: steps[1], :: steps[2]])
        self._find(few, affine @ np.diag([*steps, 1.0]), 0.0)

    def _make_fine(self) -> None:
        solid = self._layers.solid()
        if solid is not None:
            self._find(*solid, cell_of(solid, FINE))

    def _find(self, mask: AnyArray, affine: AnyArray, cell_mm: float) -> None:
        self._background.forget()  # older requests are obsolete
        self._background.run(lambda: surface_of(mask, affine, cell_mm), self._show)

    def _show(self, surface: Surface) -> None:
        if self.view is None:
            return
        if self._scan != self._shown_scan:
            self._shown_scan = self._scan
            self.view.forget_frame()
        self._shown_doubts = self._doubts()
        self.view.show_surface(surface, self._colours(surface))
        self._say("Surface" if len(surface.faces) else self._why_none())
        self.save_button.setEnabled(bool(len(surface.faces)))

    def _why_none(self) -> str:
        """Single slices are too thin for a surface, or lie between the voxels of a coarse one."""
        solid = self._layers.solid()
        return NOTHING if solid is None or not solid[0].any() else THIN

    def _say(self, text: str) -> None:
        self._name.setText(text)
        self._name.adjustSize()

    def _doubts(self) -> Any:
        """The layer of places to check, while it is visible."""
        return self._layers.own.get(DOUBTS) if self._layers.overlays.has(DOUBTS) else None

    def _colours(self, surface: Surface) -> AnyArray | None:
        """Colour each vertex by the place to check near it; None without any."""
        doubts, solid = self._shown_doubts, self._layers.solid()
        if doubts is None or solid is None or not len(surface.vertices):
            return None
        found = np.zeros(len(surface.vertices), doubts.data.dtype)
        back, normals = np.linalg.inv(solid[1]), surface.normals()
        for depth in DEPTHS * min(_spacing(solid[1])):
            index = np.round(_placed(back, surface.vertices - depth * normals)).astype(int)
            i, p, l = np.clip(index, 0, np.array(doubts.data.shape) - 1).T  # noqa: E741
            found = np.where(found == 0, doubts.data[i, p, l], found)
        colours = np.tile(BONE, (len(found), 1))
        colours[found > 0] = doubts.colormap.map(found[found > 0])[:, :3]
        return np.asarray(colours)


def cell_of(solid: tuple[AnyArray, AnyArray], cells: int) -> float:
    """Size of a cell (mm) when so many lie along the longest side of a volume."""
    mask, affine = solid
    return float((np.array(mask.shape) * _spacing(affine)).max() / cells)


def _spacing(affine: AnyArray) -> AnyArray:
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0))


def _placed(affine: AnyArray, points: AnyArray) -> AnyArray:
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3])
