"""Step "review": look at the ranked masks, decide, correct, and fine-tune."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_singlestrip.events import Event, Wrote
from napari_singlestrip.study.review import Review, ReviewRow, review
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.common.thumbnails import Thumbnails, placeholder
from napari_singlestrip.widgets.paint.tools import PaintTools
from napari_singlestrip.widgets.review.decision_bar import DecisionBar
from napari_singlestrip.widgets.review.finetune_bar import FinetuneBar
from napari_singlestrip.widgets.review.overlays import ReviewLayers, files_of
from napari_singlestrip.widgets.review.reference_dice import TrueDice, Truth
from napari_singlestrip.widgets.review.score_plot import ScorePlot
from napari_singlestrip.widgets.review.table import ReviewTable
from napari_singlestrip.widgets.review.table_header import ReviewHead
from napari_singlestrip.widgets.review.table_model import THUMBNAIL
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.viewpoint import canvas_of

ARROW_MS = 60  # a held arrow key loads only the scan it stops at
NO_STUDY = "There is nothing to review yet: open a study or add scans first."
NOT_RANKED = (
    "Nothing is ranked yet. Train first: then all other scans get a mask, and the masks are "
    "ranked here, those most like a brain on top."
)
RUNNING = "A job is running: the ranked masks appear here as soon as they are there."


class ReviewPanel(Panel):
    """Look at the ranked masks."""

    title = "look at the ranked masks"
    step = "review"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.review = Review()
        self.truth = Truth({})
        self._study: object = None
        self._followed, self._shown = "", session.layers.now
        self._order: list[str] = []
        self._ranked = False  # anew, while another step was open
        self.thumbnails = Thumbnails(self)
        self.true_dice = TrueDice(self)
        self.tools = PaintTools(session)
        self.table = ReviewTable(self._picture)
        self.head = ReviewHead(self.table)
        self.layers = ReviewLayers(session)
        self.decisions = DecisionBar(session, lambda: self.layers.n_changed)
        self.finetune = FinetuneBar(session)
        self.plot = ScorePlot()
        self._arrow = QTimer(self)
        self._arrow.setSingleShot(True)
        self._arrow.setInterval(ARROW_MS)
        self._make_top()
        self._lay_out()
        self._connect()

    # --- what keys call

    def accept(self) -> None:
        """Accept the mask on screen."""
        self._now(self.decisions.accept)

    def correct(self) -> None:
        """Keep the mask on screen as corrected."""
        self._now(self.decisions.correct)

    def reject(self) -> None:
        """Reject the mask on screen."""
        self._now(self.decisions.reject)

    def next_scan(self) -> None:
        """Show the next scan of the table."""
        self._step(1)

    def previous_scan(self) -> None:
        """Show the scan before in the table."""
        self._step(-1)

    def interpolate(self) -> None:
        """Interpolate between painted slices."""
        self._with_tools(self.tools.interpolate)

    def grow(self) -> None:
        """Grow from seeds."""
        self._with_tools(self.tools.grow)

    def follow(self) -> None:
        """Let the rest of the mask follow the slices that were set."""
        self._with_tools(self.tools.follow)

    def toggle_range(self) -> None:
        """Paint only in the range of intensities."""
        self._with_tools(self.tools.toggle_range)

    def toggle_outline(self) -> None:
        """Mask as outline or filled."""
        self.layers.outline.toggle()

    def toggle_3d(self) -> None:
        """3D or slices."""
        self.layers.in_3d.toggle()

    def hold_heat(self) -> Iterator[None]:
        """Heat map while the key is held."""
        return self.layers.hold_heat()

    def hold_untouched(self) -> Iterator[None]:
        """Untouched pseudo-label while the key is held."""
        return self.layers.hold_untouched()

    # --- what is true now

    def refresh(self) -> None:
        """Show the newest ranking, with what is decided."""
        study, before = self.session.study, self.review
        new_study = study is not self._study
        self._study = study
        self.review = Review()
        if study is not None:
            with self.session.guarded():
                self.review = self._with_unsaved(review(study))
        if new_study:
            self.true_dice.forget()
        self.truth = Truth({}) if study is None else self.true_dice.of(study, self.review)
        self._show_page()
        new_round = new_study or self.review.round != before.round
        if self.review.round is None:
            return
        self._show_table(new_round)
        self.finetune.show_review(self.review, new_study)
        self._follow(new_round)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Begin with the first scan to look at, when the ranking, or the scan, is not of here."""
        super().showEvent(event)
        if event is not None and not event.spontaneous():
            self.layers.enter()
        row, ranked, self._ranked = self._row(self.session.scan), self._ranked, False
        if self.review.rows and (row is None or (ranked and not row.unsaved)):
            self._to_open_one("")

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the screen to the other steps."""
        super().hideEvent(event)
        if event is not None and not event.spontaneous():
            self._arrow.stop()
            self.layers.leave()
            self._followed = ""

    def close_all(self) -> None:
        """Let go of threads and timers: the window closes."""
        self._arrow.stop()
        self.layers.close_all()
        self.decisions.close_all()
        self.true_dice.close_all()
        self.thumbnails.close_all()
        self.tools.close_all()

    # --- inside: pages and table

    def _show_page(self) -> None:
        ranked, busy = self.review.round is not None, self.session.job.status.busy
        self.content.setVisible(ranked)
        self.empty.setVisible(not ranked)
        self.go_on.setVisible(not ranked)
        if ranked:
            return
        no_study = self.session.study is None
        self.empty.setText(NO_STUDY if no_study else RUNNING if busy else NOT_RANKED)
        self.go_on.setText("Go to step 1, Scans" if no_study else "Go to step 3, Train")

    def _show_table(self, new_round: bool) -> None:
        with self.table.quiet():
            self.table.rows.show(self.review, self.truth.dices)
        has_truth = bool(self.truth.dices or self.truth.n_missing)
        self.head.show_review(self.review, has_truth, new_round)
        self.plot.show_review(self.review, self.truth, self.session.scan)

    def _follow(self, new_round: bool) -> None:
        """Keep row, note and overlays with the scan on screen."""
        name = self.session.scan
        row = self._row(name)
        if new_round and row is not None and not row.unsaved and self._is_outdated():
            self.session.show_scan(name)  # refreshes again
            return
        if name != self._followed or new_round or self.session.layers.now is not self._shown:
            self._followed, self._shown = name, self.session.layers.now
            self.table.go_to(name)
            self.decisions.follow(row)
            paths = {} if row is None else files_of(self.session, name, self.review.round or 0)
            self.layers.follow(name if row is not None else "", paths)
            self._load_ahead()
        else:
            self.decisions.refresh(row)

    def _with_unsaved(self, found: Review) -> Review:
        """Add changes that could not be written: they must not be passed over either."""
        names = self.session.unfinished()
        rows = (replace(row, unsaved=row.unsaved or row.name in names) for row in found.rows)
        return replace(found, rows=tuple(rows))

    def _is_outdated(self) -> bool:
        outdated = False
        with self.session.guarded():
            outdated = self.session.layers.is_outdated()
        return outdated

    def _row(self, name: str) -> ReviewRow | None:
        return next((row for row in self.review.rows if row.name == name), None)

    def _picture(self, name: str):  # type: ignore[no-untyped-def]
        study = self.session.study
        if study is None or self.review.round is None:
            return placeholder(THUMBNAIL)
        mask = study.mask_path(name)
        if not mask.exists():
            mask = study.pseudo_label_path(self.review.round, name)
        return self.thumbnails.pixmap(study, name, mask, THUMBNAIL)

    # --- inside: from scan to scan

    def _now(self, decide: Callable[[], None]) -> None:
        """Decide about the row that was reached, also when its scan was still to be loaded."""
        if self._arrow.isActive():
            self._arrow.stop()
            self._show_current()
        decide()

    def _show_current(self) -> None:
        if self.table.current and self.table.current != self.session.scan:
            self.session.show_scan(self.table.current)

    def _step(self, by: int) -> None:
        self._arrow.stop()
        names = self.table.filter.names()
        here = self.table.current
        place = names.index(here) + by if here in names else 0
        if not names:
            self.session.tell("No scan fits the filter.", "warning")
        elif 0 <= place < len(names):
            self._go(names[place])
        else:
            self.session.tell("This is the last scan of the table." if by > 0 else
                              "This is the first scan of the table.")

    def _go(self, name: str) -> None:
        self.table.go_to(name)  # also when it cannot be shown: the next one comes after it
        self.session.show_scan(name)

    def _to_open_one(self, after: str, names: list[str] | None = None) -> None:
        """Go to the next scan that is to be looked at, beginning after one."""
        names = self.table.filter.names() if names is None else names
        start = names.index(after) + 1 if after in names else 0
        is_open = {row.name for row in self.review.rows if row.is_open}
        for name in names[start:] + names[:start]:
            if name in is_open and name != after:
                self._go(name)
                return
        if after:
            self.session.show_scan(after)
            left = len(is_open - {after})
            self.session.tell(
                f"Nothing is left to review in this filter; {left} scans are in others." if left
                else "All ranked masks are decided: fine-tune, or look at them again."
            )

    def _decided(self, name: str) -> None:
        self._to_open_one(name, self._order)

    def _load_ahead(self) -> None:
        study, names = self.session.study, self.table.filter.names()
        self._order = names
        here = names.index(self.table.current) + 1 if self.table.current in names else len(names)
        if study is not None and here < len(names):
            self.session.layers.load_ahead(study, names[here])

    def _with_tools(self, use: Callable[[], None]) -> None:
        self.painting.expand(animate=False)
        use()

    # --- inside: layout

    def _make_top(self) -> None:
        self.empty = words(name="review_empty")
        self.go_on = button("", "Do what is missing first", self._go_on, "review_go_on")

    def _lay_out(self) -> None:
        self.content = QWidget()
        column = QVBoxLayout(self.content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        self.table.setMinimumHeight(190)
        # Above all that changes its height: what one is about to click or type into stays there.
        steady: tuple[QWidget, ...] = self.head, self.decisions
        for part in steady:
            part.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
            column.addWidget(part)
        column.addWidget(self.table, 1)
        column.addWidget(self.layers)
        column.addWidget(self.finetune)
        self.painting = self._section("Paint tools", self.tools, "painting")
        self.plotting = self._section("Plot of the scores", self.plot, "plotting")
        for section in (self.painting, self.plotting):
            column.addWidget(section)
        for page in (self.empty, self.go_on, self.content):
            self.add(page)
        self._column.setStretchFactor(self.content, 1)
        self._column.addStretch(0)

    def _section(self, title: str, widget: QWidget, name: str) -> QCollapsible:
        section = QCollapsible(title, expandedIcon="▾", collapsedIcon="▸")
        section.toggleButton().setToolTip(f"Show or hide: {title.lower()}")
        section.toggleButton().setObjectName(f"toggle_{title.lower().replace(' ', '_')}")
        for part in (section.layout(), section.content().layout()):
            if part is not None:
                part.setContentsMargins(0, 0, 0, 0)
                part.setSpacing(2)
        section.setObjectName(name)
        section.setToolTip(f"Open or close: {title.lower()}")
        section.setDuration(0)
        section.addWidget(widget)
        return section

    def _connect(self) -> None:
        for kind in (QPushButton, QCheckBox):
            for made in self.content.findChildren(kind):
                made.clicked.connect(self._keys_to_picture)
        self.head.filtered.connect(self._on_filter)
        self.head.reordered.connect(self._on_order)
        self.table.scan_chosen.connect(lambda _name: self._arrow.start())
        self._arrow.timeout.connect(self._show_current)
        self.plot.scan_chosen.connect(self._go)
        self.decisions.decided.connect(self._decided)
        self.decisions.next_requested.connect(self.next_scan)
        self.finetune.rest_accepted.connect(self.decisions.accept_down_to)
        self.thumbnails.ready.connect(self.table.rows.picture_changed)
        self.true_dice.changed.connect(self._stale)
        self.session.job_event.connect(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Wrote) and event.what == "scores":
            self._ranked = not self.isVisible()

    def _on_filter(self) -> None:
        self.table.go_to(self.session.scan)
        self._load_ahead()

    def _keys_to_picture(self) -> None:
        """Let letters act after a click on a button; not when a note had them before."""
        canvas = canvas_of(self.session.viewer)
        if canvas is not None:
            canvas.setFocus(Qt.FocusReason.TabFocusReason)

    def _on_order(self, from_top: bool) -> None:
        """Go on in the order that is seen; where a person asked for it, from its top."""
        self._load_ahead()
        if from_top:
            self._to_open_one("")

    def _go_on(self) -> None:
        self.session.step_requested.emit("scans" if self.session.study is None else "train")
