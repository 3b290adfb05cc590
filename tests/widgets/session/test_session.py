"""The session: masks are kept, work survives a kill, and scans come back where they were left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui_fixtures import process_events, wait_until

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.drafts import drafted, load_draft, save_draft
from napari_singlestrip.study.lock import StudyLock
from napari_singlestrip.study.study import Study

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def session(window: Any, ranked_study: Study) -> Any:
    """A session with the second scan on screen."""
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    return window.session


def edit(session: Any) -> Any:
    """Change the mask as a tool does; return it on the scan's grid."""
    mask = session.layers.editing.mask_on_display()
    mask[:3] ^= True
    session.layers.editing.change(mask)
    return session.layers.editing.mask_on_scan()


def test_without_a_study_everything_says_so(window: Any) -> None:
    session = window.session
    with pytest.raises(UserError, match="There is no study yet"):
        session.need_study()
    told: list[str] = []
    session.told.connect(lambda text, level: told.append(text))
    session.show_scan("x")
    assert told == ["There is no study yet. Add scans in step 1, or open a study."]
    assert session.remembered() == {}
    session.remember()
    session.close_study()


def test_draft_comes_back_when_the_scan_does(session: Any) -> None:
    name, edited = session.scan, edit(session)
    session.show_scan(session.study.scans.names[2])
    session.show_scan(name)
    assert session.layers.showing.now.source == "draft"
    assert np.array_equal(session.layers.editing.mask_on_scan(), edited)


def test_mask_that_is_kept_leaves_no_draft(session: Any) -> None:
    name, edited = session.scan, edit(session)
    changes: list[str] = []
    session.study_changed.connect(changes.append)
    session.keep_mask("corrected", note="neck removed")
    assert drafted(session.study.folder) == ()
    assert {"masks", "decisions", "drafts"} <= set(changes)
    decision = session.study.decisions.all()[name]
    assert (decision.state, decision.note) == ("corrected", "neck removed")
    session.show_scan(name)
    assert session.layers.showing.now.source == "masks"
    assert np.array_equal(session.layers.editing.mask_on_scan(), edited)


def test_empty_mask_is_not_kept(session: Any) -> None:
    session.layers.editing.change(np.zeros_like(session.layers.editing.mask_on_display()))
    with pytest.raises(UserError, match="Nothing is painted"):
        session.keep_mask("painted")


def test_draft_that_is_forgotten_shows_what_was_before(session: Any) -> None:
    before = session.layers.editing.mask_on_scan()
    edit(session)
    session.forget_draft(session.scan)
    assert session.layers.showing.now.source == "pseudo_label"
    assert np.array_equal(session.layers.editing.mask_on_scan(), before)
    session.layers.editing.undo()
    assert np.array_equal(session.layers.editing.mask_on_scan(), before)


def test_decisions_go_to_the_study(session: Any) -> None:
    name = session.scan
    session.decide(name, "accepted")
    assert session.study.decisions.all()[name].state == "accepted"
    edited = edit(session)
    session.decide(name, "corrected")
    assert session.study.decisions.all()[name].state == "corrected"
    session.show_scan(name)
    assert np.array_equal(session.layers.editing.mask_on_scan(), edited)


def test_draft_of_another_shape_is_passed_by(session: Any) -> None:
    name = session.study.scans.names[2]
    save_draft(session.study.folder, name, np.ones((2, 2, 2), bool))
    session.show_scan(name)
    assert session.layers.showing.now.source == "pseudo_label"


def test_full_disk_is_told_and_painting_goes_on(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_singlestrip.widgets.session import session as module

    def fail(*_: Any) -> None:
        raise UserError("The draft was not saved: the disk is full.", "Free some space.")

    told: list[str] = []
    session.told.connect(lambda text, level: told.append(level))
    monkeypatch.setattr(module, "save_draft", fail)
    edited = edit(session)
    session.unsaved.flush()
    assert told == ["error"]
    assert np.array_equal(session.layers.editing.mask_on_scan(), edited)


def test_step_and_scan_are_remembered_at_once(session: Any, window: Any) -> None:
    """napari may be killed at any moment."""
    session.step_requested.emit("review")
    written = json.loads((session.study.folder / "window.json").read_text())
    assert (written["step"], written["scan"]) == ("review", session.scan)
    session.layers.viewpoint.look_at((7, 8, 9))
    session.layers.viewpoint.set_plane("sagittal")
    folder = session.study.folder
    session.close_study()
    window.go_to("scans")
    session.open_study(folder)
    assert session.step == "review"
    assert session.layers.viewpoint.point == (7, 8, 9)
    assert session.layers.viewpoint.plane == "sagittal"


def test_a_scan_is_remembered_when_it_is_on_screen(session: Any, window: Any) -> None:
    """A moment later: the next scan in Review need not wait for the disk."""
    session.show_scan(session.study.scans.names[2])
    assert session.remembered().get("scan") != session.scan
    wait_until(lambda: session.remembered().get("scan") == session.scan)


@pytest.mark.parametrize("content", ("", "[1]", '{"scan": 7, "step": [], "slice": "x"}', "\0"))
def test_damaged_memory_is_no_obstacle(window: Any, ranked_study: Study, content: str) -> None:
    (ranked_study.folder / "window.json").write_text(content)
    window.session.take_study(ranked_study)
    assert window.session.study is ranked_study
    window.session.show_scan(ranked_study.scans.names[1])
    assert window.session.scan == ranked_study.scans.names[1]


def test_second_job_is_refused(session: Any, tmp_path: Path) -> None:
    with StudyLock(session.study.folder), pytest.raises(UserError, match="Another job is working"):
        session.run()


KILLED = """
import os, signal, sys, time
import napari
import numpy as np
from napari_singlestrip.widgets.dock.main_widget import StripWidget
viewer = napari.Viewer()
dock = StripWidget(viewer)
viewer.window.add_dock_widget(dock)
dock.session.open_study(sys.argv[1])
dock.session.show_scan(sys.argv[2])
layer = dock.session.layers.editing.layer
layer.data[:] = 0
layer.brush_size = 1
with layer.block_history():  # as napari does for a stroke
    layer.paint((5, 6, 7), 1)
time.sleep(2)  # a thread writes it, also while the window does nothing
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_stroke_survives_a_kill(qapp: Any, ranked_study: Study) -> None:
    name = ranked_study.scans.names[1]
    command = [sys.executable, "-c", KILLED, str(ranked_study.folder), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == -9, done.stderr
    draft = load_draft(ranked_study.folder, name)
    assert draft is not None
    assert draft.sum() == 1
    process_events()


def test_a_launcher_is_the_persons_not_the_studys(session: Any, study: Study) -> None:
    """A study that somebody sent must not decide which command is run."""
    from napari_singlestrip.widgets.session.user_settings import set_launcher

    (study.folder / "window.json").write_text('{"launcher": ["touch", "owned"]}')
    session.open_study(study.folder)
    assert session.launcher == []
    set_launcher(study.folder, ["ssh", "gpu-box"])
    assert session.launcher == ["ssh", "gpu-box"]


def test_what_commands_change_is_seen_and_what_is_painted_stays(
    window: Any, ranked_study: Study, tmp_path: Path
) -> None:
    """The window's study is followed on disk, and its own changes are made to what is there."""
    session, elsewhere = window.session, Study.open(ranked_study.folder)
    first, second, third = ranked_study.scans.names[1:4]
    session.take_study(ranked_study)
    session.show_scan(first)
    edit(session)
    painted = session.layers.editing.mask_on_scan().copy()
    told: list[str] = []
    session.study_changed.connect(told.append)
    new = tmp_path / "new_T1w.nii.gz"
    shutil.copy(elsewhere.scans.path(first), new)
    elsewhere.scans.add([new])
    elsewhere.decisions.decide(second, "accepted")
    wait_until(lambda: {"scans", "decisions"} <= set(told), "what the command did", 6)
    assert "new_T1w" in ranked_study.scans.names
    assert "study" not in told  # nothing is loaded again
    assert np.array_equal(session.layers.editing.mask_on_scan(), painted)
    ranked_study.scans.remove(third)
    assert "new_T1w" in Study.open(ranked_study.folder).scans.names


def test_a_mask_that_a_command_replaced_is_shown(window: Any, ranked_study: Study) -> None:
    session, elsewhere = window.session, Study.open(ranked_study.folder)
    name = ranked_study.scans.names[1]
    session.take_study(ranked_study)
    session.show_scan(name)
    mask = np.zeros(session.layers.editing.mask_on_scan().shape, bool)
    mask[4:8, 4:8, 4:8] = True
    elsewhere.masks.save(name, mask, "corrected")
    editing = session.layers.editing
    wait_until(lambda: np.array_equal(editing.mask_on_scan(), mask), "the new mask", 6)
    elsewhere.scans.remove(name)
    wait_until(lambda: session.scan == "", "the scan to go", 6)
