"""The model of the ranked table: cells, sorting and filtering."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor, QFont, QIcon, QPainter, QPixmap

from napari_singlestrip.engine.masks.mask_change import MaskChange
from napari_singlestrip.glossary import meaning
from napari_singlestrip.study.review import Review, ReviewRow
from napari_singlestrip.texts import printable

THUMBNAIL = 32
# Legible on dark and light backgrounds.
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
        Pixels; 0 takes the remaining width.
    shown : bool
        By default.
    """

    key: str
    title: str
    tip: str
    width: int
    shown: bool = True


COLUMNS = (
    Column("rank", "#", "Rank: 1 is the mask most likely to be right, by its shape and by its "
           "agreement", 28),
    Column("picture", "", "The scan with the outline of its latest mask", THUMBNAIL + 8),
    Column("scan", "Scan", "The scan, and what is unusual about its mask", 0),
    Column("expected", "Exp. Dice", f"Expected Dice. {meaning('expected Dice')}", 64),
    Column("score", "Score", f"Ranking score. {meaning('ranking score')}", 48),
    Column("error", "AE error", meaning("AE error"), 54, False),
    Column("consistency", "Agree", f"Agreement. {meaning('agreement')}", 50, False),
    Column("volume", "mL", "Volume of the mask", 38),
    Column("dice", "Dice", "Overlap with the reference mask, if there is one", 42),
    Column("change", "Change", "How much changed since the previous round: 1 - overlap of both "
           "masks. Sort by it to see where fine-tuning did something", 50, False),
    Column("flag", "Flag", meaning("flag"), 84, False),
    Column("state", "State", "What you decided", 82),
    Column("note", "Note", "Your remark", 120, False),
)
OTHERS_AGREE = ("Agreement of the programs: overlap (Dice) of this mask with those of the others, "
                "0 to 1. Higher is better; all may be wrong alike")
KEYS = tuple(column.key for column in COLUMNS)
SCAN, PICTURE, DICE = KEYS.index("scan"), KEYS.index("picture"), KEYS.index("dice")
CHANGE = KEYS.index("change")
NUMBERS = ("rank", "expected", "score", "error", "volume", "dice")  # ranged right


class ReviewModel(QAbstractTableModel):
    """Rows of a `Review`; thumbnails come from `pictures(name)` when they are painted.

    The rows are sorted here, at once: a `QSortFilterProxyModel` would ask for a comparison in
    Python some ten times for each of thousands of rows.
    """

    def __init__(self, pictures: Pictures, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pictures = pictures
        self._icons: dict[str, QIcon] = {}
        self.small_font = QFont()  # names of scans are long
        self.small_font.setPointSizeF(0.88 * self.small_font.pointSizeF())
        self.rows: tuple[ReviewRow, ...] = ()  # as they are sorted
        self._ranking: tuple[ReviewRow, ...] = ()  # best first
        self._place: dict[str, int] = {}
        self._key, self._down = "rank", False
        self.dices: Mapping[str, float] = {}
        self.programs: tuple[str, ...] = ()
        self.changes: Mapping[str, MaskChange] = {}
        self.fits_line: Callable[[str], bool] = lambda _name: True  # set by the table

    def show_changes(self, changes: Mapping[str, MaskChange]) -> None:
        """Set the changes since the previous round."""
        if changes != self.changes:
            self.changes = dict(changes)
            last = len(self.rows) - 1
            self.dataChanged.emit(self.index(0, CHANGE), self.index(last, CHANGE))
            self._arrange(self._in_order())

    def show(self, review: Review, dices: Mapping[str, float]) -> None:
        """Set the rows; if the scans are the same, selection and position are kept."""
        old, old_dices = self.rows, self.dices
        self._ranking, self.dices, self.programs = review.rows, dict(dices), review.programs
        rows = self._in_order()
        if len(rows) != len(old) or any(
            now is not before and now.name not in self._place
            for now, before in zip(rows, old, strict=True)
        ):
            self.beginResetModel()
            self._put(rows)
            self.endResetModel()
        elif not self._arrange(rows):
            other_dices = old_dices != self.dices
            self._tell_changed([
                n for n, (before, now) in enumerate(zip(old, rows, strict=True))
                if (before is not now and before != now)
                or (other_dices and old_dices.get(now.name) != self.dices.get(now.name))
            ])

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; unknown values come last, in either order, and ties go by rank."""
        self._key = KEYS[column] if column >= 0 else "rank"
        self._down = order == Qt.SortOrder.DescendingOrder
        self._arrange(self._in_order())

    def picture_changed(self, name: str) -> None:
        """Repaint the thumbnail of a scan."""
        if name in self._place:
            place = self.index(self._place[name], PICTURE)
            self.dataChanged.emit(place, place, [Qt.ItemDataRole.DecorationRole])

    def _in_order(self) -> tuple[ReviewRow, ...]:
        if self._key == "rank" and not self._down:
            return self._ranking
        values = [self._value(row, self._key) for row in self._ranking]
        unknown = [n for n, v in enumerate(values) if isinstance(v, float) and math.isnan(v)]
        known = sorted(
            set(range(len(values))).difference(unknown),
            key=lambda n: (values[n], n), reverse=self._down,
        )
        return tuple(self._ranking[n] for n in (*known, *unknown))

    def _arrange(self, rows: tuple[ReviewRow, ...]) -> bool:
        """Put the rows, which are of the same scans, in their order; return whether it changed."""
        old = self.rows
        if all(
            now is before or now.name == before.name
            for now, before in zip(rows, old, strict=True)
        ):
            self.rows = rows
            return False
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        self._put(rows)
        places = [self.index(self._place[old[i.row()].name], i.column()) for i in before]
        self.changePersistentIndexList(before, places)
        self.layoutChanged.emit()
        return True

    def _put(self, rows: tuple[ReviewRow, ...]) -> None:
        self.rows = rows
        self._place = {row.name: n for n, row in enumerate(rows)}

    def _tell_changed(self, changed: list[int]) -> None:
        """Emit once for rows that follow each other: of thousands, all may have changed."""
        runs: list[list[int]] = []
        for n in changed:
            if runs and runs[-1][1] == n - 1:
                runs[-1][1] = n
            else:
                runs.append([n, n])
        for first, last in runs:
            self.dataChanged.emit(self.index(first, 0), self.index(last, len(COLUMNS) - 1))

    def _value(self, row: ReviewRow, key: str) -> float | str:
        if key == "change":
            return _change_value(self.changes.get(row.name))
        return _value(row, key, self.dices)

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
        if role != Qt.ItemDataRole.ToolTipRole:
            return None
        by_others = bool(self.programs) and COLUMNS[section].key == "consistency"
        return OTHERS_AGREE if by_others else COLUMNS[section].tip

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Data of a cell."""
        row, key = self.rows[index.row()], KEYS[index.column()]
        if key == "change" and role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return _change(self.changes.get(row.name), role)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._scan_text(row) if key == "scan" else _text(row, key, self.dices)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(row)
        if role == Qt.ItemDataRole.FontRole and key == "scan":
            return self.small_font
        if role == Qt.ItemDataRole.DecorationRole:
            return self._decoration(row, key)
        if role == Qt.ItemDataRole.TextAlignmentRole and key in NUMBERS:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def _scan_text(self, row: ReviewRow) -> str:
        """Name, and a remark in the second line, if the name leaves it; else a mark for a flag."""
        name = printable(row.name)
        flag = row.score.flag
        more = flag or note_of(row) or ("held out" if row.held_out else "")
        alone = self.fits_line(name)
        name = name.replace("_", "_\u200b").replace("-", "-\u200b")  # may break there
        if more and alone:
            return f"{name}\n{more}"
        return f"! {name}" if flag else name

    def _decoration(self, row: ReviewRow, key: str) -> Any:
        if key == "picture":
            return self._pictures(row.name)
        if key == "state":
            if row.state not in self._icons:
                self._icons[row.state] = dot(STATE_COLOURS[row.state])
            return self._icons[row.state]
        return None


class ReviewFilter(QSortFilterProxyModel):
    """Filters; the rows come in the order of the model, which it sorts."""

    def __init__(self, model: ReviewModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name, self._state = "", ALL
        self._names: list[str] | None = None  # of thousands, each key asks several times
        others = self.modelReset, self.rowsInserted, self.rowsRemoved, self.rowsMoved
        for signal in (self.layoutChanged, *others):
            signal.connect(self._other_order)
        self.setSourceModel(model)

    @property
    def source(self) -> ReviewModel:
        """The model of all rows."""
        model = self.sourceModel()
        assert isinstance(model, ReviewModel)
        return model

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort the model by a column."""
        self.source.sort(column, order)

    def only(self, name: str, state: str) -> None:
        """Keep the scans with `name` in their name and in a state of `STATE_FILTERS`."""
        self._name, self._state = name.strip().lower(), state
        self.invalidate()

    def names(self) -> list[str]:
        """Names of the scans sorted and filtered; the list is not to be changed."""
        if self._names is None:
            rows, n = self.source.rows, self.rowCount()
            if n < len(rows):
                places = (self.mapToSource(self.index(k, 0)).row() for k in range(n))
                rows = tuple(rows[place] for place in places)
            self._names = [row.name for row in rows]
        return self._names

    def _other_order(self, *_: object) -> None:
        self._names = None

    def filterAcceptsRow(self, source_row: int, source_parent: QModelIndex) -> bool:
        """Whether a row passes the filter."""
        row = self.source.rows[source_row]
        if self._name not in row.name.lower():
            return False
        if self._state == OPEN:
            return row.is_open
        if self._state == FLAGGED:
            return bool(row.score.flag)
        return self._state in (ALL, row.state)


def dot(colour: str) -> QIcon:
    """Return a coloured dot for a state."""
    pixmap = QPixmap(12, 12)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(1, 1, 10, 10)
    painter.end()
    return QIcon(pixmap)


def _change(change: MaskChange | None, role: int) -> str:
    """The change of a mask: a text or a sentence, by role."""
    if change is None:
        return "–"
    if role == Qt.ItemDataRole.ToolTipRole:
        return change.in_words
    return f"{_change_value(change):.1%}"


def _change_value(change: MaskChange | None) -> float:
    return math.nan if change is None else 1 - change.overlap


def _value(row: ReviewRow, key: str, dices: Mapping[str, float]) -> float | str:
    score = row.score
    numbers = {
        "rank": float(score.rank) if score.rank else math.nan,
        "expected": score.expected_dice,
        "score": row.ranking_score,
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
        lines.append(f"You {row.decision.state} an earlier mask, which was replaced: decide about "
                     "this one. Until then it counts as not reviewed.")
    if row.standing == "replaced":
        lines.append("The mask was changed by another program since you kept it: its current "
                     "state is used for training.")
    if row.earlier and row.state == "accepted":
        lines.append("You accepted the mask of an earlier round, which is used for training; "
                     "accept again to use the latest one instead.")
    if row.earlier and row.state == "rejected":
        lines.append("You rejected the mask of an earlier round; this is a newer one.")
    lines += _scores_in_words(row)
    if said := row.score.expected.in_words:
        lines.append(f"Expected Dice {said}, an estimate from its scores")
    if row.score.flag:
        lines.append(f"Flag: {row.score.flag}")
    if row.held_out:
        lines.append("Held out: for evaluation only, never used for training.")
    if note_of(row):
        lines.append(f"Note: {note_of(row)}")
    return "\n".join(lines)


def _scores_in_words(row: ReviewRow) -> list[str]:
    """The score that ranks, and what it is made of; nothing for what is unknown."""
    parts = (
        ("Ranking score", row.ranking_score), ("AE error", row.score.autoencoder_error),
        ("agreement", row.score.consistency),
    )
    said = [f"{name} {value:.3f}" for name, value in parts if math.isfinite(value)]
    return [", ".join(said)] if said else []


def note_of(row: ReviewRow) -> str:
    """The remark about a scan."""
    return "" if row.decision is None else row.decision.note
