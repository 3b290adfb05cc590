"""Learning while a person reviews: a round begins by itself, and its masks wait to be looked at.

A job that nobody asked for begins when enough masks were decided that the latest round has not
learned from. While it runs, and after it, this window keeps to the round under review
(`StudyRounds.shown`): masks, table and decisions are of that round until the person takes the new
one. Decisions on earlier masks stay valid, as a decision is about the mask that was seen.

At most one round is made ahead: masks that nobody has looked at are no reason to make others.
"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QWidget

from napari_singlestrip.events import Cancelled, Crashed, Event, Failed, Wrote
from napari_singlestrip.study.finetuning_plan import ENOUGH_NEW, finetuning_plan
from napari_singlestrip.study.lock import is_locked
from napari_singlestrip.study.review import newer_round, ranked_round
from napari_singlestrip.study.round_facts import unfinished_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.vocabulary import LATER_STAGES, StudyPart
from napari_singlestrip.widgets.common.controls import button
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.session.job_process import JobStatus
from napari_singlestrip.widgets.session.session import Session

# After a decision. The next scan is on screen by then: starting a job reads a thousand files, and
# decisions that come in quick succession belong into the same round.
REST_MS = 3_000
LEARNS_ON = "learns_on"  # in window.json
BY_DEFAULT = ("quick",)  # efforts whose rounds are there while one still reviews
DECIDED = (StudyPart.DECISIONS, StudyPart.MASKS)


class Meanwhile(QWidget):
    """A switch, and a mark when newer masks are ready.

    The mark is to be placed where it moves nothing when it appears.

    Parameters
    ----------
    session : Session
    top_ranked : callable
        Whether top-ranked masks are used, too; as of `finetuning_plan`.
    """

    def __init__(self, session: Session, top_ranked: Callable[[], bool | None]) -> None:
        super().__init__()
        self.session, self._top_ranked = session, top_ranked
        self.setObjectName("meanwhile")
        self._waits = True  # for a decision: opening a study, or "Stop", starts nothing
        self.on = QCheckBox("Learn on while I review")
        self.on.setObjectName("learns_on")
        self.on.setToolTip(
            "Fine-tuning begins by itself once enough masks are decided that it has not learned "
            "from, and gives way to everything else. What is on screen stays as it is: when newer "
            "masks are ready, it says so here"
        )
        self.on.clicked.connect(self._choose)
        self.mark = button("Newer masks are ready: show", "All scans were predicted and ranked "
                           "again, with what you decided. What you have decided stays",
                           self.take, "show_newer")
        self._rest = single_shot(self, REST_MS, self._begin)
        self._lay_out()
        session.study_changed.connect(self._on_study)
        session.job_changed.connect(self._on_job)
        session.job_event.connect(self._on_event)

    def take(self) -> None:
        """Go on with the newest round."""
        study = self.session.study
        if study is not None and study.rounds.shown is not None:
            study.rounds.shown = None
            self.session.study_changed.emit(StudyPart.ROUNDS)
            self._rest.start()

    # --- inside

    def _lay_out(self) -> None:
        self.mark.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.on, 1)

    def _choose(self, on: bool) -> None:
        self.session.remember(**{LEARNS_ON: on})
        self._waits = False
        if on:
            self._rest.start()

    def _on_study(self, what: StudyPart) -> None:
        study = self.session.study
        if what == StudyPart.STUDY:
            self._rest.stop()
            self._waits = True
        if what in (StudyPart.STUDY, StudyPart.SETTINGS):
            self.on.setChecked(study is not None and self._is_wanted(study))
        if what == StudyPart.STUDY and self.on.isChecked():
            self._keep_to_ranked()
        if what in DECIDED:
            self._waits = False
            self._rest.start()
        else:
            with self.session.guarded():
                self.mark.setVisible(study is not None and newer_round(study) is not None)

    def _is_wanted(self, study: Study) -> bool:
        return bool(self.session.remembered().get(LEARNS_ON, study.effort in BY_DEFAULT))

    def _keep_to_ranked(self) -> None:
        """Pass over the masks of a round that was stopped before it was ranked."""
        study = self.session.study
        with self.session.guarded():
            if study is not None and unfinished_round(study):
                study.rounds.shown = ranked_round(study)

    def _on_job(self, status: JobStatus) -> None:
        if status.busy or self.session.study is None:
            return
        if isinstance(status.end, Cancelled) or _came_second(status.end):
            self._waits = True
        elif status.by_itself and isinstance(status.end, Failed | Crashed):
            self.on.setChecked(False)  # the job bar says why; it would fail again
        self._rest.start()

    def _on_event(self, event: Event) -> None:
        """Show the masks that the person asked for."""
        ranked = isinstance(event, Wrote) and event.what == "scores"
        if ranked and not self.session.job.status.by_itself:
            self.take()

    def _begin(self) -> None:
        study = self.session.study
        if study is None or self._waits or not self.on.isChecked() or self.session.job.status.busy:
            return
        if self.session.decided.reading:  # what there is to learn from is not known yet
            self._rest.start()
            return
        if self.session.launcher or is_locked(study.folder):  # a computer that others wait for
            return
        with self.session.guarded():
            if self._is_due(study):
                study.rounds.shown = ranked_round(study)
                self._run(study)

    def _is_due(self, study: Study) -> bool:
        if ranked_round(study) is None or newer_round(study) is not None:
            return False
        plan = finetuning_plan(study, self._top_ranked())
        # Who is content with fewer masks altogether does not wait for more.
        enough = min(ENOUGH_NEW, study.settings().finetuning.min_reviewed_masks)
        due = bool(plan.unfinished) or plan.n_new >= enough
        return due and not plan.problem and not plan.is_first

    def _run(self, study: Study) -> None:
        arguments = ["run", str(study.folder), "--stages", ",".join(LATER_STAGES)]
        if (top_ranked := self._top_ranked()) is not None:
            which = "selected" if top_ranked else "decided"
            arguments += ["--set", f"finetuning.pseudo_labels={which}"]
        self.session.start_job(arguments, "run", LATER_STAGES, by_itself=True)


def _came_second(end: Event | None) -> bool:
    """Whether another window on the study began a round at the same moment: theirs is enough."""
    return isinstance(end, Failed) and end.in_use
