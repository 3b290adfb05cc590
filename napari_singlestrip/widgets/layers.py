"""The layers of the scan on screen: the only module that touches napari's layers.

Layers are kept and their data swapped, which is seven times faster than making new ones. Arrays
are views of volumes on the scan's own grid (see `upright`), so that painting writes straight there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.volume import Scan, load_mask
from napari_singlestrip.study import Study
from napari_singlestrip.study_drafts import drafted, load_draft
from napari_singlestrip.upright import Upright
from napari_singlestrip.widgets.brush import Brush
from napari_singlestrip.widgets.volume_cache import LoadedScan, VolumeCache

View = Literal["newest", "painted", "pseudo_label"]
Source = Literal["draft", "masks", "pseudo_label", "empty"]
Array = NDArray[Any]
Place = tuple[int, int, int]

IMAGE, MASK, PSEUDO_LABEL = "Scan", "Brain mask", "Pseudo-label (untouched)"
HEAT, ANSWER, BEFORE = "What the autoencoder would not draw", "Present answer", "Mask before"
COLOURS = {
    MASK: "#00d8f0",  # cyan: seen on grey and on bright fat; napari's first label is dark brown
    PSEUDO_LABEL: "#ffb000",
    ANSWER: "#ff5fd2",
    BEFORE: "#ffb000",
}
PLANES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}


@dataclass(frozen=True, eq=False)
class Shown:
    """The scan on screen.

    Attributes
    ----------
    name : str
    study : Study
    loaded : LoadedScan
    upright : Upright
    mask : ndarray of uint8, shape (i, j, k)
        What is painted, on the scan's grid; the labels layer is a view of it.
    source : {"draft", "masks", "pseudo_label", "empty"}
        Where the mask came from.
    """

    name: str
    study: Study
    loaded: LoadedScan
    upright: Upright
    mask: NDArray[np.uint8]
    source: Source

    @property
    def scan(self) -> Scan:
        """The scan's header."""
        return self.loaded.scan


class StudyLayers(QObject):
    """Shows one scan of a study at a time.

    Signals
    -------
    shown_changed(str)
        Another scan is on screen, or the same one with another mask; empty for none.
    edited()
        The mask's voxels changed by a person: after each stroke, tool, undo and redo.
    moved()
        Another point is looked at (slice or plane).
    """

    shown_changed = Signal(str)
    edited = Signal()
    moved = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.cache = VolumeCache()
        self.now: Shown | None = None
        self._quiet = False
        self.brush = Brush(self)
        viewer.dims.events.current_step.connect(self._on_moved)
        viewer.dims.events.order.connect(self._on_moved)

    # --- what is shown

    @property
    def quiet(self) -> bool:
        """Whether the layers are being changed by us, not by a person's stroke."""
        return self._quiet

    @property
    def shown(self) -> str:
        """Name of the scan on screen; empty for none."""
        return "" if self.now is None else self.now.name

    def show(self, study: Study, name: str, view: str = "newest") -> None:
        """Show a scan with its mask.

        Parameters
        ----------
        study : Study
        name : str
        view : {"newest", "painted", "pseudo_label"}
            The mask: unfinished changes, else what a person made, else the newest pseudo-label,
            else nothing ("newest"); without pseudo-labels ("painted"); or the newest pseudo-label
            whatever a person made of it.

        Raises
        ------
        UserError
            If the scan or its mask cannot be read; what was on screen stays.
        """
        loaded = self.cache.get(study.scan_path(name))
        mask, source = _mask_of(study, name, loaded.scan, view)
        same = self.now is not None and self.now.name == name and self.now.study is study
        self.now = Shown(
            name, study, loaded, Upright(loaded.scan.grid.affine),
            np.asfortranarray(mask.astype(np.uint8)), source,
        )
        self._draw(recentre=not same)
        self.shown_changed.emit(name)

    def clear(self) -> None:
        """Remove our layers."""
        self.now = None
        for name in (IMAGE, MASK, PSEUDO_LABEL, HEAT, ANSWER, BEFORE):
            self._remove(name)
        self.cache.clear()
        self.shown_changed.emit("")

    def close(self) -> None:
        """Let go of the viewer: the window closes."""
        self.now = None
        self.viewer.dims.events.current_step.disconnect(self._on_moved)
        self.viewer.dims.events.order.disconnect(self._on_moved)
        self.cache.close()

    def load_ahead(self, study: Study, name: str) -> None:
        """Begin to load a scan that will probably be asked for."""
        self.cache.load_ahead(study.scan_path(name))

    # --- the mask

    @property
    def mask_layer(self) -> Labels | None:
        """The labels layer that is painted on."""
        return self._layer(MASK)

    @property
    def image_layer(self) -> Image | None:
        """The scan."""
        return self._layer(IMAGE)

    def mask_on_scan(self) -> NDArray[np.bool_] | None:
        """Copy of the mask on the scan's own grid (i, j, k); None when nothing is on screen."""
        return None if self.now is None else self.now.mask != 0

    def mask_on_display(self) -> NDArray[np.bool_] | None:
        """Copy of the mask as it is displayed, axes (I, P, L)."""
        return None if self.now is None else self.now.upright.to_display(self.now.mask) != 0

    def image_on_display(self) -> NDArray[np.float32] | None:
        """View of the scan as it is displayed, axes (I, P, L)."""
        return None if self.now is None else self.now.upright.to_display(self.now.loaded.data)

    def change_mask(self, mask: NDArray[np.bool_]) -> int:
        """Replace the mask by what a tool made of it, as one step of undo.

        Parameters
        ----------
        mask : ndarray of bool, shape (I, P, L)
            As displayed.

        Returns
        -------
        int
            Voxels that changed; with 0 there is nothing to undo.
        """
        layer = self.mask_layer
        if layer is None:
            return 0
        changed = np.nonzero((layer.data != 0) != mask)
        if len(changed[0]):
            with self._one_step(layer):
                layer.data_setitem(changed, mask[changed].astype(np.uint8))
        return len(changed[0])

    def undo(self) -> None:
        """Take the last stroke or tool back."""
        if self.mask_layer is not None:
            self.mask_layer.undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        if self.mask_layer is not None:
            self.mask_layer.redo()

    # --- more layers, made when they are asked for

    def overlay(self, name: str, mask: Array | None, contour: int = 1) -> None:
        """Show another mask (i, j, k, the scan's grid) beside the painted one; None hides it."""
        if mask is None or self.now is None:
            self._remove(name)
            return
        data = self.now.upright.to_display(np.asarray(mask, dtype=np.uint8))
        layer = self._layer(name)
        if layer is None:
            layer = self._add_labels(name, data)
            layer.editable = False
        self._swap(layer, data)
        layer.contour = contour
        layer.visible = True
        self._select_mask()

    def heat(self, values: Array | None) -> None:
        """Show a heat map (i, j, k; -1 to 1; 0 is transparent) over the scan; None hides it."""
        if values is None or self.now is None:
            self._remove(HEAT)
            return
        data = np.abs(self.now.upright.to_display(np.asarray(values, dtype=np.float32)))
        layer = self._layer(HEAT)
        if layer is None:
            layer = self.viewer.add_image(
                data, name=HEAT, scale=self.now.upright.scale, colormap="inferno",
                contrast_limits=(0, 1), blending="additive", opacity=0.9,
            )
        self._swap(layer, data)
        layer.visible = True
        self._select_mask()

    def has(self, name: str) -> bool:
        """Whether a layer of ours is on screen."""
        layer = self._layer(name)
        return layer is not None and bool(layer.visible)

    # --- where one looks

    @property
    def plane(self) -> str:
        """"axial", "coronal" or "sagittal"; empty in 3D or in an order of the person's own."""
        order = tuple(self.viewer.dims.order)
        found = [name for name, axes in PLANES.items() if axes == order]
        return found[0] if found and self.viewer.dims.ndisplay == 2 else ""

    def set_plane(self, plane: str) -> None:
        """Look at another plane through the same point."""
        self.viewer.dims.ndisplay = 2
        if self.now is not None:
            self.viewer.dims.order = PLANES[plane]
            self.viewer.reset_view()

    @property
    def point(self) -> Place:
        """Voxel (I, P, L) that is looked at."""
        i, p, l = (0, 0, *(int(n) for n in self.viewer.dims.current_step))[-3:]  # noqa: E741
        return i, p, l

    def look_at(self, point: Place) -> None:
        """Look at a voxel (I, P, L) in all planes."""
        self.viewer.dims.current_step = point

    def place(self) -> dict[str, Any]:
        """Where one looks, to be written down."""
        if self.now is None or self.image_layer is None:  # napari removes layers, then closes
            return {}
        return {"slice": list(self.point), "plane": self.plane}

    def go_to(self, place: Mapping[str, Any]) -> None:
        """Look where `place` says."""
        with suppress(KeyError, TypeError, ValueError):
            if place["plane"] in PLANES:
                self.set_plane(place["plane"])
            i, p, l = (int(n) for n in place["slice"])  # noqa: E741
            self.look_at((i, p, l))

    # --- inside

    def _draw(self, recentre: bool) -> None:
        now = self.now
        assert now is not None
        for name in (PSEUDO_LABEL, HEAT, ANSWER, BEFORE):
            self._remove(name)
        data, mask = now.upright.to_display(now.loaded.data), now.upright.to_display(now.mask)
        image, labels = self._layer(IMAGE), self._layer(MASK)
        if image is None:
            image = self.viewer.add_image(
                data, name=IMAGE, scale=now.upright.scale, contrast_limits=now.loaded.limits
            )
        else:
            with self._silent():
                self._swap(image, data)
        image.contrast_limits_range = now.loaded.full_range
        image.contrast_limits = now.loaded.limits
        if labels is None:
            labels = self._add_labels(MASK, mask)
            self._listen(labels)
        else:
            self._swap(labels, mask)
        self._select_mask()
        if recentre:
            self.look_at(_centre(mask))
            self.viewer.reset_view()

    def _swap(self, layer: Any, data: Array) -> None:
        assert self.now is not None
        with self._silent():
            layer.data = data
            layer.scale = self.now.upright.scale
            if isinstance(layer, Labels):
                # Else Ctrl+Z writes the last scan's voxels into this one.
                layer._reset_history()

    def _add_labels(self, name: str, data: Array) -> Labels:
        assert self.now is not None
        colours = {None: "transparent", 0: "transparent", 1: COLOURS[name]}
        layer: Labels = self.viewer.add_labels(
            data, name=name, scale=self.now.upright.scale, opacity=0.5,
            colormap=DirectLabelColormap(color_dict=colours),
        )
        layer.selected_label = 1
        return layer

    def _listen(self, labels: Labels) -> None:
        labels.events.paint.connect(self._on_edited)  # at the end of each stroke
        # napari says nothing of undo and redo: its keys call these methods.
        labels.undo = self._followed(labels.undo)
        labels.redo = self._followed(labels.redo)

    def _followed(self, method: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            method()
            self._on_edited()

        return call

    def _on_edited(self, event: Any = None) -> None:
        if not self._quiet and self.now is not None:
            self.edited.emit()

    def _on_moved(self, event: Any = None) -> None:
        if self.now is not None and not self._quiet:
            self.moved.emit()

    @contextmanager
    def _silent(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    @contextmanager
    def _one_step(self, layer: Labels) -> Iterator[None]:
        with self._silent(), layer.block_history():
            yield
        self.edited.emit()

    def _select_mask(self) -> None:
        # Single letters belong to the active layer: keep the mask active.
        layer = self.mask_layer
        if layer is not None:
            self.viewer.layers.selection.active = layer

    def _layer(self, name: str) -> Any:
        return self.viewer.layers[name] if name in self.viewer.layers else None

    def _remove(self, name: str) -> None:
        layer = self._layer(name)
        if layer is not None:
            self.viewer.layers.remove(layer)


def _mask_of(
    study: Study, name: str, scan: Scan, view: str
) -> tuple[NDArray[np.bool_], Source]:
    if view != "pseudo_label":
        draft = load_draft(study.folder, name) if name in drafted(study.folder) else None
        if draft is not None and draft.shape == scan.grid.shape:
            return draft, "draft"
        if study.mask_path(name).exists():
            return load_mask(study.mask_path(name), like=scan, check=False), "masks"
    if view != "painted":
        for round_ in reversed(study.rounds()):
            path = study.pseudo_label_path(round_, name)
            if path.exists():
                return load_mask(path, like=scan, check=False), "pseudo_label"
    return np.zeros(scan.grid.shape, dtype=bool), "empty"


def _centre(mask: Array) -> Place:
    """Middle of what is painted, or of the picture."""
    middle = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(mask.any(axis=others))
        middle.append(int(used[len(used) // 2]) if used.size else mask.shape[axis] // 2)
    return middle[0], middle[1], middle[2]
