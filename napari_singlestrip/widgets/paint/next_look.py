"""Goes to the slice whose correction would help most, and explains why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_singlestrip.engine.masks.next_slice import next_slice
from napari_singlestrip.engine.masks.spreading import SetSlice
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.session.correcting import ACROSS, NO_MASK, slice_name
from napari_singlestrip.widgets.session.session import Session

EXTENT_MM = 110.0  # shown part of the slice
SPOT_MM = 12.0  # neighbourhood over which uncertainty is summed, to be robust
THICK = 1.5  # ratio from which slices are shown across the thick side of voxels
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """A slice, its most uncertain point, and the distance from the corrected slices.

    Attributes
    ----------
    slice : SetSlice
    voxel : tuple of int
    away_mm : float or None
        None if no slice is set.
    """

    slice: SetSlice
    voxel: tuple[int, int, int]
    away_mm: float | None

    @property
    def in_words(self) -> str:
        """Description of the slice and the reason."""
        name = slice_name(self.slice)
        if self.away_mm is None:
            return (f"Check here first: {name}. No slice is set yet, and this one tells most about "
                    "the rest. Correct it, or press . if it is right.")
        return (f"Check here next: {name}. The surface is least certain, {self.away_mm:.0f} mm "
                "from the nearest slice you set. Correct it, or press . if it is right.")


class NextLook(QObject):
    """Finds the slice in a thread and goes there.

    Parameters
    ----------
    session : Session
    parent : QObject, optional
    """

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._background = Background("next-look", self)

    def go(self) -> None:
        """Go to the slice that would help most."""
        session = self._session
        correcting, layers = session.correcting, session.layers
        reader, mask = correcting.originals.reader(), layers.editing.mask_on_display()
        scene, shown = correcting.scene(), layers.showing.now
        if reader is None or mask is None or scene is None:
            session.tell("Choose a scan first.", "warning")
            return

        def find() -> Look | str:
            found = reader(mask)
            if not found.has_original:
                return NO_MASK
            doubt = correcting.follower.doubt(found.before, scene)
            look = where_next(doubt, found.slices, scene.spacing)
            return look or "No slice stands out: the surface is equally certain everywhere."

        def take(found: Look | str) -> None:
            if layers.showing.now is shown:
                self._show(found)

        self._background.forget()
        self._background.run(find, take)

    def close_all(self) -> None:
        """End the thread."""
        self._background.close_all()

    def _show(self, found: Look | str) -> None:
        if isinstance(found, str):
            self._session.tell(found, "warning")
            return
        plane = ACROSS[found.slice.axis]
        self._session.layers.viewpoint.visit(plane, found.voxel, EXTENT_MM)
        self._session.tell(found.in_words)


def where_next(
    doubt: NDArray[np.float32], slices: Sequence[SetSlice], spacing: Spacing
) -> Look | None:
    """Find the slice that would remove most uncertainty; None without any.

    Parameters
    ----------
    doubt : ndarray, shape (I, P, L)
        0 where the mask is certain, 1 where it could be either.
    slices : sequence of SetSlice
        Those set already.
    spacing : tuple of float
        Voxel size in mm.
    """
    thick = int(np.argmax(spacing))
    axis = thick if spacing[thick] > THICK * min(spacing) else None
    best = next_slice(doubt, slices, spacing, axis)
    if best is None:
        return None
    voxel = _spot(doubt, best, spacing)
    away = [abs(voxel[s.axis] - s.index) * spacing[s.axis] for s in slices]
    return Look(best, voxel, min(away, default=None))


def _spot(doubt: NDArray[np.float32], best: SetSlice, spacing: Spacing) -> tuple[int, int, int]:
    """The point on a slice with the most uncertain neighbourhood."""
    plane = doubt.take(best.index, best.axis)
    within = [s for a, s in enumerate(spacing) if a != best.axis]
    summed = scipy.ndimage.uniform_filter(plane, [max(1, round(SPOT_MM / s)) for s in within])
    place = [int(n) for n in np.unravel_index(summed.argmax(), plane.shape)]
    place.insert(best.axis, best.index)
    return place[0], place[1], place[2]
