"""The scan on screen and its viewpoint. Part of `study_layers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_singlestrip.study.review import stamp
from napari_singlestrip.widgets.viewer.own_layers import IMAGE, OwnLayers
from napari_singlestrip.widgets.viewer.shown import Shown
from napari_singlestrip.widgets.viewer.viewpoint import Viewpoint


class Showing(QObject):
    """The scan of a study that is on screen.

    Arrays are views of volumes on the scan's own grid (see `display_orientation`), so that painting
    writes directly to it.

    Parameters
    ----------
    own : OwnLayers
    viewpoint : Viewpoint

    Attributes
    ----------
    now : Shown or None
        The scan with its mask; set by `StudyLayers`.

    Signals
    -------
    changed(str)
        Another scan or mask is on screen; empty for none.
    moved()
        The slice or plane changed.
    contrast_changed()
        The contrast changed.
    """

    changed = Signal(str)
    moved = Signal()
    contrast_changed = Signal()

    def __init__(self, own: OwnLayers, viewpoint: Viewpoint, parent: QObject) -> None:
        super().__init__(parent)
        self.now: Shown | None = None
        self._own = own
        self._viewpoint = viewpoint
        for event in self._moving_events():
            event.connect(self._on_moved)

    @property
    def name(self) -> str:
        """Name of the scan on screen; empty for none."""
        return "" if self.now is None else self.now.name

    def is_outdated(self) -> bool:
        """Whether a newer mask was predicted since the scan on screen was shown.

        Raises
        ------
        UserError
            If its file cannot be read.
        """
        now = self.now
        return now is not None and stamp(now.study, now.name) != now.newest

    # --- the scan

    @property
    def image_layer(self) -> Image | None:
        """The scan."""
        return self._own.get(IMAGE)

    @property
    def contrast(self) -> tuple[float, float]:
        """Intensities shown as black and as white."""
        low, high = (0.0, 1.0) if self.image_layer is None else self.image_layer.contrast_limits
        return float(low), float(high)

    def image_on_display(self) -> NDArray[np.float32] | None:
        """View of the scan as it is displayed, axes (I, P, L)."""
        return None if self.now is None else self.now.upright.to_display(self.now.loaded.data)

    def draw_image(self, another: bool) -> Image | None:
        """Show the scan in its layer.

        Parameters
        ----------
        another : bool
            Whether another scan was on screen; otherwise the contrast is kept.

        Returns
        -------
        Image or None
            The layer, if it is a new one.
        """
        now, data, image = self.now, self.image_on_display(), self.image_layer
        assert now is not None and data is not None
        if image is not None and not another:
            return None
        made = None
        if image is None:
            image = made = self._add_image(now, data)
        else:
            self._own.swap(image, data, now.upright.scale)
        image.contrast_limits_range = now.loaded.full_range
        image.contrast_limits = now.loaded.limits
        return made

    def restore_image(self) -> None:
        """Show the scan again in its layer."""
        now, data, image = self.now, self.image_on_display(), self.image_layer
        if now is not None and data is not None and image is not None:
            self._own.swap(image, data, now.upright.scale)

    # --- viewpoint

    def place(self) -> dict[str, Any]:
        """The viewpoint, to be saved."""
        if self.now is None or self.image_layer is None:  # napari removes layers, then closes
            return {}
        return {"slice": list(self._viewpoint.point), "plane": self._viewpoint.plane}

    def go_to(self, place: Mapping[str, Any]) -> None:
        """Restore a saved viewpoint."""
        if self.now is not None:
            self._viewpoint.go_to(place)

    def close(self) -> None:
        """Disconnect when the window closes."""
        self.now = None
        for event in self._moving_events():
            event.disconnect(self._on_moved)

    # --- inside

    def _add_image(self, now: Shown, data: NDArray[np.float32]) -> Image:
        image = self._own.add_image(
            IMAGE, data, now.upright.scale, contrast_limits=now.loaded.limits
        )
        layers = self._own.viewer.layers
        layers.move(len(layers) - 1, 0)  # below an existing mask
        image.events.contrast_limits.connect(lambda event=None: self.contrast_changed.emit())
        return image

    def _moving_events(self) -> tuple[Any, ...]:
        events = self._own.viewer.dims.events
        return events.point, events.order, events.ndisplay

    def _on_moved(self, event: Any = None) -> None:
        if self.now is not None and not self._own.quiet:
            self.moved.emit()
