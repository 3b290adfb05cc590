"""The layers of the scan on screen; only this class and its parts access napari's layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.study.review import stamp
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.viewer.brush import Brush
from napari_singlestrip.widgets.viewer.canvas_tools import CanvasTools
from napari_singlestrip.widgets.viewer.editing import MaskEditing
from napari_singlestrip.widgets.viewer.layer_place import LayersInPlace
from napari_singlestrip.widgets.viewer.layer_watch import LayerWatch
from napari_singlestrip.widgets.viewer.overlays import Overlays
from napari_singlestrip.widgets.viewer.own_layers import IMAGE, MASK, OwnLayers
from napari_singlestrip.widgets.viewer.result_layers import ResultLayers
from napari_singlestrip.widgets.viewer.showing import Showing
from napari_singlestrip.widgets.viewer.shown import KeptDraft, Shown, mask_of, middle_of
from napari_singlestrip.widgets.viewer.viewpoint import Viewpoint
from napari_singlestrip.widgets.viewer.volume_cache import VolumeCache


class StudyLayers(QObject):
    """Shows one scan of a study at a time.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject, optional

    Attributes
    ----------
    showing : Showing
        The scan on screen.
    editing : MaskEditing
        Its mask, for painting.
    overlays : Overlays
        Heat map and other masks.
    viewpoint : Viewpoint
        Current plane and voxel.
    brush : Brush
        The selected tool.
    canvas_tools : CanvasTools
        Our own tools for the slice.
    result : ResultLayers
        A displayed scan outside the study.

    Signals
    -------
    told(str)
        What a person did in napari was undone, because what is saved must be what is seen.
    """

    told = Signal(str)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.cache = VolumeCache()
        self.kept_draft: KeptDraft = lambda folder, name: None  # drafts that could not be written
        in_place = LayersInPlace(self)
        self.own = OwnLayers(viewer, in_place)
        self.viewpoint = Viewpoint(viewer)
        self.showing = Showing(self.own, self.viewpoint, self)
        self.canvas_tools = CanvasTools(viewer, self.viewpoint, self)
        self.editing = MaskEditing(
            self.own, self.showing, self.viewpoint, self.canvas_tools, self
        )
        self.overlays = Overlays(self.own, self.showing, self.editing)
        self.result = ResultLayers(viewer, in_place)
        self.brush = Brush(self)
        self._watch = LayerWatch(self)
        for part in (in_place, self.editing, self._watch):
            part.told.connect(self.told)

    def show(self, study: Study, name: str, view: str = "newest") -> None:
        """Show a scan with its mask.

        Parameters
        ----------
        study : Study
        name : str
        view : {"newest", "painted", "pseudo_label"}
            The mask: unsaved changes, else the manual mask, else the latest pseudo-label, else
            nothing ("newest"); the same without pseudo-labels ("painted"); or always the latest
            pseudo-label ("pseudo_label").

        Raises
        ------
        UserError
            If the scan or its mask cannot be read; the display is then unchanged.
        """
        loaded = self.cache.get(study.scans.path(name))
        newest = stamp(study, name)
        mask, source = mask_of(
            study, name, loaded.scan, view, self.kept_draft(study.folder, name)
        )
        before = self.showing.now
        self.editing.settle()
        self.showing.now = Shown(
            name, study, loaded, Upright(loaded.scan.grid.affine),
            np.asfortranarray(mask.astype(np.uint8)), source, newest,
        )
        same = before is not None and before.name == name and before.study is study
        self._draw(self.showing.now, another=not same)
        self.showing.changed.emit(name)

    def show_result(self, name: str, scan: Path, mask: Path | None) -> None:
        """Show any scan with its mask, instead of a scan of the study, without painting.

        Raises
        ------
        UserError
            If one of the files cannot be read; the display is then unchanged.
        """
        loaded = self.cache.get(scan)
        found = None if mask is None else load_mask(mask, like=loaded.scan, check=False)
        self._remove_all()
        upright = Upright(loaded.scan.grid.affine)
        self.viewpoint.set_grid(upright.to_display(loaded.data).shape, upright.scale)
        self.result.show(name, loaded, found)
        self.showing.changed.emit("")

    def clear(self) -> None:
        """Remove our layers."""
        self._remove_all()
        self.result.clear()
        self.cache.clear()
        self.showing.changed.emit("")

    def close(self) -> None:
        """Disconnect when the window closes."""
        self.editing.settle()
        self.brush.close()
        self.showing.close()
        self._watch.close()
        self.canvas_tools.close()
        self.cache.close()

    @property
    def shows_scan(self) -> bool:
        """Whether a scan of the study or a result is on screen, with axes (I, P, L)."""
        of_study = self.showing.now is not None and self.showing.image_layer is not None
        return bool(self.result.name) or of_study

    def solid(self) -> tuple[AnyArray, AnyArray] | None:
        """View of the mask as it is displayed, and the affine from its voxels to RAS mm."""
        now, mask = self.showing.now, self.editing.mask_view()
        if now is None or mask is None:
            return self.result.solid
        return mask, now.upright.affine_of_display(now.scan.grid.shape)

    def file_of(self, layer: Any) -> Path | None:
        """The file of our displayed scan, of the study or a result; None for other layers."""
        if layer is self.showing.image_layer and self.showing.now is not None:
            return self.showing.now.scan.path
        return self.result.path if self.result.shows(layer) else None

    def load_ahead(self, study: Study, name: str) -> None:
        """Start loading a scan that will probably be shown next."""
        self.cache.load_ahead(study.scans.path(name))

    def make_again(self) -> None:
        """Restore scan or mask after its layer was removed.

        In new layers: napari may crash when it draws an old one.
        """
        now = self.showing.now
        assert now is not None
        missing = self.own.missing()
        alone = not any(layer.ndim >= 3 for layer in self.viewer.layers)
        for name in missing:
            self.own.forget(name)
        if IMAGE in missing:
            self._watch.add(self.showing.draw_image(another=True))
        if MASK in missing:
            self._watch.add(self.editing.draw())
        if alone:  # napari had lost the viewpoint
            self._look_at_brain(now)
            self.viewer.reset_view()
        self.editing.reveal()
        self.editing.select()
        self.showing.changed.emit(now.name)

    # --- inside

    def _draw(self, now: Shown, another: bool) -> None:
        self.result.clear()
        self.viewpoint.set_grid(now.upright.to_display(now.mask).shape, now.upright.scale)
        with self.own.together(lambda: self._look_at_brain(now) if another else None):
            self.overlays.leave_scan()
            self._watch.add(self.showing.draw_image(another))
            self._watch.add(self.editing.draw())
        self.editing.select()
        if another:
            self.viewer.reset_view()

    def _look_at_brain(self, now: Shown) -> None:
        self.viewpoint.look_at(middle_of(now))

    def _remove_all(self) -> None:
        self.editing.settle()
        self.showing.now = None
        self.own.remove(IMAGE, MASK)
        self.overlays.clear()
