"""The table of scans: thumbnail, name, size, checks and state."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)
from qtpy.QtGui import QColor

from napari_singlestrip.engine.imaging.scan_facts import ScanFacts
from napari_singlestrip.files.atomic import file_names
from napari_singlestrip.study.document import ScanEntry
from napari_singlestrip.study.drafts import drafted
from napari_singlestrip.study.round_folder import first_round
from napari_singlestrip.study.rounds import EXTENSION
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import printable
from napari_singlestrip.widgets.common.thumbnails import Thumbnails
from napari_singlestrip.widgets.scans.header_reader import ScanChecks

Index = QModelIndex | QPersistentModelIndex
SCAN, CHECK, STATE = range(3)
COLUMNS = ("Scan", "Check", "State")
TIPS = (
    "Name, number of voxels, voxel size in mm, and orientation of the file",
    "Checks of its header and values",
    "State of its mask",
)
PICTURE = 44
DETAIL_ROLE = Qt.ItemDataRole.UserRole + 1  # the smaller lines of a cell
SORT_ROLE = Qt.ItemDataRole.UserRole + 2
FILTER_ROLE = Qt.ItemDataRole.UserRole + 3
COLOUR_ROLE = Qt.ItemDataRole.UserRole + 4  # of the dot before the state

PROBLEM = QColor("#e5533d")  # legible on dark and light backgrounds
STATES = {
    "unfinished": ("#f0a020", "Changes of its mask are saved, but not stored as painted yet"),
    "painted": ("#00b8d0", "A person painted its mask: the network learns from it"),
    "corrected": ("#5a8dee", "A person corrected its mask: the network learns from it"),
    "accepted": ("#2fae60", "Its predicted mask was accepted: the network learns from it"),
    "rejected": ("#e5533d", "Its predicted mask was rejected: nothing is learned from it"),
    "predicted": ("#9a9a9a", "It has a predicted mask that nobody judged yet"),
    "imported": ("#9a9a9a", "It has a mask of another program that nobody judged yet"),
    "new": ("", "It has no mask yet"),
}
# Sort keys, and their columns.
SORTS = {
    "order added": SCAN, "name": SCAN, "size": SCAN, "voxel size": SCAN, "orientation": SCAN,
    "check": CHECK, "state": STATE,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A scan of the study."""

    name: str
    path: Path
    state: str
    mask: Path | None
    held_out: bool
    number: int


def rows_of(study: Study) -> list[Row]:
    """Look up the state of each scan of a study."""
    drafts, decisions = set(drafted(study.folder)), study.decisions.all()
    predicted = _predictions(study)
    imported = bool(first_round(study))
    rows = []
    for number, entry in enumerate(study.scans):
        name = entry.name
        decision = decisions.get(name)
        by_hand = decision is not None and decision.state in ("painted", "corrected")
        own = study.masks.path(name) if by_hand else None
        state = "new"
        if name in predicted:
            by_others = imported and predicted[name].parents[1].name == "00"
            state = "imported" if by_others else "predicted"
        if name in drafts:
            state = "unfinished"
        elif decision is not None and study.decisions.standing(decision) != "older":
            state = decision.state
        mask = own or predicted.get(name)
        held_out = entry.role == "held_out"
        rows.append(Row(name, study.scans.path(name), state, mask, held_out, number))
    return rows


def _predictions(study: Study) -> dict[str, Path]:
    """The latest pseudo-label of each scan, by listing folders instead of testing each file."""
    found: dict[str, Path] = {}
    for round_ in reversed(study.rounds.numbers()):
        files = file_names(study.rounds.folder(round_) / "pseudo_labels")
        for name in study.scans.names if files else ():
            if name not in found and f"{name}{EXTENSION}" in files:
                found[name] = study.rounds.pseudo_label_path(round_, name)
    return found


class ScanTable(QAbstractTableModel):
    """The scans of a study, three columns.

    Parameters
    ----------
    thumbnails : Thumbnails
    checks : ScanChecks
    """

    def __init__(
        self, thumbnails: Thumbnails, checks: ScanChecks, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.study: Study | None = None
        self.rows: list[Row] = []
        self.sort_by = "order added"
        self._scans: tuple[ScanEntry, ...] | None = None  # replaced when scans are added or removed
        self._row_of: dict[str, int] = {}
        self._n_drawn = 0  # rows at the top whose thumbnails were all drawn
        self._thumbnails, self._checks = thumbnails, checks
        thumbnails.ready.connect(self._on_picture)
        checks.found.connect(self._on_headers)
        checks.repaired.connect(self._on_repaired)

    def show(self, study: Study | None) -> None:
        """Show the current study; the selection is kept if the scans are the same."""
        scans = None if study is None else study.scans.entries
        same = study is self.study and scans is self._scans
        rows = [] if study is None else rows_of(study)
        if same:
            changed, self.rows = rows != self.rows, rows
            if changed:
                self._all_changed()
            else:  # a mask may have changed: update thumbnails, without sorting
                self._pictures_changed(0, len(rows) - 1)
            return
        self.beginResetModel()
        self.study, self.rows, self._scans, self._n_drawn = study, rows, scans, 0
        self._row_of = {row.name: n for n, row in enumerate(rows)}
        self.endResetModel()

    def row_of(self, name: str) -> int:
        """Row of a scan; -1 if there is none."""
        return self._row_of.get(name, -1)

    def facts(self, row: Row) -> ScanFacts | None:
        """Facts from header and values; None until the header is read."""
        facts = self._checks.facts(row.path)
        if facts is None or self.study is None:
            return None
        seen = self._thumbnails.notes(self.study, row.name)
        if seen is None or facts.problem:
            return facts
        notes, problem = seen
        return ScanFacts(
            facts.shape, facts.spacing, facts.axes, (*facts.notes, *notes), problem
        )

    def broken(self) -> list[str]:
        """Names of the scans that cannot be used, as far as they were looked at."""
        files = self._checks.broken
        names = set() if self.study is None else self._thumbnails.problems(self.study)
        if not files and not names:  # as a rule; each row is looked at only where there are some
            return []
        return [row.name for row in self.rows if row.path in files or row.name in names]

    def check_next(self) -> bool:
        """Request the thumbnail of the next scan, as tables only request visible ones.

        Returns
        -------
        bool
            False if all were requested.
        """
        if self.study is None:
            return False
        notes, rows = self._thumbnails.notes, self.rows
        while self._n_drawn < len(rows) and notes(self.study, rows[self._n_drawn].name) is not None:
            self._n_drawn += 1
        if self._n_drawn == len(rows):
            return False
        row = rows[self._n_drawn]
        if not self._thumbnails.busy:
            self._thumbnails.pixmap(self.study, row.name, row.mask, PICTURE)
        return True

    # --- called by Qt

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Scans."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of the columns."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return TIPS[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Data of a cell."""
        if not index.isValid() or self.study is None:
            return None
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DecorationRole:
            if column != SCAN:
                return None
            return self._thumbnails.pixmap(self.study, row.name, row.mask, PICTURE)
        if role == SORT_ROLE:
            return self._sort_key(row, column)
        if role == FILTER_ROLE:
            return " ".join((row.name, row.state, detail(self.facts(row)), check(self.facts(row))))
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row, column)
        return self._look(row, column, role)

    # --- inside

    def _look(self, row: Row, column: int, role: int) -> Any:
        facts = self.facts(row)
        if role == Qt.ItemDataRole.DisplayRole:
            return (printable(row.name), check(facts), row.state)[column]
        if role == DETAIL_ROLE:
            return (detail(facts), "", "held out" if row.held_out else "")[column]
        if role == COLOUR_ROLE and column == STATE:
            return STATES[row.state][0]
        if role == Qt.ItemDataRole.ForegroundRole and column == CHECK and facts and facts.problem:
            return PROBLEM
        return None

    def _tip(self, row: Row, column: int) -> str:
        facts = self.facts(row)
        if column == CHECK and facts is not None:
            return facts.problem or "\n".join(facts.notes) or "No problem found"
        if column == STATE:
            more = "\nHeld out: predicted, never used for training" if row.held_out else ""
            return STATES[row.state][1] + more
        return f"{row.path}\n{detail(facts)}"

    def _sort_key(self, row: Row, column: int) -> Any:
        facts = self.facts(row) or ScanFacts()
        if column == CHECK:
            return (0 if facts.problem else 1 if facts.notes else 2) * 1e6 + row.number
        if column == STATE:
            return list(STATES).index(row.state) * 1e6 + row.number
        volume = voxels = 1.0
        for n, mm in zip(facts.shape, facts.spacing, strict=True):
            volume, voxels = volume * n, voxels * mm
        keys = {"size": volume, "voxel size": voxels, "orientation": facts.axes,
                "name": row.name.casefold()}
        return keys.get(self.sort_by, row.number)

    def _on_repaired(self, files: Collection[Path]) -> None:
        """What reading the values told of such a scan is no longer true, either."""
        self._n_drawn = 0
        if self.study is not None:
            self._thumbnails.forget(self.study, {r.name for r in self.rows if r.path in files})

    def _on_headers(self, files: Collection[Path]) -> None:
        """Show these; a sorted table places only them anew."""
        changed = [n for n, row in enumerate(self.rows) if row.path in files]
        if changed:
            last = self.index(changed[-1], len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(changed[0], 0), last)

    def _on_picture(self, name: str) -> None:
        n = self.row_of(name)
        if n >= 0:
            self._pictures_changed(n, n)

    def _pictures_changed(self, first: int, last: int) -> None:
        # Without the sort roles: a thousand thumbnails must not sort a thousand times.
        shown = [Qt.ItemDataRole.DecorationRole, Qt.ItemDataRole.DisplayRole]
        if self.rows:
            self.dataChanged.emit(self.index(first, SCAN), self.index(last, CHECK), shown)

    def _all_changed(self) -> None:
        if self.rows:
            last = self.index(len(self.rows) - 1, len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(0, 0), last)


class SortedScans(QSortFilterProxyModel):
    """The table, sorted and filtered."""

    def __init__(self, table: ScanTable, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.table = table
        self.setSourceModel(table)
        self.setSortRole(SORT_ROLE)
        self.setFilterRole(FILTER_ROLE)
        self.setFilterKeyColumn(SCAN)
        self.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)

    def sort_by(self, what: str) -> None:
        """Sort by one of `SORTS`."""
        self.table.sort_by = what
        self.invalidate()
        self.sort(SORTS[what])

    def name_at(self, index: QModelIndex) -> str:
        """Name of the scan in a row."""
        return self.table.rows[self.mapToSource(index).row()].name


def detail(facts: ScanFacts | None) -> str:
    """Format size, orientation and voxel size in two lines."""
    if facts is None or not facts.shape:
        return "" if facts is not None else "reading..."
    size = "×".join(str(n) for n in facts.shape)
    spacing = " × ".join(f"{round(mm, 2):.3g}" for mm in facts.spacing)
    return f"{size} · {facts.axes}\n{spacing} mm"


def check(facts: ScanFacts | None) -> str:
    """Summarise problems in a few words."""
    if facts is None:
        return "..."
    if facts.problem:
        return "cannot be used"
    return "\n".join(facts.notes).replace(" degrees ", "° ") or "ok"
