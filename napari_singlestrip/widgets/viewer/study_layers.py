"""The layers of the scan on screen: the only module that touches napari's layers.

Layers are kept and their data swapped, which is seven times faster than making new ones. Arrays
are views of volumes on the scan's own grid (see `upright`), so that painting writes straight there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.study.review import stamp
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.viewer.brush import Brush
from napari_singlestrip.widgets.viewer.gestures import cancel_gesture, keep_strokes_flat
from napari_singlestrip.widgets.viewer.layer_place import LayersInPlace
from napari_singlestrip.widgets.viewer.layer_watch import LayerWatch
from napari_singlestrip.widgets.viewer.result_layers import ResultLayers
from napari_singlestrip.widgets.viewer.shown import KeptDraft, Shown, centre_of, mask_of
from napari_singlestrip.widgets.viewer.viewpoint import PLANES as PLANES
from napari_singlestrip.widgets.viewer.viewpoint import Place, Viewpoint
from napari_singlestrip.widgets.viewer.volume_cache import VolumeCache

Array = NDArray[Any]

IMAGE, MASK, PSEUDO_LABEL = "Scan", "Brain mask", "Pseudo-label (untouched)"
HEAT, ANSWER, BEFORE = "What the autoencoder would not draw", "Present answer", "Mask before"
COLOURS = {
    MASK: "#00d8f0",  # cyan: seen on grey and on bright fat; napari's first label is dark brown
    PSEUDO_LABEL: "#ffb000",
    ANSWER: "#ff5fd2",
    BEFORE: "#ffb000",
}


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
    contrast_changed()
        The scan is shown darker or brighter.
    nothing_to_undo()
        A person asked to take back a stroke, and there is none on this scan.
    told(str)
        What a person did in napari was undone, because what is saved must be what is seen.
    """

    shown_changed = Signal(str)
    edited = Signal()
    moved = Signal()
    contrast_changed = Signal()
    nothing_to_undo = Signal()
    told = Signal(str)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.cache = VolumeCache()
        self.in_place = LayersInPlace(self)
        self.in_place.told.connect(self.told)
        self.result = ResultLayers(viewer, self.in_place)
        self.now: Shown | None = None
        self.kept_draft: KeptDraft = lambda folder, name: None  # that could not be written
        self.viewpoint = Viewpoint(viewer)
        self._ours: dict[str, Any] = {}
        self._quiet = False
        self._hidden_with = ""  # the tool that was in hand when we hid the mask
        self._slice: object = None
        self._written = QTimer(self)
        self._written.setSingleShot(True)
        self._written.setInterval(0)
        self._written.timeout.connect(self._on_edited)
        self.brush = Brush(self)
        self._watch = LayerWatch(self)
        self._watch.told.connect(self.told)
        for event in self._moving_events():
            event.connect(self._on_moved)

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
        newest = stamp(study, name)
        mask, source = mask_of(
            study, name, loaded.scan, view, self.kept_draft(study.folder, name)
        )
        same = self.now is not None and self.now.name == name and self.now.study is study
        self._finish_stroke()
        self.now = Shown(
            name, study, loaded, Upright(loaded.scan.grid.affine),
            np.asfortranarray(mask.astype(np.uint8)), source, newest,
        )
        self._draw(another=not same)
        self.shown_changed.emit(name)

    def is_outdated(self) -> bool:
        """Whether a newer mask was predicted since the scan on screen was shown.

        Raises
        ------
        UserError
            If its file cannot be read.
        """
        now = self.now
        return now is not None and stamp(now.study, now.name) != now.newest

    def show_result(self, name: str, scan: Path, mask: Path | None) -> None:
        """Show any scan with a mask of it, instead of a scan of the study; not to be painted on.

        Raises
        ------
        UserError
            If one of the files cannot be read; what was on screen stays.
        """
        loaded = self.cache.get(scan)
        found = None if mask is None else load_mask(mask, like=loaded.scan, check=False)
        self._remove_all()
        self.result.show(name, loaded, found)
        self.shown_changed.emit("")

    def clear(self) -> None:
        """Remove our layers."""
        self._remove_all()
        self.result.clear()
        self.cache.clear()
        self.shown_changed.emit("")

    def close(self) -> None:
        """Let go of the viewer: the window closes."""
        self._finish_stroke()
        self.now = None
        self._watch.close()
        for event in self._moving_events():
            event.disconnect(self._on_moved)
        self.cache.close()

    def file_of(self, layer: Any) -> Path | None:
        """The file of a scan that we show, of the study or a result; None for other layers."""
        if layer is self.image_layer and self.now is not None:
            return self.now.scan.path
        return self.result.path if self.result.shows(layer) else None

    def load_ahead(self, study: Study, name: str) -> None:
        """Begin to load a scan that will probably be asked for."""
        self.cache.load_ahead(study.scan_path(name))

    # --- the mask

    @property
    def shows_scan(self) -> bool:
        """Whether a scan is on screen, of the study or a result: its axes are (I, P, L)."""
        return bool(self.result.name) or (self.now is not None and self.image_layer is not None)

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

    def mask_view(self) -> NDArray[np.uint8] | None:
        """View of the mask as it is displayed, axes (I, P, L): to look at only."""
        return None if self.now is None else self.now.upright.to_display(self.now.mask)

    @property
    def contrast(self) -> tuple[float, float]:
        """Intensities shown as black and as white."""
        low, high = (0.0, 1.0) if self.image_layer is None else self.image_layer.contrast_limits
        return float(low), float(high)

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
            if not layer.visible:  # nothing changes unseen; and napari fails on a hidden layer
                self.reveal_mask()
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

    def settle(self) -> None:
        """Keep a stroke whose button is still down; drop an outline that is not closed.

        For whoever reads the mask to store it: afterwards it is what is seen, and stays so.
        """
        self._finish_stroke()

    def hide_mask(self) -> None:
        """Hide the mask for a look at another one; nothing when the person hid it."""
        layer = self.mask_layer
        if layer is not None and layer.visible:
            self._finish_stroke()
            self._hidden_with = str(layer.mode)
            layer.visible = False  # napari takes the tool out of the person's hand

    def unhide_mask(self) -> None:
        """Show the mask again that we hid; one that a person hid stays so."""
        tool, self._hidden_with = self._hidden_with, ""
        layer = self.mask_layer
        if layer is not None and tool and not layer.visible:
            layer.visible = True
            layer.mode = tool

    @property
    def mask_is_seen(self) -> bool:
        """Whether the mask can be seen: neither removed nor hidden."""
        layer = self.mask_layer
        return layer is not None and bool(layer.visible)

    def reveal_mask(self) -> None:
        """Show the mask, whoever hid it."""
        self._hidden_with = ""
        if self.mask_layer is not None:
            self.mask_layer.visible = True

    def select_mask(self) -> None:
        """Make the mask the layer that gets strokes and letters."""
        layer = self.mask_layer
        if layer is not None:
            self.viewer.layers.selection.active = layer

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
        self.select_mask()

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
            self._ours[HEAT] = layer
            self.in_place.hold(layer, self.now.upright.scale)
        self._swap(layer, data)
        layer.visible = True
        self.select_mask()

    def has(self, name: str) -> bool:
        """Whether a layer of ours is on screen."""
        layer = self._layer(name)
        return layer is not None and bool(layer.visible)

    # --- what a person took away

    def is_ours(self, layer: Any) -> bool:
        """Whether a layer shows something of the scan on screen."""
        return layer in self._ours.values()

    def missing(self) -> list[str]:
        """Names of scan and mask that a person removed from the list of layers."""
        ours = [] if self.now is None else [name for name in (IMAGE, MASK) if name in self._ours]
        return [name for name in ours if self._layer(name) is None]

    def restore_scan(self) -> None:
        """Show the scan again in its layer."""
        if self.now is not None and self.image_layer is not None:
            self._swap(self.image_layer, self.now.upright.to_display(self.now.loaded.data))

    def make_again(self, missing: list[str]) -> None:
        """Show scan or mask again, as new layers: napari may crash when it draws an old one."""
        now = self.now
        assert now is not None
        alone = not any(layer.ndim >= 3 for layer in self.viewer.layers)
        for name in missing:
            self.in_place.let_go(self._ours.pop(name, None))
        mask = now.upright.to_display(now.mask)
        if IMAGE in missing:
            self._draw_image(now, another=True)
        if MASK in missing:
            self._listen(self._add_labels(MASK, mask))
        if alone:  # napari had forgotten where one looked
            self.look_at(centre_of(mask))
            self.viewer.reset_view()
        self.reveal_mask()
        self.select_mask()
        self.shown_changed.emit(now.name)

    # --- where one looks

    @property
    def plane(self) -> str:
        """"axial", "coronal" or "sagittal"; empty in 3D or in an order of the person's own."""
        return self.viewpoint.plane

    def set_plane(self, plane: str) -> None:
        """Look at another plane through the same point."""
        if self.now is not None:
            self.viewpoint.plane = plane

    @property
    def point(self) -> Place:
        """Voxel (I, P, L) that is looked at."""
        return self.viewpoint.point

    def look_at(self, point: Place) -> None:
        """Look at a voxel (I, P, L) in all planes."""
        self.viewpoint.point = point

    def place(self) -> dict[str, Any]:
        """Where one looks, to be written down."""
        if self.now is None or self.image_layer is None:  # napari removes layers, then closes
            return {}
        return {"slice": list(self.point), "plane": self.plane}

    def go_to(self, place: Mapping[str, Any]) -> None:
        """Look where `place` says."""
        if self.now is not None:
            self.viewpoint.go_to(place)

    # --- inside

    def _remove_all(self) -> None:
        self._finish_stroke()
        self.now = None
        for name in (IMAGE, MASK, PSEUDO_LABEL, HEAT, ANSWER, BEFORE):
            self._remove(name)

    def _draw(self, another: bool) -> None:
        now = self.now
        assert now is not None
        self.result.clear()
        for name in (PSEUDO_LABEL, HEAT, ANSWER, BEFORE):
            self._remove(name)
        self._draw_image(now, another)
        mask, labels = now.upright.to_display(now.mask), self._layer(MASK)
        self.viewpoint.set_grid(mask.shape, now.upright.scale)
        if labels is None:
            self._listen(self._add_labels(MASK, mask))
        else:
            self._swap(labels, mask)
        self.select_mask()
        if another:
            self.look_at(centre_of(mask))
            self.viewer.reset_view()

    def _draw_image(self, now: Shown, another: bool) -> None:
        data, image = now.upright.to_display(now.loaded.data), self._layer(IMAGE)
        if image is None:
            image = self._ours[IMAGE] = self.viewer.add_image(
                data, name=IMAGE, scale=now.upright.scale, contrast_limits=now.loaded.limits
            )
            self.viewer.layers.move(len(self.viewer.layers) - 1, 0)  # below a mask that is there
            image.events.contrast_limits.connect(lambda event=None: self.contrast_changed.emit())
            self._watch.add(image)
            self.in_place.hold(image, now.upright.scale)
        elif not another:
            return  # the contrast stays as the person set it
        else:
            self._swap(image, data)
        image.contrast_limits_range = now.loaded.full_range
        image.contrast_limits = now.loaded.limits

    def _swap(self, layer: Any, data: Array) -> None:
        assert self.now is not None
        with self._silent():
            layer.data = data
            self.in_place.hold(layer, self.now.upright.scale)
            if isinstance(layer, Labels):
                # Else Ctrl+Z writes the last scan's voxels into this one.
                layer._reset_history()

    def _add_labels(self, name: str, data: Array) -> Labels:
        assert self.now is not None
        # Whatever number a person paints with is brain, and is seen.
        colours = {None: COLOURS[name], 0: "transparent", 1: COLOURS[name]}
        with self._silent():
            layer: Labels = self.viewer.add_labels(
                data, name=name, scale=self.now.upright.scale, opacity=0.5,
                colormap=DirectLabelColormap(color_dict=colours),
            )
        layer.selected_label = 1
        self._ours[name] = layer
        self.in_place.hold(layer, self.now.upright.scale)
        return layer

    def _listen(self, labels: Labels) -> None:
        labels.events.paint.connect(self._on_painted)
        labels.events.data.connect(self._on_replaced)
        self._watch.add(labels)
        keep_strokes_flat(labels, lambda: self.viewpoint.across)
        # napari says nothing of undo and redo: its keys call these methods.
        labels.undo = self._followed(labels.undo, self._can_undo)
        labels.redo = self._followed(labels.redo, lambda: True)

    def _followed(
        self, method: Callable[[], None], can: Callable[[], bool]
    ) -> Callable[[], None]:
        def call() -> None:
            if cancel_gesture(self.mask_layer):  # the last thing that was done
                return
            if can():
                if not self.mask_is_seen:
                    self.reveal_mask()
                method()
                self._on_edited()
            else:
                self.nothing_to_undo.emit()

        return call

    def _can_undo(self) -> bool:
        return bool(getattr(self.mask_layer, "_undo_history", True))

    def _on_edited(self, event: Any = None) -> None:
        if not self._quiet and self.now is not None:
            self.edited.emit()

    def _on_replaced(self, event: Any = None) -> None:
        """Take over values that napari put into a new array, such as after a change of type."""
        layer = self.mask_layer
        if self._quiet or layer is None or self.now is None:
            return
        view = self.now.upright.to_display(self.now.mask)
        if layer.data.shape == view.shape:
            view[...] = layer.data != 0
        self._swap(layer, view)
        self.edited.emit()

    def _finish_stroke(self) -> None:
        """Keep the stroke of a mouse button that is still down; drop what is not closed."""
        cancel_gesture(self.mask_layer)
        commit = getattr(self.mask_layer, "_commit_stroke", None)
        if commit is not None:
            commit()
        if self._written.isActive():
            self._written.stop()
            self._on_edited()

    def _moving_events(self) -> tuple[Any, ...]:
        events = self.viewer.dims.events
        return events.point, events.order, events.ndisplay

    def _on_painted(self, event: Any = None) -> None:
        """Tell of strokes at their end, and of polygons once napari has written them.

        napari tells of strokes after it wrote them, of all else before.
        """
        if self._quiet or self.now is None:
            return
        if getattr(self.mask_layer, "_staged_history", None):
            self._on_edited()
        else:
            self._written.start()

    def _on_moved(self, event: Any = None) -> None:
        before, self._slice = self._slice, self.viewpoint.slice
        if before != self._slice and cancel_gesture(self.mask_layer):
            self.told.emit("The outline was not closed, and is dropped: another slice is shown. "
                           "Finish an outline on the slice where it began.")
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

    def _layer(self, name: str) -> Any:
        """A layer of ours: not one of the same name that a person added."""
        layer = self._ours.get(name)
        return layer if layer is not None and layer in self.viewer.layers else None

    def _remove(self, name: str) -> None:
        layer = self._layer(name)
        if layer is not None:
            self.in_place.let_go(layer)
            self.viewer.layers.remove(layer)
        self._ours.pop(name, None)
