"""Accept, correct, reject, next: buttons, note and undo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from napari_singlestrip.study.decision_history import ReviewHistory
from napari_singlestrip.study.review import ReviewRow
from napari_singlestrip.study.tables import State
from napari_singlestrip.texts import printable
from napari_singlestrip.vocabulary import StudyPart
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.review.view import DecisionView
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.napari_private import canvas_of
from napari_singlestrip.widgets.viewer.toast import Toast

NOTES = "notes"  # in window.json: remarks on undecided scans


class NoteField(QLineEdit):
    """A note, which keeps the focus until Enter or Esc.

    Signals
    -------
    left()
    """

    left = Signal()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave with Enter and Esc, keeping the text."""
        leave = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)
        if event is not None and event.key() in leave:
            self.left.emit()
            return
        super().keyPressEvent(event)


class DecisionBar(QWidget):
    """Decides about the scan on screen; each decision can be undone.

    Parameters
    ----------
    session : Session
    changed_voxels : callable
        Number of voxels that differ from the untouched pseudo-label; None while unknown.

    Signals
    -------
    decided(str)
        A decision about this scan was made.
    next_requested()
    steps_changed()
        Another decision is the last one, or none: `last_step`.
    """

    decided = Signal(str)
    next_requested = Signal()
    steps_changed = Signal()

    def __init__(self, session: Session, changed_voxels: Callable[[], int | None]) -> None:
        super().__init__()
        self.session = session
        self.deciding = ""  # scan whose decision is being written
        self.setObjectName("decision_bar")
        self.row: ReviewRow | None = None
        self._changed_voxels = changed_voxels
        self._history: ReviewHistory | None = None
        self._asked = ""
        self._unkept: dict[tuple[Path, str], str] = {}  # notes that could not be written
        self._make_buttons()
        self.note = NoteField()
        self.note.setObjectName("note")
        self.note.setPlaceholderText("Note on this scan")
        self.note.setToolTip("Your remark, kept with the decision; Enter or Esc goes back to the "
                             "scan, where letters decide again")
        self.note.editingFinished.connect(self._keep_note)
        self.note.left.connect(self._leave_note)
        self._make_question()
        self._lay_out()
        self.toast = Toast(session.viewer, self)
        self._decided_at: object = None  # the state on screen if a decision was the last action
        session.mask_edited.connect(self._forget_decided)
        session.layers.editing.nothing_to_undo.connect(self._on_nothing_to_undo)

    # --- the scan

    def follow(self, view: DecisionView) -> None:
        """Take the scan that came on screen."""
        self._keep_note()
        self._close_question()
        self._show_note(view.row)
        self.draw(view)

    def draw(self, view: DecisionView) -> None:
        """Show what is true now of the same scan."""
        row = self.row = view.row
        for name in ("accept", "corrected", "reject"):
            self.buttons[name].setEnabled(row is not None)
        self.note.setEnabled(row is not None)
        if row is not None and not self.note.isModified() and not self.note.hasFocus():
            self._show_note(row)
        self.discard.setEnabled(view.discard_enabled)
        self.undo.setEnabled(view.undo_enabled)
        self.undo.setToolTip(view.undo_tip)
        if row is None or not row.unsaved:
            self._close_question()

    @property
    def history(self) -> ReviewHistory:
        """Steps of the study of this window, which keep and restore drafts on disk."""
        self.session.unsaved.flush()
        study = self.session.need_study()
        if self._history is None or self._history.study is not study:
            self._history = ReviewHistory(study)
        return self._history

    @property
    def last_step(self) -> str:
        """The decision that can be taken back, in words; empty for none."""
        known = self._history is not None and self._history.study is self.session.study
        last = self._history.last if self._history is not None and known else None
        return last.words if last is not None else ""

    # --- decisions

    def accept(self) -> None:
        """Accept the pseudo-label on screen, but never silently ignore manual changes."""
        row = self._ready()
        if row is None:
            return
        if row.unsaved and self._changed_voxels() != 0:
            self._ask("accepted")
        elif row.state in ("corrected", "painted"):
            self.session.tell(f"{row.name} keeps the mask you made, which is used for training.")
            self.decided.emit(row.name)
        else:
            self._decide("accepted", drop_changes=row.unsaved)

    def correct(self) -> None:
        """Save the mask on screen as corrected."""
        row = self._ready()
        if row is None:
            return
        if not row.unsaved:
            self.session.tell(
                f"Nothing was changed on {row.name} since it was kept: paint first." if
                row.state in ("corrected", "painted") else
                f"Nothing was changed on {row.name}: press A to accept it as it is, or paint "
                "first and then press S.", "warning",
            )
            return
        painted = row.decision is not None and row.decision.state == "painted"
        self._decide("painted" if painted else "corrected")

    def reject(self) -> None:
        """Reject the pseudo-label, which is then never used for training."""
        row = self._ready()
        if row is None:
            return
        if row.unsaved and self._changed_voxels() != 0:
            self._ask("rejected")
        else:
            self._decide("rejected", drop_changes=row.unsaved)

    def discard_changes(self) -> None:
        """Discard unsaved changes, or the kept correction; can be undone."""
        row = self.row
        if row is None:
            return
        with self.session.guarded():
            with self.history.step(f"discard changes of {row.name}", [row.name]):
                if row.unsaved:
                    self.session.forget_draft(row.name)
                else:
                    self.session.need_study().masks.remove(row.name)
            self.session.show_scan(row.name)
            self.session.tell(f"{row.name} is as before. \"Undo decision\" restores the "
                              "changes.")

    def accept_down_to(self, names: list[str], rank: int) -> None:
        """Accept many undecided scans as one step."""
        with self.session.guarded():
            with self.history.step(f"accept {len(names)} scans down to rank {rank}", names, False):
                self.session.need_study().decisions.decide_all(names, "accepted")
            self.session.tell(f"Accepted {len(names)} masks down to rank {rank}. \"Undo decision\" "
                              "undoes this for all of them.")
            self._offer_undo(f"Accepted {len(names)} masks")
            self.steps_changed.emit()

    def take_back(self) -> None:
        """Undo the last step, and show the scan it was about."""
        self._forget_decided()
        with self.session.guarded():
            step = self.history.undo()
            if step is None:
                return
            if step.hands:
                self.session.study_changed.emit(StudyPart.DRAFTS)
            self.session.tell(f"Undone: {step.words}.")
            if len(step.names) == 1:
                self.session.show_scan(step.names[0])
        self.steps_changed.emit()

    def close_all(self) -> None:
        """Let go: the window closes."""
        self.toast.close()

    # --- inside

    def _offer_undo(self, done: str) -> None:
        self._decided_at = self.session.layers.showing.now
        self.toast.say(done, "Undo  Ctrl+Z", self.take_back)

    def _forget_decided(self) -> None:
        self._decided_at = None
        self.toast.hide()

    def _on_nothing_to_undo(self) -> None:
        """Let Ctrl+Z undo a decision, as long as it is the last action."""
        now = self.session.layers.showing.now
        if self.isVisible() and now is not None and self._decided_at is now:
            self.take_back()

    def _ready(self) -> ReviewRow | None:
        """The row, if the mask on screen is the one to be decided about."""
        row = self.row
        if row is None or self.session.scan != row.name:
            self.session.tell("Choose a ranked scan first: click a row, or press N.", "warning")
            return None
        self._keep_note()
        if not self.session.layers.editing.is_seen:
            self.session.layers.editing.reveal()
            self.session.tell(f"The mask of {printable(row.name)} was hidden. It is shown now: "
                              "check it, then decide.", "warning")
            return None
        if self.session.layers.showing.is_outdated():  # no decision about an unseen mask
            self.session.show_scan(row.name)
            self.session.tell(
                f"A newer mask of {row.name} was made meanwhile. It is shown now: check it, "
                "then decide.", "warning",
            )
            return None
        return row

    def _decide(self, state: State, drop_changes: bool = False) -> None:
        row = self.row
        assert row is not None
        verb = {"accepted": "accept", "rejected": "reject"}.get(state, "keep correction of")
        note, done = self.note.text().strip(), False
        self.deciding = row.name
        try:
            with self.session.guarded(), self.history.step(f"{verb} {row.name}", [row.name]):
                self.session.decide(row.name, state, note)
                if drop_changes:
                    self.session.forget_draft(row.name)
                done = True
        finally:
            self.deciding = ""
            self._close_question()
        if done:
            self._forget_note(row.name)
            self.note.setModified(False)
            self.decided.emit(row.name)
            self._offer_undo(f"{state.capitalize()} {printable(row.name)}")

    def _ask(self, state: State) -> None:
        row = self.row
        assert row is not None
        self._asked = state
        verb = "accept" if state == "accepted" else "reject"
        n = self._changed_voxels()
        what = f"{n:,} changed voxels" if n else "unsaved changes"
        self.question_words.setText(
            f"{row.name} has {what}. Keep them with S, or discard them and {verb} the "
            "pseudo-label."
        )
        self.discard_and.setText(f"Discard and {verb}")
        self.question.show()

    def _answer(self) -> None:
        state: State = "accepted" if self._asked == "accepted" else "rejected"
        if self._ready() is not None:
            self._decide(state, drop_changes=True)

    # --- notes

    def _note_of(self, row: ReviewRow) -> str:
        unkept = self._unkept.get((self.session.need_study().folder, row.name))
        if unkept is not None:
            return unkept
        if row.decision is not None and row.decision.note:
            return row.decision.note
        return str(self.session.remembered().get(NOTES, {}).get(row.name, ""))

    def _show_note(self, row: ReviewRow | None) -> None:
        self.note.setText("" if row is None else self._note_of(row))
        self.note.setCursorPosition(0)  # a long one is read from its beginning
        self.note.setModified(False)

    def _keep_note(self) -> None:
        """Save the note, with the decision or for a later one."""
        row, study, text = self.row, self.session.study, self.note.text().strip()
        if row is None or study is None or not self.note.isModified():
            return
        self.note.setModified(False)
        self._unkept[study.folder, row.name] = text  # until it is written
        with self.session.guarded():
            decision = study.decisions.of(row.name)
            if decision is None:
                notes = {**self.session.remembered().get(NOTES, {}), row.name: text}
                if not self.session.remember(**{NOTES: {k: v for k, v in notes.items() if v}}):
                    return
                self.session.study_changed.emit(StudyPart.DECISIONS)
            elif decision.note != text:
                study.decisions.put({row.name: replace(decision, note=text)})
            self._unkept.pop((study.folder, row.name), None)

    def _forget_note(self, name: str) -> None:
        self._unkept.pop((self.session.need_study().folder, name), None)
        notes = dict(self.session.remembered().get(NOTES, {}))
        if notes.pop(name, None) is not None:
            self.session.remember(**{NOTES: notes})

    def _leave_note(self) -> None:
        self._keep_note()
        canvas = canvas_of(self.session.viewer)
        if canvas is not None:
            canvas.setFocus()

    # --- layout

    def _make_buttons(self) -> None:
        self.buttons = {
            "accept": button("Accept  A", "The mask is good: use it for training", self.accept,
                             "accept"),
            "corrected": button("Corrected  S", "Keep the mask on screen with your changes, and "
                                "use it for training", self.correct, "corrected"),
            "reject": button("Reject  R", "The mask is bad: never use it for training",
                             self.reject, "reject"),
            "next": button("Next  N", "The next scan of the table (Shift+N: the previous one)",
                           self.next_requested.emit, "next"),
        }
        self.undo = button("Undo decision", "Nothing to undo yet", self.take_back,
                           "undo_decision")
        self.discard = button("Discard", "Throw away your changes, or the correction that you "
                              "kept: the mask is as it was predicted. \"Undo decision\" brings "
                              "them back",
                              self.discard_changes, "discard")

    def _make_question(self) -> None:
        self.question = QFrame()
        self.question.setObjectName("question")
        self.question.setFrameShape(QFrame.Shape.StyledPanel)
        self.question_words = words(name="question_words")
        keep = button("Keep changes  S", "Keep the mask on screen with your changes",
                      self.correct, "keep_changes")
        self.discard_and = button("Discard", "Discard the changes; \"Undo decision\" restores "
                                  "them", self._answer, "discard_and")
        cancel = button("Cancel", "Leave everything as it is", self._close_question, "cancel")
        grid = QGridLayout(self.question)
        grid.setContentsMargins(6, 4, 6, 4)
        grid.addWidget(self.question_words, 0, 0, 1, 3)
        for place, widget in enumerate((keep, self.discard_and, cancel)):
            grid.addWidget(widget, 1, place)
        self.question.hide()

    def _close_question(self) -> None:
        self._asked = ""
        self.question.hide()

    def _lay_out(self) -> None:
        first, second = QHBoxLayout(), QHBoxLayout()
        for row in (first, second):
            row.setSpacing(4)
        for made in self.buttons.values():
            first.addWidget(made)
        second.addWidget(self.note, 1)
        second.addWidget(self.discard)
        second.addWidget(self.undo)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(first)
        column.addLayout(second)
        column.addWidget(self.question)  # below: it must not push the note away
