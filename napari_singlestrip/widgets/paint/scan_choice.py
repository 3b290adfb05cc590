"""Which scan to paint: a list, next and previous, and a suggestion."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from html import escape
from pathlib import Path

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_singlestrip.engine.judging.scan_to_paint import HeadInView, head_in_view, scan_to_paint
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.drafts import drafted
from napari_singlestrip.texts import printable
from napari_singlestrip.vocabulary import SAMPLES_JOB
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.paint.tool_runner import ToolRunner
from napari_singlestrip.widgets.session.session import Session

MAX_LOOKED_AT = 24  # scans that are compared: more take longer and change little


class ScanChoice(QWidget):
    """Selects the scan on screen.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    guided : bool
        Whether the demo's guide says which scan to paint: then no other one is suggested.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("scan_choice")
        self.suggested, self.guided = "", False
        self._looked_at: tuple[str, ...] = ()
        self._views: dict[Path, HeadInView] = {}
        self.scans = QComboBox()
        self.scans.setObjectName("paint_scan")
        self.scans.setToolTip("The scan to paint")
        self.scans.setMinimumContentsLength(12)
        self.scans.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.scans.activated.connect(self._on_chosen)
        self.hint = words(name="suggested_hint")
        self.hint.linkActivated.connect(lambda _link: session.show_scan(self.suggested))
        self._runner = ToolRunner(session, self, tell=False)
        self._lay_out()
        session.study_changed.connect(self.refresh)
        session.scan_changed.connect(self.refresh)

    def go(self, by: int) -> None:
        """Show the scan `by` positions further down the list."""
        study = self.session.study
        if study is None or not study.scans.names:
            return
        names = list(study.scans.names)
        here = names.index(self.session.scan) if self.session.scan in names else -1
        self.session.show_scan(names[(here + by) % len(names)])

    def refresh(self, *_: object) -> None:
        """Update the list of scans, with their states."""
        if not self.isVisible():
            return
        study = self.session.study
        names = () if study is None else study.scans.names
        with signals_blocked(self.scans):
            self.scans.clear()
            for name, marks in self._marks().items():
                shown = printable(name)
                self.scans.addItem(f"{shown}   ({', '.join(marks)})" if marks else shown, name)
            self.scans.setCurrentIndex(
                names.index(self.session.scan) if self.session.scan in names else -1
            )
        self._look(names)
        self._show_hint()

    def showEvent(self, event: object) -> None:
        """Catch up."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.refresh()

    def close_all(self) -> None:
        """End the thread."""
        self._runner.close_all()

    # --- inside

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(2)
        row.addWidget(self.scans, 1)
        before = button("\u25c2", "Scan before  (Shift+N)", lambda: self.go(-1), "previous_scan")
        after = button("\u25b8", "Next scan  (N)", lambda: self.go(1), "next_scan")
        for made in (before, after):
            made.setFixedWidth(30)
            row.addWidget(made)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.hint)

    def _marks(self) -> dict[str, list[str]]:
        """States of the scans by manual masks."""
        study = self.session.study
        if study is None:
            return {}
        marks: dict[str, list[str]] = {name: [] for name in study.scans.names}
        for name, record in study.masks.records().items():
            marks[name].append(record.kind)
        for name in drafted(study.folder):
            if name in marks:
                marks[name].append("unfinished")
        return marks

    def _on_chosen(self, index: int) -> None:
        self.session.show_scan(str(self.scans.itemData(index)))

    # --- the suggestion

    def _look(self, names: tuple[str, ...]) -> None:
        """Find the scan that shows most of the head, in a thread."""
        study = self.session.study
        if study is None or len(names) < 3 or names == self._looked_at or self._runner.busy:
            return
        step = -(-len(names) // MAX_LOOKED_AT)
        paths = {name: study.scans.path(name) for name in names[::step]}
        known = dict(self._views)

        def take(found: Mapping[str, HeadInView]) -> None:
            self._looked_at = names
            self._views.update({paths[name]: one for name, one in found.items()})
            self.suggested = scan_to_paint(found)
            self._show_hint()

        self._runner.run("Looking at the scans", lambda: _views(paths, known), take,
                         whatever=True)

    def _show_hint(self) -> None:
        study = self.session.study
        useful = study is not None and self.suggested in study.scans.names and self._may_choose()
        self.hint.setVisible(useful)
        if self.suggested == self.session.scan:
            self.hint.setText("This scan shows most of the head: a good one to paint.")
        else:
            self.hint.setText(f'Shows most of the head, so a good one to paint: '
                              f'<a href="#">{escape(printable(self.suggested))}</a>')

    def _may_choose(self) -> bool:
        """Whether nobody chose yet: nothing is painted, and no job is adding scans."""
        session, study = self.session, self.session.need_study()
        adding = session.job.status.busy and session.job.status.kind == SAMPLES_JOB
        return not (self.guided or adding or study.masks.names() or session.unfinished())


def _views(paths: Mapping[str, Path], known: Mapping[Path, HeadInView]) -> dict[str, HeadInView]:
    found = {}
    for name, path in paths.items():
        with suppress(UserError):  # reported in the table of scans
            found[name] = known[path] if path in known else head_in_view(path)
    return found
