"""A scan that is not of the study, with the mask that was found in it: to look at, not to paint on.

Part of `layers`, which takes these away when a scan of the study is shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_singlestrip.upright import Upright
from napari_singlestrip.widgets.volume_cache import LoadedScan

COLOUR = "#00d8f0"  # that of masks
# From the left, the front and above: (I, P, L), where the camera looks to.
VIEW, UP = (0.35, 0.6, -0.75), (-1.0, 0.0, 0.0)


class ResultLayers:
    """Two layers named after a scan, and the brain by itself in 3D.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.name = ""
        self._ours: list[Any] = []

    def show(self, name: str, loaded: LoadedScan, mask: NDArray[np.bool_] | None) -> None:
        """Show a scan upright, with the outline of its mask; None for no mask."""
        in_3d = self.viewer.dims.ndisplay == 3
        self.clear()
        upright = Upright(loaded.scan.grid.affine)
        data = upright.to_display(loaded.data)
        image = self.viewer.add_image(
            data, name=name, scale=upright.scale, contrast_limits=loaded.limits
        )
        self.name, self._ours = name, [image]
        point = tuple(n // 2 for n in data.shape)
        if mask is not None:
            found = upright.to_display(mask)
            self._add_mask(found, upright.scale)
            self._add_brain(np.where(found, data, data.min()), loaded, upright.scale)
            point = tuple(int(n) for n in np.mean(np.nonzero(found), axis=1))
        self.viewer.dims.current_step = point
        self.viewer.reset_view()
        self.set_3d(in_3d)

    def set_3d(self, on: bool) -> None:
        """Show the brain by itself in 3D, or slices of the scan with its mask."""
        self.viewer.dims.ndisplay = 3 if on else 2
        if len(self._ours) < 3:
            return
        image, labels, brain = self._ours
        image.visible, labels.visible, brain.visible = not on, not on, on
        if on:
            self.viewer.reset_view()
            self.viewer.camera.set_view_direction(VIEW, UP)

    def clear(self) -> None:
        """Remove our layers."""
        for layer in self._ours:
            if layer in self.viewer.layers:  # a person may have removed it
                self.viewer.layers.remove(layer)
        self.name, self._ours = "", []

    # --- inside

    def _add_mask(self, found: NDArray[np.bool_], scale: tuple[float, float, float]) -> None:
        colours = {None: "transparent", 0: "transparent", 1: COLOUR}
        layer: Labels = self.viewer.add_labels(
            found.astype(np.uint8), name=f"{self.name}: brain mask", scale=scale, opacity=0.5,
            colormap=DirectLabelColormap(color_dict=colours),
        )
        layer.editable = False
        self._ours.append(layer)

    def _add_brain(
        self, brain: NDArray[Any], loaded: LoadedScan, scale: tuple[float, float, float]
    ) -> None:
        self._ours.append(self.viewer.add_image(
            brain, name=f"{self.name}: brain only", scale=scale, visible=False,
            contrast_limits=loaded.limits, rendering="attenuated_mip", attenuation=0.3,
        ))
