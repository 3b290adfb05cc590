"""The strip that guides through the demo, one instruction at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from napari_singlestrip.demo.guide import STEPS, GuideStep, Seen, next_open
from napari_singlestrip.demo.guided_folder import GuidedFolder
from napari_singlestrip.events import Event, Wrote
from napari_singlestrip.study.review import ranked_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.vocabulary import SAMPLES_JOB
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.session.session import STEPS as DOCK_STEPS
from napari_singlestrip.widgets.session.session import Session

DEMO = "demo"  # the sample of napari's menu
DRAWING = "Heads are generated ..."  # longer, it widened the dock
FIRST_HEADS = ("The other heads are still being generated, see below. Then choose <i>Quick</i> and "
               "press <b>Train</b>.")
TUNED_ELSEWHERE = ("Fine-tuning takes minutes: open a study of these heads where it is done. Yours "
                   "is saved, and resumes when you reopen it.")
WAYS = {
    "painting": "Open the painted study", "finished": "Open the finished study",
    "tuned": "Open the fine-tuned study",
}
PADDING = 6  # pixels around the text in napari's theme


class GuideStrip(QFrame):
    """Hidden until a demo starts; steps done without it count as well.

    Its height is constant: a step must not move what is below.

    Parameters
    ----------
    session : Session

    Signals
    -------
    about(str)
        The step that its sentence is about; empty when the demo ends.
    """

    about = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("guide")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.folder: GuidedFolder | None = None
        self.at = 0  # the first step that is neither done nor skipped
        self.shown = 0  # the displayed step: that one, or an earlier one
        self._places, self._about = 0, ""
        self._lay_out()
        for signal in (session.study_changed, session.scan_changed, session.mask_edited,
                       session.job_changed, session.step_requested):
            signal.connect(self._on_change)
        session.correcting.changed.connect(self._on_change)  # also where following moves nothing
        session.job_event.connect(self._on_event)
        self.hide()

    def begin(self, folder: Path) -> None:
        """Start a demo in a folder, or resume it."""
        with self.session.guarded():
            guided = GuidedFolder(folder)
            guided.prepare()
            self.folder, self._places = guided, 0
            self.at = self.shown = guided.place()
            self.show()
            self._open(STEPS[min(self.at, len(STEPS) - 1)])
            if not guided.is_drawn:
                self.session.start_job([SAMPLES_JOB, str(guided.path), "--finished"], SAMPLES_JOB)
        self.refresh()

    def end(self) -> None:
        """Leave the demo; all work is kept, and it can be resumed."""
        self.folder = None
        self.hide()
        self._tell_about("")

    def saw_place(self, _place: object = None) -> None:
        """The user visited a place to check."""
        self._places += 1
        self._on_change()

    def refresh(self) -> None:
        """Show the instruction and its buttons."""
        step, last = STEPS[min(self.shown, len(STEPS) - 1)], len(STEPS) - 1
        done = self.shown < self.at
        self.count.setText(f"Demo {min(self.shown, last) + 1}/{len(STEPS)}")
        self.says.setText(f"\u2713 {step.words}" if done else self._words(step))
        self.back.setEnabled(self.shown > 0)
        self.forward.setVisible(self.shown < last)
        self.forward.setText("Next" if done else "Skip")
        self._show_way(step)
        self._tell_about(step.step)

    # --- inside

    def _words(self, step: GuideStep) -> str:
        if step.key == "train" and self._draws_heads():
            return FIRST_HEADS
        if step.part == "tuned" and self._seen().part != step.part:
            return TUNED_ELSEWHERE
        return step.words

    def _seen(self) -> Seen:
        session = self.session
        now = session.layers.showing.now
        slices, is_whole = (0, False) if now is None else _painted(now.mask)
        status = session.job.status
        return Seen(
            part="" if self.folder is None else self.folder.part(session.study),
            step=session.step, job=status.kind if status.blocks else "", slices=slices,
            is_whole=is_whole, places=self._places,
            corrected=session.correcting.originals.n_corrected,
        )

    def _tell_about(self, step: str) -> None:
        if step != self._about:
            self._about = step
            self.about.emit(step)

    def _draws_heads(self) -> bool:
        """Whether the job that training has to wait for is that of the heads."""
        status = self.session.job.status
        return status.busy and status.kind == SAMPLES_JOB

    def _on_change(self, *_: object) -> None:
        if self.folder is None:
            return
        follows = self.shown == self.at
        reached = next_open(self.at, self.session.study, self._seen())
        if reached != self.at:
            self._move_to(reached, show=follows)
        self.refresh()

    def _move_to(self, at: int, *, show: bool = True) -> None:
        self.at = max(self.at, min(at, len(STEPS) - 1))
        if show:
            self.shown = self.at
        if self.folder is not None:
            with self.session.guarded():
                self.folder.keep_place(self.at)

    def _go_back(self) -> None:
        self.shown = max(self.shown - 1, 0)
        self.refresh()

    def _go_on(self) -> None:
        """Go to the next step, skipping one that was not done."""
        self.shown = min(self.shown + 1, len(STEPS) - 1)
        self._move_to(self.shown, show=False)
        self._on_change()

    def _show_way(self, step: GuideStep) -> None:
        """Offer to open the study and step of the instruction."""
        seen = self._seen()
        waits = step.part != "painting" and self.folder is not None and not self.folder.is_drawn
        if seen.part != step.part:
            text = WAYS[step.part]
        elif seen.step != step.step:
            text = f"Go to {DOCK_STEPS.index(step.step) + 1} {step.step.capitalize()}"
        else:
            text = ""
        self.way.setVisible(bool(text))
        self.way.setText(DRAWING if waits else text)
        self.way.setEnabled(not waits)

    def _go_there(self) -> None:
        self._open(STEPS[self.shown])
        self._on_change()

    def _open(self, step: GuideStep) -> None:
        session = self.session
        if self.folder is None:
            return
        with session.guarded():
            if self.folder.part(session.study) != step.part:
                session.open_study(self.folder.study(step.part))
                if self.folder.part(session.study) == "painting":
                    self.folder.take_heads(session.need_study())
            if session.step != step.step:
                session.step_requested.emit(step.step)
            if not session.scan and step.step in ("paint", "review"):
                session.show_scan(_first_to_show(session.need_study()))

    def _on_event(self, event: Event) -> None:
        """Add heads to the study as they are generated."""
        if self.folder is None:
            return
        study = self.session.study
        is_head = isinstance(event, Wrote) and event.what == "scan"
        if is_head and study is not None and self.folder.part(study) == "painting":
            with self.session.guarded():
                self.folder.take_heads(study)
        self.refresh()

    def _lay_out(self) -> None:
        self.count = words(name="guide_count")
        self.count.setWordWrap(False)  # beside a wide button it took two lines
        self.says = words(name="guide_words")
        self.back = button("Back", "Read the step before", self._go_back, "guide_back")
        self.forward = button("Skip", "Read the next step", self._go_on, "guide_next")
        self.leave = button("End", "Leave the demo: your work is kept. File > Open Sample resumes "
                            "it", self.end, "guide_end")
        self.way = button("", "Open what this sentence is about", self._go_there, "guide_way")
        row = QHBoxLayout()
        row.addWidget(self.count, 1)
        for made in (self.way, self.back, self.forward, self.leave):
            row.addWidget(made)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 0, 6, 2)
        column.setSpacing(2)
        column.addWidget(self.says)
        column.addLayout(row)
        kept = self.way.sizePolicy()
        kept.setRetainSizeWhenHidden(True)
        self.way.setSizePolicy(kept)

        self._reserve()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the font of napari's theme."""
        if event is not None and event.type() == QEvent.Type.StyleChange:
            self._reserve()
        super().changeEvent(event)

    def _reserve(self) -> None:
        """Leave room for two lines."""
        self.says.ensurePolished()
        self.says.setFixedHeight(2 * self.says.fontMetrics().lineSpacing() + PADDING)


def _first_to_show(study: Study) -> str:
    """The scan with the best mask; the first one while none is ranked."""
    round_ = ranked_round(study)
    rows = () if round_ is None else study.rounds.scores(round_)
    ranked = sorted((row.rank, row.scan) for row in rows if row.rank)
    return ranked[0][1] if ranked else study.scans.names[0]


def _painted(mask: Any) -> tuple[int, bool]:
    """Number of painted slices in the plane with the fewest, and whether none is left out."""
    array = np.asarray(mask) > 0
    found = [
        np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis)))
        for axis in range(3)
    ]
    fewest = min(found, key=len)
    return len(fewest), bool(len(fewest)) and int(np.ptp(fewest)) + 1 == len(fewest)
