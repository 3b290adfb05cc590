"""Places to check of the mask on screen: up to five thumbnails in a row, and a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from napari_singlestrip.engine.masks.doubt import MOST_PLACES, TOO_LITTLE, TOO_MUCH, ml_in_words
from napari_singlestrip.widgets.common.controls import words
from napari_singlestrip.widgets.review.doubts import PICTURE, Found, PlaceToCheck
from napari_singlestrip.widgets.viewer.own_layers import DOUBT_COLOURS

LINE_MARGIN = 8  # pixels: napari's padding
LOOKING = "Finding places to check ..."
UNKNOWN = "Places to check appear here for masks that were ranked."
NOTHING = (
    "No place stands out: the autoencoder reconstructs this mask well. That does not mean it is "
    "right everywhere."
)


class PlacesBar(QWidget):
    """The places to check, largest first.

    Its height is constant, from scan to scan and while places are computed: what is above must not
    move below the hand. Only in a round that has none to show it is a line.

    Signals
    -------
    chosen(PlaceToCheck)
        The user visited a place.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("places_bar")
        self.places: tuple[PlaceToCheck, ...] = ()
        self.current = -1
        self._roomy = True  # there are places to check in this round, or they are not known yet
        self._asked = False  # places of the mask on screen are being computed
        self._wanted = 0  # steps asked for meanwhile
        self.says = words(name="places_words")
        self.buttons = [self._button(n) for n in range(MOST_PLACES)]
        self._lay_out()
        self.show_found(Found())

    def show_found(self, found: Found | None) -> None:
        """Set the places; None while they are being computed."""
        here = self.places[self.current].place if 0 <= self.current < len(self.places) else None
        self.places = () if found is None else found.places
        self._says_nothing = LOOKING if found is None else NOTHING if found.known else UNKNOWN
        same = [
            n for n, one in enumerate(self.places)
            if here is not None and one.place.kind == here.kind and _apart(one, here) < 2
        ]
        self.current = same[0] if same else -1
        for n, made in enumerate(self.buttons):
            self._show(made, self.places[n] if n < len(self.places) else None)
        if found is not None and found.known:
            self._roomy = True
        elif found is not None and self._asked:
            self._roomy = False
        self._asked = found is None
        self._refresh()
        self._keep_height()
        wanted, self._wanted = self._wanted, 0
        if found is not None and wanted:
            self.step(wanted)

    def step(self, by: int) -> None:
        """Go to the next or previous place, cyclically; as soon as places are found."""
        self._wanted = by if self._asked else 0
        if self.places:
            n = len(self.places)
            first = 0 if by > 0 else n - 1
            self.go_to((self.current + by) % n if self.current >= 0 else first)

    def go_to(self, n: int) -> None:
        """Go to a place."""
        if n < len(self.places):
            self.current = n
            self._refresh()
            self.chosen.emit(self.places[n])

    # --- inside

    def _button(self, n: int) -> QToolButton:
        made = QToolButton()
        made.setObjectName(f"place_{n + 1}")
        made.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        made.setIconSize(QSize(PICTURE, PICTURE))
        made.setCheckable(True)
        made.setAutoRaise(True)
        made.setToolTip("A place to check")
        made.clicked.connect(lambda _checked=False: self.go_to(n))
        kept = made.sizePolicy()  # the layout stays the same with fewer places
        kept.setRetainSizeWhenHidden(True)
        made.setSizePolicy(kept)
        made.setFixedHeight(PICTURE + made.fontMetrics().lineSpacing() + 10)
        return made

    def _lay_out(self) -> None:
        self.pictures = QWidget()
        row = QHBoxLayout(self.pictures)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for made in self.buttons:
            row.addWidget(made, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.says)
        column.addWidget(self.pictures)

    def _keep_height(self) -> None:
        """Take the room of places once there were some: so the row stays from scan to scan."""
        self.pictures.setVisible(bool(self.places))
        line = self.says.fontMetrics().lineSpacing() + LINE_MARGIN
        high = line + 2 + self.buttons[0].height()
        self.says.setMinimumHeight(line if self.places or not self._roomy else high)
        self.says.setMaximumHeight(line if self.places else high)

    def _show(self, made: QToolButton, one: PlaceToCheck | None) -> None:
        made.setVisible(one is not None)
        if one is not None:
            made.setIcon(QIcon(_pixmap(one.picture)))
            sign = "+" if one.place.kind == TOO_MUCH else "\u2212"  # too much, too little
            made.setText(f"{sign} {ml_in_words(one.place.volume_ml)}")
            made.setToolTip(f"{in_words(one).capitalize()}. Click, or press Tab, to look there")
            made.setAccessibleName(in_words(one))

    def _refresh(self) -> None:
        for n, made in enumerate(self.buttons):
            made.setChecked(n == self.current)
        self.says.setText(self._words())
        self.says.setToolTip("Where the autoencoder disagrees with the mask, the largest "
                             "regions first. They are hints: it knows only the painted brain's "
                             "shape. Tab and Shift+Tab step through them, H shows the colours")

    def _words(self) -> str:
        n = len(self.places)
        if not n:
            return self._says_nothing
        if self.current < 0:
            return f"<b>{n} place{'s' * (n > 1)} to check</b> (Tab), probably {legend()}"
        return f"<b>Place {self.current + 1} of {n}</b>: {in_words(self.places[self.current])}"


def in_words(one: PlaceToCheck) -> str:
    """What is probably wrong, and where."""
    return f"{one.place.in_words} ({one.place.where})"


def legend() -> str:
    """Legend of the two colours, as rich text."""
    parts = ((TOO_MUCH, "too much"), (TOO_LITTLE, "missing"))
    return " ".join(
        f"<span style='color:{DOUBT_COLOURS[kind]}'>\u25a0</span> {said}" for kind, said in parts
    )


def _apart(one: PlaceToCheck, place: object) -> int:
    """Distance between the centres of two places (voxels)."""
    other = getattr(place, "voxel", one.place.voxel)
    pairs: Sequence[tuple[int, int]] = list(zip(one.place.voxel, other, strict=True))
    return max(abs(a - b) for a, b in pairs)


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    height, width, _ = picture.shape
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())
