"""The effort (quick, standard or thorough), with the estimated time on this computer."""

from __future__ import annotations

from typing import Any, cast

from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QRadioButton, QVBoxLayout, QWidget

from napari_singlestrip.engine.config import EFFORTS, Effort
from napari_singlestrip.events import Finished
from napari_singlestrip.texts import duration
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.session.session import Session

EXPLAINED = {
    "quick": "4 mm voxels: minutes on any computer, to try it out.",
    "standard": "2 mm voxels and longer training: finer outlines.",
    "thorough": "1 mm voxels and the longest training: needs a graphics card.",
}
ESTIMATES = "estimates"  # in window.json


class EffortBox(QWidget):
    """Selects the effort of the study, with a time estimate.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("effort")
        self.session = session
        self._group = QButtonGroup(self)
        self.choices: dict[Effort, QRadioButton] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        efforts = QHBoxLayout()
        efforts.addWidget(QLabel("Effort"))
        for effort in EFFORTS:
            choice = QRadioButton(effort.capitalize())
            choice.setObjectName(f"effort_{effort}")
            choice.setToolTip(EXPLAINED[effort])
            self._group.addButton(choice)
            self.choices[effort] = choice
            efforts.addWidget(choice)
        efforts.addStretch()
        column.addLayout(efforts)
        self.explained = words(name="effort_explained")
        column.addWidget(self.explained)
        self.time = words(name="estimate")
        self.measure = button(
            "Measure", "Time a few real steps on this computer, which takes up to a minute or so",
            self._measure, "measure",
        )
        row = QHBoxLayout()
        row.addWidget(self.time, 1)
        row.addWidget(self.measure)
        column.addLayout(row)
        self._group.buttonClicked.connect(self._chosen)
        self._measured: Effort | None = None
        session.job_event.connect(self._on_event)

    def value(self) -> Effort:
        """Return the selected effort."""
        return next((e for e, choice in self.choices.items() if choice.isChecked()), "quick")

    def setValue(self, effort: Effort) -> None:
        """Select an effort, without storing it."""
        self.choices[effort].setChecked(True)
        self.explained.setText(EXPLAINED[effort])

    def refresh(self, busy: bool, painted: bool) -> None:
        """Show the study's effort and the time estimate, if any."""
        study = self.session.study
        if study is not None:
            self.setValue(cast(Effort, study.effort))
        for choice in self.choices.values():
            choice.setEnabled(study is not None and not busy)
        self.measure.setEnabled(painted and not busy)
        self.time.setText(self._time_text())

    # --- inside

    def _chosen(self) -> None:
        study = self.session.study
        if study is not None and self.value() != study.effort:
            with self.session.guarded():
                study.set_settings(effort=self.value())
            self.setValue(cast(Effort, study.effort))  # as stored, also after a failure

    def _measure(self) -> None:
        study = self.session.study
        if study is None:
            return
        with self.session.guarded():
            self.session.start_job(["estimate", str(study.folder)], "estimate")
            self._measured = self.value()

    def _on_event(self, event: Any) -> None:
        effort = self._measured
        if self.session.job.status.busy or self.session.job.status.kind != "estimate":
            return
        if isinstance(event, Finished) and event.summary and effort is not None:
            known = self._estimates()
            # With its settings, as others take a different time.
            known[effort] = {"seconds": event.summary, "overrides": self._overrides()}
            self.session.remember(**{ESTIMATES: known})
            self.time.setText(self._time_text())
            total = duration(sum(event.summary.values()))
            self.session.tell(f"Measured: {effort} takes about {total} on this computer.")

    def _time_text(self) -> str:
        if self.session.job.status.busy and self.session.job.status.kind == "estimate":
            return "Timing a few steps…"
        known = self._estimates().get(self.value())
        if not known or known.get("overrides") != self._overrides():
            return "How long on this computer?"
        seconds = known["seconds"]
        first = duration(seconds.get("train", 0) + seconds.get("autoencoder", 0))
        rest = duration(seconds.get("predict", 0) + seconds.get("rank", 0))
        total = duration(sum(seconds.values()))
        return f"<b>About {total}</b> on this computer: training {first}, other scans {rest}"

    def _estimates(self) -> dict[str, Any]:
        known = self.session.remembered().get(ESTIMATES, {})
        return known if isinstance(known, dict) else {}

    def _overrides(self) -> dict[str, Any]:
        return {} if self.session.study is None else self.session.study.overrides
