"""A study that cannot be written: nothing says that it is saved, and nothing painted is lost."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui_fixtures import press_key, process_events
from qtpy.QtCore import Qt

from napari_singlestrip.study.drafts import load_draft, mark_suggested, save_draft, suggested_by
from napari_singlestrip.study.study import Study
from napari_singlestrip.vocabulary import StudyPart
from napari_singlestrip.widgets.session import session as session_module
from napari_singlestrip.widgets.session.unsaved import ClosingWords

pytest_plugins = ("gui_fixtures",)


class Disk:
    """The disk of a study, which can be made read-only; tests may run as root."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read_only = False
        self.folder = folder
        replace = os.replace

        def replace_or_refuse(source: Any, target: Any, **more: Any) -> None:
            if self.read_only and self.folder in Path(target).parents:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))
            replace(source, target, **more)

        monkeypatch.setattr(os, "replace", replace_or_refuse)


@pytest.fixture
def session(window: Any, ranked_study: Study) -> Any:
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    return window.session


@pytest.fixture
def disk(session: Any, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(session.study.folder, monkeypatch)


@pytest.fixture
def told(session: Any) -> list[str]:
    said: list[str] = []
    session.told.connect(lambda text, _level: said.append(text))
    return said


def edit(session: Any, rows: int = 2, flush: bool = True) -> np.ndarray:
    """Change the mask as a tool does, and let it be saved; return it on the scan's grid."""
    mask = session.layers.editing.mask_on_display()
    mask[:rows] ^= True
    session.layers.editing.change(mask)
    if flush:
        session.unsaved.flush()
    return np.asarray(session.layers.editing.mask_on_scan())


def draft_of(folder: Path, name: str) -> np.ndarray:
    """The draft on disk."""
    draft = load_draft(folder, name)
    assert draft is not None
    return draft


class SlowDisk:
    """Drafts are only written once the gate is open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.written: list[np.ndarray] = []
        monkeypatch.setattr(session_module, "save_draft", self._save)

    def open_soon(self) -> None:
        """Open the gate while others wait."""
        threading.Timer(0.2, self.gate.set).start()

    def _save(self, folder: Path, name: str, mask: np.ndarray) -> None:
        assert self.gate.wait(20)
        self.written.append(mask.copy())
        save_draft(folder, name, mask)


@pytest.fixture
def slow_disk(session: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.gate.set()


def test_a_stroke_does_not_wait_for_the_disk(
    window: Any, session: Any, slow_disk: SlowDisk
) -> None:
    folder, name = session.study.folder, session.scan
    edited = edit(session, flush=False)
    process_events()
    assert load_draft(folder, name) is None
    assert session.unfinished() == (name,) and "NOT" not in window.header.text()
    session.show_scan(session.study.scans.names[2])
    session.show_scan(name)
    assert session.layers.showing.now.source == "draft"
    assert np.array_equal(session.layers.editing.mask_on_scan(), edited)
    slow_disk.gate.set()
    session.unsaved.flush()
    assert np.array_equal(draft_of(folder, name), edited)


def test_of_masks_that_wait_only_the_latest_is_written(session: Any, slow_disk: SlowDisk) -> None:
    masks = [edit(session, rows, flush=False) for rows in (1, 2, 3, 4)]
    slow_disk.gate.set()
    session.unsaved.flush()
    assert len(slow_disk.written) == 2  # the first was begun
    for mask, written in zip((masks[0], masks[-1]), slow_disk.written, strict=True):
        assert np.array_equal(mask, written)
    assert np.array_equal(draft_of(session.study.folder, session.scan), masks[-1])


@pytest.mark.parametrize("close", ["close_study", "close"])
def test_closing_waits_for_what_is_written(
    session: Any, slow_disk: SlowDisk, close: str
) -> None:
    folder, name = session.study.folder, session.scan
    edit(session, 1, flush=False)
    edited = edit(session, 2, flush=False)
    slow_disk.open_soon()
    getattr(session, close)()
    assert np.array_equal(draft_of(folder, name), edited)


def test_what_is_discarded_is_not_written_afterwards(session: Any, slow_disk: SlowDisk) -> None:
    before = session.layers.editing.mask_on_scan()
    edit(session, 1, flush=False)
    edit(session, 2, flush=False)
    slow_disk.open_soon()
    session.forget_draft(session.scan)
    process_events()
    session.unsaved.flush()
    assert session.unfinished() == () and load_draft(session.study.folder, session.scan) is None
    assert np.array_equal(session.layers.editing.mask_on_scan(), before)


def test_a_decision_does_not_pass_over_what_is_being_written(
    window: Any, session: Any, slow_disk: SlowDisk
) -> None:
    session.step_requested.emit("review")
    process_events()
    edited, name = edit(session, flush=False), session.scan
    process_events()
    press_key(window.viewer, Qt.Key.Key_A)
    decisions = window.panels["review"].decisions
    assert decisions.question.isVisible() and name not in session.study.decisions.all()
    slow_disk.open_soon()
    decisions._answer()  # discards them, which can be undone
    assert session.study.decisions.all()[name].state == "accepted"
    decisions.take_back()
    assert np.array_equal(draft_of(session.study.folder, name), edited)


def test_lists_hear_of_a_draft_when_it_can_be_read(session: Any, slow_disk: SlowDisk) -> None:
    heard: list[bool] = []

    def hear(what: StudyPart) -> None:
        if what == StudyPart.DRAFTS:
            heard.append(bool(slow_disk.written))

    session.study_changed.connect(hear)
    edit(session, flush=False)
    slow_disk.gate.set()
    session.unsaved.flush()
    edit(session, 3)
    assert heard == [False, True]  # a later stroke is nothing new


def test_where_all_is_undone_nothing_is_unsaved(session: Any) -> None:
    name = session.scan
    edit(session)
    edit(session, 3)
    assert session.unfinished() == (name,)
    heard: list[StudyPart] = []
    session.study_changed.connect(heard.append)
    session.layers.editing.undo()
    session.unsaved.flush()
    assert session.unfinished() == (name,)
    assert heard == []
    session.layers.editing.undo()
    session.unsaved.flush()
    assert session.unfinished() == ()
    assert heard == [StudyPart.DRAFTS]
    session.layers.editing.redo()
    session.unsaved.flush()
    assert session.unfinished() == (name,)


def test_what_is_undone_after_it_was_stored_is_unsaved(session: Any) -> None:
    name, predicted = session.scan, session.layers.editing.mask_on_scan()
    edit(session)
    session.decide(name, "corrected")
    session.layers.editing.undo()
    session.unsaved.flush()
    assert np.array_equal(draft_of(session.study.folder, name), predicted)


def test_the_suggestion_is_known_after_undo_and_redo(session: Any) -> None:
    name, folder = session.scan, session.study.folder
    edit(session)
    mark_suggested(folder, name, "shipped network")
    session.layers.editing.undo()
    session.unsaved.flush()
    assert session.unfinished() == ()
    assert suggested_by(folder, name) == "shipped network"


def test_the_words_say_not_saved_until_it_is(
    window: Any, session: Any, disk: Disk, told: list[str]
) -> None:
    name = session.scan
    edit(session)
    assert "saved 0 s ago" in window.header.text()
    disk.read_only = True
    edited = edit(session, 3)
    assert "read-only" in told[-1]
    assert f"NOT saved: {name}" in window.header.text()
    window._show_header()  # a second later
    assert " ago" not in window.header.text()
    assert not np.array_equal(draft_of(session.study.folder, name), edited)

    disk.read_only = False
    assert session.unsaved.retry()
    assert "NOT" not in window.header.text()
    assert "saved 0 s ago" in window.header.text()
    assert np.array_equal(draft_of(session.study.folder, name), edited)


def test_what_is_not_saved_is_tried_again_by_itself(session: Any, disk: Disk) -> None:
    disk.read_only = True
    edited = edit(session)
    assert session.unsaved._again.isActive()
    disk.read_only = False
    session.unsaved._again.timeout.emit()
    session.unsaved.flush()
    assert np.array_equal(draft_of(session.study.folder, session.scan), edited)
    session.unsaved._again.stop()


def test_what_is_not_saved_comes_back_with_its_scan(window: Any, session: Any, disk: Disk) -> None:
    first, second = session.scan, session.study.scans.names[2]
    disk.read_only = True
    edited = edit(session)
    session.show_scan(second)
    assert f"NOT saved: {first}" in window.header.text()
    session.show_scan(first)
    assert np.array_equal(session.layers.editing.mask_on_scan(), edited)
    study = session.study
    session.close_study()
    session.take_study(study)
    session.show_scan(first)
    assert np.array_equal(session.layers.editing.mask_on_scan(), edited)
    disk.read_only = False
    session.keep_mask("corrected")
    assert "NOT" not in window.header.text()
    assert session.unfinished() == ()


def test_it_is_saved_when_the_window_closes(session: Any, disk: Disk) -> None:
    folder, name = session.study.folder, session.scan
    disk.read_only = True
    edited = edit(session)
    disk.read_only = False
    session.close()
    assert np.array_equal(draft_of(folder, name), edited)


def test_the_question_on_closing_names_strokes_and_jobs(
    window: Any, session: Any, disk: Disk
) -> None:
    manager = window.viewer.window._task_status_manager
    assert manager.get_status() == []
    disk.read_only = True
    edit(session)
    assert any(session.scan in text and "NOT saved" in text for text in manager.get_status())
    disk.read_only = False
    session.unsaved.retry()
    assert manager.get_status() == []
    from napari_singlestrip.widgets.session.job_process import JobStatus

    session._on_job(JobStatus("starting", "run"))
    assert any("job is running" in text for text in manager.get_status())
    session._on_job(JobStatus())
    assert manager.get_status() == []


def test_a_napari_that_collects_no_words_is_no_obstacle() -> None:
    ClosingWords(object()).say("job", "a job is running")


def test_a_decision_that_is_not_written_is_not_taken_for_done(
    window: Any, session: Any, disk: Disk, told: list[str]
) -> None:
    session.step_requested.emit("review")
    process_events()
    panel, name = window.panels["review"], session.scan
    edit(session)
    press_key(window.viewer, Qt.Key.Key_S)  # corrected: and stays so when the next S fails
    session.show_scan(name)
    edited = edit(session, 3)
    disk.read_only = True
    for key in (Qt.Key.Key_S, Qt.Key.Key_R):
        press_key(window.viewer, key)
        assert session.scan == name
        assert np.array_equal(session.layers.editing.mask_on_scan(), edited)
    disk.read_only = False
    assert session.study.decisions.all()[name].state == "corrected"
    assert "NOT saved" in window.header.text()
    panel.decisions._close_question()


def test_changes_that_could_not_be_saved_are_not_passed_over(
    window: Any, session: Any, disk: Disk
) -> None:
    """The folder of drafts is full, that of decisions is not."""
    session.step_requested.emit("review")
    process_events()
    disk.folder = session.study.folder / "drafts"
    disk.read_only = True
    edited, name = edit(session), session.scan
    process_events()
    press_key(window.viewer, Qt.Key.Key_A)
    assert window.panels["review"].decisions.question.isVisible()
    assert name not in session.study.decisions.all()
    assert np.array_equal(session.layers.editing.mask_on_scan(), edited)


def test_a_note_that_is_not_written_is_kept(window: Any, session: Any, disk: Disk) -> None:
    session.step_requested.emit("review")
    process_events()
    panel, name = window.panels["review"], session.scan
    disk.read_only = True
    panel.decisions.note.setText("bite missing")
    panel.decisions.note.setModified(True)
    session.show_scan(session.study.scans.names[2])
    process_events()
    assert "NOT saved" in window.header.text()
    assert panel.decisions.note.text() == ""
    session.show_scan(name)
    process_events()
    assert panel.decisions.note.text() == "bite missing"


def test_settings_that_are_not_stored_are_not_shown(window: Any, session: Any, disk: Disk) -> None:
    session.step_requested.emit("train")
    process_events()
    effort = window.panels["train"].effort
    before, other = effort.value(), "thorough"
    disk.read_only = True
    effort.choices[other].click()
    process_events()
    assert session.study.effort == before == effort.value()
    assert "NOT saved" in window.header.text()


def test_discarding_what_cannot_be_removed_is_told(
    session: Any, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = edit(session)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "unlink", refuse)
    with session.guarded():
        session.forget_draft(session.scan)
    monkeypatch.undo()
    assert "Cannot remove" in told[-1]
    assert np.array_equal(session.layers.editing.mask_on_scan(), edited)
