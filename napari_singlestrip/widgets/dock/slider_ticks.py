"""Ticks on napari's slice slider at corrected slices."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QAbstractSlider, QStyle, QStyleOptionSlider, QWidget

from napari_singlestrip.widgets.panes.marks import SET, runs
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.napari_private import slider_of

WIDTH = 3  # pixels of a tick


class SliderTicks(QObject):
    """Keeps ticks on the slider of each axis, which napari may recreate.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._dims = session.viewer.dims
        self.ticks: dict[int, Ticks] = {}
        session.correcting.changed.connect(self.refresh)
        self._dims.events.order.connect(self.refresh)
        self._dims.events.ndim.connect(self.refresh)

    def refresh(self, event: Any = None) -> None:
        """Mark the corrected slices."""
        ndim = int(self._dims.ndim)
        if ndim < 3:  # without layers napari has two axes, also while slices are still known
            return
        slices, extra = self._session.correcting.slices, ndim - 3
        for axis in range(3):
            slider = slider_of(self._session.viewer, extra + axis)
            places = [self._value(s.index, axis, extra) for s in slices if s.axis == axis]
            if slider is not None and (places or axis in self.ticks):
                self._ticks(axis, slider).show_at(places)

    def close_all(self) -> None:
        """Restore napari's sliders."""
        self._session.correcting.changed.disconnect(self.refresh)
        self._dims.events.order.disconnect(self.refresh)
        self._dims.events.ndim.disconnect(self.refresh)
        for ticks in list(self.ticks.values()):
            ticks.close()
            ticks.deleteLater()
        self.ticks = {}

    # --- inside

    def _value(self, index: int, axis: int, extra: int) -> int:
        """The slider's value for one of our slices: its steps are those of all layers."""
        start, _, step = self._dims.range[extra + axis]
        mm = index * self._session.layers.viewpoint.scale[axis]
        return round((mm - float(start)) / float(step)) if step else index

    def _ticks(self, axis: int, slider: QAbstractSlider) -> Ticks:
        found = self.ticks.get(axis)
        if found is None or found.parent() is not slider:
            if found is not None:
                found.close()
                found.deleteLater()
            made = found = self.ticks[axis] = Ticks(slider)
            made.destroyed.connect(lambda *_: self._forget(axis, made))
        return found

    def _forget(self, axis: int, gone: Ticks) -> None:
        """Forget what napari deleted: a slider goes with the last layer, and its marks with it."""
        if self.ticks.get(axis) is gone:
            del self.ticks[axis]


class Ticks(QWidget):
    """An overlay on a slider, transparent to the mouse.

    Parameters
    ----------
    slider : QAbstractSlider
    """

    def __init__(self, slider: QAbstractSlider) -> None:
        super().__init__(slider)
        self.setObjectName("set_slice_ticks")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._slider = slider
        self.values: list[int] = []
        slider.installEventFilter(self)
        self.setGeometry(slider.rect())

    def show_at(self, values: list[int]) -> None:
        """Mark these values of the slider."""
        self.values = values
        self.setGeometry(self._slider.rect())
        self.setVisible(bool(values))
        self.raise_()
        self.update()

    def x_of(self, value: int) -> int:
        """Centre of the slider's handle at a value."""
        slider, option = self._slider, QStyleOptionSlider()
        option.initFrom(slider)
        option.orientation = slider.orientation()
        option.minimum, option.maximum = slider.minimum(), slider.maximum()
        option.pageStep, option.singleStep = slider.pageStep(), slider.singleStep()
        option.sliderPosition = option.sliderValue = value
        style = slider.style()
        assert style is not None
        handle = style.subControlRect(
            QStyle.ComplexControl.CC_ScrollBar, option, QStyle.SubControl.SC_ScrollBarSlider, slider
        )
        return int(handle.center().x())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Stay as large as the slider."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self.setGeometry(self._slider.rect())
        return False

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        painter = QPainter(self)
        for first, last in runs(self.values):
            left, right = sorted((self.x_of(first), self.x_of(last)))
            painter.fillRect(left - WIDTH // 2, 0, right - left + WIDTH, self.height(), SET)
        painter.end()
