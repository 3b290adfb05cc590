"""A person who sets slices of a mask right, in a real window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from gui_fixtures import press_key, process_events, wait_until
from qtpy.QtCore import Qt

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.engine.masks.spreading import SetSlice
from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

if TYPE_CHECKING:
    from conftest import Heads

    from napari_singlestrip.study.study import Study
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

PLANE_ACROSS = ("axial", "coronal", "sagittal")


class Corrector:
    """A person who knows the truth, before a mask that is two voxels too large all around."""

    def __init__(self, window: StripWidget, study: Study, heads: Heads, scan: int) -> None:
        self.window, self.name = window, heads.names[scan]
        header = open_scan(study.scans.path(self.name))
        truth = load_mask(heads.masks[scan], like=header)
        large = scipy.ndimage.binary_dilation(truth, iterations=2)
        save_mask(study.rounds.pseudo_label_path(0, self.name), large, like=header)
        self.said: list[str] = []
        window.session.told.connect(lambda text, _level: self.said.append(text))
        window.session.take_study(study)
        window.go_to("review")
        window.session.show_scan(self.name)
        process_events()
        now = self.layers.showing.now
        assert now is not None
        self.truth, self.large = now.upright.to_display(truth), now.upright.to_display(large)
        np.testing.assert_array_equal(self.mask, self.large)

    @property
    def layers(self) -> StudyLayers:
        return self.window.session.layers

    @property
    def tools(self) -> Any:
        return self.window.panel.tools  # type: ignore[attr-defined]

    @property
    def mask(self) -> np.ndarray:
        found = self.layers.editing.mask_on_display()
        assert found is not None
        return np.asarray(found)

    @property
    def dice(self) -> float:
        mask = self.mask
        return float(2 * (mask & self.truth).sum() / (mask.sum() + self.truth.sum()))

    def slices(self, *parts: float, axis: int = 0) -> tuple[SetSlice, ...]:
        """Slices at these parts of the brain's extent."""
        used = np.flatnonzero(self.truth.any(axis=tuple(a for a in range(3) if a != axis)))
        return tuple(SetSlice(axis, int(used[round(part * (used.size - 1))])) for part in parts)

    def correct(self, *slices: SetSlice) -> None:
        """Make slices as they are in truth, one by one, each in one stroke."""
        for s in slices:
            self.layers.viewpoint.set_plane(PLANE_ACROSS[s.axis])
            point = [n // 2 for n in self.truth.shape]
            point[s.axis] = s.index
            self.layers.viewpoint.look_at((point[0], point[1], point[2]))
            wrong = self.mask != self.truth
            for index in range(wrong.shape[s.axis]):
                if index != s.index:
                    np.moveaxis(wrong, s.axis, 0)[index] = False
            voxels = np.nonzero(wrong)
            layer = self.layers.editing.layer
            assert layer is not None
            layer.data_setitem(voxels, self.truth[voxels].astype(np.uint8))
            process_events()

    def is_right(self, *slices: SetSlice) -> bool:
        mask = self.mask
        return all(
            np.array_equal(mask.take(s.index, s.axis), self.truth.take(s.index, s.axis))
            for s in slices
        )

    def follow(self) -> None:
        press_key(self.window.viewer, Qt.Key.Key_W)
        self.wait()

    def wait(self) -> None:
        wait_until(lambda: not self.tools.busy, "the tool")
        process_events()
