"""Step "train": train from the painted mask, and monitor it."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QHBoxLayout

from napari_singlestrip.events import Event, Wrote
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.controls import button, large, words
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
from napari_singlestrip.widgets.train.facts import TrainingFacts, training_facts
from napari_singlestrip.widgets.train.live_prediction_row import WatchRow
from napari_singlestrip.widgets.train.settings_form import changed_settings
from napari_singlestrip.widgets.train.stage_list import StageList
from napari_singlestrip.widgets.train.view import Action, Question, TrainView, stages_of, train_view


class TrainPanel(Panel):
    """Train from the painted mask."""

    title = "train from the painted mask"
    step = "train"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.facts: TrainingFacts | None = None
        self.view = train_view(False, None, session.job.status)
        self._seen: tuple[str, str, str] = ("", "", "")
        self._confirming = False
        self.learns = words(name="learns_from")
        self.learns.linkActivated.connect(session.step_requested)
        self.device = words(name="device")
        self.effort = EffortBox(session)
        self.train = large(button("Train", "", self.start, "train"))
        self.review = large(button(
            "Review the ranked masks", "The next step: inspect the masks, best ones first",
            lambda: session.step_requested.emit("review"), "review",
        ))
        self.anew = button(
            "Start over…", "Train again from the beginning; asks first", self.ask_anew, "anew"
        )
        self.notice = Notice("notice")
        self.stages = StageList()
        self.curves = CurvesBox(session)
        self.watch = WatchRow(session)
        self.seen_title = words("<b>What the network sees now</b>: new synthetic images in each "
                                "step, with the target outline", "seen_title")
        self.seen = Picture("synthetic", "Synthetic images", "Click to enlarge")
        self.advanced = AdvancedBox(session)
        self.probe = DeviceProbe(self)
        self._lay_out()
        self._connect()

    # --- actions

    def start(self) -> None:
        """Train, or resume training, up to the first ranking."""
        self._run()

    def ask_anew(self) -> None:
        """Ask whether to start over, within the page."""
        self._confirming = True
        self.refresh()

    def close_all(self) -> None:
        """Clean up when the window closes."""
        self.probe.close()
        self.curves.curves.close_all()

    # --- display

    def refresh(self) -> None:
        """Update from the study and the job."""
        study, status = self.session.study, self.session.job.status
        self._seen = (status.state, status.kind, status.stage)
        self.facts = None
        if study is not None:
            with self.session.guarded():
                self.facts = training_facts(study)
        self.view = train_view(study is not None, self.facts, status, self._confirming)
        self.learns.setText(self.view.learns)
        self._show_device(status)
        self.effort.refresh(status.busy, self.view.painted)
        self._show_buttons(self.view)
        self._ask(self.view.question)
        self._show_stages(status)
        self.curves.refresh()
        self.watch.refresh(status.busy)
        self.watch.setVisible(self.view.painted)
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

    def _show_buttons(self, view: TrainView) -> None:
        self.train.setText(view.train.text)
        self.train.setToolTip(view.train.tip)
        self.train.setEnabled(view.train.enabled)
        self.train.setVisible(view.train.visible)
        self.review.setVisible(view.review_visible)
        self.anew.setVisible(view.anew_visible)
        self.anew.setEnabled(view.anew_enabled)
        self.effort.setEnabled(self.session.study is not None)

    def _ask(self, question: Question | None) -> None:
        if question is None:
            self.notice.hide()
            return
        actions: dict[Action, Callable[[], None]] = {
            "restart": lambda: self._run("--restart"), "leave": self._leave,
            "keep settings": self._keep_settings, "retry": self._retry,
        }
        choices = [(c.text, c.tip, actions[c.action]) for c in question.choices]
        self.notice.say(question.text, *choices)

    def _show_stages(self, status: JobStatus) -> None:
        self.stages.show_stages(stages_of(self.facts, status), status)
        self.stages.setVisible(self.view.painted)

    def _show_picture(self, study: Study | None) -> None:
        rounds = [] if study is None else list(reversed(study.rounds.numbers()))
        paths = [study.rounds.folder(r) / "previews" / "synthetic.png" for r in rounds if study]
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

    def _retry(self) -> None:
        study, view = self.session.need_study(), self.view
        if view.less is None:
            return
        with self.session.guarded():
            study.set_settings({**study.overrides, **view.less.changes})
            self._run(*(["--restart"] if view.less_is_anew else []))

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
