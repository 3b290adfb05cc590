"""Accept the rest, and fine-tune: the button says exactly what will be learned from."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from napari_singlestrip.study.review import FinetuningPlan, Review, finetuning_plan
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.session.session import Session

STAGES = ("finetune", "autoencoder", "predict", "rank")
KINDS = {"selected": "top-ranked"}


class FinetuneBar(QWidget):
    """What to do with the rest, and what to learn from.

    Parameters
    ----------
    session : Session

    Signals
    -------
    rest_accepted(list, int)
        Accept these scans, down to this rank.
    """

    rest_accepted = Signal(list, int)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("finetune_bar")
        self._review = Review()
        self.plan = FinetuningPlan()
        self.rank = QSpinBox()
        self.rank.setObjectName("rest_rank")
        self.rank.setFixedWidth(64)
        self.rank.setToolTip("The lowest rank whose mask is accepted")
        self.rank.valueChanged.connect(self._show_rest)
        self.rest = button("Accept", "Accept all masks down to this rank that you did not decide "
                           "about, as one step that \"Undo decision\" takes back",
                           self._accept_rest, "accept_rest")
        self.top_ranked = QCheckBox("Also use top-ranked masks that are undecided")
        self.top_ranked.setObjectName("top_ranked")
        self.top_ranked.setToolTip("Learn also from masks that only the ranking found good; "
                                   "rejected ones are never used. Helps as long as you corrected "
                                   "or accepted few masks, and is ticked until then")
        self.top_ranked.clicked.connect(self._choose)
        self._chosen = False  # by the person, not by the study's settings
        self.finetune = button("Fine-tune", "Learn from these masks, then predict and rank all "
                               "scans again", self._run, "finetune")
        self.why = words(name="finetune_hint")
        self._lay_out()

    def show_review(self, review: Review, new_study: bool) -> None:
        """Take the ranking as it is now."""
        self._review = review
        if new_study:
            self._chosen = False
        n = max((row.score.rank for row in review.rows), default=0)
        before = self.rank.maximum()
        self.rank.blockSignals(True)
        self.rank.setRange(min(1, n), n)
        if new_study or before != n:
            chosen = [row.score.rank for row in review.rows if row.score.selected]
            self.rank.setValue(max(chosen, default=n))
        self.rank.blockSignals(False)
        self._show_rest()
        self._show_plan()

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
        column.addWidget(self.finetune)
        column.addWidget(self.why)

    def _show_rest(self, _rank: int = 0) -> None:
        n = len(self._review.undecided_to(self.rank.value()))
        self.rest.setText(f"Accept {n}")
        self.rest.setEnabled(n > 0)

    def _accept_rest(self) -> None:
        rank = self.rank.value()
        self.rest_accepted.emit(self._review.undecided_to(rank), rank)

    def _choose(self, _on: bool) -> None:
        self._chosen = True
        self._show_plan()

    def _show_plan(self) -> None:
        study = self.session.study
        if study is None or self._review.round is None:
            return
        with self.session.guarded():
            asked = self.top_ranked.isChecked() if self._chosen else None
            self.plan = finetuning_plan(study, asked)
        if not self._chosen:
            self.top_ranked.setChecked("selected" in self.plan.counts)
        busy = self.session.job.status.busy
        problem = "A job is running: wait for it, or stop it." if busy else self.plan.problem
        self.finetune.setText(in_words(self.plan))
        self.finetune.setEnabled(not problem)
        ranking = self.plan.unfinished == "ranking"
        self.top_ranked.setVisible(not ranking)
        hint = problem or ("Ranking was stopped: this finishes it." if ranking else "")
        self.why.setText(" ".join(filter(None, (hint, self._unsaved()))))
        self.why.setVisible(bool(self.why.text()))

    def _unsaved(self) -> str:
        n = sum(row.unsaved for row in self._review.rows)
        if not n:
            return ""
        scans, they = ("1 scan has", "it is") if n == 1 else (f"{n} scans have", "they are")
        return f"{scans} unsaved changes: {they} not used until you press S."

    def _run(self) -> None:
        with self.session.guarded():
            if self.plan.unfinished == "ranking":
                self.session.run(STAGES[1:])
                return
            which = "selected" if self.top_ranked.isChecked() else "decided"
            # Said each time, so that the job does what the button says whatever the settings are.
            options = ("--set", f"finetuning.pseudo_labels={which}")
            self.session.run(STAGES, options=options)


def in_words(plan: FinetuningPlan) -> str:
    """Return the text of the button: exactly what would be done."""
    if plan.unfinished == "ranking":
        return "Finish predicting and ranking"
    verb = "Go on fine-tuning" if plan.unfinished else "Fine-tune"
    parts: Sequence[str] = [f"{n} {KINDS.get(kind, kind)}" for kind, n in plan.counts.items()]
    return f"{verb} with {' + '.join(parts)}" if parts else verb
