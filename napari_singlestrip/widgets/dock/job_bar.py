"""The bar at the bottom of every step: state of the job, time left, pause and stop."""

from __future__ import annotations

import time
from contextlib import suppress

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QGuiApplication, QResizeEvent
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
from napari_singlestrip.texts import duration, printable
from napari_singlestrip.vocabulary import STAGE_WORDS, StudyPart
from napari_singlestrip.widgets.common.colours import style_of
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.session.job_process import FOLLOW, JobStatus
from napari_singlestrip.widgets.session.session import Session

LEVELS = ("info", "warning", "error")
SAME_MOMENT_MS = 50  # a message that comes with a change is about the new state
READ_MS = 8000  # while a job runs, a message is shown this long
MARGIN, SPACING = 8, 6  # pixels
PADDING = 6  # pixels around a text in napari's theme
PROGRESS = 5  # pixels, of its height
MADE = {"report": "The report is written: Open report shows it."}  # by kind of job
LOG_LINES = 400
LOG_SHOWN = 100_000  # characters at the end of job.log


class JobBar(QWidget):
    """Progress with time left, pause, stop, log, and the latest message.

    The message has the place of the job's line, where there is room for two lines: what is above
    the bar does not move when it comes and goes. While a job runs, the job's line comes back soon,
    unless the message is a warning or an error.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("job_bar")
        self.log: list[str] = []
        self.message = words(name="message")
        self.message.setTextFormat(Qt.TextFormat.PlainText)  # file names may hold <brackets>
        self._level = "info"
        self._said = self._out = ""
        self._of_job = self._busy = False
        # Runs while the message is new.
        self._new = single_shot(self, SAME_MOMENT_MS)
        self._read = single_shot(self, READ_MS, self._on_read)
        self.progress = QProgressBar(self)
        self.progress.setObjectName("progress")
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(PROGRESS)
        self.label = QLabel()
        self.label.setObjectName("job_label")
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setWordWrap(True)  # the buttons beside it leave it 200 pixels
        self.pause = button("Pause", "Pause the job; it resumes where it stopped",
                            self._pause, "pause")
        self.stop = button("Stop", "Save and stop: the next run resumes from here",
                           session.job.cancel, "stop")
        self.show_log = button("Log", "Messages of the job, to copy into a question or bug report",
                               self._open_log, "log")
        self._lay_out()
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._tick)
        session.job_changed.connect(self.show_status)
        session.job_event.connect(self.show_event)
        session.told.connect(self.tell)
        session.step_requested.connect(self._on_step)
        session.scan_changed.connect(self._passed)
        session.mask_edited.connect(self._passed)
        session.study_changed.connect(self._on_study)
        self.show_status(session.job.status)

    def tell(self, text: str, level: str = "info", out: str = "") -> None:
        """Show a message for as long as it applies; names in it may contain anything.

        It disappears with its subject: the step, the scan, the mask or its decision, the study; the
        outcome of a job, when the next one starts. `out` is a path to show on a line of its own,
        shortened if need be.
        """
        self._of_job = False
        self._new.start()
        self._read.start()
        text = "\n".join(printable(line) for line in text.split("\n"))
        self._said, self._out = text, printable(out)
        self._write()
        self._level = level if level in LEVELS else "info"
        self._colour()
        self.message.setVisible(bool(text))
        self._place()
        self._keep(f"{text} {self._out}".strip())

    def show_status(self, status: JobStatus) -> None:
        """Show the job's snapshot."""
        if status.busy and not self._busy:
            self.forget()
        self._busy = status.busy
        self._place()
        self.label.setText(in_words(status))
        self.label.setToolTip(status.device)
        self.progress.setVisible(status.busy)
        self.progress.setMaximum(status.n_steps)  # 0 of 0 shows a busy indicator
        self.progress.setValue(status.step)
        self.stop.setVisible(status.busy)
        self.pause.setVisible(status.busy and status.kind != FOLLOW)
        self.pause.setText("Resume" if status.state == "paused" else "Pause")
        self.pause.setEnabled(status.state in ("running", "paused"))
        self.stop.setEnabled(status.state != "stopping")
        if status.busy:
            self._clock.start()
        else:
            self._clock.stop()

    def show_event(self, event: Event) -> None:
        """Show the message of an event."""
        if self.session.job.status.by_itself and _needs_nobody(event):
            self._keep(getattr(event, "text", ""))
        elif isinstance(event, Note):
            self.tell(event.text, event.level)
            self._keep(event.traceback)
        elif isinstance(event, (Failed, Crashed, Cancelled, Finished)):
            status = self.session.job.status
            made = isinstance(event, Finished) and (event.n_done or not event.n_failed)
            out = status.out if made else ""
            self.tell(*ending(event, status.kind, out), out)
            self._of_job = True
            if isinstance(event, Failed) and event.traceback:
                self._keep(event.traceback)
            if isinstance(event, Crashed):
                self._keep(event.stderr_tail)

    def forget(self) -> None:
        """Clear the message; the log keeps it."""
        self._said = self._out = ""
        self._write()
        self.message.hide()
        self._place()

    # --- inside

    def _passed(self, *_: object) -> None:
        """Clear a message about an earlier step, scan or mask."""
        if self.message.text() and not self._of_job and not self._new.isActive():
            self.setMinimumHeight(self.height())  # of a long one: the pointer is over a button
            self.forget()

    def _on_step(self, _step: str) -> None:
        self._passed()
        self.setMinimumHeight(0)

    def _write(self) -> None:
        """Write the message, and below it the path, with dots in its middle if it is too long."""
        self.message.setToolTip(self._out)
        if not self._out:
            self.message.setText(self._said)
            return
        beside = [one for one in (self.pause, self.stop, self.show_log) if not one.isHidden()]
        taken = sum(one.sizeHint().width() + SPACING for one in beside)
        width = self.width() - 2 * MARGIN - taken - 2 * PADDING
        metrics = self.message.fontMetrics()
        path = metrics.elidedText(self._out, Qt.TextElideMode.ElideMiddle, width)
        self.message.setText(f"{self._said}\n{path}")

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Show as much of a path as there is room for, and the progress above the texts.

        The progress lies in their padding, so that nothing moves when it is shown.
        """
        super().resizeEvent(event)
        self.progress.setGeometry(MARGIN, 0, self.width() - 2 * MARGIN, PROGRESS)
        if self._out:
            self._write()

    def _place(self) -> None:
        """Show the message or the job's line."""
        self.label.setVisible(self.message.isHidden())

    def _on_read(self) -> None:
        if self._busy and self._level == "info":
            self.forget()

    def _on_study(self, what: StudyPart) -> None:
        other = self._of_job or not self._new.isActive()  # a job ends when its study is left
        if what == StudyPart.STUDY and other:
            self.forget()
        elif what == StudyPart.DECISIONS:
            self._passed()

    def _lay_out(self) -> None:
        row, column = QHBoxLayout(), QVBoxLayout(self)
        row.setSpacing(SPACING)
        for said in (self.message, self.label):
            row.addWidget(said, 1)
        for widget in (self.pause, self.stop, self.show_log):
            row.addWidget(widget)
        column.setContentsMargins(MARGIN, 2, MARGIN, 4)
        column.addLayout(row)
        self.progress.raise_()  # above the texts' backgrounds
        self.message.hide()
        self._reserve()

    def _reserve(self) -> None:
        """Leave room for two lines, beside which a button is lower."""
        for text in (self.label, self.message):
            text.ensurePolished()
            text.setMinimumHeight(2 * text.fontMetrics().lineSpacing() + PADDING)

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow napari's theme: it sets the style of the whole window."""
        if event is not None and event.type() == QEvent.Type.StyleChange:
            self._colour()
            self._reserve()
        super().changeEvent(event)

    def _colour(self) -> None:
        style = style_of(self, self._level)
        if style != self.message.styleSheet():
            self.message.setStyleSheet(style)

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
        # Not modal, so that work can continue.
        dialog = LogDialog(self._log_text(), self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.show()

    def _log_text(self) -> str:
        study = self.session.study
        written = ""
        if study is not None and (study.folder / "job.log").is_file():
            with suppress(OSError):
                written = (study.folder / "job.log").read_text(encoding="utf-8", errors="replace")
        here = "\n".join(self.log)
        return f"{written[-LOG_SHOWN:]}\n--- this window ---\n{here}".strip()


class LogDialog(QDialog):
    """The log, with a button that copies it."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("log_dialog")
        self.setWindowTitle("Log")
        self.resize(760, 420)
        self.text = QPlainTextEdit(text)
        self.text.setReadOnly(True)
        self.text.setTabChangesFocus(True)
        self.text.setToolTip("The latest is at the bottom")
        self.text.moveCursor(self.text.textCursor().MoveOperation.End)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = buttons.addButton("Copy all", QDialogButtonBox.ButtonRole.ActionRole)
        assert copy is not None
        copy.setToolTip("To paste it into an email or an issue")
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
    before = {"paused": "Paused: ", "stopping": "Stopping: "}.get(status.state, "")
    before += "by itself: " if status.by_itself else ""
    parts = [before[:1].upper() + before[1:] + (what[0].lower() + what[1:] if before else what)]
    if status.stage_number and len(status.stages) > 1:
        parts[0] += f" ({status.stage_number} of {len(status.stages)})"
    if status.n_steps:
        parts.append(f"{status.step} of {status.n_steps}")
    else:
        parts.append(duration(time.monotonic() - status.began))
    if status.seconds_left is not None and status.state == "running":
        parts.append(f"{duration(status.seconds_left)} left")
    return "  ·  ".join(parts)


def _needs_nobody(event: Event) -> bool:
    """Whether an event of a job that nobody asked for leaves the message of a person alone."""
    if isinstance(event, Failed):
        return event.in_use  # another window began the same before
    return isinstance(event, Finished) or (isinstance(event, Note) and event.level == "info")


def ending(event: Event, kind: str = "", out: str = "") -> tuple[str, str]:
    """Describe how a job of some kind ended, with the severity; what it wrote (`out`) follows."""
    if isinstance(event, Finished) and event.n_failed:
        scans = "1 scan" if event.n_failed == 1 else f"{event.n_failed} scans"
        how = "Finished, but" if event.n_done else "Nothing was done:"
        return f"{how} {scans} failed. See the log.", "warning"
    if isinstance(event, Finished):
        took = f" in {duration(event.seconds)}" if event.seconds >= 1 else ""
        return MADE.get(kind, f"Done{took}{':' if out else '.'}"), "info"
    if isinstance(event, Cancelled):
        return "Saved and stopped. The next run resumes from here.", "info"
    if isinstance(event, Failed):
        return f"{event.what} {event.hint}".strip(), "error"
    assert isinstance(event, Crashed)
    said = event.stderr_tail.strip().splitlines()
    last = f' It said: "{said[-1][:160]}"' if said and event.exit_code > 0 else ""
    return (
        f"The job's process ended unexpectedly ({_crash(event.exit_code)}).{last} Nothing in the "
        "study is lost: the next run resumes from the last save. See the log.",
        "error",
    )


def _crash(code: int) -> str:
    known = {9: "killed, perhaps for lack of memory", 11: "crashed", 6: "aborted"}
    number = -code if code < 0 else code - 128 if 128 < code < 160 else 0
    return known.get(number, f"exit code {code}")
