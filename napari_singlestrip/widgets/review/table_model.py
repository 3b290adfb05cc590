"""The rows of the ranked table: what each cell says, how they are sorted and let through."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor, QFont, QIcon, QPainter, QPixmap

from napari_singlestrip.study.review import Review, ReviewRow
from napari_singlestrip.texts import printable

THUMBNAIL = 38
SORT_ROLE = int(Qt.ItemDataRole.UserRole)
# Seen on dark and on light alike.
STATE_COLOURS = {
    "to review": "#8a8f98",
    "accepted": "#2e9e5b",
    "corrected": "#2f86d1",
    "rejected": "#d9534f",
    "painted": "#00a7bd",
    "unsaved changes": "#e08a00",
}
ALL, OPEN, FLAGGED = "all states", "still to review", "flagged"
STATE_FILTERS = (ALL, OPEN, FLAGGED, *STATE_COLOURS)
Pictures = Callable[[str], QPixmap]


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes
    ----------
    key, title, tip : str
    width : int
        Pixels; 0 takes what is left.
    shown : bool
        Until the person chooses.
    """

    key: str
    title: str
    tip: str
    width: int
    shown: bool = True


COLUMNS = (
    Column("rank", "#", "Rank: 1 is the mask most likely to be right, by its shape and by its "
           "agreement", 32),
    Column("picture", "", "The scan with the outline of its newest mask", THUMBNAIL + 8),
    Column("scan", "Scan", "The scan, and what is unusual about its mask", 0),
    Column(
        "error", "AE error",
        "How badly the autoencoder, which knows the painted brain's shape, redraws the mask: "
        "lower is better", 56,
    ),
    Column(
        "consistency", "Agree",
        "Consistency: how alike the masks are that the network draws when the scan is changed a "
        "little; higher is better", 50, False,
    ),
    Column("volume", "mL", "Volume of the mask", 42),
    Column("dice", "Dice", "Overlap with the reference mask: the truth, where it is known", 44),
    Column("flag", "Flag", "Unlike a brain, or unusually small or large", 84, False),
    Column("state", "State", "What you decided", 86),
    Column("note", "Note", "Your remark", 120, False),
)
KEYS = tuple(column.key for column in COLUMNS)
SCAN, PICTURE, DICE = KEYS.index("scan"), KEYS.index("picture"), KEYS.index("dice")


class ReviewModel(QAbstractTableModel):
    """Rows of a `Review`; the pictures come from `pictures(name)` when they are painted."""

    def __init__(self, pictures: Pictures, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pictures = pictures
        self._icons: dict[str, QIcon] = {}
        self._small = QFont()  # names of scans are long
        self._small.setPointSizeF(0.88 * self._small.pointSizeF())
        self.rows: tuple[ReviewRow, ...] = ()
        self.dices: Mapping[str, float] = {}

    def show(self, review: Review, dices: Mapping[str, float]) -> None:
        """Take new rows; when they are of the same scans, selection and position stay."""
        same = [row.name for row in self.rows] == [row.name for row in review.rows]
        if not same:
            self.beginResetModel()
        old, self.rows, old_dices = self.rows, review.rows, self.dices
        self.dices = dict(dices)
        if not same:
            self.endResetModel()
            return
        for n, (before, now) in enumerate(zip(old, self.rows, strict=True)):
            if before != now or old_dices.get(now.name) != self.dices.get(now.name):
                self.dataChanged.emit(self.index(n, 0), self.index(n, len(COLUMNS) - 1))

    def picture_changed(self, name: str) -> None:
        """Paint the picture of a scan again."""
        for n, row in enumerate(self.rows):
            if row.name == name:
                place = self.index(n, PICTURE)
                self.dataChanged.emit(place, place, [Qt.ItemDataRole.DecorationRole])

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of ranked masks."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns, hidden ones included."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Title and explanation of a column."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section].title
        return COLUMNS[section].tip if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """What a cell shows."""
        row, key = self.rows[index.row()], KEYS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(row, key, self.dices)
        if role == SORT_ROLE:
            return _value(row, key, self.dices)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(row)
        if role == Qt.ItemDataRole.FontRole and key == "scan":
            return self._small
        if role == Qt.ItemDataRole.DecorationRole:
            return self._decoration(row, key)
        if role == Qt.ItemDataRole.TextAlignmentRole and key in ("rank", "error", "volume", "dice"):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def _decoration(self, row: ReviewRow, key: str) -> Any:
        if key == "picture":
            return self._pictures(row.name)
        if key == "state":
            if row.state not in self._icons:
                self._icons[row.state] = dot(STATE_COLOURS[row.state])
            return self._icons[row.state]
        return None


class ReviewFilter(QSortFilterProxyModel):
    """Sorts by value, unknown ones last, and lets through what was asked for."""

    def __init__(self, model: ReviewModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name, self._state = "", ALL
        self.setSourceModel(model)

    @property
    def source(self) -> ReviewModel:
        """The model of all rows."""
        model = self.sourceModel()
        assert isinstance(model, ReviewModel)
        return model

    def only(self, name: str, state: str) -> None:
        """Let through the scans with `name` in their name and in a state of `STATE_FILTERS`."""
        self._name, self._state = name.strip().lower(), state
        self.invalidate()

    def names(self) -> list[str]:
        """Names of the scans as they are sorted and filtered."""
        rows = range(self.rowCount())
        return [
            self.source.rows[self.mapToSource(self.index(n, 0)).row()].name for n in rows
        ]

    def filterAcceptsRow(self, source_row: int, source_parent: QModelIndex) -> bool:
        """Whether a row is let through."""
        row = self.source.rows[source_row]
        if self._name not in row.name.lower():
            return False
        if self._state == OPEN:
            return row.is_open
        if self._state == FLAGGED:
            return bool(row.score.flag)
        return self._state in (ALL, row.state)

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        """Compare two cells; ties go by rank."""
        source = self.source
        a, b = source.data(left, SORT_ROLE), source.data(right, SORT_ROLE)
        down = self.sortOrder() == Qt.SortOrder.DescendingOrder
        unknown = [isinstance(value, float) and math.isnan(value) for value in (a, b)]
        if any(unknown):  # at the end, whichever way it is sorted
            return unknown[0] != unknown[1] and unknown[0] == down
        if a == b:
            return left.row() < right.row()
        return bool(a < b)


def dot(colour: str) -> QIcon:
    """Return a round spot: states differ in colour and in words."""
    pixmap = QPixmap(12, 12)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(1, 1, 10, 10)
    painter.end()
    return QIcon(pixmap)


def _value(row: ReviewRow, key: str, dices: Mapping[str, float]) -> float | str:
    score = row.score
    numbers = {
        "rank": float(score.rank) if score.rank else math.nan,
        "error": score.autoencoder_error,
        "consistency": score.consistency,
        "volume": score.volume_ml,
        "dice": dices.get(row.name, math.nan),
    }
    if key in numbers:
        return numbers[key]
    return {
        "flag": score.flag, "state": row.in_words, "note": note_of(row)
    }.get(key, row.name.lower())


def _text(row: ReviewRow, key: str, dices: Mapping[str, float]) -> str:
    score = row.score
    if key == "picture":
        return ""
    if key == "scan":
        more = score.flag or note_of(row) or ("held out" if row.held_out else "")
        name = printable(row.name)
        name = name.replace("_", "_\u200b").replace("-", "-\u200b")  # may break there
        return f"{name}\n{more}" if more else name
    if key == "rank":
        return str(score.rank) if score.rank else "–"
    if key == "state":
        return "unsaved" if row.unsaved else row.in_words
    if key in ("flag", "note"):
        return score.flag if key == "flag" else note_of(row)
    value = _value(row, key, dices)
    if not isinstance(value, float) or math.isnan(value):
        return "–"
    return f"{value:.0f}" if key == "volume" else f"{value:.3f}"


def _tip(row: ReviewRow) -> str:
    lines = [printable(row.name), f"State: {row.in_words}"]
    if row.unsaved and row.decision is not None:
        lines.append(f"Before the changes: {row.decision.state}")
    if row.decision is not None and row.standing == "older":
        lines.append(f"You {row.decision.state} another mask, which is not there any more: say "
                     "what you think of this one. Until then it counts as not reviewed.")
    if row.standing == "replaced":
        lines.append("The mask was changed by another program since you kept it: it is learned "
                     "from as it is now.")
    if row.earlier and row.state == "accepted":
        lines.append("You accepted the mask of an earlier round, which is learned from; "
                     "accept again to take the newest one instead.")
    if row.earlier and row.state == "rejected":
        lines.append("You rejected the mask of an earlier round; this is a newer one.")
    if row.score.flag:
        lines.append(f"Flag: {row.score.flag}")
    if row.held_out:
        lines.append("Held out: only for checking, never learned from.")
    if note_of(row):
        lines.append(f"Note: {note_of(row)}")
    return "\n".join(lines)


def note_of(row: ReviewRow) -> str:
    """The remark about a scan."""
    return "" if row.decision is None else row.decision.note
