"""The bar at the bottom of every step: what the job does, how long it takes, and how to stop it."""

from __future__ import annotations

import time

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_singlestrip.events import Cancelled, Crashed, Event, Failed, Finished, Note
from napari_singlestrip.widgets.job import JobStatus
from napari_singlestrip.widgets.panel import button, words
from napari_singlestrip.widgets.session import Session

STAGE_WORDS = {
    "": "Starting",
    "train": "Training the segmenter",
    "autoencoder": "Training the autoencoder",
    "predict": "Predicting masks",
    "rank": "Ranking masks",
    "finetune": "Fine-tuning",
    "apply": "Applying the model",
    "heads": "Making sample heads",
    "report": "Writing the report",
}
COLOURS = {"info": "", "warning": "color: #e0a030;", "error": "color: #ff6b5b;"}
LOG_LINES = 400


class JobBar(QWidget):
    """Progress with time left, pause, stop, log, and the last thing that was said."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("job_bar")
        self.log: list[str] = []
        self.message = words(name="message")
        self.progress = QProgressBar()
        self.progress.setObjectName("progress")
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.label = QLabel()
        self.label.setObjectName("job_label")
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.pause = button("Pause", "Let the job wait; it goes on where it stopped",
                            self._pause, "pause")
        self.stop = button("Stop", "Stop and keep what was reached: starting again goes on there",
                           session.job.cancel, "stop")
        self.show_log = button("Log", "What the job said: copy it into a question or a report",
                               self._open_log, "log")
        self._lay_out()
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._tick)
        session.job_changed.connect(self.show_status)
        session.job_event.connect(self.show_event)
        session.told.connect(self.tell)
        self.show_status(session.job.status)

    def tell(self, text: str, level: str = "info") -> None:
        """Show a sentence until the next one."""
        self.message.setText(text)
        self.message.setStyleSheet(COLOURS[level])
        self.message.setVisible(bool(text))
        self._keep(text)

    def show_status(self, status: JobStatus) -> None:
        """Show the job's snapshot."""
        self.label.setText(in_words(status))
        self.label.setToolTip(status.device)
        self.progress.setVisible(status.busy)
        self.progress.setMaximum(status.n_steps)  # 0 of 0 shows that it is busy
        self.progress.setValue(status.step)
        for widget in (self.pause, self.stop):
            widget.setVisible(status.busy)
        self.pause.setText("Resume" if status.state == "paused" else "Pause")
        self.pause.setEnabled(status.state in ("running", "paused"))
        self.stop.setEnabled(status.state != "stopping")
        if status.busy:
            self._clock.start()
        else:
            self._clock.stop()

    def show_event(self, event: Event) -> None:
        """Say what a person should know of an event."""
        if isinstance(event, Note):
            self.tell(event.text, event.level if event.level in COLOURS else "info")
        elif isinstance(event, (Failed, Crashed, Cancelled, Finished)):
            self.tell(*ending(event))
            if isinstance(event, Failed) and event.traceback:
                self._keep(event.traceback)
            if isinstance(event, Crashed):
                self._keep(event.stderr_tail)

    # --- inside

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.label, 1)
        for widget in (self.pause, self.stop, self.show_log):
            row.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 6)
        column.setSpacing(4)
        column.addWidget(self.message)
        column.addWidget(self.progress)
        column.addLayout(row)
        self.message.hide()

    def _tick(self) -> None:
        self.label.setText(in_words(self.session.job.status))

    def _pause(self) -> None:
        job = self.session.job
        if job.status.state == "paused":
            job.resume()
        else:
            job.pause()

    def _keep(self, text: str) -> None:
        if text:
            self.log.append(f"{time.strftime('%H:%M:%S')}  {text}")
            del self.log[:-LOG_LINES]

    def _open_log(self) -> None:
        LogDialog(self._log_text(), self).exec()

    def _log_text(self) -> str:
        study = self.session.study
        written = ""
        if study is not None and (study.folder / "job.log").is_file():
            written = (study.folder / "job.log").read_text(encoding="utf-8", errors="replace")
        here = "\n".join(self.log)
        return f"{written[-100_000:]}\n--- this window ---\n{here}".strip()


class LogDialog(QDialog):
    """The log, with a button that copies it."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Log")
        self.resize(760, 420)
        self.text = QPlainTextEdit(text)
        self.text.setReadOnly(True)
        self.text.moveCursor(self.text.textCursor().MoveOperation.End)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = buttons.addButton("Copy all", QDialogButtonBox.ButtonRole.ActionRole)
        copy.setToolTip("To paste it into a mail or an issue")
        copy.clicked.connect(self._copy)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(self.text)
        column.addWidget(buttons)

    def _copy(self) -> None:
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.text.toPlainText())


def in_words(status: JobStatus) -> str:
    """Describe the job's status in one line."""
    if not status.busy:
        return "No job is running."
    what = STAGE_WORDS.get(status.stage, status.stage)
    if status.state in ("paused", "stopping", "starting"):
        what = {"paused": "Paused: ", "stopping": "Stopping: ", "starting": ""}[
            status.state
        ] + what.lower()
    step = f" - {status.step} of {status.n_steps}" if status.n_steps else ""
    left = "" if status.seconds_left is None else f" - {duration(status.seconds_left)} left"
    spent = "" if status.n_steps else f" - {duration(time.monotonic() - status.began)}"
    return f"{what}{step}{left}{spent}".capitalize() if status.state == "starting" else (
        f"{what}{step}{left}{spent}"
    )


def duration(seconds: float) -> str:
    """Say a time span: "40 s", "3 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def ending(event: Event) -> tuple[str, str]:
    """Say how a job ended, and how bad that is."""
    if isinstance(event, Finished):
        return f"Done in {duration(event.seconds)}.", "info"
    if isinstance(event, Cancelled):
        return "Stopped. What was reached is kept: start again to go on from there.", "info"
    if isinstance(event, Failed):
        return f"{event.what} {event.hint}".strip(), "error"
    assert isinstance(event, Crashed)
    return (
        f"The job's process ended unexpectedly ({_crash(event.exit_code)}). Nothing in the study "
        "is lost: start again to go on from the last save. The log says more.",
        "error",
    )


def _crash(code: int) -> str:
    known = {9: "killed, perhaps for lack of memory", 11: "crashed", 6: "aborted"}
    number = -code if code < 0 else code - 128 if code > 128 else 0
    return known.get(number, f"exit code {code}")
