"""The follower of the mask on screen, which caches what depends only on mask and scan."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.masks.spreading import Follower, SetSlice
from napari_singlestrip.widgets.session.originals import PackedMask

NICENESS = 15  # of the preparing thread


@dataclass(frozen=True, eq=False)
class Scene:
    """A scan as displayed, axes (I, P, L), and its voxel size (mm)."""

    image: NDArray[Any]
    spacing: tuple[float, float, float]

    def is_same(self, other: Scene) -> bool:
        """Whether both are views of the same voxels."""
        mine, others = (
            (s.image.ctypes.data, s.image.shape, s.image.strides) for s in (self, other)
        )
        return mine == others


class KeptFollower:
    """A thread-safe follower that caches the computations for one original mask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: tuple[PackedMask, Scene] | None = None
        self._follower: Follower | None = None

    def follow(
        self, before: PackedMask, scene: Scene, edited: Mask, slices: Sequence[SetSlice]
    ) -> Mask:
        """Propagate corrections to the rest of a mask, as `spread_corrections`."""
        with self._lock:
            return self._get(before, scene).follow(edited, slices)

    def doubt(self, before: PackedMask, scene: Scene) -> NDArray[np.float32]:
        """Uncertainty of the latest result, as `Follower.doubt`."""
        with self._lock:
            return self._get(before, scene).doubt()

    def prepare(self, before: PackedMask, scene: Scene) -> None:
        """Prepare in the background; lowers the priority of the calling thread on Linux."""
        if sys.platform.startswith("linux"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        with self._lock:
            self._get(before, scene).prepare()

    def forget(self) -> None:
        """Release the scan."""
        with self._lock:
            self._of = self._follower = None

    def _get(self, before: PackedMask, scene: Scene) -> Follower:
        same = self._of is not None and self._of[0] is before and self._of[1].is_same(scene)
        if self._follower is None or not same:
            self._of = before, scene
            self._follower = Follower(before.unpacked(), scene.spacing, scene.image)
        return self._follower
