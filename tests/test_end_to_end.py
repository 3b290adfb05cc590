"""What a person does in an afternoon, with a real window, mouse, keys and worker process."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from gui_fixtures import child, click, close_viewer, press_key, process_events, stroke, wait_until
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QLabel, QWidget

from napari_singlestrip.engine.imaging.volume import open_scan

if TYPE_CHECKING:
    from conftest import Heads

    from napari_singlestrip.study.study import Study
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)

PATIENCE = 240.0  # seconds for a job on a busy machine


def test_an_afternoon_by_clicking(window: StripWidget, heads: Heads, tmp_path: Path) -> None:
    """Scans, paint, train, review, correct, fine-tune, apply, export."""
    study = _make_study_by_clicking(window, heads, tmp_path / "afternoon")
    painted = heads.names[0]
    _paint_by_hand(window, painted, heads.masks[0])
    click(child(window.panels["paint"], "paint_done"))
    assert study.decisions.labelled().painted == (painted,)
    assert window.session.step == "train"
    assert _dice(study.masks.path(painted), heads.masks[0]) > 0.9

    click(child(window.panels["train"], "train"))
    _wait_for_job(window)
    ranked = [row.scan for row in study.rounds.scores(0)]
    assert sorted(ranked) == sorted(heads.names[1:])

    click(window.step_buttons["review"])
    accepted, corrected, rejected = _review_by_keyboard(window)
    click(child(window.panels["review"], "finetune"))
    _wait_for_job(window)
    assert _kinds(study, 1) == {painted: "painted", corrected: "corrected", accepted: "accepted"}
    assert study.rounds.scores(1)

    click(window.step_buttons["apply"])
    apply_panel = window.panels["apply"]
    click(child(apply_panel, "scans_of_study"))
    click(child(apply_panel, "apply"))
    _wait_for_job(window)
    _check_masks(study, heads)
    assert rejected in study.decisions.labelled().rejected


def test_a_round_is_made_while_one_reviews(
    window: StripWidget, trained_study: Study, tmp_path: Path
) -> None:
    """With the real worker: nothing is shown before it is asked for, and what was seen counts."""
    shutil.copytree(trained_study.folder, tmp_path / "study")
    window.session.open_study(tmp_path / "study")
    study = window.session.need_study()
    study.set_settings({**study.overrides, "finetuning.min_reviewed_masks": 1})
    click(window.step_buttons["review"])
    name, round_ = window.session.scan, study.rounds.current()
    press_key(window.viewer, Qt.Key.Key_A)
    wait_until(lambda: window.session.job.status.by_itself, "a job that nobody asked for")
    seen = window.session.layers.editing.mask_on_scan()
    _wait_for_job(window)
    assert study.rounds.scores(round_ + 1)
    assert np.array_equal(window.session.layers.editing.mask_on_scan(), seen)  # type: ignore[arg-type]
    summary = child(window.panels["review"], "review_summary")
    assert f"Fine-tuning {round_ + 1}" not in summary.text()
    click(child(window.panels["review"], "show_newer"))
    assert f"Fine-tuning {round_ + 1}" in summary.text()
    assert study.decisions.labelled_path(name) == study.rounds.pseudo_label_path(round_, name)
    assert _kinds(study, round_ + 1)[name] == "accepted"


def test_a_killed_window_loses_at_most_the_last_stroke(study: Study) -> None:
    """The viewer is killed right after the second of two strokes."""
    script = textwrap.dedent("""
        import os, signal, sys
        sys.path.insert(0, sys.argv[2])
        import gui_fixtures as gui
        from qtpy.QtWidgets import QApplication
        app = QApplication([])
        import napari
        from napari_singlestrip.widgets.dock.main_widget import StripWidget
        viewer = napari.Viewer(show=False)
        main = viewer.window._qt_window
        main.resize(*gui.SCREEN)
        main.show()
        window = StripWidget(viewer)
        viewer.window.add_dock_widget(window, name="SingleStrip", area="right")
        session = window.session
        session.open_study(sys.argv[1])
        session.show_scan(session.study.scans.names[1])
        gui.process_events()
        layer = session.layers.editing.layer
        layer.mode, layer.brush_size = "paint", 3
        i, p, l = session.layers.viewpoint.point
        for row in (-3, 3):
            gui.stroke(viewer, [(i, p + row, l - 4), (i, p + row, l + 4)])
            print(int(session.layers.editing.mask_on_scan().sum()), flush=True)
            if row < 0:  # a thread writes it, before a hand begins the next
                waits = session.unsaved.waiting
                gui.wait_until(lambda: not waits(session.study.folder), "the stroke is written")
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(study.folder), str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=120, check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    first, second = (int(line) for line in done.stdout.split())

    from napari_singlestrip.study.drafts import load_draft

    kept = load_draft(study.folder, study.scans.names[1])
    assert kept is not None
    assert int(kept.sum()) in (first, second)
    assert second > first > 0


def test_the_window_opens_where_it_was_left(window: StripWidget, ranked_study: Study) -> None:
    """Step, scan, slice, plane and decisions are there again."""
    session = window.session
    session.open_study(ranked_study.folder)
    click(window.step_buttons["review"])
    session.show_scan(ranked_study.scans.names[2])
    session.layers.viewpoint.set_plane("coronal")
    session.layers.viewpoint.look_at((5, 7, 9))
    press_key(window.viewer, Qt.Key.Key_A)
    session.show_scan(ranked_study.scans.names[2])
    session.layers.viewpoint.look_at((5, 7, 9))
    session.close_study()
    process_events()
    assert session.scan == ""

    session.open_study(ranked_study.folder)
    assert session.step == "review"
    assert session.scan == ranked_study.scans.names[2]
    assert session.layers.viewpoint.plane == "coronal"
    assert session.layers.viewpoint.point == (5, 7, 9)
    assert ranked_study.scans.names[2] in session.need_study().decisions.labelled().accepted


def test_closing_while_training_leaves_no_process(window: StripWidget, study: Study) -> None:
    """The worker stops when its window closes, and has saved what it had."""
    study.set_settings({**_tiny(), "training.steps": 20_000})
    window.session.open_study(study.folder)
    click(window.step_buttons["train"])
    click(child(window.panels["train"], "train"))
    wait_until(lambda: window.session.job.status.step > 5, "training steps", PATIENCE)
    pid = window.session.job.pid
    close_viewer(window.viewer)
    wait_until(lambda: not psutil.pid_exists(pid), "the worker's end", 20)
    assert (study.rounds.folder(0) / "segmenter.pt").is_file()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [(1366, 768), (1920, 1080)])
def test_no_control_is_cut_off(
    window: StripWidget, trained_study: Study, tmp_path: Path, size: tuple[int, int], theme: str
) -> None:
    """Every text fits into its button, and every control into the dock, in all steps."""
    shutil.copytree(trained_study.folder, tmp_path / "study")
    window.viewer.theme = theme
    window.viewer.window._qt_window.resize(*size)
    assert not _cut_off(window)
    window.session.open_study(tmp_path / "study")
    for step_button in window.step_buttons.values():
        click(step_button)
        assert not _cut_off(window)


# --- what a person does


def _make_study_by_clicking(window: StripWidget, heads: Heads, folder: Path) -> Study:
    window.take_files(list(heads.scans))
    line = child(window.panels["scans"], "place")
    line.setText(str(folder))
    click(child(window.panels["scans"], "place_ok"))
    wait_until(lambda: window.session.study is not None, "the study")
    study = window.session.need_study()
    study.set_settings(_tiny())
    return study


def _paint_by_hand(window: StripWidget, name: str, truth: Path) -> None:
    """Paint rows on some slices, like a person who follows the edge, and interpolate."""
    session = window.session
    session.show_scan(name)
    click(window.step_buttons["paint"])
    wait_until(lambda: session.scan == name, "the scan")
    assert session.layers.showing.now is not None
    mask = session.layers.showing.now.upright.to_display(_voxels(truth))
    layer = session.layers.editing.layer
    assert layer is not None
    click(child(window.panels["paint"], "tool_paint"))
    layer.brush_size = 1
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    slices = sorted({*used[::4].tolist(), int(used[-1])})
    for i in slices:
        session.layers.viewpoint.look_at((i, *session.layers.viewpoint.point[1:]))
        for p in np.flatnonzero(mask[i].any(axis=1)).tolist():
            row = np.flatnonzero(mask[i, p]).tolist()
            stroke(window.viewer, [(i, p, row[0]), (i, p, row[-1])])
    press_key(window.viewer, Qt.Key.Key_I)
    n = len(slices)
    wait_until(lambda: _painted_slices(window) > n, "interpolation")


def _painted_slices(window: StripWidget) -> int:
    mask = window.session.layers.editing.mask_on_display()
    return 0 if mask is None else int(mask.any(axis=(1, 2)).sum())


def _review_by_keyboard(window: StripWidget) -> tuple[str, str, str]:
    """Accept the first mask, correct the second by hand, reject the third."""
    session = window.session
    decided: list[str] = []
    press_key(window.viewer, Qt.Key.Key_N)
    for key in (Qt.Key.Key_A, Qt.Key.Key_S, Qt.Key.Key_R):
        wait_until(lambda: session.scan not in ("", *decided), "the next scan")
        name = session.scan
        if key == Qt.Key.Key_S:
            layer = session.layers.editing.layer
            assert layer is not None
            layer.mode, layer.brush_size = "paint", 4
            i, _, l = session.layers.viewpoint.point  # noqa: E741
            stroke(window.viewer, [(i, 2, l - 3), (i, 2, l + 3)])
        press_key(window.viewer, key)
        decided.append(name)
    accepted, corrected, rejected = decided
    groups = session.need_study().decisions.labelled()
    assert groups.accepted == (accepted,)
    assert groups.corrected == (corrected,)
    assert groups.rejected == (rejected,)
    return accepted, corrected, rejected


def _wait_for_job(window: StripWidget) -> None:
    from napari_singlestrip.events import Finished

    job = window.session.job
    wait_until(lambda: job.status.busy or job.status.end is not None, "the job's start")
    wait_until(lambda: not job.status.busy, "the job's end", PATIENCE)
    assert isinstance(job.status.end, Finished), job.status.end
    process_events()


# --- what is true afterwards


def _kinds(study: Study, round_: int) -> dict[str, str]:
    path = study.rounds.folder(round_) / "training_set.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {row["scan"]: row["kind"] for row in rows}


def _check_masks(study: Study, heads: Heads) -> None:
    """Each scan has a mask on its own grid."""
    for name, path in zip(heads.names, heads.scans, strict=True):
        found = list((study.folder / "applied").glob(f"*/{name}_desc-brain_mask.nii.gz"))
        assert len(found) == 1, name
        scan, mask = open_scan(path), open_scan(found[0])
        assert mask.grid.shape == scan.grid.shape
        np.testing.assert_array_equal(mask.grid.affine, scan.grid.affine)
        for code in ("qform_code", "sform_code"):
            assert mask.header[code] == scan.header[code]


def _dice(first: Path, second: Path) -> float:
    a, b = _voxels(first), _voxels(second)
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def _voxels(path: Path) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = open_scan(path).read_float() > 0.5
    return inside


def _cut_off(window: StripWidget) -> Sequence[str]:
    """Names of controls whose text does not fit, or stick out of the dock, when it is laid out."""
    end = time.monotonic() + 3
    while (found := _cut_off_now(window)) and time.monotonic() < end:
        QTest.qWait(50)
    return found


def _cut_off_now(window: StripWidget) -> Sequence[str]:
    process_events()
    return [
        f"{widget.objectName() or type(widget).__name__}: {_text(widget)!r}"
        for kind in (QAbstractButton, QLabel)
        for widget in window.findChildren(kind)
        if widget.isVisible() and _text(widget) and (_is_narrow(widget) or _is_out(widget, window))
    ]


def _text(widget: Any) -> str:
    return str(widget.text())


def _is_narrow(widget: QWidget) -> bool:
    if isinstance(widget, QLabel):
        return not widget.wordWrap() and widget.width() < widget.minimumSizeHint().width()
    return widget.width() < widget.minimumSizeHint().width()


def _is_out(widget: QWidget, window: StripWidget) -> bool:
    left = widget.mapTo(window, widget.rect().topLeft()).x()
    right = widget.mapTo(window, widget.rect().topRight()).x()
    return left < 0 or right > window.width()


def _tiny() -> dict[str, Any]:
    from conftest import TINY

    return dict(TINY)
