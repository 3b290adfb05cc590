"""Reads what the step "review" shows: from the study, and what is measured in the background."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.study.finetuning_plan import FinetuningPlan, finetuning_plan
from napari_singlestrip.study.review import Review, renewed, review
from napari_singlestrip.study.round_folder import first_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.review.expected_live import LiveExpected
from napari_singlestrip.widgets.review.reference_dice import TrueDice, Truth
from napari_singlestrip.widgets.review.round_changes import RoundChanges
from napari_singlestrip.widgets.review.view import ReviewFacts, with_unsaved
from napari_singlestrip.widgets.session.session import Session

NOTHING = ReviewFacts(Review(), Truth({}), {}, FinetuningPlan())
MANY = 500  # masks; of more, what follows from a decision is read when the hand rests
REST_MS = 600


class FactsReader(QObject):
    """Reads the facts of a study.

    Parameters
    ----------
    session : Session
    parent : QObject

    Signals
    -------
    measured()
        More is known of a mask: its true or expected Dice, or how it changed.
    rested()
        The hand rests after decisions about many masks: only `plan` is to be read again.
    """

    measured = Signal()
    rested = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._true_dice = TrueDice(self)
        self._changes = RoundChanges(self)
        self._expected = LiveExpected(self)
        self._last = NOTHING
        self._at_rest = single_shot(self, REST_MS, self._on_rest)
        self._by_hand = False  # whether a mask made by hand came or went since all was read
        for measuring in (self._true_dice, self._changes, self._expected):
            measuring.changed.connect(self.measured)

    def forget(self) -> None:
        """Stop measuring: another study is open."""
        self._at_rest.stop()
        self._last = NOTHING
        self._true_dice.forget()
        self._changes.forget()
        self._expected.forget()

    def read(self, study: Study, top_ranked: bool | None, deciding: str = "") -> ReviewFacts:
        """Return what is known now, and begin to measure the rest.

        Parameters
        ----------
        study : Study
        top_ranked : bool or None
            As of `finetuning_plan`.
        deciding : str
            The scan whose decision alone has changed; among many, the rest is read later.
        """
        if deciding and len(self._last.review.rows) > MANY:
            self._at_rest.start()
            with self._session.guarded():
                before = self._last.review
                made = renewed(study, before, deciding)
                self._last = replace(self._last, review=made)
                self._by_hand |= any(_is_by_hand(one, deciding) for one in (before, made))
        else:
            self._at_rest.stop()
            self._by_hand = False
            self._last = self._read(study, top_ranked)
        return self._last

    def _read(self, study: Study, top_ranked: bool | None) -> ReviewFacts:
        found = Review()
        with self._session.guarded():
            found = with_unsaved(review(study), self._session.unfinished())
            found = self._expected.into(study, found)
        if found.round is None:
            return replace(NOTHING, not_judged=bool(first_round(study)))
        truth, changes = self._true_dice.of(study, found), self._changes.of(study, found)
        return ReviewFacts(found, truth, changes, self.plan(study, top_ranked))

    def plan(self, study: Study, top_ranked: bool | None) -> FinetuningPlan:
        """Return what fine-tuning would learn from; that cannot be started while it is not read."""
        plan = FinetuningPlan(problem="The study cannot be read: see the message.")
        with self._session.guarded():
            plan = finetuning_plan(study, top_ranked)
        return plan

    def _on_rest(self) -> None:
        """Read what decisions change: only those about masks made by hand more than the plan."""
        (self.measured if self._by_hand else self.rested).emit()

    def close_all(self) -> None:
        """End the threads: the window closes."""
        self._at_rest.stop()
        self._true_dice.close_all()
        self._changes.close_all()
        self._expected.close_all()


def _is_by_hand(review: Review, name: str) -> bool:
    row = review.by_name.get(name)
    decision = None if row is None else row.decision
    return decision is not None and decision.state in ("corrected", "painted")
