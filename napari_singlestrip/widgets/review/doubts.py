"""Places to check of the mask on screen, read or computed in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.imaging.volume import Scan, load_marks, load_mask, open_scan
from napari_singlestrip.engine.masks.doubt import Place, doubted, places, scale_of, still_doubted
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.round_folder import doubts_path, heat_map_path
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.review.place_picture import (
    LEAST_MM,
    Display,
    extent_mm,
    place_picture,
    plane_for,
)
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.shown import Shown

STAY_MS = 60  # scans that are shown only briefly are not read
EDITED_MS = 400  # after a stroke
PICTURE = 60  # pixels

Marks = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PlaceToCheck:
    """A place to check, and its view; in voxels of the display (I, P, L).

    Attributes
    ----------
    place : Place
    plane : str
        The best plane to show it.
    extent_mm : float
        Extent of the view.
    picture : ndarray of uint8, shape (size, size, 3)
    """

    place: Place
    plane: str
    extent_mm: float
    picture: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Found:
    """Remaining doubts about the current mask.

    Attributes
    ----------
    known : bool
        Whether this mask was scored at all.
    marks : ndarray of uint8, shape (i, j, k), or None
        On the scan's grid.
    places : tuple of PlaceToCheck
    """

    known: bool = False
    marks: Marks | None = None
    places: tuple[PlaceToCheck, ...] = field(default=())


class Doubts(QObject):
    """Follows the scan on screen and every change of its mask.

    Parameters
    ----------
    session : Session

    Signals
    -------
    changed()
        The scan or its places changed.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.found: Found | None = None  # None while it is being computed
        self.background = Background("doubts", self)
        self.background.failed.connect(lambda text: session.tell(text, "warning"))
        self._read: Callable[[Scan], Marks | None] | None = None
        self._name = ""
        self._marks: Marks | None = None  # of the predicted mask
        self._stay = single_shot(self, STAY_MS, self.look)
        self._edited = single_shot(self, EDITED_MS, self._look_again)
        session.mask_edited.connect(self._on_edited)

    def follow(self, name: str, round_: int) -> None:
        """Set the scan on screen; "" if it is not ranked."""
        self.background.forget()
        self._edited.stop()
        self._name, self._marks, self._read, self.found = name, None, None, None
        if name:
            study = self.session.need_study()
            self._read = lambda scan: marks_of(study, round_, name, scan)
            self._stay.start()
        else:
            self._stay.stop()
            self.found = Found()
        self.changed.emit()

    def look(self) -> None:
        """Start reading immediately, unless started."""
        read, now = self._read, self.session.layers.showing.now
        self._stay.stop()
        if read is None or now is None or now.name != self._name:
            return
        self._read = None
        mask = now.mask != 0

        def work() -> tuple[Marks | None, Found]:
            marks = read(now.scan)
            return marks, Found() if marks is None else find(marks, mask, now)

        self.background.run(work, self._take_first)

    def close_all(self) -> None:
        """End thread and timers when the window closes."""
        self._stay.stop()
        self._edited.stop()
        self.background.close_all()

    # --- inside

    def _on_edited(self) -> None:
        if self._marks is not None:
            self._edited.start()

    def _look_again(self) -> None:
        marks, now = self._marks, self.session.layers.showing.now
        if marks is not None and now is not None:
            mask = now.mask != 0
            self.background.run(lambda: find(marks, mask, now), self._take)

    def _take_first(self, read: tuple[Marks | None, Found]) -> None:
        self._marks, found = read
        self._take(found)

    def _take(self, found: Found) -> None:
        self.found = found
        self.changed.emit()


def marks_of(study: Study, round_: int, name: str, scan: Scan) -> Marks | None:
    """Read the doubts about a predicted mask; earlier versions stored only a heat map.

    Raises
    ------
    UserError
        If a file is damaged.
    """
    path, heat = doubts_path(study, round_, name), heat_map_path(study, round_, name)
    if path.is_file():
        return load_marks(path, like=scan)
    if not heat.is_file():
        return None
    try:
        mask = load_mask(study.rounds.pseudo_label_path(round_, name), like=scan, check=False)
    except (UserError, OSError):  # reported where the mask is shown
        return None
    return _from_heat_map(heat, mask, scan)


def _from_heat_map(heat: Path, mask: NDArray[np.bool_], scan: Scan) -> Marks:
    values = np.nan_to_num(open_scan(heat).read_float())
    if values.shape != scan.grid.shape:
        raise UserError(f"{heat} is on another grid than its scan.", "Rank the masks again.")
    return doubted(values, mask, scan.grid)


def find(marks: Marks, mask: NDArray[np.bool_], now: Shown) -> Found:
    """Find the remaining places to check in the current mask, and draw them."""
    left = still_doubted(marks, mask)
    upright, shape = now.upright, now.scan.grid.shape
    turn = upright.to_display
    display = Display(
        turn(now.loaded.data), turn(mask), turn(left), upright.scale, now.loaded.limits
    )
    i, p, l = display.mask.shape  # noqa: E741
    grid = Grid((i, p, l), upright.affine_of_display(shape))
    least_mm = LEAST_MM * scale_of(mask, now.scan.grid)

    def to_check(place: Place) -> PlaceToCheck:
        plane = plane_for(place, display.scale, display.marks)
        picture = place_picture(place, plane, display, PICTURE, least_mm)
        return PlaceToCheck(place, plane, extent_mm(place, display.scale, least_mm), picture)

    return Found(True, left, tuple(map(to_check, places(display.marks, display.mask, grid))))
