"""Step "review": inspect the ranked masks, decide, correct, and fine-tune."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice

from qtpy.QtCore import Qt
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_singlestrip.events import Event, Wrote
from napari_singlestrip.study.review import Review
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import counted
from napari_singlestrip.widgets.common.section import section, sections
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.review.decision_bar import DecisionBar
from napari_singlestrip.widgets.review.doubts import Doubts, PlaceToCheck
from napari_singlestrip.widgets.review.expected_line import ExpectedLine
from napari_singlestrip.widgets.review.facts_reader import NOTHING, FactsReader
from napari_singlestrip.widgets.review.finetune_bar import FinetuneBar
from napari_singlestrip.widgets.review.gallery import Gallery
from napari_singlestrip.widgets.review.nothing_yet import NothingYet
from napari_singlestrip.widgets.review.overlays import ReviewLayers, files_of
from napari_singlestrip.widgets.review.panel_with_tools import PanelWithTools
from napari_singlestrip.widgets.review.pictures import ReviewPictures
from napari_singlestrip.widgets.review.places_bar import PlacesBar
from napari_singlestrip.widgets.review.score_plot import ScorePlot
from napari_singlestrip.widgets.review.tab_keys import TabKeys
from napari_singlestrip.widgets.review.table import ReviewTable
from napari_singlestrip.widgets.review.table_header import ReviewHead
from napari_singlestrip.widgets.review.view import (
    ReviewView,
    decision_view,
    finetune_view,
    review_view,
)
from napari_singlestrip.widgets.session.job_process import JobStatus
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.napari_private import canvas_of

ARROW_MS = 60  # a held arrow key loads only the scan it stops at
LEAST_TABLE = 126  # pixels: three rows, while paint tools are open


class ReviewPanel(PanelWithTools):
    """Look at the ranked masks."""

    title = "review the ranked masks"
    step = "review"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.view = review_view(False, NOTHING, session.job.status)
        self._study: Study | None = None
        self._busy = False
        self._followed, self._shown = "", session.layers.showing.now
        self._order: list[str] = []
        self._ranked = False  # again, while another step was open
        self.pictures = ReviewPictures(session, lambda: self.review.round, self)
        self.facts = FactsReader(session, self)
        self.table = ReviewTable(self.pictures.row)
        self.head = ReviewHead(self.table)
        self.doubts = Doubts(session)
        self.layers = ReviewLayers(session, self.doubts)
        self.places = PlacesBar()
        self.expected = ExpectedLine(session.correcting)
        self.gallery = Gallery(session.viewer, self.table.filter, self.pictures.tile, self)
        self._tab_keys = TabKeys(self, (canvas_of(session.viewer), self.table), self._step_place)
        self.decisions = DecisionBar(session, lambda: self.layers.n_changed)
        self.finetune = FinetuneBar(session)
        self.plot = ScorePlot()
        self._arrow = single_shot(self, ARROW_MS)
        self.nothing_yet = NothingYet(session)
        self._lay_out()
        self._connect()

    # --- called by keys

    def accept(self) -> None:
        """Accept the mask on screen."""
        self._now(self.decisions.accept)

    def correct(self) -> None:
        """Save the mask on screen as corrected."""
        self._now(self.decisions.correct)

    def reject(self) -> None:
        """Reject the mask on screen."""
        self._now(self.decisions.reject)

    def next_scan(self) -> None:
        """Show the next scan of the table."""
        self._step(1)

    def previous_scan(self) -> None:
        """Show the previous scan of the table."""
        self._step(-1)

    def toggle_outline(self) -> None:
        """Mask as outline or filled."""
        self.layers.outline.toggle()

    def toggle_3d(self) -> None:
        """3D or slices."""
        self.layers.in_3d.toggle()

    def hold_doubts(self) -> Iterator[None]:
        """Show the doubts while the key is held."""
        return self.layers.hold_doubts()

    def hold_before(self) -> Iterator[None]:
        """The mask of the previous round while the key is held."""
        return self.layers.hold_before()

    def toggle_gallery(self) -> None:
        """Show all masks as large tiles, or the image again."""
        if self.gallery.isVisible():
            self.gallery.leave()
        elif self.review.rows:
            self.gallery.open_at(self.session.scan)

    def hold_untouched(self) -> Iterator[None]:
        """Untouched pseudo-label while the key is held."""
        return self.layers.hold_untouched()

    # --- state

    @property
    def review(self) -> Review:
        """The newest ranking, as it is shown."""
        return self.view.facts.review

    def refresh(self) -> None:
        """Show the newest ranking, with what is decided."""
        study, status, before = self.session.study, self.session.job.status, self.review
        new_study = study is not self._study
        self._study, self._busy = study, status.busy
        if new_study:
            self.facts.forget()
            self.finetune.forget()
        facts = NOTHING if study is None else self.facts.read(
            study, self.finetune.asked, self.decisions.deciding
        )
        self.view = review_view(
            study is not None, facts, status, self.session.scan, self.decisions.last_step
        )
        self.draw(self.view, new_study or self.review.round != before.round)

    def draw(self, view: ReviewView, new_round: bool) -> None:
        """Show a snapshot.

        Parameters
        ----------
        view : ReviewView
        new_round : bool
            Whether it is about another round than the one that was shown.
        """
        for part in (self.head, self.decisions, self.content, self.titles, self.finetune.finetune):
            part.setVisible(view.nothing is None)
        self.nothing_yet.draw(view.nothing)
        if view.nothing is not None:
            return
        facts = view.facts
        with self.table.quiet():
            self.table.rows.show(facts.review, facts.truth.dices)
        self.table.rows.show_changes(facts.changes)
        self.head.draw(view.head, new_round)
        self.plot.show_review(facts.review, facts.truth, view.scan)
        self.gallery.show_review(facts.review)
        self.finetune.draw(view.finetune)
        self._follow(view, new_round)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Start with the first scan to review if the ranking is new or no ranked scan is shown."""
        super().showEvent(event)
        if event is not None and not event.spontaneous():
            self.layers.enter()
        row, ranked = self.review.by_name.get(self.session.scan), self._ranked
        self._ranked = False
        if self.review.rows and (row is None or (ranked and not row.unsaved)):
            self._to_open_one("")

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Remove the overlays when another step opens."""
        super().hideEvent(event)
        if event is not None and not event.spontaneous():
            self._arrow.stop()
            self.gallery.leave()
            self.layers.leave()
            self.doubts.follow("", 0)
            self._followed = ""

    def close_all(self) -> None:
        """End threads and timers when the window closes."""
        self._arrow.stop()
        self._tab_keys.close()
        for part in (
            self.doubts, self.gallery, self.layers, self.decisions, self.facts, self.pictures,
            self.tools,
        ):
            part.close_all()

    # --- inside: the snapshot

    def _stale(self, *what: object) -> None:
        """Only the end and the beginning of a job matter here: the study says what it wrote.

        Another scan on screen reads no table again: of thousands of masks, keys would wait for it.
        """
        if what and type(what[0]) is str and self.review.rows and self.isVisible():  # no StudyPart
            self._follow_scan()
            return
        progress = what and isinstance(what[0], JobStatus) and what[0].busy == self._busy
        if not progress:
            super()._stale()

    def _follow_scan(self) -> None:
        scan = self.session.scan
        made = decision_view(self.review.by_name.get(scan), self.decisions.last_step)
        self.view = replace(self.view, scan=scan, decision=made)
        self.plot.show_current(self.view.scan)
        self._follow(self.view, False)

    def _on_steps(self) -> None:
        """Another decision can be taken back."""
        made = decision_view(self.view.decision.row, self.decisions.last_step)
        self.view = replace(self.view, decision=made)
        self.decisions.draw(made)

    def _on_chosen(self) -> None:
        """Other masks are to be learned from."""
        plan = self.facts.plan(self.session.need_study(), self.finetune.asked)
        facts = replace(self.view.facts, plan=plan)
        made = finetune_view(facts.review, facts.plan, self.session.job.status.blocks)
        self.view = replace(self.view, facts=facts, finetune=made)
        self.finetune.draw(made)

    def _follow(self, view: ReviewView, new_round: bool) -> None:
        """Keep row, note and overlays with the scan on screen."""
        name, row = view.scan, view.decision.row
        self.expected.follow(row, view.head.is_expected)
        if new_round and row is not None and not row.unsaved and self._is_outdated():
            self.session.show_scan(name)  # this refreshes again
            return
        now = self.session.layers.showing.now
        if name != self._followed or new_round or now is not self._shown:
            self._followed, self._shown = name, now
            self.table.go_to(name)
            self.decisions.follow(view.decision)
            ranked = name if row is not None else ""
            self.doubts.follow(ranked, self.review.round or 0)
            self.layers.follow(ranked, files_of(self.session, name) if ranked else {})
            self._load_ahead()
        else:
            self.decisions.draw(view.decision)

    def _is_outdated(self) -> bool:
        outdated = False
        with self.session.guarded():
            outdated = self.session.layers.showing.is_outdated()
        return outdated

    # --- inside: places to check

    def _step_place(self, by: int) -> bool:
        self.places.step(by)
        return bool(self.review.rows)  # also while they are computed, so that the focus stays here

    def _go_to_place(self, one: PlaceToCheck) -> None:
        self.session.layers.viewpoint.visit(one.plane, one.place.voxel, one.extent_mm)
        self.layers.doubt.setChecked(True)

    # --- inside: from scan to scan

    def _now(self, decide: Callable[[], None]) -> None:
        """Decide about the current row, even if its scan is still being loaded."""
        if self._arrow.isActive():
            self._arrow.stop()
            self._show_current()
        decide()

    def _show_current(self) -> None:
        if self.table.current and self.table.current != self.session.scan:
            self.session.show_scan(self.table.current)

    def _step(self, by: int) -> None:
        self._arrow.stop()
        names, here = self.table.filter.names(), self.table.current
        place = names.index(here) + by if here in names else 0
        if not names:
            self.session.tell("No scan fits the filter.", "warning")
        elif 0 <= place < len(names):
            self._go(names[place])
        else:
            self.session.tell("This is the last scan of the table." if by > 0 else
                              "This is the first scan of the table.")

    def _go(self, name: str) -> None:
        self.table.go_to(name)  # even if it cannot be shown, so that the next one follows it
        self.session.show_scan(name)

    def _to_open_one(self, after: str, names: list[str] | None = None) -> None:
        """Go to the next scan to review after a given one."""
        names = self.table.filter.names() if names is None else names
        start = names.index(after) + 1 if after in names else 0
        rows = self.review.by_name
        for name in chain(islice(names, start, None), islice(names, start)):
            if name != after and name in rows and rows[name].is_open:
                self._go(name)
                return
        if after:
            self.session.show_scan(after)
            n = sum(row.is_open and row.name != after for row in self.review.rows)
            self.session.tell(
                f"Nothing is left to review in this filter; outside it {counted(n, 'scan')}." if n
                else "All ranked masks are decided: fine-tune, or review them again."
            )

    def _decided(self, name: str) -> None:
        self._to_open_one(name, self._order)

    def _load_ahead(self) -> None:
        study, names = self.session.study, self.table.filter.names()
        self._order = names
        here = names.index(self.table.current) + 1 if self.table.current in names else len(names)
        if study is not None and here < len(names):
            self.session.layers.load_ahead(study, names[here])

    # --- inside: layout

    def _lay_out(self) -> None:
        self.content = QWidget()
        column = QVBoxLayout(self.content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        self.table.setMinimumHeight(LEAST_TABLE)
        column.addWidget(self.table, 1)
        self.plotting = section("Plot", self.plot, "plotting")
        more = section("Fine-tuning", self.finetune, "fine_tuning")
        self.titles, self.folded = sections(self.painting, more, self.plotting)
        # Below the table, which makes room for what is said.
        said = self.head.summary, self.finetune.meanwhile.mark, self.finetune.why, self.expected
        for below in (*said, self.places, self.layers, self.folded):
            column.addWidget(below)
        self.add_header(self.head, self.decisions)  # in sight also where tools are unfolded
        self.add_footer(self.titles, self.finetune.finetune)
        self.add(self.nothing_yet)
        self.add(self.content)
        self._column.setStretchFactor(self.content, 1)
        self._column.addStretch(0)

    def _connect(self) -> None:
        for kind in (QPushButton, QCheckBox, QToolButton):
            for part in (self.head, self.decisions, self.content):
                for made in part.findChildren(kind):
                    made.clicked.connect(self._keys_to_picture)
        self.finetune.finetune.clicked.connect(self._keys_to_picture)
        self.head.filtered.connect(self._on_filter)
        self.head.gallery_requested.connect(self.toggle_gallery)
        self.gallery.scan_chosen.connect(self._go)
        self.pictures.large.ready.connect(self.gallery.picture_changed)
        self.layers.before.released.connect(self._keys_to_picture)
        self.doubts.changed.connect(lambda: self.places.show_found(self.doubts.found))
        self.places.chosen.connect(self._go_to_place)
        self.head.reordered.connect(self._on_order)
        self.table.scan_chosen.connect(lambda _name: self._arrow.start())
        self._arrow.timeout.connect(self._show_current)
        self.plot.scan_chosen.connect(self._go)
        self.decisions.decided.connect(self._decided)
        self.decisions.next_requested.connect(self.next_scan)
        self.decisions.steps_changed.connect(self._on_steps)
        self.finetune.chosen.connect(self._on_chosen)
        self.finetune.rest_accepted.connect(self.decisions.accept_down_to)
        self.pictures.small.ready.connect(self.table.rows.picture_changed)
        self.facts.measured.connect(self._stale)
        self.facts.rested.connect(self._on_chosen)
        self.session.job_event.connect(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Wrote) and event.what == "scores":
            self._ranked = not (self.isVisible() or self.session.job.status.by_itself)

    def _on_filter(self) -> None:
        self.table.go_to(self.session.scan)
        self._load_ahead()

    def _keys_to_picture(self) -> None:
        """Let letters act after a click on a button, unless a note had the focus."""
        canvas = canvas_of(self.session.viewer)
        if canvas is not None and not self.gallery.isVisible():  # where arrows go to tiles
            canvas.setFocus(Qt.FocusReason.TabFocusReason)

    def _on_order(self, from_top: bool) -> None:
        """Continue in the displayed order; from the top if requested."""
        self._load_ahead()
        if from_top:
            self._to_open_one("")
