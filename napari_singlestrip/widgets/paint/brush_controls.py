"""Tool buttons, size of the brush in mm, range of intensities, planes: views of `Brush`."""

from __future__ import annotations

import math
from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleRangeSlider
from superqt.utils import signals_blocked

from napari_singlestrip.engine.masks.mask_tools import range_of
from napari_singlestrip.widgets.common.controls import button
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.brush import KEYS, Mode
from napari_singlestrip.widgets.viewer.viewpoint import PLANES

TAKES = "Shift or the right button"
TOOLS: tuple[tuple[Mode, str, str], ...] = (
    ("lasso", "Lasso", "Draw around the brain: the region inside the line is filled. "
     f"{TAKES} removes. Clicks set corners instead: a double click or Enter closes the "
     "outline, Esc cancels it."),
    ("paint", "Paint", f"Paint with the left button; {TAKES} erases"),
    ("smart", "Smart", "Paint only the tissue under the middle of the brush, up to the next edge; "
     f"{TAKES} erases it"),
    ("erase", "Erase", "Erase; also outside the intensity range"),
    ("fill", "Fill", "Fill a closed outline with one click inside"),
    ("pan_zoom", "Move", "Move and zoom the image; also while Space is held"),
    ("push", "Push", "Push the border of the mask with the brush, in or out"),
    ("smooth_here", "Smooth", "Smooth the border under the brush"),
    ("margin_here", "Grow", "Move the border under the brush out by one voxel per stroke; "
     f"{TAKES} moves it in"),
    ("snap", "Snap", "Move the border under the brush to the strongest image edge that "
     "is nearer than half its radius"),
    ("scissors", "Cut", "Cut through all slices: draw around what to remove, or draw a line, and "
     f"the smaller part is removed; with {TAKES} only that part is kept"),
    ("piece", "Piece", f"Click a piece of the mask to erase it; {TAKES} keeps only that piece"),
)
STEPS = 100
PER_ROW = 4  # tools: more would make the whole dock wider


class BrushControls(QWidget):
    """Controls of the tool and the view.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._brush = session.layers.brush
        self.setObjectName("brush_controls")
        self.tools = self._make_tools()
        self.views = self._make_views()
        self._make_size()
        self._make_range()
        self._lay_out()
        self._brush.changed.connect(self.refresh)
        session.scan_changed.connect(self._on_scan)
        session.layers.showing.moved.connect(self.refresh)
        session.viewer.dims.events.ndisplay.connect(self.refresh)
        self._on_scan()

    def close_all(self) -> None:
        """Disconnect from the viewer."""
        self.session.viewer.dims.events.ndisplay.disconnect(self.refresh)

    # --- also called by keys

    def toggle_range(self) -> None:
        """Paint only in the range of intensities, or at any."""
        if self.in_range.isEnabled():
            self.in_range.toggle()

    def toggle_outline(self) -> None:
        """Show the mask as an outline, or filled."""
        self._brush.set_outline(not self._brush.outline)

    def toggle_3d(self) -> None:
        """Switch between 3D and slices."""
        dims = self.session.viewer.dims
        self.session.layers.brush.show_in_3d(dims.ndisplay != 3)

    # --- the state

    def refresh(self, *_: object) -> None:
        """Update the controls."""
        for mode, made in self.tools.items():
            made.setChecked(self._brush.mode == mode)
        plane = self.session.layers.viewpoint.plane
        for name, made in self.views.items():
            made.setChecked(name == plane)
        self.views["3d"].setChecked(self.session.viewer.dims.ndisplay == 3)
        self.views["outline"].setChecked(self._brush.outline)
        self.ball.setChecked(self._brush.ball)
        self.in_range.setChecked(self._brush.range is not None)
        self.range_row.setVisible(self._brush.range is not None)
        self._show_size()

    def use_painted_range(self) -> None:
        """Set the range to the intensities of what is painted."""
        layers = self.session.layers
        image, mask = layers.showing.image_on_display(), layers.editing.mask_on_display()
        if image is not None and mask is not None:
            self.range_slider.setValue(range_of(image, mask))
            self._apply_range()

    # --- inside

    def _make_tools(self) -> dict[Mode, QPushButton]:
        made = {}
        for mode, text, tip in TOOLS:
            made[mode] = button(f"{text}  {KEYS[mode]}", tip, self._taker(mode), f"tool_{mode}")
            made[mode].setCheckable(True)
        return made

    def _taker(self, mode: Mode) -> Callable[[], None]:
        def take() -> None:
            self._brush.set_mode(mode)
            self.refresh()  # a second click on a button must not release it

        return take

    def _make_views(self) -> dict[str, QPushButton]:
        made = {}
        for plane in PLANES:
            made[plane] = button(plane.capitalize(), f"Show {plane} slices through this point",
                                 self._plane_setter(plane), f"plane_{plane}")
        made["3d"] = button("3D  D", "Rotate the head in 3D", self.toggle_3d, "view_3d")
        made["outline"] = button("Outline  O", "Show the mask as an outline, or filled",
                                 self.toggle_outline, "outline")
        for one in made.values():
            one.setCheckable(True)
        return made

    def _plane_setter(self, plane: str) -> Callable[[], None]:
        def look() -> None:
            if self.session.layers.showing.now is not None:
                self.session.layers.viewpoint.set_plane(plane)
            self.refresh()

        return look

    def _make_size(self) -> None:
        self.size_slider = QSlider(Qt.Orientation.Horizontal)
        self.size_slider.setObjectName("brush_size")
        self.size_slider.setRange(0, STEPS)
        self.size_slider.setToolTip("Diameter of the brush; the keys [ and ] change it too")
        self.size_slider.valueChanged.connect(self._on_size)
        self.size_label = QLabel()
        self.size_label.setObjectName("brush_size_label")
        self.size_label.setMinimumWidth(48)
        self.ball = QCheckBox("Ball (3D)")
        self.ball.setObjectName("ball")
        self.ball.setToolTip("Paint a ball that reaches into the slices above and below")
        self.ball.clicked.connect(self._brush.set_ball)

    def _make_range(self) -> None:
        self.in_range = QCheckBox("Paint only in a range of intensities  T")
        self.in_range.setObjectName("in_range")
        self.in_range.setToolTip("Fat and bone are left out where they are brighter or darker than "
                                 "the brain. Erasing works everywhere.")
        self.in_range.toggled.connect(self._on_in_range)
        self.range_slider = QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.range_slider.setObjectName("range")
        self.range_slider.setToolTip("Intensities that may be painted")
        self.range_slider.setEdgeLabelMode(QLabeledDoubleRangeSlider.EdgeLabelMode.NoLabel)
        self.range_slider.valueChanged.connect(self._apply_range)
        self.from_painted = button("From painted", "Take the range from what is painted",
                                   self.use_painted_range, "range_from_painted")
        self.range_row = QWidget()
        self.range_row.setFixedHeight(48)  # the slider would take all the height it can get
        row = QHBoxLayout(self.range_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.range_slider, 1)
        row.addWidget(self.from_painted)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        size = (QLabel("Brush"), self.size_slider, self.size_label, self.ball)
        tools = list(self.tools.values())
        rows = [tools[n : n + PER_ROW] for n in range(0, len(tools), PER_ROW)]
        for widgets in (*rows, size, self.views.values()):
            row = QHBoxLayout()
            row.setSpacing(2)
            for widget in widgets:
                row.addWidget(widget, 1 if widget is self.size_slider else 0)
            column.addLayout(row)
        column.addWidget(self.in_range)
        column.addWidget(self.range_row)

    def _on_scan(self, *_: object) -> None:
        now = self.session.layers.showing.now
        self.setEnabled(now is not None)
        if now is not None:
            low, high = now.loaded.full_range
            with signals_blocked(self.range_slider):
                self.range_slider.setDecimals(0 if high - low > 50 else 3)
                self.range_slider.setRange(low, high)  # type: ignore[arg-type]  # takes floats
            if self._brush.range is not None:  # other scans have other intensities
                self.use_painted_range()
        self.refresh()

    def _show_size(self) -> None:
        mm, (low, high) = self._brush.diameter_mm, self._brush.limits_mm
        self.size_label.setText(f"{mm:.2g} mm" if mm < 10 else f"{mm:.0f} mm")
        if not self.size_slider.isSliderDown():
            with signals_blocked(self.size_slider):
                self.size_slider.setValue(round(STEPS * math.log(mm / low) / math.log(high / low)))

    def _on_size(self, place: int) -> None:
        low, high = self._brush.limits_mm
        self._brush.set_diameter(low * (high / low) ** (place / STEPS))

    def _on_in_range(self, on: bool) -> None:
        if on and self._brush.range is None:
            self.use_painted_range()
        elif not on:
            self._brush.paint_only_in(None)

    def _apply_range(self, *_: object) -> None:
        low, high = self.range_slider.value()
        self._brush.paint_only_in((float(low), float(high)))
