"""Step "paint": paint one brain."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QWidget

from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.engine.masks.growing import suggest_brain
from napari_singlestrip.engine.masks.mask_checks import MaskChecks
from napari_singlestrip.study.study import MaskKind
from napari_singlestrip.widgets.common.confirm_button import TwiceButton
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.paint.mask_checks import ChecksBox
from napari_singlestrip.widgets.paint.scan_choice import ScanChoice
from napari_singlestrip.widgets.paint.tools import PaintTools
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import Session

HOW = (
    "Paint the brain on every 8th to 12th slice: <b>P</b>, right click on its border, go round "
    "it, and it is filled. <b>I</b> fills the slices between. Mend what is wrong; all is saved "
    "as you go."
)
MASK_FILES = "Masks (*.nii *.nii.gz *.mgz *.mgh);;All files (*)"


class PaintPanel(Panel):
    """Paint one brain: all training starts from it."""

    title = "paint one brain"
    step = "paint"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.empty = words("There is nothing to paint on yet. Add scans in step 1, or try the "
                           "sample heads there.", "paint_empty")
        self.to_scans = button("Go to step 1: scans", "Add scans, or open a study",
                               lambda: session.step_requested.emit("scans"), "to_scans")
        self.choice = ScanChoice(session)
        self.how = words(HOW, "paint_how")
        self.tools = PaintTools(session)
        self.checks = ChecksBox(session)
        self._make_start()
        self._make_end()
        self._with_scans: tuple[QWidget, ...] = (
            self.choice, self.how, self.start, self.tools, self.checks, self.done, self.discard,
        )
        for widget in (self.empty, self.to_scans, *self._with_scans[:-2], self.reason, self.done,
                       self.discard):
            self.add(widget)
        self._column.addStretch(1)
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Show what can be done now."""
        study, layers = self.session.study, self.session.layers
        has_scans = study is not None and bool(study.names)
        self.empty.setVisible(not has_scans)
        self.to_scans.setVisible(not has_scans)
        for widget in self._with_scans:
            widget.setVisible(has_scans)
        shown = layers.now is not None and not self.tools.busy
        for made in (self.suggest, self.load):
            made.setEnabled(shown)
        reason = self._why_not_done()
        self.done.setEnabled(not reason)
        self.reason.setText(reason)
        self.reason.setVisible(has_scans and bool(reason))
        name = self.session.scan
        self.discard.setEnabled(name in self.session.unfinished())

    def showEvent(self, event: object) -> None:
        """Show a scan to paint on, when none is on screen."""
        super().showEvent(event)
        self._show_some_scan()

    def close_all(self) -> None:
        """End threads and timers."""
        self._soon.stop()
        self.tools.close_all()
        self.checks.close_all()
        self.choice.close_all()
        self.discard.close_all()

    # --- what keys call

    def interpolate(self) -> None:
        """Fill the empty slices between painted ones."""
        self.tools.interpolate()

    def grow(self) -> None:
        """Grow from what is painted to the border of the brain."""
        self.tools.grow()

    def follow(self) -> None:
        """Let the rest of the mask follow the slices that were set."""
        self.tools.follow()

    def toggle_range(self) -> None:
        """Paint only in the range of intensities, or at any."""
        self.tools.toggle_range()

    def toggle_outline(self) -> None:
        """Show the mask as an outline, or filled."""
        self.tools.toggle_outline()

    def toggle_3d(self) -> None:
        """Look at the head in 3D, or at slices again."""
        self.tools.toggle_3d()

    def next_scan(self) -> None:
        """Show the next scan of the study."""
        self.choice.go(1)

    def previous_scan(self) -> None:
        """Show the scan before."""
        self.choice.go(-1)

    # --- what buttons call

    def load_mask(self, path: str | Path) -> None:
        """Take the mask of a file; it must be on the scan's grid. One step of undo."""
        with self.session.guarded():
            now = self.session.layers.now
            if now is None:
                self.session.tell("Choose a scan first.", "warning")
                return
            mask = now.upright.to_display(load_mask(path, like=now.scan))
            changed = self.session.layers.change_mask(mask)
            self.session.originals.took(mask)
            said = "is now the mask. Ctrl+Z takes it back" if changed else "is the mask already"
            self.session.tell(f"{Path(path).name} {said}.")

    def suggest_first(self) -> None:
        """Start from the newest prediction, or without a model from the shape of the head."""
        path = self._pseudo_label()
        now = self.session.layers.now
        if path is not None and now is not None:
            self.tools.use(
                "Taking the prediction",
                lambda m, i, s: now.upright.to_display(load_mask(path, like=now.scan, check=False)),
                lambda b, a, n: "This is what the newest model says. Correct it, or Ctrl+Z.",
                "The mask is what the newest model says already.",
            )
            return
        self.tools.use(
            "Looking for the brain", lambda m, i, s: suggest_brain(i, s),
            lambda b, a, n: "A first suggestion, made without a model: correct it, or Ctrl+Z.",
            "No brain was found: paint it by hand.",
        )

    def finish(self) -> None:
        """Keep the mask as painted, and go on to training."""
        with self.session.guarded():
            self.session.keep_mask(self._kind())
            self.session.step_requested.emit("train")

    def discard_changes(self) -> None:
        """Throw away what is unfinished on this scan."""
        with self.session.guarded():
            self.session.forget_draft(self.session.scan)
            self.session.tell("The unfinished changes are gone.")

    # --- inside

    def _make_start(self) -> None:
        self.suggest = button("First suggestion", "Start from the newest prediction; before "
                              "there is a model, from what looks like a brain",
                              self.suggest_first, "suggest")
        self.load = button("Load mask ...", "Take a mask from a file on the scan's own grid",
                           self._choose_mask, "load_mask")
        self.start = QWidget()
        row = QHBoxLayout(self.start)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(QLabel("Start from"))
        row.addWidget(self.suggest, 1)
        row.addWidget(self.load, 1)

    def _make_end(self) -> None:
        self.reason = words(name="not_done_reason")
        self.done = button("Done \u2013 train from this mask  \u25b6",
                           "Keep the mask as painted, and go on to training",
                           self.finish, "paint_done")
        self.discard = TwiceButton(
            "Discard unfinished changes", "Back to the mask that was kept last, or to none",
            self.discard_changes, "discard",
        )

    def _connect(self) -> None:
        self.tools.busy_changed.connect(lambda _what: self.refresh())
        self.session.mask_edited.connect(self._stale)
        self.checks.checked.connect(self._on_checked)
        # After the session showed the scan at which the study was left.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._show_some_scan)
        self.session.study_changed.connect(lambda _what: self.isVisible() and self._soon.start())

    def _on_checked(self, _checks: MaskChecks | None) -> None:
        self._stale()

    def _why_not_done(self) -> str:
        now = self.session.layers.now
        if now is None:
            return "Choose a scan first."
        if self.tools.busy:
            return f"{self.tools.runner.busy} ..."
        return "" if now.mask.any() else "Nothing is painted yet."

    def _kind(self) -> MaskKind:
        """Where there is a prediction, the person corrected it - unless they painted before."""
        decision = self.session.need_study().decisions().get(self.session.scan)
        if decision is not None and decision.state == "painted":
            return "painted"
        return "painted" if self._pseudo_label() is None else "corrected"

    def _pseudo_label(self) -> Path | None:
        study, name = self.session.study, self.session.scan
        if study is None or not name:
            return None
        newest = study.newest_pseudo_label(name)
        return None if newest is None else newest[1]

    def _show_some_scan(self) -> None:
        study = self.session.study
        if study is None or self.session.scan or not study.names or not self.isVisible():
            return
        painted = [name for name in study.masked_scans() if name in study.names]
        self.session.show_scan((painted or list(study.names))[0])

    def _choose_mask(self) -> None:
        start = str(self.session.study.folder) if self.session.study is not None else ""
        path, _ = QFileDialog.getOpenFileName(self, "Load mask", start, MASK_FILES)
        if path:
            self.load_mask(path)
