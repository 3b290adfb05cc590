"""Tools with parameters and a preview: margin, smoothing, threshold, combining masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleRangeSlider
from superqt.utils import signals_blocked

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.masks import mask_tools
from napari_singlestrip.engine.masks.logic import How, between, combine
from napari_singlestrip.engine.masks.mask_tools import Image, Spacing
from napari_singlestrip.engine.masks.pieces import without_small_pieces
from napari_singlestrip.widgets.common.controls import button
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.paint.other_masks import OtherMask, from_file, other_masks
from napari_singlestrip.widgets.paint.tool_runner import ToolRunner
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.own_layers import PREVIEW

Tool = Callable[[Mask, Image, Spacing], Mask]
Use = Callable[[str, Tool], None]

SOON_MS = 60
FILES = "Masks (*.nii *.nii.gz *.mgz *.mgh);;All files (*)"
KINDS = ("Grow or shrink", "Smooth", "Drop small pieces", "Threshold", "Combine with")
GROW, SMOOTH, PIECES, THRESHOLD, COMBINE = range(5)
DOING = ("Moving the surface", "Smoothing", "Dropping small pieces", "Threshold", "Combining")
HOWS: tuple[tuple[How, str], ...] = (
    ("add", "Add"), ("subtract", "Subtract"), ("intersect", "Intersect")
)


class AdjustBox(QWidget):
    """A row below the tools; its effect is previewed as a yellow outline until applied.

    Parameters
    ----------
    session : Session
    use : callable
        (words, tool): applies a tool to the mask, as one step of undo.
    """

    def __init__(self, session: Session, use: Use) -> None:
        super().__init__()
        self.setObjectName("adjust_box")
        self.session, self._use = session, use
        self._others: list[OtherMask] = []
        self._stale = False
        self._runner = ToolRunner(session, self, tell=False)
        self._soon = single_shot(self, SOON_MS, self._preview)
        self._make_head()
        self._make_amounts()
        self._make_threshold()
        self._make_combine()
        self._lay_out()
        session.mask_edited.connect(self._refresh)
        session.scan_changed.connect(self._on_scan)
        session.viewer.dims.events.ndisplay.connect(self._refresh)
        self.hide()

    def close_all(self) -> None:
        """End timer and thread, and disconnect from the viewer."""
        self._soon.stop()
        self._runner.close_all()
        self.session.viewer.dims.events.ndisplay.disconnect(self._refresh)

    def apply(self) -> None:
        """Apply the preview."""
        tool = self._tool()
        if tool is not None:
            self._use(DOING[self.kind.currentIndex()], tool)

    # --- Qt

    def showEvent(self, event: object) -> None:
        """Initialise the parameters for the scan on screen."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._on_scan()

    def hideEvent(self, event: object) -> None:
        """Remove the preview."""
        super().hideEvent(event)  # type: ignore[arg-type]
        self._soon.stop()
        self.session.layers.overlays.show(PREVIEW, None)

    # --- inside: controls

    def _make_head(self) -> None:
        self.kind = QComboBox()
        self.kind.setObjectName("adjust_kind")
        self.kind.setToolTip("Operation on the whole mask; a yellow outline previews it")
        self.kind.addItems(list(KINDS))
        self.kind.currentIndexChanged.connect(self._on_kind)
        self.done = button("Apply", "Change the mask to the yellow outline; one step of undo",
                           self.apply, "adjust_apply")

    def _make_amounts(self) -> None:
        self.amounts = {
            GROW: _amount("margin", " mm", -30, 30, 1, "How far the surface moves out; in, when "
                          "it is negative"),
            SMOOTH: _amount("smoothing", " mm", 0.1, 30, 2, "Removes bumps up to this size"),
            PIECES: _amount("smallest", " mL", 0, 1000, 1, "Pieces smaller than this are removed"),
        }
        for spin in self.amounts.values():
            spin.valueChanged.connect(self._refresh)

    def _make_threshold(self) -> None:
        self.range = QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.range.setObjectName("threshold")
        self.range.setToolTip("Intensities that belong to the mask")
        self.range.setEdgeLabelMode(QLabeledDoubleRangeSlider.EdgeLabelMode.NoLabel)
        self.range.valueChanged.connect(self._refresh)
        self.inside = QCheckBox("inside the mask")
        self.inside.setObjectName("threshold_inside")
        self.inside.setToolTip("Only remove from the mask, add nothing outside it")
        self.inside.setChecked(True)
        self.inside.toggled.connect(self._refresh)
        self.threshold = QWidget()
        row = QHBoxLayout(self.threshold)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.range, 1)
        row.addWidget(self.inside)

    def _make_combine(self) -> None:
        self.how, self.other = QComboBox(), QComboBox()
        self.how.setObjectName("combine_how")
        self.how.setToolTip("Add the other mask, subtract it, or keep only what is in both")
        self.how.addItems([text for _, text in HOWS])
        self.other.setObjectName("combine_other")
        self.other.setToolTip("The other mask; it must be on the grid of this scan")
        self.other.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.other.setMinimumContentsLength(12)
        self.other.setPlaceholderText("choose a file")  # if there is no other mask
        self.file = button("File ...", "Take the other mask from a file", self._choose_file,
                           "combine_file")
        for box in (self.how, self.other):
            box.currentIndexChanged.connect(self._refresh)
        self.combining = QWidget()
        row = QHBoxLayout(self.combining)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.how)
        row.addWidget(self.other, 1)
        row.addWidget(self.file)

    def _lay_out(self) -> None:
        self.amount = QStackedWidget()  # beside the kind
        for spin in self.amounts.values():
            self.amount.addWidget(spin)
        head = QHBoxLayout()
        head.setSpacing(4)
        head.addWidget(self.kind, 1)
        head.addWidget(self.amount)
        head.addWidget(self.done)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(head)
        for widget in (self.threshold, self.combining):
            column.addWidget(widget)
        self.threshold.setFixedHeight(44)
        self._on_kind()

    # --- inside: state

    def _on_kind(self, *_: object) -> None:
        kind = self.kind.currentIndex()
        self.amount.setVisible(kind in self.amounts)
        if kind in self.amounts:
            self.amount.setCurrentWidget(self.amounts[kind])
        self.threshold.setVisible(kind == THRESHOLD)
        self.combining.setVisible(kind == COMBINE)
        if kind == COMBINE:
            self._list_others()
        self._refresh()

    def _on_scan(self, *_: object) -> None:
        layers = self.session.layers
        now, image = layers.showing.now, layers.showing.image_on_display()
        if now is None or image is None or not self.isVisible():
            return
        low, high = now.loaded.full_range
        for kind in (GROW, SMOOTH):
            self.amounts[kind].setSingleStep(round(min(now.upright.scale), 2))
        with signals_blocked(self.range):
            self.range.setDecimals(0 if high - low > 50 else 3)
            self.range.setRange(low, high)  # type: ignore[arg-type]  # takes floats
            mask = layers.editing.mask_on_display()
            assert mask is not None
            self.range.setValue(mask_tools.range_of(image, mask))
            self.inside.setChecked(bool(mask.any()))
        self._on_kind()

    def _list_others(self, *more: OtherMask) -> None:
        self._others = [*more, *other_masks(self.session)]
        with signals_blocked(self.other):
            self.other.clear()
            self.other.addItems([other.text for other in self._others])
            self.other.setCurrentIndex(0 if self._others else -1)

    def _choose_file(self) -> None:
        now = self.session.layers.showing.now
        path, _ = QFileDialog.getOpenFileName(self, "Mask to combine with", "", FILES)
        if path and now is not None:
            self.take_file(Path(path))

    def take_file(self, path: Path) -> None:
        """Combine with the mask of a file."""
        now = self.session.layers.showing.now
        if now is not None:
            self._list_others(from_file(now, path))
            self._refresh()

    def _tool(self) -> Tool | None:
        """The selected operation, as a function that may run in a thread."""
        kind, now = self.kind.currentIndex(), self.session.layers.showing.now
        if now is None:
            return None
        if kind in self.amounts:
            return _with_amount(kind, self.amounts[kind].value(), now.scan.grid.voxel_ml)
        if kind == THRESHOLD:
            low, high = (float(n) for n in self.range.value())
            inside = self.inside.isChecked()
            return lambda m, i, _s: between(i, (low, high), m if inside else None)
        place, how = self.other.currentIndex(), HOWS[self.how.currentIndex()][0]
        if not 0 <= place < len(self._others):
            return None
        other = self._others[place]
        return lambda m, _i, _s: combine(m, other.load(), how)

    # --- inside: the preview

    def _refresh(self, *_: object) -> None:
        self.done.setEnabled(self._tool() is not None)
        if self.isVisible():
            self._soon.start()

    def _preview(self) -> None:
        """Show the preview; repeat it if it is out of date by then."""
        layers, tool = self.session.layers, self._tool()
        now, mask = layers.showing.now, layers.editing.mask_on_display()
        image = layers.showing.image_on_display()
        if now is None or mask is None or image is None or tool is None:
            layers.overlays.show(PREVIEW, None)
            return
        self._stale = not self._runner.run(
            "Preview", lambda: tool(mask, image, now.upright.scale), self._show, whatever=True
        )

    def _show(self, made: Mask) -> None:
        layers = self.session.layers
        now = layers.showing.now
        if self._stale:
            self._stale = False
            self._soon.start()
        flat = self.session.viewer.dims.ndisplay == 2  # outlines are drawn in slices only
        fits = now is not None and layers.editing.shape == made.shape
        if now is not None and fits and flat and self.isVisible():
            layers.overlays.show(PREVIEW, now.upright.to_scan(np.asarray(made)))


def _with_amount(kind: int, amount: float, voxel_ml: float) -> Tool:
    if kind == GROW:
        return lambda m, _i, s: mask_tools.grow(m, s, amount)
    if kind == SMOOTH:
        return lambda m, _i, s: mask_tools.smooth(m, s, amount)
    return lambda m, _i, _s: without_small_pieces(m, amount, voxel_ml)


def _amount(
    name: str, unit: str, low: float, high: float, start: float, tip: str
) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setObjectName(name)
    spin.setRange(low, high)
    spin.setDecimals(2)
    spin.setValue(start)
    spin.setSuffix(unit)
    spin.setToolTip(tip)
    spin.setKeyboardTracking(False)
    return spin
