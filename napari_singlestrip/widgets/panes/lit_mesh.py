"""A shaded mesh with a light that moves with the camera, as a vispy visual.

vispy's own mesh stores three copies of each vertex and computes normals in Python; this one shares
vertices and accepts normals, which is fast enough to update while painting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from vispy.gloo import IndexBuffer, VertexBuffer
from vispy.scene.visuals import create_visual_node
from vispy.visuals import Visual

VERTEX = """
attribute vec3 a_position;
attribute vec3 a_normal;
attribute vec3 a_colour;
varying vec3 v_normal;
varying vec3 v_colour;
void main() {
    v_normal = a_normal;
    v_colour = a_colour;
    gl_Position = $transform(vec4(a_position, 1.0));
}
"""
FRAGMENT = """
uniform vec3 u_light;
uniform vec3 u_eye;
varying vec3 v_normal;
varying vec3 v_colour;
void main() {
    vec3 normal = normalize(v_normal);
    float lit = max(dot(normal, u_light), 0.0);
    float shine = pow(max(dot(normal, normalize(u_light + u_eye)), 0.0), 24.0);
    gl_FragColor = vec4(v_colour * (0.28 + 0.72 * lit) + 0.12 * shine, 1.0);
}
"""


class LitMeshVisual(Visual):  # type: ignore[misc]
    """Draws triangles that share vertices."""

    def __init__(self) -> None:
        super().__init__(vcode=VERTEX, fcode=FRAGMENT)
        self._position, self._normal, self._colour = (VertexBuffer() for _ in range(3))
        self._corners = IndexBuffer()
        self._empty = True
        self._extent = np.zeros((2, 3), np.float32)
        program = self.shared_program
        program["a_position"], program["a_normal"] = self._position, self._normal
        program["a_colour"] = self._colour
        program["u_light"] = program["u_eye"] = (0.0, 0.0, 1.0)
        self._draw_mode, self._index_buffer = "triangles", self._corners
        self.set_gl_state("opaque", depth_test=True, cull_face=False)
        self.freeze()

    def set_mesh(
        self, vertices: NDArray[Any], normals: NDArray[Any], faces: NDArray[Any],
        colours: NDArray[Any],
    ) -> None:
        """Show these triangles.

        Parameters
        ----------
        vertices, normals, colours : ndarray, shape (n, 3)
            Colours from 0 to 1.
        faces : ndarray of int, shape (m, 3)
        """
        self._empty = not len(faces)
        if not self._empty:
            self._position.set_data(np.ascontiguousarray(vertices, np.float32))
            self._normal.set_data(np.ascontiguousarray(normals, np.float32))
            self._colour.set_data(np.ascontiguousarray(colours, np.float32))
            self._corners.set_data(np.ascontiguousarray(faces, np.uint32))
            self._extent = np.stack([vertices.min(axis=0), vertices.max(axis=0)])
        self.update()

    def set_light(self, light: NDArray[Any], eye: NDArray[Any]) -> None:
        """Set the directions of light and camera: unit vectors away from the mesh."""
        self.shared_program["u_light"] = tuple(float(n) for n in light)
        self.shared_program["u_eye"] = tuple(float(n) for n in eye)
        self.update()

    # --- called by vispy

    def _prepare_transforms(self, view: Any) -> None:
        view.view_program.vert["transform"] = view.get_transform()

    def _prepare_draw(self, view: Any) -> bool:
        return not self._empty  # False draws nothing

    def _compute_bounds(self, axis: int, view: Any) -> tuple[float, float]:
        return float(self._extent[0, axis]), float(self._extent[1, axis])


LitMesh = create_visual_node(LitMeshVisual)
