"""Step "scans": the head scans to strip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QWidget

from napari_singlestrip.vocabulary import StudyPart
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.scans.add_scans import AddScans
from napari_singlestrip.widgets.scans.header_reader import ScanChecks
from napari_singlestrip.widgets.scans.table import SORTS, ScanTable, SortedScans
from napari_singlestrip.widgets.scans.table_view import ScanView
from napari_singlestrip.widgets.session.job_process import JobStatus
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.session.user_settings import remember_study

CHECK_EVERY_MS = 100


class ScansPanel(Panel):
    """The head scans to strip."""

    title = "the head scans to strip"
    step = "scans"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._removed: list[Path] = []
        self.checks = ScanChecks(self)
        self.table = ScanTable(session.thumbnails, self.checks, self)
        self.scans = SortedScans(self.table, self)
        self.view = ScanView(self.scans)
        self.adding = AddScans(session)
        self._checked: object = None
        self._busy = session.job.status.busy
        self._make_controls()
        self._lay_out()
        self._connect()

    def take_files(self, paths: Sequence[Path]) -> None:
        """Open a study or add scans, as dropped on the window."""
        self.adding.take_files(paths)

    def remove(self, names: Sequence[str]) -> None:
        """Remove scans from the study; their files are kept."""
        study, gone = self.session.study, []
        if study is None or not names:
            return
        with self.session.guarded():
            for name in names:
                path = study.scans.path(name)
                if name == self.session.scan:
                    self.session.layers.clear()
                study.scans.remove(name)
                gone.append(path)
            what = names[0] if len(names) == 1 else f"{len(names)} scans"
            self.session.tell(f"Removed from the study: {what}. No file was deleted.")
        self._removed = gone
        self.refresh()

    def undo_remove(self) -> None:
        """Restore the scans that were removed last, with their masks and decisions."""
        paths, self._removed = self._removed, []
        if self.session.study is not None and paths:
            with self.session.guarded():
                self.session.study.scans.add(paths)
        self.refresh()

    def next_scan(self) -> None:
        """Show the scan below."""
        self._step(1)

    def previous_scan(self) -> None:
        """Show the scan above."""
        self._step(-1)

    def refresh(self) -> None:
        """Show the study, or how to begin."""
        study = self.session.study
        if study is not self._checked:  # files may have been repaired since
            self._checked = study
            self.checks.forget()
        for widget in self._of_study:
            widget.setVisible(study is not None)
        self.undo.setVisible(study is not None and bool(self._removed))
        self.table.show(study)
        self.adding.refresh()
        if study is None:
            self._checker.stop()
            return
        self.checks.read(study)
        self.view.choose(self.session.scan)
        self._checker.start()
        self._enable()
        self._summarise()

    def close_all(self) -> None:
        """End the threads: the window closes."""
        self._checker.stop()
        self.checks.close_all()
        self.adding.dicom.close_all()
        self.adding.masks.close_all()

    def showEvent(self, event: object) -> None:
        """Go on reading headers."""
        super().showEvent(event)
        self.checks.pause(False)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Read no headers while another step is open: they would hold it up."""
        super().hideEvent(event)
        self.checks.pause(True)

    # --- inside

    def _stale(self, *what: object) -> None:
        """Read no state of thousands of scans again when nothing of it has changed.

        Another scan on screen is only chosen; of a job, the beginning and the end matter, and the
        study says what it wrote.
        """
        one = what[0] if what else None
        if type(one) is str and self.isVisible():  # a scan, no StudyPart
            self.view.choose(self.session.scan)
            return
        if isinstance(one, JobStatus):
            busy, self._busy = self._busy, one.busy
            if busy == one.busy:
                return
        super()._stale()

    def _make_controls(self) -> None:
        self.filter = QLineEdit()
        self.filter.setObjectName("filter")
        self.filter.setPlaceholderText("Filter")
        self.filter.setToolTip("Show only scans with this in their row: painted, PIR, oblique...")
        self.filter.setClearButtonEnabled(True)
        self.sort = QComboBox()
        self.sort.setObjectName("sort")
        self.sort.setToolTip("Order of the table")
        for what in SORTS:
            self.sort.addItem(f"by {what}", what)
        self.summary = words(name="summary")
        self.show_one = button("Show  Enter", "Show the selected scan, as does a click on it",
                               self._show_chosen, "show_scan")
        self.paint_one = button("Paint this one", "Show the selected scan, and go to step 2",
                                self._paint_chosen, "paint_this_one")
        self.remove_some = button(
            "Remove", "Remove the selected scans from the study; no file is deleted",
            lambda: self.remove(self.view.chosen), "remove_scan",
        )
        self.undo = button("Undo remove", "Restore the removed scans, with their masks",
                           self.undo_remove, "undo_remove")
        self._checker = QTimer(self)
        self._checker.setInterval(CHECK_EVERY_MS)

    def _lay_out(self) -> None:
        self._row(self.filter, self.sort)
        self._column.addWidget(self.view, 1)
        self.add(self.summary)
        self._row(self.show_one, self.paint_one, self.remove_some, self.undo)
        self.add(self.adding)
        self._column.addStretch(0)
        self._of_study = (self.filter, self.sort, self.view, self.summary, self.show_one,
                          self.paint_one, self.remove_some)

    def _row(self, *widgets: QWidget) -> None:
        row = QHBoxLayout()
        for widget in widgets:
            row.addWidget(widget, 1)
        self._column.addLayout(row)

    def _connect(self) -> None:
        self.view.looked_at.connect(self.session.show_scan)
        selection = self.view.selectionModel()
        assert selection is not None
        selection.selectionChanged.connect(lambda *_: self._enable())
        self.filter.textChanged.connect(self.scans.setFilterFixedString)
        self.sort.currentIndexChanged.connect(
            lambda n: self.scans.sort_by(str(self.sort.itemData(n)))
        )
        self.checks.found.connect(self._on_headers)
        self._checker.timeout.connect(self._check_next)
        self.session.thumbnails.ready.connect(self._check_soon)
        self.checks.repaired.connect(self._check_soon)
        self.session.study_changed.connect(self._on_study)

    def _enable(self) -> None:
        chosen, n = self.view.chosen, len(self.table.rows)
        self.show_one.setEnabled(len(chosen) == 1)
        self.paint_one.setEnabled(len(chosen) == 1)
        self.remove_some.setEnabled(0 < len(chosen) < n)

    def _summarise(self) -> None:
        rows = self.table.rows
        states = Counter(row.state for row in rows)
        parts = [f"{n} {state}" for state, n in states.items() if state != "new"]
        broken = self.table.broken()
        text = " · ".join([f"{len(rows)} scan{'s' * (len(rows) != 1)}", *parts])
        if broken:
            names = ", ".join(broken[:3]) + (" and others" if len(broken) > 3 else "")
            text += f"<br>Cannot be used and is skipped: {names}. Hover over Check for the reason."
        self.summary.setText(text)

    def _on_study(self, what: StudyPart) -> None:
        if what != StudyPart.STUDY:
            return
        self._removed = []
        if self.session.study is not None:
            remember_study(self.session.study.folder)

    def _check_soon(self, _what: object) -> None:
        """Update checks after drawing a thumbnail, which also tells whether a scan is usable."""
        if not self._checker.isActive():
            self._checker.start()

    def _on_headers(self, _files: object) -> None:
        if self.isVisible():
            self._summarise()

    def _check_next(self) -> None:
        if not self.isVisible() or self.session.job.status.busy:
            return
        if not self.table.check_next():
            self._checker.stop()
            self._summarise()

    def _show_chosen(self) -> None:
        for name in self.view.chosen[:1]:
            self.session.show_scan(name)

    def _paint_chosen(self) -> None:
        self._show_chosen()
        if self.session.scan in self.view.chosen:
            self.session.step_requested.emit("paint")

    def _step(self, by: int) -> None:
        n = self.scans.rowCount()
        names = [self.scans.name_at(self.scans.index(row, 0)) for row in range(n)]
        now = self.session.scan
        target = names.index(now) + by if now in names else 0
        if 0 <= target < n:
            self.session.show_scan(names[target])
