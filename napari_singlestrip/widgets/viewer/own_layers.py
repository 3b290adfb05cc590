"""Our layers of the scan on screen, by content: part of `study_layers`.

Layers are reused with new data, which is seven times faster than making new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.masks.doubt import TOO_LITTLE, TOO_MUCH
from napari_singlestrip.widgets.viewer.layer_place import LayersInPlace
from napari_singlestrip.widgets.viewer.napari_private import (
    changed_together,
    know_colours,
    reset_history,
)

Scale = tuple[float, float, float]

AXES = ("axial", "coronal", "sagittal")  # what the slider goes through; else it says "-3"
IMAGE, MASK, PSEUDO_LABEL = "Scan", "Brain mask", "Pseudo-label (untouched)"
PREVIEW = "Preview"
DOUBTS, ANSWER, BEFORE = "Probably wrong", "Current prediction", "Previous round"
OTHERS = "Mask of another program"
DOUBT_COLOURS = {  # seen on grey and beside the mask's cyan, by those who see no red and green, too
    TOO_MUCH: "#ff4530",
    TOO_LITTLE: "#4a8cff",
}
COLOURS = {
    MASK: "#00d8f0",  # cyan: visible on grey and on bright fat; napari's first label is dark brown
    PSEUDO_LABEL: "#ffb000",
    ANSWER: "#d030d0",  # a lighter pink is the mask's cyan to those who see no red or green
    BEFORE: "#ffb000",
    OTHERS: "#ffb000",
    PREVIEW: "#ffe600",
    DOUBTS: DOUBT_COLOURS[TOO_MUCH],
}


class OwnLayers:
    """Our layers in a viewer, tracked by identity, not by name.

    Parameters
    ----------
    viewer : napari.Viewer
    in_place : LayersInPlace
        Keeps them on the scan's grid.

    Attributes
    ----------
    named : dict of str to napari.layers.Layer
        By content; the user may have renamed or removed them since.
    quiet : bool
        Whether they are being changed by us, not by the user.
    """

    def __init__(self, viewer: Any, in_place: LayersInPlace) -> None:
        self.viewer = viewer
        self.named: dict[str, Any] = {}
        self.quiet = False
        self._in_place = in_place

    def get(self, name: str) -> Any:
        """Return one of our layers; None if it is not on screen."""
        layer = self.named.get(name)
        return layer if layer is not None and layer in self.viewer.layers else None

    def has(self, layer: Any) -> bool:
        """Whether a layer is one of ours."""
        return layer in self.named.values()

    def missing(self) -> list[str]:
        """Names of scan and mask layers that the user removed."""
        return [n for n in (IMAGE, MASK) if n in self.named and self.get(n) is None]

    def add_image(self, name: str, data: AnyArray, scale: Scale, **more: Any) -> Image:
        """Add an image."""
        layer: Image = self.viewer.add_image(
            data, name=name, scale=scale, axis_labels=AXES, **more
        )
        return self._keep(name, layer, scale)

    def add_labels(
        self, name: str, data: AnyArray, scale: Scale, colours: Mapping[int, str] | None = None,
        **more: Any,
    ) -> Labels:
        """Add a mask; or marks of several kinds, with a colour for each."""
        # Every label counts as brain, and is visible.
        found: dict[Any, str] = {0: "transparent", **(colours or {1: COLOURS[name]})}
        colormap = DirectLabelColormap(color_dict={None: found[1], **found})
        know_colours(colormap)
        with self.silent():
            layer: Labels = self.viewer.add_labels(
                data, name=name, scale=scale, colormap=colormap, axis_labels=AXES,
                **{"opacity": 0.5, **more},
            )
        layer.selected_label = 1
        return self._keep(name, layer, scale)

    def swap(self, layer: Any, data: AnyArray, scale: Scale) -> None:
        """Replace the data of a layer."""
        with self.silent():
            layer.data = data
            self._in_place.hold(layer, scale)
            if isinstance(layer, Labels):
                reset_history(layer)

    @contextmanager
    def together(self, look: Callable[[], object]) -> Iterator[None]:
        """Context in which several layers are swapped, and drawn once, after `look` at a slice."""
        with changed_together(self.viewer, filter(self.has, self.viewer.layers), look):
            yield

    def remove(self, *names: str) -> None:
        """Remove layers, if they exist."""
        for name in names:
            layer = self.get(name)
            self.forget(name)
            if layer is not None:
                self.viewer.layers.remove(layer)

    def forget(self, name: str) -> None:
        """Stop tracking a layer that the user removed."""
        self._in_place.let_go(self.named.pop(name, None))

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Context for changes by us, which are not treated as user actions."""
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before

    def _keep(self, name: str, layer: Any, scale: Scale) -> Any:
        self.named[name] = layer
        self._in_place.hold(layer, scale)
        _say_no_keys(layer)
        layer.events.help.connect(lambda _event: _say_no_keys(layer))
        return layer


def _say_no_keys(layer: Any) -> None:
    """Drop the line on keys that napari writes for each mode into its status bar.

    They are napari's tools, some of which are other tools here, or must not touch a mask.
    """
    layer.help = ""
