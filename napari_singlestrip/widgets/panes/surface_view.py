"""The shaded surface on a canvas of its own, rotated by the mouse, with the crosshair."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import QWidget
from vispy.scene import SceneCanvas
from vispy.scene.cameras import TurntableCamera
from vispy.scene.visuals import Line, Markers

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.masks.surface import Surface
from napari_singlestrip.widgets.panes.lit_mesh import LitMesh

BONE = np.array([0.90, 0.78, 0.70], np.float32)
CROSSHAIR = (1.0, 0.82, 0.24, 0.75)
AZIMUTH, ELEVATION = 155.0, 18.0  # from the front, the patient's left and a little above
LIGHT = (-0.35, -0.25)  # offset of the light from the camera, to the left and up
ROOM = 0.85  # visible fraction of the box's diagonal
CLICK = 4  # pixels: a longer movement rotates the brain
NEAR = 8.0  # search radius of vertices around a click (pixels)



class SurfaceView:
    """A canvas with the surface; coordinates are RAS mm.

    Parameters
    ----------
    parent : QWidget
    picked : callable
        Called with the clicked point (mm) on the surface.
    """

    def __init__(self, parent: QWidget, picked: Any) -> None:
        self._picked = picked
        self._canvas = SceneCanvas(keys=None, parent=parent, show=False, config={"samples": 0})
        self.native: QWidget = self._canvas.native
        view = self._canvas.central_widget.add_view()
        self.camera = TurntableCamera(fov=25, azimuth=AZIMUTH, elevation=ELEVATION)
        view.camera = self.camera
        self._view = view
        self._mesh = LitMesh(parent=view.scene)
        self._lines = Line(parent=view.scene, color=CROSSHAIR, connect="segments", width=1)
        self._spot = Markers(parent=view.scene)
        self._spot.set_gl_state("translucent", depth_test=False)
        self._lines.visible = self._spot.visible = False
        self.surface = Surface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
        self._framed = self._has_point = False
        view.scene.transform.changed.connect(self._on_turned)
        self._canvas.events.mouse_release.connect(self._on_release)

    def set_background(self, colour: str) -> None:
        """Take the colour of the other panes."""
        self._canvas.bgcolor = colour

    def show_surface(self, surface: Surface, colours: AnyArray | None = None) -> None:
        """Show a surface, with colours (n, 3) of its vertices."""
        self.surface = surface
        if colours is None:
            colours = np.tile(BONE, (len(surface.vertices), 1))
        self._mesh.set_mesh(surface.vertices, surface.normals(), surface.faces, colours)
        if len(surface.faces) and not self._framed:
            self.frame()
        self._show_lines()
        self._canvas.update()

    def frame(self) -> None:
        """Fit the view to the current surface."""
        if not len(self.surface.vertices):
            self.forget_frame()  # as soon as there is one
            return
        low, high = self.surface.vertices.min(axis=0), self.surface.vertices.max(axis=0)
        self.camera.center = tuple((low + high) / 2)
        self.camera.scale_factor = ROOM * float(np.linalg.norm(high - low))
        self._framed = True
        self._show_lines()
        self._on_turned()

    def forget_frame(self) -> None:
        """Fit the view to the next surface, which is of another scan."""
        self._framed = False
        self._show_lines()

    def show_point(self, point: AnyArray, ends: AnyArray) -> None:
        """Show the crosshair: a point, and lines between pairs of `ends` through it (mm)."""
        self._lines.set_data(pos=np.asarray(ends, np.float32))
        self._spot.set_data(np.asarray([point], np.float32), size=9, edge_width=1.5,
                            face_color=(0, 0, 0, 0), edge_color=CROSSHAIR)
        self._has_point = True
        self._show_lines()
        self._canvas.update()

    def hide_point(self) -> None:
        """Show no point: there is no scan."""
        self._has_point = False
        self._show_lines()

    def place_at(self, pixel: tuple[float, float]) -> AnyArray | None:
        """The surface point (mm) at a pixel, nearest to the camera; None beside the surface."""
        if not len(self.surface.vertices):
            return None
        transform = self._mesh.get_transform("visual", "canvas")
        mapped = transform.map(self.surface.vertices)
        mapped = mapped[:, :3] / mapped[:, 3:]
        far = np.hypot(mapped[:, 0] - pixel[0], mapped[:, 1] - pixel[1])
        towards = self.surface.normals() @ self._directions()[0] > 0
        near = np.flatnonzero((far < NEAR) & towards)
        if not near.size:
            return None
        return np.asarray(self.surface.vertices[near[mapped[near, 2].argmin()]])

    def close(self) -> None:
        """Release the canvas and its visuals."""
        self._view.scene.transform.changed.disconnect(self._on_turned)
        self._canvas.close()

    # --- inside

    def _show_lines(self) -> None:
        """Show the crosshair with a surface that the view is fitted to: else it is a stray line."""
        there = self._has_point and self._framed and len(self.surface.faces) > 0
        self._lines.visible = self._spot.visible = there

    def _directions(self) -> tuple[AnyArray, AnyArray, AnyArray]:
        """Camera axes: towards the camera, right and up."""
        turn, lift = np.deg2rad(self.camera.azimuth), np.deg2rad(self.camera.elevation)
        right = np.array([np.cos(turn), np.sin(turn), 0.0])
        eye = np.array([np.sin(turn) * np.cos(lift), -np.cos(turn) * np.cos(lift), np.sin(lift)])
        return eye, right, np.cross(eye, right)

    def _on_turned(self, event: Any = None) -> None:
        eye, right, up = self._directions()
        light = eye + LIGHT[0] * right - LIGHT[1] * up
        self._mesh.set_light(light / np.linalg.norm(light), eye)

    def _on_release(self, event: Any) -> None:
        press = event.press_event
        moved = press is None or np.abs(np.subtract(event.pos, press.pos)).max() > CLICK
        if not moved and event.button == 1:
            place = self.place_at(tuple(event.pos[:2]))
            if place is not None:
                self._picked(place)
