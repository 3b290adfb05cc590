"""The header of the ranked table: filters, order and columns; and the summary, to put below it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QMenu, QPushButton, QWidget

from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.review.table import ReviewTable
from napari_singlestrip.widgets.review.table_model import ALL, COLUMNS, KEYS, STATE_FILTERS
from napari_singlestrip.widgets.review.view import HeadView


class ReviewHead(QWidget):
    """Filters, sorts and arranges a table.

    Parameters
    ----------
    table : ReviewTable

    Attributes
    ----------
    summary : Words
        To be placed below the table, which makes room when it grows: nothing else moves then.

    Signals
    -------
    filtered()
        The filter changed.
    reordered(bool)
        The order changed; whether to continue from the top.
    gallery_requested()
    """

    filtered = Signal()
    reordered = Signal(bool)
    gallery_requested = Signal()

    def __init__(self, table: ReviewTable) -> None:
        super().__init__()
        self.setObjectName("review_head")
        self.table = table
        self.summary = words(name="review_summary")
        self._drawn = False, ""  # what the columns were chosen for: see `draw`
        self.search = QLineEdit()
        self.search.setObjectName("search")
        self.search.setPlaceholderText("Filter")
        self.search.setToolTip("Show only scans with this in their name")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.states = self._make_states()
        self.worst_first = button("Worst first", "Start with the masks least like a brain: finds "
                                  "failures, and helps most if only one or two masks are "
                                  "corrected. Click again for the top-ranked first",
                                  self._toggle_order, "worst_first")
        self.worst_first.setCheckable(True)
        self.gallery = button("Gallery", "All masks as large tiles, each with the slice where most "
                              "is probably wrong (Shift+G)", self.gallery_requested.emit,
                              "open_gallery")
        self.columns = self._make_columns()
        self._lay_out()
        header = table.horizontalHeader()
        assert header is not None
        header.sortIndicatorChanged.connect(self._on_order)

    def draw(self, view: HeadView, new_round: bool) -> None:
        """Say what is there; the true Dice gets its column where it is known."""
        self.summary.setText(view.summary)
        self.summary.setToolTip(view.tip)
        known = view.is_expected, view.ranked_by
        if new_round or known != self._drawn:  # of older rounds it is found later
            self._drawn = known
            self._show_columns(view)
            self._show_agreement(view)
            for key, action in self._actions.items():
                action.setChecked(not self.table.isColumnHidden(KEYS.index(key)))
        self._show_order()

    def _show_columns(self, view: HeadView) -> None:
        self.table.show_column("dice", view.has_truth)
        self.table.show_column("change", view.is_later)
        self.table.show_column("expected", view.is_expected)
        # With all of them beside it, the names of scans were cut.
        n_more = view.has_truth + view.is_later + view.is_expected
        n_more += view.by_programs and view.has_agreement
        self.table.show_column("volume", n_more < 2)
        # What ranks is in sight: the autoencoder's error only where the order follows from it.
        by_error = view.ranked_by in ("", "autoencoder")
        self.table.show_column("score", n_more < 3 and not by_error)
        self.table.show_column("error", n_more < 3 and by_error)

    def _show_agreement(self, view: HeadView) -> None:
        """Show how far programs agree; of a single one there is nothing to show."""
        self._actions["consistency"].setVisible(view.has_agreement or not view.by_programs)
        if view.by_programs:
            self.table.show_column("consistency", view.has_agreement)

    # --- inside

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
        made = QPushButton("\u22ee")  # the names of scans need the room
        made.setObjectName("columns")
        made.setAccessibleName("Columns")
        made.setToolTip("Columns of the table; consistency is the second ranking")
        made.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0 }")
        made.setFixedWidth(28)
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
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.search, 1)
        for widget in (self.states, self.worst_first, self.gallery, self.columns):
            row.addWidget(widget)

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
