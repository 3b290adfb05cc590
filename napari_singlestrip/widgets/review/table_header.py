"""What stands above the ranked table: what is there in numbers, filters, order and columns."""

from __future__ import annotations

from collections import Counter

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_singlestrip.study.review import Review
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.review.table import ReviewTable
from napari_singlestrip.widgets.review.table_model import (
    ALL,
    COLUMNS,
    KEYS,
    STATE_COLOURS,
    STATE_FILTERS,
)


class ReviewHead(QWidget):
    """Filters, sorts and arranges a table.

    Parameters
    ----------
    table : ReviewTable

    Signals
    -------
    filtered()
        Other rows are let through.
    reordered(bool)
        The rows have another order; whether a person asked to begin at its top.
    """

    filtered = Signal()
    reordered = Signal(bool)

    def __init__(self, table: ReviewTable) -> None:
        super().__init__()
        self.setObjectName("review_head")
        self.table = table
        self.summary = words(name="review_summary")
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._n_rows = 0
        self._ruler = words(name="longest_summary")  # never shown
        self._ruler.setParent(self)
        self._ruler.hide()
        self.search = QLineEdit()
        self.search.setObjectName("search")
        self.search.setPlaceholderText("Filter by name")
        self.search.setToolTip("Show only scans with this in their name")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.states = self._make_states()
        self.worst_first = button("Worst first", "Begin with the masks least like a brain: finds "
                                  "failures, and teaches most where only one or two masks are "
                                  "corrected. Click again for the top-ranked first",
                                  self._toggle_order, "worst_first")
        self.worst_first.setCheckable(True)
        self.columns = self._make_columns()
        self._lay_out()
        header = table.horizontalHeader()
        assert header is not None
        header.sortIndicatorChanged.connect(self._on_order)

    def show_review(self, review: Review, has_truth: bool, new_round: bool) -> None:
        """Say what is there; the true Dice gets its column where it is known."""
        self.summary.setText(in_words(review))
        self._n_rows = len(review.rows)
        self._reserve()
        if new_round:
            self.table.show_column("dice", has_truth)
            for key, action in self._actions.items():
                action.setChecked(not self.table.isColumnHidden(KEYS.index(key)))
        self._show_order()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep room for the longest summary: what is below must not move while one decides."""
        super().resizeEvent(event)
        self._reserve()

    # --- inside

    def _reserve(self) -> None:
        many = self._n_rows
        states = " \u00b7 ".join(f"{many} {state}" for state in STATE_COLOURS)
        self._ruler.setText(f"<b>Fine-tuning 00</b>: {many} masks \u00b7 {states}")
        self.summary.setFixedHeight(self._ruler.heightForWidth(self.summary.width()))

    def _on_order(self, *_: object) -> None:
        self._show_order()
        self.reordered.emit(False)

    def _make_states(self) -> QComboBox:
        made = QComboBox()
        made.setObjectName("states")
        made.setToolTip("Show only scans in this state")
        made.addItems(STATE_FILTERS)
        made.setMinimumContentsLength(9)
        made.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        made.currentTextChanged.connect(self._filter)
        return made

    def _make_columns(self) -> QPushButton:
        made = QPushButton("Columns")
        made.setObjectName("columns")
        made.setToolTip("Which columns the table has; consistency is the second ranking")
        menu = QMenu(made)
        self._actions = {}
        for column in COLUMNS[2:]:
            title = "Consistency" if column.key == "consistency" else column.title
            action = menu.addAction(title)
            assert action is not None
            action.setCheckable(True)
            action.setChecked(column.shown)
            action.setToolTip(column.tip)
            action.toggled.connect(lambda on, key=column.key: self.table.show_column(key, on))
            self._actions[column.key] = action
        made.setMenu(menu)
        return made

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.search, 1)
        for widget in (self.states, self.worst_first, self.columns):
            row.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self.summary)
        column.addLayout(row)

    def _filter(self, *_: object) -> None:
        with self.table.quiet():
            self.table.filter.only(self.search.text(), self.states.currentText() or ALL)
        self.filtered.emit()

    def _toggle_order(self) -> None:
        self.table.sort_by("rank", down=not self.table.worst_first)
        self._show_order()
        self.table.scrollToTop()
        self.reordered.emit(True)

    def _show_order(self, *_: object) -> None:
        self.worst_first.setChecked(self.table.worst_first)


def in_words(review: Review) -> str:
    """Say which round it is, and how many masks are in which state."""
    title = "First training" if review.round == 0 else f"Fine-tuning {review.round}"
    n = Counter[str](row.state for row in review.rows)
    said = [f"{n[state]} {state}" for state in STATE_COLOURS if n[state]]
    return f"<b>{title}</b>: {len(review.rows)} masks · {' · '.join(said)}"
