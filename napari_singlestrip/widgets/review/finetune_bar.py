"""Accept the rest, and fine-tune; the button states exactly which masks are used."""

from __future__ import annotations

import textwrap

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from napari_singlestrip.vocabulary import FIRST_STAGES, LATER_STAGES
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.review.meanwhile import Meanwhile
from napari_singlestrip.widgets.review.view import FinetuneView
from napari_singlestrip.widgets.session.session import Session

LINE = 54  # characters of the button in a row of 400 pixels


class FinetuneBar(QWidget):
    """Accepting the rest, and choosing the training masks.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    finetune : QPushButton
        To be placed where it is always in sight.
    why : Words
        Why the button is as it is; to be placed where it moves no button when it comes.

    Signals
    -------
    rest_accepted(list, int)
        Accept these scans, down to this rank.
    chosen()
        Whether top-ranked masks are used, too: `asked`.
    """

    rest_accepted = Signal(list, int)
    chosen = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("finetune_bar")
        self.view: FinetuneView | None = None
        self.rank = QSpinBox()
        self.rank.setObjectName("rest_rank")
        self.rank.setFixedWidth(64)
        self.rank.setToolTip("The lowest rank whose mask is accepted")
        self.rank.valueChanged.connect(self._show_rest)
        self.rest = button("Accept", "Accept all undecided masks down to this rank, "
                           "which \"Undo decision\" reverts in one step",
                           self._accept_rest, "accept_rest")
        self.top_ranked = QCheckBox("Also use top-ranked masks that are undecided")
        self.top_ranked.setObjectName("top_ranked")
        self.top_ranked.setToolTip("Also train on masks that only the ranking found good; "
                                   "rejected ones are never used. Helps as long as you corrected "
                                   "or accepted few masks, and is ticked until then")
        self.top_ranked.clicked.connect(self._choose)
        self._chosen = False  # by the user, not by the study's settings
        self.finetune = button("Fine-tune", "Train on these masks, then predict and rank all "
                               "scans again", self._run, "finetune")
        self.why = words(name="finetune_hint")
        self.meanwhile = Meanwhile(session, lambda: self.asked)
        self._lay_out()

    @property
    def asked(self) -> bool | None:
        """Whether the person wants top-ranked masks used; None leaves it to the settings."""
        return self.top_ranked.isChecked() if self._chosen else None

    def forget(self) -> None:
        """Another study is open: nothing is chosen there yet."""
        self._chosen, self.view = False, None

    def draw(self, view: FinetuneView) -> None:
        """Show what can be learned from now."""
        first, self.view = self.view is None, view
        before = self.rank.maximum()
        self.rank.blockSignals(True)
        self.rank.setRange(min(1, view.n_ranks), view.n_ranks)
        if first or before != view.n_ranks:
            self.rank.setValue(view.first_rank)
        self.rank.blockSignals(False)
        self._show_rest()
        if not self._chosen:
            self.top_ranked.setChecked(view.top_ranked_used)
        self.top_ranked.setVisible(view.top_ranked_visible)
        self.finetune.setText(textwrap.fill(view.text, LINE))
        self.finetune.setEnabled(view.enabled)
        self.why.setText(view.why)
        self.why.setVisible(bool(view.why))

    # --- inside

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(words("Accept all undecided down to rank"), 1)
        row.addWidget(self.rank)
        row.addWidget(self.rest)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.top_ranked)
        column.addWidget(self.meanwhile)

    def _undecided(self) -> list[str]:
        return [] if self.view is None else self.view.review.undecided_to(self.rank.value())

    def _show_rest(self, _rank: int = 0) -> None:
        n = 0 if self.view is None else self.view.review.n_undecided_to(self.rank.value())
        self.rest.setText(f"Accept {n}")
        self.rest.setEnabled(n > 0)

    def _accept_rest(self) -> None:
        self.rest_accepted.emit(self._undecided(), self.rank.value())

    def _choose(self, _on: bool) -> None:
        self._chosen = True
        self.chosen.emit()

    def _run(self) -> None:
        with self.session.guarded():
            plan = None if self.view is None else self.view.plan
            if plan is not None and plan.unfinished == "ranking":
                self.session.run(LATER_STAGES[1:])
                return
            which = "selected" if self.top_ranked.isChecked() else "decided"
            # Passed explicitly, so that the job does what the button says, whatever the settings
            # are.
            options = ("--set", f"finetuning.pseudo_labels={which}")
            first = plan is not None and plan.is_first
            self.session.run(FIRST_STAGES if first else LATER_STAGES, options=options)
