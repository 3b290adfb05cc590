"""A slider from the mask of the previous round to the current one, with a summary."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_singlestrip.widgets.common.controls import words
from napari_singlestrip.widgets.viewer.own_layers import BEFORE, COLOURS, MASK

NOW = 100
FINDING = "Comparing with the previous round ..."
TIP = (
    "Drag to the left to fade from the current mask to that of the previous round; in the "
    "middle both are visible. Or hold Q. A stroke, or another scan, returns to the current mask"
)


class BeforeAfter(QWidget):
    """The slider; its right end shows only the current mask, its left end only the old one.

    Signals
    -------
    moved()
    released()
        The image may take the focus again.
    """

    moved = Signal()
    released = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("before_after")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("before_after_slider")
        self.slider.setRange(0, NOW)
        self.slider.setValue(NOW)
        self.slider.setPageStep(NOW // 2)
        self.slider.setToolTip(TIP)
        self.slider.valueChanged.connect(lambda _value: self.moved.emit())
        self.slider.sliderReleased.connect(self.released)
        self.says = words(name="grown")
        self._lay_out()

    @property
    def before(self) -> float:
        """Opacity of the mask of the previous round, 0 to 1."""
        return min(1.0, 2 * (NOW - self.slider.value()) / NOW)

    @property
    def present(self) -> float:
        """Opacity of the current mask, 0 to 1."""
        return min(1.0, 2 * self.slider.value() / NOW)

    def to_present(self) -> None:
        """Show the current mask alone."""
        self.slider.setValue(NOW)

    def say(self, text: str, tip: str = "") -> None:
        """Show the change since the previous round, and more in a tooltip; "" until known."""
        self.says.setText(text or FINDING)
        self.says.setToolTip(tip)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(_end("Previous round  Q", COLOURS[BEFORE]))
        row.addWidget(self.slider, 1)
        row.addWidget(_end("Current mask", COLOURS[MASK]))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.says)


def _end(text: str, colour: str) -> QLabel:
    label = QLabel(f"<span style='color:{colour}'>\u25a0</span> {text}")
    label.setToolTip(TIP)
    return label
