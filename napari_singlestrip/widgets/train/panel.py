"""Step "train": learn from the painted mask, and watch it learn."""

from __future__ import annotations

from html import escape
from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QPushButton

from napari_singlestrip.events import Crashed, Event, Failed, Wrote
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import printable
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.common.napari_preferences import DEVICES, wishes
from napari_singlestrip.widgets.common.notice import Notice
from napari_singlestrip.widgets.common.zoomable_picture import Picture
from napari_singlestrip.widgets.session.job_process import JobStatus
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.train.advanced_box import AdvancedBox
from napari_singlestrip.widgets.train.curves_box import CurvesBox
from napari_singlestrip.widgets.train.device_probe import DeviceProbe
from napari_singlestrip.widgets.train.effort_box import EffortBox
from napari_singlestrip.widgets.train.facts import (
    Stage,
    TrainingFacts,
    out_of_memory,
    smaller,
    training_facts,
)
from napari_singlestrip.widgets.train.live_prediction_row import WatchRow
from napari_singlestrip.widgets.train.settings_form import changed_settings
from napari_singlestrip.widgets.train.stage_list import StageList


class TrainPanel(Panel):
    """Train from the painted mask."""

    title = "train from the painted mask"
    step = "train"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.facts: TrainingFacts | None = None
        self._seen: tuple[str, str, str] = ("", "", "")
        self._confirming = False
        self.learns = words(name="learns_from")
        self.learns.linkActivated.connect(session.step_requested)
        self.device = words(name="device")
        self.effort = EffortBox(session)
        self.train = _large(button("Train", "", self.start, "train"))
        self.review = _large(button(
            "Review the ranked masks", "The next step: look at the masks, the best ones first",
            lambda: session.step_requested.emit("review"), "review",
        ))
        self.anew = button(
            "Start anew…", "Train again from the beginning; asks first", self.ask_anew, "anew"
        )
        self.notice = Notice("notice")
        self.stages = StageList()
        self.curves = CurvesBox(session)
        self.watch = WatchRow(session)
        self.seen_title = words("<b>What the network sees now</b>: heads made up anew in each "
                                "step, with the outline it is to find", "seen_title")
        self.seen = Picture("synthetic", "Synthetic heads", "Click to enlarge")
        self.advanced = AdvancedBox(session)
        self.probe = DeviceProbe(self)
        self._lay_out()
        self._connect()

    # --- what a person does

    def start(self) -> None:
        """Train, or go on where training stopped, up to the first ranking."""
        self._run()

    def ask_anew(self) -> None:
        """Ask whether to start anew, within the page."""
        self._confirming = True
        self.refresh()

    def close_all(self) -> None:
        """The window closes."""
        self.probe.close()
        self.curves.curves.close_all()

    # --- what is shown

    def refresh(self) -> None:
        """Show what the study and the job say."""
        study, status = self.session.study, self.session.job.status
        self._seen = (status.state, status.kind, status.stage)
        self.facts = None
        if study is not None:
            with self.session.guarded():
                self.facts = training_facts(study)
        painted = bool(self.facts and self.facts.painted)
        self._show_learns(study)
        self._show_device(status)
        self.effort.refresh(status.busy, painted)
        self._show_buttons(status, painted)
        self._show_notice(status)
        self._show_stages(status)
        self.curves.refresh()
        self.watch.refresh(status.busy)
        self.watch.setVisible(painted)
        self._show_picture(study)
        self.advanced.refresh(status.busy)

    def _stale(self, *what: object) -> None:
        status = what[0] if what and isinstance(what[0], JobStatus) else None
        if not self.isVisible():
            return
        if status is not None and (status.state, status.kind, status.stage) == self._seen:
            self._show_stages(status)  # several times a second: reads no file
        else:
            self.refresh()

    def _show_learns(self, study: Study | None) -> None:
        facts = self.facts
        if study is None:
            text = "There is no study yet. <a href='scans'>Add scans in step 1</a>."
        elif facts is None or not facts.painted:
            text = (
                "Nothing is painted yet. <a href='paint'>Paint the brain of one scan in step 2"
                "</a>, or load a mask there: one is enough."
            )
        else:
            n = len(facts.painted)
            named = ", ".join(map(_named, facts.painted[:3])) + (" and others" if n > 3 else "")
            others = facts.n_to_predict
            text = (
                f"It learns from <b>{n} painted mask{'s' * (n > 1)}</b>: {named}. Then it "
                f"predicts and ranks {others} other scan{'s' * (others != 1)}."
            )
        self.learns.setText(text)

    def _show_device(self, status: JobStatus) -> None:
        launcher = self.session.launcher
        chosen = "" if launcher or status.busy else DEVICES.get(wishes().device, "")
        if chosen and wishes().device != "auto":
            self.device.setText(f"Runs on: {chosen} (chosen in napari's Preferences)")
            self.device.setVisible(self.session.study is not None)
            return
        known = status.device if status.busy else ""
        known = known or (self.probe.known(launcher) or "")
        if not known and self.facts is not None:
            known = self.facts.device
        where = f"through {' '.join(launcher)}" if launcher else "this computer"
        self.device.setText(f"Runs on: {known or 'looking…'} ({where})")
        self.device.setVisible(self.session.study is not None)
        if not known and not status.busy and self.session.study is not None:
            if self.probe.known(launcher) is None:
                self.probe.ask(launcher)
            else:
                self.device.setText(f"Runs on: not known yet ({where})")

    def _show_buttons(self, status: JobStatus, painted: bool) -> None:
        facts = self.facts
        done = facts is not None and facts.done
        other = facts is not None and bool(facts.other_settings)
        self.train.setText(_train_words(facts, status))
        self.train.setEnabled(painted and not status.busy and not done and not other)
        self.train.setVisible(not done or status.busy)
        self.train.setToolTip(
            "A job is under way: see below" if status.busy
            else "Say first which settings to use: see below" if other
            else "Trains, predicts and ranks; stop and go on whenever you like" if painted
            else "Paint one brain first, in step 2"
        )
        ranked = self.session.study is not None and any(
            self.session.study.scores_path(r).is_file() for r in self.session.study.rounds()
        )
        self.review.setVisible(ranked and not status.busy)
        begun = facts is not None and facts.begun is not None
        self.anew.setVisible(begun and not status.busy)
        self.anew.setEnabled(painted)
        self.effort.setEnabled(self.session.study is not None)

    def _show_notice(self, status: JobStatus) -> None:
        facts = self.facts
        self.notice.hide()
        if status.busy or facts is None or not facts.painted:
            return
        if self._confirming:
            self.notice.say(
                "Start anew? The rounds so far, their models and rankings, are set aside in the "
                "study's folder; nothing is deleted. Masks and decisions stay.",
                ("Start anew", "Set the rounds aside and train from the beginning",
                 lambda: self._run("--restart")),
                ("Cancel", "Leave everything as it is", self._leave),
            )
        elif _is_memory(status):
            self._offer_smaller(status)
        elif facts.other_settings:
            named = ", ".join(facts.other_settings[:4])
            more = " and others" if len(facts.other_settings) > 4 else ""
            self.notice.say(
                f"This study was trained with other settings ({named}{more}). The new ones need "
                "training from the beginning; what was trained is set aside, not deleted.",
                ("Start anew with the new settings", "Set the rounds aside and train again",
                 lambda: self._run("--restart")),
                ("Keep the old settings", "Go back to the settings it was trained with",
                 self._keep_settings),
            )

        elif facts.painted_since:
            named = ", ".join(map(_named, facts.painted_since[:3]))
            self.notice.say(
                f"The mask of {named} was painted after training began. What is trained already "
                "does not know it: start anew to learn from it. Fine-tuning will use it anyway.",
                ("Start anew", "Set the rounds aside and train from the beginning",
                 lambda: self._run("--restart")),
            )

    def _offer_smaller(self, status: JobStatus) -> None:
        study = self.session.study
        assert study is not None and self.facts is not None
        less = smaller(study.settings(), status.stage)
        if less is None:
            self.notice.say(
                "There was not enough memory, and the job is as small as it can be: close other "
                "programs and try again, or use a computer with more memory."
            )
            return
        anew = less.anew and self.facts.begun is not None
        after = " Training starts anew; what was trained is set aside." if anew else ""
        self.notice.say(
            f"There was not enough memory. A smaller job may fit: {less.words}.{after}",
            ("Retry smaller", f"Try again with {less.words}",
             lambda: self._retry(less.changes, anew)),
        )

    def _show_stages(self, status: JobStatus) -> None:
        facts = self.facts
        stages = list(facts.stages) if facts is not None else []
        if status.busy and "finetune" in status.stages:
            passed = status.stages[: max(0, status.stage_number - 1)]
            stages = [
                Stage(name, "done" if name in passed else "to do") for name in status.stages
            ]
        self.stages.show_stages(stages, status)
        self.stages.setVisible(facts is not None and bool(facts.painted))

    def _show_picture(self, study: Study | None) -> None:
        rounds = [] if study is None else list(reversed(study.rounds()))
        paths = [study.round_dir(r) / "previews" / "synthetic.png" for r in rounds if study]
        self.seen.show_file(next((path for path in paths if path.is_file()), None))
        self.seen_title.setVisible(self.seen.isVisibleTo(self))

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Wrote) and event.what == "preview":
            self._show_picture(self.session.study)

    # --- inside

    def _run(self, *options: str) -> None:
        self._confirming = False
        with self.session.guarded():
            self.session.run(rounds=0, options=[*options, *self.watch.options()])
            if "--restart" in options:
                self.curves.forget()
            self.watch.begin()
        self.refresh()

    def _retry(self, changes: dict[str, Any], anew: bool) -> None:
        study = self.session.need_study()
        with self.session.guarded():
            study.set_settings({**study.overrides, **changes})
            self._run(*(["--restart"] if anew else []))

    def _keep_settings(self) -> None:
        study = self.session.need_study()
        if self.facts is None or self.facts.begun is None:
            return
        with self.session.guarded():
            begun = self.facts.begun
            study.set_settings(changed_settings(begun), begun.effort)

    def _leave(self) -> None:
        self._confirming = False
        self.refresh()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.train, 1)
        buttons.addWidget(self.review, 1)
        buttons.addWidget(self.anew)
        self.add(self.learns)
        self.add(self.device)
        self.add(self.effort)
        self._column.addLayout(buttons)
        for widget in (self.notice, self.stages, self.curves, self.watch, self.seen_title,
                       self.seen, self.advanced):
            self.add(widget)
        self._column.addStretch()

    def _connect(self) -> None:
        self.session.job_event.connect(self._on_event)
        self.probe.found.connect(lambda _device: self._stale())


def _named(scan: str) -> str:
    """Name of a scan within rich text."""
    return escape(printable(scan))


def _large(made: QPushButton) -> QPushButton:
    made.setMinimumHeight(36)
    font = made.font()
    font.setBold(True)
    made.setFont(font)
    return made


def _train_words(facts: TrainingFacts | None, status: JobStatus) -> str:
    if status.busy:
        return "Training…" if status.kind == "run" else "Wait for the job below…"
    left = facts.unfinished if facts is not None else None
    if left is None:
        return "Train"
    if left.name in ("train", "autoencoder"):
        what = "training" if left.name == "train" else "the autoencoder"
        return f"Resume {what} (step {left.step} of {left.n_steps})"
    n = left.n_steps - left.step
    return f"Go on: {left.name} {n} scan{'s' * (n != 1)}"


def _is_memory(status: JobStatus) -> bool:
    if status.kind != "run":
        return False
    if isinstance(status.end, Failed):
        return out_of_memory(status.end.what, None)
    return isinstance(status.end, Crashed) and out_of_memory("", status.end.exit_code)
