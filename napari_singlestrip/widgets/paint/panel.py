"""Step "paint": paint one brain."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QWidget

from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.engine.masks.mask_checks import MaskChecks
from napari_singlestrip.study.drafts import mark_suggested, suggested_by
from napari_singlestrip.study.tables import MaskKind
from napari_singlestrip.widgets.common.confirm_button import TwiceButton
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.paint.checks_box import NOTHING, ChecksBox
from napari_singlestrip.widgets.paint.first_suggestion import FirstSuggestion
from napari_singlestrip.widgets.paint.scan_choice import ScanChoice
from napari_singlestrip.widgets.paint.suggestion_bar import SuggestionMenu, SuggestionProgress
from napari_singlestrip.widgets.paint.tools import PaintTools
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import Session

HOW = (
    "Draw around the brain on every 8th to 12th slice with the lasso (<b>L</b>): the inside "
    "is filled, Shift removes. <b>I</b> fills the slices between; then correct what is wrong."
)
MASK_FILES = "Masks (*.nii *.nii.gz *.mgz *.mgh *.nrrd);;All files (*)"


class PaintPanel(Panel):
    """Paint one brain, which all training starts from."""

    title = "paint one brain"
    step = "paint"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.empty = words("There is no scan to paint yet. Add scans in step 1, or try the "
                           "sample heads there.", "paint_empty")
        self.to_scans = button("Go to step 1: Scans", "Add scans, or open a study",
                               lambda: session.step_requested.emit("scans"), "to_scans")
        self.choice = ScanChoice(session)
        self._guided = False
        self.how = words(HOW, "paint_how")
        self.tools = PaintTools(session)
        self.suggestion = FirstSuggestion(session, self.tools)
        self.progress = SuggestionProgress(self.suggestion)
        self.checks = ChecksBox(session)
        self._make_start()
        self._make_end()
        self._with_scans: tuple[QWidget, ...] = (
            self.choice, self.how, self.start, self.tools, self.checks, self.done,
        )
        for widget in (self.empty, self.to_scans, self.choice, self.how, self.start, self.progress,
                       self.tools, self.checks, self.reason, self.discard):
            self.add(widget)
        self.add_footer(self.done)
        self._column.addStretch(1)
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Show what can be done now."""
        study, layers = self.session.study, self.session.layers
        has_scans = study is not None and bool(study.scans.names)
        self.empty.setVisible(not has_scans)
        self.to_scans.setVisible(not has_scans)
        for widget in self._with_scans:
            widget.setVisible(has_scans)
        self.how.setVisible(has_scans and not self._guided)
        if layers.showing.now is not None and self.isVisible():
            layers.brush.offer("lasso")
        shown = layers.showing.now is not None and not self.tools.busy
        for made in (self.suggest, self.more, self.load):
            made.setEnabled(shown)
        reason = self._why_not_done()
        self.done.setEnabled(not reason)
        self.reason.setText(reason)
        said = self.tools.busy or reason == NOTHING  # by the tools, or by the checks
        self.reason.setVisible(has_scans and bool(reason) and not said)
        # The last of the column: nothing moves when it comes.
        self.discard.setVisible(has_scans and self.session.scan in self.session.unfinished())

    def be_guided(self, step: str) -> None:
        """While the guide says how to paint, the step says nothing else."""
        self._guided = self.choice.guided = step == self.step
        self.choice.refresh()
        self._stale()

    def showEvent(self, event: object) -> None:
        """Show a scan to paint, if none is on screen."""
        super().showEvent(event)
        self._show_some_scan()

    def close_all(self) -> None:
        """End threads and timers."""
        self._soon.stop()
        self.suggestion.close_all()  # whose end a thread of the tools waits for
        self.tools.close_all()
        self.checks.close_all()
        self.choice.close_all()
        self.discard.close_all()

    # --- called by keys

    def interpolate(self) -> None:
        """Fill the empty slices between painted ones."""
        self.tools.interpolate()

    def grow(self) -> None:
        """Grow from what is painted to the border of the brain."""
        self.tools.grow()

    def follow(self) -> None:
        """Propagate the corrected slices to the rest of the mask."""
        self.tools.follow()

    def declare_slice(self) -> None:
        """Mark the slice on screen as correct."""
        self.session.correcting.declare()

    def look_next(self) -> None:
        """Go to the slice whose correction would help most."""
        self.tools.look_next()

    def toggle_adjust(self) -> None:
        """Show or hide margin, smoothing, threshold etc."""
        self.tools.toggle_adjust()

    def toggle_range(self) -> None:
        """Paint only in the range of intensities, or at any."""
        self.tools.toggle_range()

    def toggle_outline(self) -> None:
        """Show the mask as an outline, or filled."""
        self.tools.toggle_outline()

    def toggle_3d(self) -> None:
        """Switch between 3D and slices."""
        self.tools.toggle_3d()

    def next_scan(self) -> None:
        """Show the next scan of the study."""
        self.choice.go(1)

    def previous_scan(self) -> None:
        """Show the previous scan of the study."""
        self.choice.go(-1)

    # --- called by buttons

    def load_mask(self, path: str | Path) -> None:
        """Load a mask from a file on the scan's grid, as one step of undo."""
        with self.session.guarded():
            now = self.session.layers.showing.now
            if now is None:
                self.session.tell("Choose a scan first.", "warning")
                return
            mask = now.upright.to_display(load_mask(path, like=now.scan))
            changed = self.session.layers.editing.change(mask)
            self.session.correcting.originals.took(mask, by_program=True)
            self._forget_suggestion()
            said = "is now the mask. Ctrl+Z takes it back" if changed else "is the mask already"
            self.session.tell(f"{Path(path).name} {said}.")

    def suggest_first(self) -> None:
        """Start from the newest prediction; before there is one, ask the network."""
        path = self._pseudo_label()
        now = self.session.layers.showing.now
        if path is not None and now is not None:
            self.tools.use(
                "Taking the prediction",
                lambda m, i, s: now.upright.to_display(load_mask(path, like=now.scan, check=False)),
                lambda b, a, n: self._say_predicted(),
                "The mask is what the newest model says already.", by_program=True,
            )
            return
        self.suggestion.by_network()

    def finish(self) -> None:
        """Save the mask as painted, and go to training."""
        with self.session.guarded():
            self.session.keep_mask(self._kind())
            self.session.step_requested.emit("train")

    def discard_changes(self) -> None:
        """Discard unsaved changes on this scan."""
        with self.session.guarded():
            self.session.forget_draft(self.session.scan)
            self.session.tell("The unsaved changes are discarded.")

    # --- inside

    def _say_predicted(self) -> str:
        self._forget_suggestion()
        return "This is what the newest model says. Correct it, or Ctrl+Z."

    def _forget_suggestion(self) -> None:
        """Another mask took the place of a suggestion."""
        folder, name = self.session.need_study().folder, self.session.scan
        if suggested_by(folder, name):
            mark_suggested(folder, name, "")

    def _make_start(self) -> None:
        self.suggest = button(
            "First suggestion", "Start from the newest prediction; before there is a model, from "
            "the mask of a network for human heads that comes with the program", self.suggest_first,
            "suggest",
        )
        self.more = SuggestionMenu(self.suggestion)
        self.load = button("Load mask ...", "Take a mask from a file on the scan's own grid",
                           self._choose_mask, "load_mask")
        self.start = QWidget()
        row = QHBoxLayout(self.start)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(QLabel("Start from"))
        row.addWidget(self.suggest, 1)
        row.addWidget(self.more)
        row.addWidget(self.load, 1)

    def _make_end(self) -> None:
        self.reason = words(name="not_done_reason")
        self.done = button("Done \u2013 train from this mask  \u25b6",
                           "Save the mask as painted, and go to training",
                           self.finish, "paint_done")
        self.discard = TwiceButton(
            "Discard unfinished changes", "Back to the last kept mask, or to none",
            self.discard_changes, "discard",
        )

    def _connect(self) -> None:
        self.tools.busy_changed.connect(lambda _what: self.refresh())
        self.session.mask_edited.connect(self._stale)
        self.checks.checked.connect(self._on_checked)
        # After the session has restored the last scan.
        self._soon = single_shot(self, 0, self._show_some_scan)
        self.session.study_changed.connect(lambda _what: self.isVisible() and self._soon.start())

    def _on_checked(self, _checks: MaskChecks | None) -> None:
        self._stale()

    def _why_not_done(self) -> str:
        now = self.session.layers.showing.now
        if now is None:
            return "Choose a scan first."
        if self.tools.busy:
            return f"{self.tools.runner.busy} ..."
        return "" if now.mask.any() else NOTHING

    def _kind(self) -> MaskKind:
        """"corrected" if there is a prediction, unless the mask was painted before."""
        decision = self.session.need_study().decisions.of(self.session.scan)
        if decision is not None and decision.state == "painted":
            return "painted"
        return "painted" if self._pseudo_label() is None else "corrected"

    def _pseudo_label(self) -> Path | None:
        study, name = self.session.study, self.session.scan
        if study is None or not name:
            return None
        newest = study.rounds.newest_pseudo_label(name)
        return None if newest is None else newest[1]

    def _show_some_scan(self) -> None:
        study = self.session.study
        if study is None or self.session.scan or not study.scans.names or not self.isVisible():
            return
        painted = [name for name in study.masks.names() if name in study.scans.names]
        self.session.show_scan((painted or list(study.scans.names))[0])

    def _choose_mask(self) -> None:
        start = str(self.session.study.folder) if self.session.study is not None else ""
        path, _ = QFileDialog.getOpenFileName(self, "Load mask", start, MASK_FILES)
        if path:
            self.load_mask(path)
