"""Layers > Segment > Strip the skull of this layer: menu, model, real job, mask as a layer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Heads
from gui_fixtures import child, click, process_events, wait_until
from napari.layers import Image, Labels
from test_manifest import dock_of, find

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.apply import layer_stripper as layer_box
from napari_singlestrip.widgets.dock import find_dock as open_dock
from napari_singlestrip.widgets.session import job_process as job_module
from napari_singlestrip.widgets.session import user_settings as preferences

pytest_plugins = ("gui_fixtures",)

PLUGIN, COMMAND = "napari-singlestrip", "Strip the skull of this layer"
JOB_SECONDS = 300


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Layers are written into a folder of the test."""
    place = tmp_path / "scratch"
    monkeypatch.setattr(layer_box, "scratch_place", lambda: place)
    return place


@pytest.fixture
def slow_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does nothing until it is told to stop."""
    program = (
        'import sys\nprint(\'{"event": "Started", "stage": "apply"}\', flush=True)\n'
        "sys.stdin.readline()\nprint('{\"event\": \"Cancelled\"}', flush=True)"
    )
    monkeypatch.setattr(job_module, "local_command", lambda: [sys.executable, "-c", program])


def add_file(viewer: Any, scan: Path) -> Any:
    (layer,) = viewer.open(str(scan), plugin=PLUGIN)
    return layer


def ask(viewer: Any) -> Any:
    """Choose the command in the menu, and return the dock that opens."""
    find(viewer, "Layers", "Segment", COMMAND).trigger()
    process_events()
    return dock_of(viewer)


def finish(dock: Any) -> None:
    box = dock.panels["apply"].layer
    wait_until(lambda: not box.busy, "the mask", JOB_SECONDS)
    process_events()


def said(dock: Any) -> str:
    return str(child(dock, "message").text())


def test_scan_file_of_a_layer_is_stripped_with_the_model_of_a_recent_study(
    viewer: Any, trained_copy: Study, heads: Heads, scratch: Path
) -> None:
    preferences.remember_study(trained_copy.folder)
    scan = heads.scans[1]
    layer = add_file(viewer, scan)
    before = sorted(scan.parent.rglob("*"))
    dock = ask(viewer)
    assert dock.session.step == "apply" and dock.session.study is None
    models = child(dock, "models")
    (choice,) = models.choices()
    assert choice.title == f"study, round 1  ·  in {trained_copy.folder.parent.name}"
    assert not child(dock, "apply").isVisible() and not child(dock, "export_model").isVisible()
    click(child(dock, "strip_layer"))
    assert not child(dock, "strip_layer").isEnabled()
    finish(dock)
    mask = viewer.layers[-1]
    assert isinstance(mask, Labels) and mask.name == f"{layer.name}: brain mask"
    assert mask.data.shape == layer.data.shape and np.allclose(mask.scale, layer.scale)
    assert set(np.unique(mask.data)) == {0, 1}
    assert f"{layer.name} is a layer now" in said(dock) and " mL" in said(dock)
    assert "as the type SingleStrip brain mask" in child(dock, "layer_text").text()
    assert sorted(scan.parent.rglob("*")) == before and list(scratch.iterdir()) == []
    # napari saves it on the grid of the scan.
    saved = scratch / "saved.nii.gz"
    assert mask.save(str(saved), plugin=PLUGIN)
    on_scan = load_mask(saved, like=open_scan(scan))
    assert on_scan.sum() == np.count_nonzero(mask.data)


def test_changed_layer_is_written_for_the_job_and_keeps_its_place(
    viewer: Any, trained_copy: Study, heads: Heads, scratch: Path
) -> None:
    layer = add_file(viewer, heads.scans[2])
    layer.data = np.asarray(layer.data) * 1.5 + 3
    layer.translate = (4, 5, 6)
    dock = ask(viewer)
    dock.session.take_study(trained_copy)
    click(child(dock, "step_apply"))
    click(child(dock, "strip_layer"))
    finish(dock)
    mask = viewer.layers[-1]
    assert isinstance(mask, Labels) and tuple(mask.translate) == (4, 5, 6)
    assert mask.data.shape == layer.data.shape and mask.data.any()
    assert "path" not in mask.metadata  # it is not the mask of that file
    assert list(scratch.iterdir()) == []
    click(child(dock, "leave_layer"))
    assert child(dock, "apply").isVisible() and not child(dock, "strip_layer").isVisible()


def test_without_a_model_it_says_how_to_get_one(viewer: Any, heads: Heads) -> None:
    add_file(viewer, heads.scans[0])
    dock = ask(viewer)
    assert "Train one in step 3, or add a model file" in child(dock, "no_model").text()
    assert child(dock, "layer_box").isVisible() and child(dock, "add_model").isVisible()
    assert not child(dock, "strip_layer").isEnabled()


def test_without_a_layer_it_says_so(viewer: Any, heads: Heads) -> None:
    dock = ask(viewer)
    assert said(dock).startswith("No image layer is selected: click on one")
    two = [add_file(viewer, scan) for scan in heads.scans[:2]]
    viewer.layers.selection = set(two)
    ask(viewer)
    assert said(dock).startswith("Several image layers are selected")
    viewer.layers.selection = set()
    ask(viewer)
    assert said(dock).startswith("No image layer is selected")
    viewer.layers.selection = {two[1]}
    ask(viewer)
    assert heads.names[1] in child(dock, "layer_text").text()


def test_picture_that_is_no_scan_is_told(viewer: Any) -> None:
    viewer.add_layer(Image(np.zeros((3, 4, 5, 6)), name="film"))
    dock = ask(viewer)
    assert "film is an image with 4 axes" in said(dock)
    assert not child(dock, "layer_box").isVisible()


def test_layer_that_does_not_know_which_way_is_up(viewer: Any) -> None:
    viewer.add_layer(Image(np.random.default_rng(0).normal(size=(6, 7, 8)), name="made <up>"))
    dock = ask(viewer)
    assert "orientation of this head is not known" in child(dock, "layer_text").text()
    assert "made &lt;up&gt;" in child(dock, "layer_text").text()


def test_scan_of_the_study_is_chosen_for_the_usual_way(viewer: Any, study: Study) -> None:
    """Its layer soon shows another scan."""
    dock = open_dock.open_dock()
    assert dock is not None
    dock.session.take_study(study)
    dock.session.show_scan(study.scans.names[1])
    ask(viewer)
    assert dock.session.step == "apply" and child(dock, "apply").isVisible()
    assert dock.panels["apply"].scans.value() == (study.scans.path(study.scans.names[1]),)  # type: ignore[attr-defined]


def test_stop_leaves_nothing_behind_and_it_can_start_again(
    viewer: Any, heads: Heads, trained_copy: Study, scratch: Path, slow_job: None
) -> None:
    add_file(viewer, heads.scans[1])
    dock = ask(viewer)
    dock.session.take_study(trained_copy)
    click(child(dock, "step_apply"))
    n = len(viewer.layers)
    for _ in range(2):
        click(child(dock, "strip_layer"))
        wait_until(lambda: dock.session.job.status.state == "running", "the job")
        assert len(list(scratch.iterdir())) == 1 and not child(dock, "leave_layer").isEnabled()
        click(child(dock, "stop"))
        finish(dock)
        wait_until(lambda: not dock.session.job.status.busy, "the end")
        assert list(scratch.iterdir()) == [] and len(viewer.layers) == n
        assert child(dock, "strip_layer").isEnabled()


def test_window_that_closes_takes_its_files_along(
    viewer: Any, heads: Heads, trained_copy: Study, scratch: Path, slow_job: None
) -> None:
    add_file(viewer, heads.scans[1])
    dock = ask(viewer)
    dock.session.take_study(trained_copy)
    click(child(dock, "step_apply"))
    click(child(dock, "strip_layer"))
    wait_until(lambda: dock.session.job.status.state == "running", "the job")
    dock.close_all()
    assert list(scratch.iterdir()) == []


def test_job_of_a_layer_ignores_the_launcher(
    viewer: Any, heads: Heads, trained_copy: Study, slow_job: None
) -> None:
    """Another computer does not see this one's layers."""
    preferences.set_launcher(trained_copy.folder, ["ssh", "gpu-box"])
    add_file(viewer, heads.scans[1])
    dock = ask(viewer)
    dock.session.take_study(trained_copy)
    click(child(dock, "step_apply"))
    click(child(dock, "strip_layer"))
    wait_until(lambda: dock.session.job.status.state == "running", "the job")
    dock.session.job.cancel()
    finish(dock)
    wait_until(lambda: not dock.session.job.status.busy, "the end")


def test_layer_that_is_gone_is_told(viewer: Any, heads: Heads, trained_copy: Study) -> None:
    layer = add_file(viewer, heads.scans[1])
    dock = ask(viewer)
    dock.session.take_study(trained_copy)
    click(child(dock, "step_apply"))
    viewer.layers.remove(layer)
    click(child(dock, "strip_layer"))
    assert f"The layer {layer.name} was removed" in said(dock)


def test_what_a_crash_left_is_removed(scratch: Path) -> None:
    import os

    for name, age in (("old", 2 * layer_box.STALE_SECONDS), ("new", 0)):
        (scratch / name).mkdir(parents=True)
        (scratch / name / "scan.nii").write_bytes(b"x")
        os.utime(scratch / name, (0, (scratch / name).stat().st_mtime - age))
    with layer_box._new_folder() as folder:
        assert {path.name for path in scratch.iterdir()} == {"new", Path(folder).name}
