"""The job bar: what it says of a job, how a job is paused and stopped, and the log."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gui_fixtures import child, click, process_events, wait_until
from qtpy.QtCore import QPoint
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QWidget

from napari_singlestrip.events import Cancelled, Crashed, Failed, Finished, Note
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import duration
from napari_singlestrip.widgets.dock.job_bar import JobBar, LogDialog, ending, in_words
from napari_singlestrip.widgets.dock.main_widget import StripWidget
from napari_singlestrip.widgets.session import job_process as job_module
from napari_singlestrip.widgets.session.job_process import JobStatus
from napari_singlestrip.widgets.session.session import Session

pytest_plugins = ("gui_fixtures",)

SCRIPT = """
import json, os, select, sys, time
def say(kind, **fields):
    os.write(1, (json.dumps({"event": kind, **fields}) + "\\n").encode())
"""


@pytest.fixture
def bar(qapp: object) -> Iterator[JobBar]:
    from napari.components import ViewerModel

    holder = QWidget()
    session = Session(ViewerModel(), holder)
    made = JobBar(session)
    made.setParent(holder)
    made.resize(400, 120)
    holder.resize(400, 120)
    holder.show()
    process_events()
    yield made
    session.close()
    holder.close()
    holder.deleteLater()


def begin(bar: JobBar, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    script = SCRIPT + textwrap.dedent(body)
    monkeypatch.setattr(job_module, "local_command", lambda: [sys.executable, "-S", "-c", script])
    bar.session.start_job(["run", "study"], "run", ("train", "autoencoder", "predict", "rank"))


TRAINING = """
say("Started", stage="autoencoder", device="CPU")
for step in range(1, 1000):
    if select.select([0], [], [], 0.02)[0]:
        word = sys.stdin.readline().strip()
        while word == "pause":
            word = sys.stdin.readline().strip()
        if word == "cancel":
            say("Cancelled", stage="autoencoder", step=step)
            break
    say("Progress", stage="autoencoder", step=step, n_steps=1000, seconds_left=100.0)
"""


def test_idle_bar_offers_only_the_log(bar: JobBar) -> None:
    assert bar.label.text() == "No job is running."
    assert not bar.pause.isVisible()
    assert not bar.stop.isVisible()
    assert not bar.progress.isVisible()
    assert bar.show_log.isVisible()


def test_pause_resume_stop_by_mouse(bar: JobBar, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(bar, monkeypatch, TRAINING)
    assert "Starting" in bar.label.text()
    wait_until(lambda: bar.session.job.status.step > 3, "progress")
    assert "Training the autoencoder (2 of 4)" in bar.label.text()
    assert "2 min left" in bar.label.text()
    assert bar.progress.value() > 0
    click(bar.pause)
    assert bar.pause.text() == "Resume"
    assert bar.label.text().startswith("Paused: training the autoencoder")
    click(bar.pause)
    assert bar.pause.text() == "Pause"
    step = bar.session.job.status.step
    wait_until(lambda: bar.session.job.status.step > step, "more progress")
    began = time.monotonic()
    click(bar.stop)
    assert not bar.stop.isEnabled() or not bar.stop.isVisible()
    wait_until(lambda: not bar.session.job.status.busy, "the end")
    assert time.monotonic() - began < 3
    assert "Saved" in bar.message.text()
    assert not bar.stop.isVisible()


def test_second_job_is_refused_in_words(bar: JobBar, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(bar, monkeypatch, TRAINING)
    with bar.session.guarded():
        bar.session.start_job(["run", "study"], "run")
    assert "running" in bar.message.text()


def test_full_disk_and_crash_are_sentences(bar: JobBar, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(bar, monkeypatch, """
        say("Failed", what="The disk is full: No space left on device.", hint="Free some space.")
    """)
    wait_until(lambda: not bar.session.job.status.busy, "the end")
    assert bar.message.text() == "The disk is full: No space left on device. Free some space."
    begin(bar, monkeypatch, """
        sys.stderr.write("Segmentation fault in conv3d\\n")
        sys.stderr.flush()
        os.kill(os.getpid(), 11)
    """)
    wait_until(lambda: not bar.session.job.status.busy, "the end")
    assert "crashed" in bar.message.text()
    assert "conv3d" in "\n".join(bar.log)  # the log says more


def test_log_can_be_copied(bar: JobBar, study: Study) -> None:
    bar.session.take_study(study)
    (study.folder / "job.log").write_text("what the job said\n", encoding="utf-8")
    bar.session.tell("what the window said")
    click(bar.show_log)
    dialog: Any = child(bar, "log_dialog")
    assert isinstance(dialog, LogDialog)
    assert not dialog.isModal()  # the window continues
    text = dialog.text.toPlainText()
    assert "what the job said" in text
    assert "what the window said" in text
    dialog._copy()
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    assert clipboard.text() == text
    dialog.close()


def test_messages_have_the_colour_of_their_level(bar: JobBar) -> None:
    bar.session.tell("<b>file</b>.nii is odd", "warning")
    assert bar.message.text() == "<b>file</b>.nii is odd"  # shown as it is
    holder: Any = bar.parentWidget()
    colours = set()
    for background, text in (("#222", "#eee"), ("#eee", "#222")):
        holder.setStyleSheet(f"QWidget {{ background: {background}; color: {text}; }}")
        process_events()
        colours.add(bar.message.styleSheet())
    assert len(colours) == 2
    bar.session.tell("fine")
    assert bar.message.styleSheet() == ""


@pytest.mark.parametrize(("event", "words", "level"), [
    (Finished(150.0), "Done in 2 min", "info"),
    (Finished(0.3), "Done.", "info"),
    (Finished(150.0, n_done=3, n_failed=2), "Finished, but 2 scans failed", "warning"),
    (Finished(150.0, n_failed=1), "Nothing was done: 1 scan failed", "warning"),
    (Cancelled("train", 3), "resumes from here", "info"),
    (Failed("It is broken.", "Mend it."), "It is broken. Mend it.", "error"),
    (Crashed(-9, ""), "lack of memory", "error"),
    (Crashed(137, ""), "lack of memory", "error"),
    (Crashed(-11, ""), "crashed", "error"),
    (Crashed(255, "a\nssh: no route to host\n"), "no route to host", "error"),
])
def test_endings(event: Any, words: str, level: str) -> None:
    assert words in ending(event)[0]
    assert ending(event)[1] == level


def test_the_end_says_where_the_files_are(bar: JobBar, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Path("/data/the study of all the heads/results of the second visit/applied/of today")
    script = SCRIPT + 'say("Finished", seconds=150.0, n_done=2)'
    monkeypatch.setattr(job_module, "local_command", lambda: [sys.executable, "-S", "-c", script])
    bar.session.start_job(["apply", "study"], "apply", out=out)
    wait_until(lambda: not bar.session.job.status.busy, "the end")
    first, shown = bar.message.text().split("\n")
    assert first == "Done in 2 min:"
    assert shown.startswith("/data") and "…" in shown and shown.endswith("of today")
    assert bar.message.toolTip() == str(out)
    assert str(out) in bar.log[-1]
    assert bar.message.fontMetrics().horizontalAdvance(shown) <= bar.message.width()
    bar.resize(1200, 120)
    process_events()
    assert bar.message.text().split("\n")[1] == str(out)
    bar.session.tell("Something else")
    assert bar.message.text() == "Something else" and not bar.message.toolTip()


@pytest.mark.parametrize(("end", "said"), [("n_done=1, n_failed=1", True), ("n_failed=2", False)])
def test_a_folder_in_which_nothing_is_is_not_told(
    bar: JobBar, monkeypatch: pytest.MonkeyPatch, end: str, said: bool
) -> None:
    script = SCRIPT + f'say("Finished", seconds=1.0, {end})'
    monkeypatch.setattr(job_module, "local_command", lambda: [sys.executable, "-S", "-c", script])
    bar.session.start_job(["masks", "study"], "masks", out=Path("/data/masks"))
    wait_until(lambda: not bar.session.job.status.busy, "the end")
    assert ("/data/masks" in bar.message.text()) is said


def test_a_report_is_told_with_the_button_that_shows_it(
    window: StripWidget, ranked_study: Study
) -> None:
    says, level = ending(Finished(0.3), "report")
    button = child(window.panels["apply"], "open_report").text()
    assert button in says and level == "info"
    assert ending(Finished(0.3, n_failed=1), "report")[1] == "warning"


def test_words_of_a_status() -> None:
    assert in_words(JobStatus()) == "No job is running."
    running = JobStatus("running", "run", "train", 5, 9, 200.0, stages=("train", "rank"))
    assert in_words(running) == "Training the segmenter (1 of 2)  ·  5 of 9  ·  3 min left"
    stopping = JobStatus("stopping", "apply", "apply", 1, 2, 3.0)
    assert in_words(stopping) == "Stopping: applying the model  ·  1 of 2"
    unasked = replace(stopping, state="running", by_itself=True, seconds_left=None)
    assert in_words(unasked) == "By itself: applying the model  ·  1 of 2"
    assert in_words(replace(unasked, state="paused")).startswith("Paused: by itself: applying")


@pytest.mark.parametrize(("seconds", "words"), [
    (-1, "0 s"), (40.4, "40 s"), (179, "3 min"), (7800, "2 h 10 min"),
])
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_notes_are_told_and_kept(bar: JobBar, tmp_path: Path) -> None:
    bar.session.job_event.emit(Note("Round 1 trains on 3 masks.", "odd level"))
    assert bar.message.text() == "Round 1 trains on 3 masks."
    for n in range(500):
        bar.session.tell(f"sentence {n}")
    assert len(bar.log) <= 400
    assert bar.log[-1].endswith("sentence 499")


def test_names_in_messages_are_shown_as_they_are(bar: JobBar) -> None:
    bar.tell("sub\x1b[2J\u202e-01 is\nhere")
    assert bar.message.text() == "sub\\x1b[2J\\u202e-01 is\nhere"


# --- a message goes with what it was about


def test_message_goes_with_its_step_and_scan(window: StripWidget, ranked_study: Study) -> None:
    session, bar = window.session, window.job_bar
    session.take_study(ranked_study)
    for leave in (
        lambda: session.step_requested.emit("train"),
        lambda: session.show_scan(ranked_study.scans.names[1]),
        lambda: session.mask_edited.emit(),
        lambda: session.decide(ranked_study.scans.names[1], "accepted"),
        session.close_study,
    ):
        session.tell("Filled 41 slices.")
        assert bar.message.isVisible()
        wait_until(lambda: not bar._new.isActive(), "the next moment")
        leave()
        assert not bar.message.isVisible() and bar.message.text() == ""
    assert "Filled 41 slices." in bar.log[-1]


def test_what_is_told_along_with_a_change_stays(window: StripWidget, ranked_study: Study) -> None:
    window.session.take_study(ranked_study)
    window.session.tell("All ranked masks are decided.")
    window.session.show_scan(ranked_study.scans.names[1])
    assert window.job_bar.message.text() == "All ranked masks are decided."


def test_how_a_job_ended_stays_until_the_next_one(
    window: StripWidget, ranked_study: Study
) -> None:
    window.session.take_study(ranked_study)
    bar = window.job_bar
    bar.show_event(Failed("The disk is full.", "Free some space."))
    wait_until(lambda: not bar._new.isActive(), "the next moment")
    window.session.step_requested.emit("train")
    assert "disk is full" in bar.message.text()
    bar.show_status(JobStatus("starting", "run"))
    assert bar.message.text() == ""


def test_how_a_job_ended_goes_with_the_study_it_was_about(
    window: StripWidget, ranked_study: Study, study: Study
) -> None:
    window.session.take_study(ranked_study)
    window.job_bar.show_event(Cancelled("train", 3))  # as leaving its study ends a job
    window.session.take_study(study)
    assert window.job_bar.message.text() == ""


def test_nothing_moves_when_a_message_comes_and_goes(
    window: StripWidget, ranked_study: Study
) -> None:
    """A click that makes it go must meet the button that the pointer is over."""
    session, bar = window.session, window.job_bar
    session.take_study(ranked_study)
    session.step_requested.emit("scans")
    process_events()
    remove = child(window, "remove_scan")

    def place() -> QPoint:
        process_events()
        return remove.mapTo(window, QPoint())

    before = place()
    session.tell("Removed from the study: sample-01_T1w. No file was deleted: it can come back.")
    assert bar.message.isVisible() and place() == before
    session.tell("A name that fills the line. " * 12, "error")
    wait_until(lambda: not bar._new.isActive(), "the next moment")
    higher = place()
    session.show_scan(ranked_study.scans.names[1])
    assert not bar.message.isVisible() and place() == higher != before
    session.step_requested.emit("paint")
    session.step_requested.emit("scans")
    assert place() == before


def test_nothing_moves_when_a_message_comes_while_a_job_runs(
    window: StripWidget, ranked_study: Study
) -> None:
    """As in the demo: heads are generated while one paints, and *Done* is above the bar."""
    session, bar = window.session, window.job_bar
    session.take_study(ranked_study)
    session.step_requested.emit("paint")
    done = child(window, "paint_done")

    def place() -> QPoint:
        process_events()
        return done.mapTo(window, QPoint())

    before = place()
    session.job._set(JobStatus("running", "samples", "heads", 4, 12, 20.0, stages=("heads",)))
    assert bar.label.isVisible() and place() == before
    session.tell("Filled 29 slices between 4 painted ones. Undo: Ctrl+Z.")
    assert bar.message.isVisible() and not bar.label.isVisible() and place() == before
    assert bar.progress.isVisible() and bar.stop.isVisible()
    lowest = bar.progress.geometry().bottom()
    assert bar.progress.width() == bar.width() - 16 and lowest < bar.stop.geometry().top()
    assert lowest < bar.message.geometry().top() + 3  # the padding of its text
    bar._on_read()
    assert bar.label.isVisible() and not bar.message.isVisible() and place() == before
    session.tell("The mask cannot be saved.", "error")
    bar._on_read()
    assert bar.message.isVisible()  # until it is no longer true
    session.job._set(JobStatus())
    assert place() == before
