"""First suggestion: the network in a process of its own, and what takes its place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import scipy
from gui_fixtures import child, click, process_events, wait_until
from qtpy.QtWidgets import QLabel

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.learning import first_network
from napari_singlestrip.study.drafts import suggested_by
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.paint.first_suggestion import BY_NETWORK, BY_SHAPE, WHAT
from napari_singlestrip.widgets.session import job_process

if TYPE_CHECKING:
    from conftest import Heads

    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)
Worker = Callable[[str], None]

FINISHED = '{"event": "Finished", "seconds": 1, "counts": {}, "n_done": 1, "n_failed": 0}'
FAILED = '{"event": "Failed", "what": "The file is no model.", "hint": "Choose another."}'


@pytest.fixture
def panel(window: StripWidget, study: Study, tmp_path: Path, monkeypatch: Any) -> Any:
    """The paint step with an unpainted scan on screen, and a network that is not asked really."""
    network = tmp_path / "network.safetensors"
    network.write_bytes(b"a network")
    monkeypatch.setattr(first_network, "PATH", network)
    window.session.take_study(study)
    window.session.step_requested.emit("paint")
    window.session.show_scan(study.scans.names[1])
    process_events()
    return window.panels["paint"]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Lets a program of the test take the place of the command line."""

    def take(program: str) -> None:
        program = f"import shutil, sys\nmask = sys.argv[sys.argv.index('-m') + 1]\n{program}"
        monkeypatch.setattr(job_process, "local_command", lambda: [sys.executable, "-c", program])

    return take


@pytest.fixture
def told(panel: Any) -> list[str]:
    """What is said to the person."""
    said: list[str] = []
    panel.session.told.connect(lambda text, _level: said.append(text))
    return said


def mask_of(panel: Any) -> Any:
    return np.array(panel.session.layers.editing.mask_on_scan())


def truth_of(panel: Any, heads: Heads) -> Any:
    study, name = panel.session.study, panel.session.scan
    return load_mask(heads.masks[1], like=open_scan(study.scans.path(name)))


def finds(file: Path) -> str:
    return f"shutil.copy({str(file)!r}, mask)\nprint('{FINISHED}', flush=True)"


def finished(panel: Any) -> None:
    wait_until(lambda: not panel.tools.busy, "the suggestion", 60)
    process_events()


def test_the_network_is_asked_and_its_mask_is_one_step_of_undo(
    panel: Any, heads: Heads, worker: Worker, told: list[str]
) -> None:
    worker(finds(heads.masks[1]))
    progress, suggest, seen = child(panel, "suggestion_progress"), child(panel, "suggest"), []
    panel.suggestion.changed.connect(
        lambda status: seen.append((status.busy, progress.isVisible(), suggest.isEnabled()))
    )
    click(suggest)
    finished(panel)

    assert (True, True, False) in seen
    np.testing.assert_array_equal(mask_of(panel), truth_of(panel, heads))
    assert told == [f"A first suggestion by {BY_NETWORK}: correct it, or Ctrl+Z."]
    assert not child(panel, "suggestion_progress").isVisible()
    panel.session.layers.editing.undo()
    assert not mask_of(panel).any()
    panel.session.unsaved.flush()  # a draft is written beside it
    assert not list((panel.session.study.folder / "drafts").glob(".~*"))


def test_a_mask_that_began_as_a_suggestion_is_recorded_as_that(
    panel: Any, heads: Heads, worker: Worker
) -> None:
    worker(finds(heads.masks[1]))
    panel.suggest_first()
    finished(panel)
    session, study, name = panel.session, panel.session.study, panel.session.scan
    assert suggested_by(study.folder, name) == BY_NETWORK
    session.show_scan(study.scans.names[2])  # the window forgets; the study does not
    session.correcting.originals._stories.clear()
    session.show_scan(name)

    panel.finish()

    record = study.masks.records()[name]
    assert record.source == f"suggested by {BY_NETWORK}" and record.is_suggested
    assert suggested_by(study.folder, name) == ""
    session.show_scan(name)
    changed = mask_of(panel)
    changed[:3] = False
    session.layers.editing.change(session.layers.showing.now.upright.to_display(changed))
    panel.finish()
    assert study.masks.records()[name].is_suggested  # corrected later, and still begun as one


def test_a_suggestion_that_was_taken_back_leaves_no_record(
    panel: Any, heads: Heads, worker: Worker
) -> None:
    worker(finds(heads.masks[1]))
    panel.suggest_first()
    finished(panel)
    panel.session.layers.editing.undo()
    mask = np.zeros_like(panel.session.layers.editing.mask_on_display())
    mask[tuple(n // 2 for n in mask.shape)] = True
    panel.session.layers.editing.change(mask)
    panel.finish()
    assert panel.session.study.masks.records()[panel.session.scan].source == ""


def test_a_mask_from_a_file_takes_the_place_of_a_suggestion(
    panel: Any, heads: Heads, worker: Worker
) -> None:
    panel.suggestion.by_shape()
    finished(panel)
    study, name = panel.session.study, panel.session.scan
    assert suggested_by(study.folder, name) == BY_SHAPE
    panel.load_mask(heads.masks[1])
    panel.finish()
    assert study.masks.records()[name].source == ""


def test_the_search_is_stopped(panel: Any, worker: Worker, told: list[str]) -> None:
    worker("sys.stdin.readline()\nprint('{\"event\": \"Cancelled\"}', flush=True)")
    panel.suggest_first()
    process_events()
    says = [w for w in panel.findChildren(QLabel) if w.isVisible() and "Looking" in w.text()]
    assert [w.text() for w in says] == [f"{WHAT} ..."]  # once
    click(child(panel, "stop_suggestion"))
    finished(panel)
    assert not mask_of(panel).any()
    assert told == ["Stopped: the mask is as it was."]


def test_it_stops_with_another_scan_and_with_the_window(panel: Any, worker: Worker) -> None:
    worker("sys.stdin.readline()\nprint('{\"event\": \"Cancelled\"}', flush=True)")
    panel.suggest_first()
    panel.session.show_scan(panel.session.study.scans.names[2])
    finished(panel)
    assert not mask_of(panel).any()
    panel.suggest_first()
    assert panel.suggestion.status.busy  # and the window is closed by its fixture


@pytest.mark.parametrize("why", ("small", "missing", "volume", "failed", "nothing"))
def test_the_shape_of_the_head_takes_its_place(
    panel: Any, heads: Heads, worker: Worker, told: list[str], why: str, monkeypatch: Any
) -> None:
    worker(finds(heads.masks[1]))
    if why == "small":
        monkeypatch.setattr(first_network, "SMALLEST_VIEW_MM", 1000.0)
    elif why == "missing":
        first_network.PATH.unlink()
    elif why == "volume":
        monkeypatch.setattr(first_network, "VOLUMES_ML", (3000.0, 4000.0))
    elif why == "failed":
        worker(f"print('{FAILED}', flush=True)")
    else:
        worker(f"print('{FINISHED}', flush=True)")
    panel.suggest_first()
    finished(panel)

    expected = {"small": "too small for a human head", "missing": "is missing",
                "volume": "no human brain", "failed": "could not be asked",
                "nothing": "found no brain"}
    assert BY_SHAPE in told[0] and expected[why] in told[0]
    assert mask_of(panel).any()
    assert suggested_by(panel.session.study.folder, panel.session.scan) == BY_SHAPE


def test_a_model_that_was_asked_for_is_taken_at_its_word(
    panel: Any, heads: Heads, worker: Worker, told: list[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(first_network, "VOLUMES_ML", (3000.0, 4000.0))
    worker(finds(heads.masks[1]))
    panel.suggestion.by_model(Path("mice.safetensors"))
    finished(panel)
    np.testing.assert_array_equal(mask_of(panel), truth_of(panel, heads))
    panel.session.layers.editing.undo()
    worker(f"print('{FAILED}', flush=True)")
    panel.suggestion.by_model(Path("letter.txt"))
    finished(panel)
    assert not mask_of(panel).any()
    assert told[-1] == "The file is no model. Choose another."
    worker("sys.exit(9)")
    panel.suggestion.by_model(Path("letter.txt"))
    finished(panel)
    assert "ended unexpectedly" in told[-1]


def test_a_study_suggests_for_another(
    panel: Any, trained_study: Study, told: list[str]
) -> None:
    panel.suggestion.by_model(trained_study.folder)
    finished(panel)
    assert told[-1].startswith("A first suggestion by study") or "No brain" in told[-1]
    assert mask_of(panel).any() == told[-1].startswith("A first")


def test_without_any_network_a_suggestion_follows_and_a_place_to_look_is_told(
    panel: Any, heads: Heads, told: list[str]
) -> None:
    panel.suggestion.by_shape()
    finished(panel)
    assert not panel.session.study.rounds.numbers()
    follows_a_slice(panel, told)


def test_a_scan_of_three_slices_without_any_network_follows(
    window: StripWidget, tmp_path: Path
) -> None:
    rows, columns, _ = np.indices((60, 60, 3))
    ball = (rows - 30) ** 2 + (columns - 30) ** 2 < 400
    picture = nib.Nifti1Image(100 * ball.astype(np.int16), np.diag([3, 3, 30, 1]))
    nib.save(picture, tmp_path / "few.nii.gz")
    window.session.take_study(Study.create(tmp_path / "study", [tmp_path / "few.nii.gz"]))
    window.session.step_requested.emit("paint")
    window.session.show_scan("few")
    process_events()
    panel, said = window.panels["paint"], []
    panel.session.told.connect(lambda text, _level: said.append(text))
    now = panel.session.layers.showing.now
    assert now is not None
    mask = now.upright.to_display(ball)
    panel.session.layers.editing.change(mask)
    panel.session.correcting.originals.took(mask, by_program=True)
    follows_a_slice(panel, said)


def follows_a_slice(panel: Any, said: list[str]) -> None:
    """Set a slice smaller, and ask where to look next."""
    session = panel.session
    correcting, editing = session.correcting, session.layers.editing
    correcting.set_live(True)
    wait_until(lambda: correcting.has_original, "the mask is looked at")
    before = editing.mask_on_display().copy()
    axis = session.layers.viewpoint.axes[0]
    index = int(np.argmax(before.sum(axis=tuple(a for a in range(3) if a != axis))))
    smaller = before.copy()
    plane = np.moveaxis(smaller, axis, 0)[index]
    plane[...] = scipy.ndimage.binary_erosion(plane, iterations=2)
    session.layers.viewpoint.look_at(tuple(index if a == axis else 5 for a in range(3)))
    editing.change(smaller)
    wait_until(lambda: correcting.last, "an answer")
    assert [(s.axis, s.index) for s in correcting.slices] == [(axis, index)]
    np.testing.assert_array_equal(np.moveaxis(editing.mask_on_display(), axis, 0)[index], plane)
    assert np.count_nonzero(editing.mask_on_display()) < np.count_nonzero(smaller)
    click(child(panel, "look_next"))
    wait_until(lambda: any(text.startswith("Check here next") for text in said), "a place")
