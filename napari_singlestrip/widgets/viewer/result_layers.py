"""Display of a scan outside the study with its predicted mask, not for painting.

Part of `study_layers`, which removes these when a scan of the study is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.widgets.viewer.layer_place import LayersInPlace
from napari_singlestrip.widgets.viewer.own_layers import AXES, COLOURS, MASK
from napari_singlestrip.widgets.viewer.viewpoint import camera_of
from napari_singlestrip.widgets.viewer.volume_cache import LoadedScan

COLOUR = COLOURS[MASK]
# Viewing direction (I, P, L): from the left, front and above.
VIEW, UP = (0.35, 0.6, -0.75), (-1.0, 0.0, 0.0)
MAX_3D = 96  # voxels along the longest axis



class ResultLayers:
    """Two layers named after a scan, and a 3D view of the brain.

    Parameters
    ----------
    viewer : napari.Viewer
    in_place : LayersInPlace
        Keeps them on the scan's grid.

    Attributes
    ----------
    solid : tuple of ndarray or None
        The mask as it is displayed, and the affine from its voxels to RAS mm.
    """

    def __init__(self, viewer: Any, in_place: LayersInPlace) -> None:
        self.viewer = viewer
        self._in_place = in_place
        self.name = ""
        self.path: Path | None = None
        self.solid: tuple[AnyArray, AnyArray] | None = None
        self._ours: list[Any] = []
        self._filled = False

    def show(self, name: str, loaded: LoadedScan, mask: NDArray[np.bool_] | None) -> None:
        """Show a scan upright, with the outline of its mask; None for no mask."""
        in_3d = self.viewer.dims.ndisplay == 3
        self.clear()
        upright = Upright(loaded.scan.grid.affine)
        data = upright.to_display(loaded.data)
        image = self.viewer.add_image(
            data, name=name, scale=upright.scale, axis_labels=AXES,
            contrast_limits=loaded.limits,
        )
        self.name, self.path, self._ours = name, loaded.scan.path, [image]
        point = tuple(n // 2 for n in data.shape)
        if mask is not None:
            found = upright.to_display(mask)
            self.solid = found, upright.affine_of_display(loaded.scan.grid.shape)
            self._add_mask(found, upright.scale)
            self._add_brain(data, found, loaded, upright.scale)
            point = tuple(int(n) for n in np.mean(np.nonzero(found), axis=1))
        for layer in self._ours:
            self._in_place.hold(layer, layer.scale, layer.translate)
        # An active image layer would handle single letters, such as O.
        self.viewer.layers.selection.active = self._ours[min(1, len(self._ours) - 1)]
        self.viewer.dims.current_step = point
        self.viewer.reset_view()
        self.set_3d(in_3d)

    def shows(self, layer: Any) -> bool:
        """Whether a layer is the displayed scan."""
        return layer in self._ours[:1]

    def set_3d(self, on: bool) -> None:
        """Show the brain in 3D, or slices of the scan with its mask."""
        if len(self._ours) < 3:
            self.viewer.dims.ndisplay = 3 if on else 2
            return
        image, labels, brain = self._ours
        labels.contour = 0 if on or self._filled else 1  # napari warns of contours in 3D
        self.viewer.dims.ndisplay = 3 if on else 2
        image.visible, labels.visible, brain.visible = not on, not on, on
        if on:
            self.viewer.reset_view()
            camera_of(self.viewer).set_view_direction(VIEW, UP)
            camera_of(self.viewer).center = tuple(brain.extent.world.mean(axis=0))

    def toggle_outline(self) -> None:
        """Show the mask as an outline or filled."""
        if len(self._ours) > 1 and self.viewer.dims.ndisplay == 2:
            self._filled = not self._filled
            self._show_as_wished(self._ours[1])

    def clear(self) -> None:
        """Remove our layers."""
        for layer in self._ours:
            self._in_place.let_go(layer)
            if layer in self.viewer.layers:  # the user may have removed it
                self.viewer.layers.remove(layer)
        self.name, self._ours, self.solid = "", [], None

    # --- inside

    def _add_mask(self, found: NDArray[np.bool_], scale: tuple[float, float, float]) -> None:
        colours = {None: "transparent", 0: "transparent", 1: COLOUR}
        layer: Labels = self.viewer.add_labels(
            found.astype(np.uint8), name=f"{self.name}: brain mask", scale=scale, opacity=0.8,
            colormap=DirectLabelColormap(color_dict=colours), axis_labels=AXES,
        )
        layer.editable = False
        self._ours.append(layer)
        if self.viewer.dims.ndisplay == 2:
            self._show_as_wished(layer)

    def _show_as_wished(self, layer: Labels) -> None:
        """Outline or filled mask; an outline keeps the brain visible."""
        layer.contour = 0 if self._filled else 1
        layer.opacity = 0.4 if self._filled else 0.8

    def _add_brain(
        self, data: AnyArray, found: AnyArray, loaded: LoadedScan, scale: tuple[float, float, float]
    ) -> None:
        box, step = _box(found), _step(found)
        part = tuple(slice(b.start, b.stop, step) for b in box)
        brain = np.where(found[part], data[part], data.min())
        self._ours.append(self.viewer.add_image(
            brain, name=f"{self.name}: brain only", visible=False, axis_labels=AXES,
            scale=[step * one for one in scale],
            translate=[b.start * one for b, one in zip(box, scale, strict=True)],
            contrast_limits=loaded.limits, rendering="attenuated_mip", attenuation=0.3,
        ))


def _box(found: AnyArray) -> tuple[slice, ...]:
    """Smallest box around a mask."""
    where = np.nonzero(found)
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in where)


def _step(found: AnyArray) -> int:
    """Subsampling step for smooth 3D rotation without a graphics card."""
    return max(1, -(-max(b.stop - b.start for b in _box(found)) // MAX_3D))
