"""The manifest as napari uses it: menus, samples, readers and writers, in a real window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Heads
from gui_fixtures import child, process_events, wait_until
from npe2 import PluginManager, PluginManifest

import napari_singlestrip
from napari_singlestrip.engine.imaging.scan_files import SCAN_EXTENSIONS
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.dock import find_dock as open_dock
from napari_singlestrip.widgets.scans import add_scans
from napari_singlestrip.widgets.scans import dropped_files as incoming

pytest_plugins = ("gui_fixtures",)

PLUGIN = "napari-singlestrip"
FILE = Path(napari_singlestrip.__file__).with_name("napari.yaml")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Samples are made in a folder of the test."""
    for module in (incoming, add_scans):
        monkeypatch.setattr(module, "home", lambda: tmp_path / "home")
    yield


def contributions() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return dict(content["contributions"])


def dock_of(viewer: Any) -> Any:
    dock = open_dock.find_dock(viewer)
    assert dock is not None
    return dock


def test_the_installed_manifest_is_this_one() -> None:
    manager = PluginManager()
    manager.discover()
    assert manager.get_manifest(PLUGIN).contributions == (
        PluginManifest.from_file(FILE).contributions
    )


def test_every_kind_of_scan_has_its_pattern() -> None:
    (reader,) = contributions()["readers"]
    assert {f"*{extension}" for extension in SCAN_EXTENSIONS} <= set(reader["filename_patterns"])


def test_commands_are_used_and_uses_are_commands() -> None:
    parts = contributions()
    named = [c["id"] for c in parts["commands"]]
    used = {entry["command"] for kind in ("widgets", "readers", "writers", "sample_data")
            for entry in parts[kind] if "command" in entry}
    used |= {entry["command"] for items in parts["menus"].values() for entry in items}
    assert set(named) == used and len(named) == len(used)


def actions(viewer: Any) -> dict[str, Any]:
    """Entries of napari's menus by where they are and their text."""
    bar = viewer.window._qt_window.menuBar()

    def below(menu: Any, path: str) -> Iterator[tuple[str, Any]]:
        menu.aboutToShow.emit()
        for action in menu.actions():
            name = f"{path}/{action.text().replace('&', '')}"
            if action.menu() is not None:
                yield from below(action.menu(), name)
            else:
                yield name, action

    return {name: action for top in bar.actions() if top.menu() is not None
            for name, action in below(top.menu(), top.text().replace("&", ""))}


def find(viewer: Any, *words: str) -> Any:
    found = [a for name, a in actions(viewer).items() if all(word in name for word in words)]
    assert len(found) == 1, (words, found)
    return found[0]


def test_the_dock_opens_from_the_plugins_menu(viewer: Any) -> None:
    find(viewer, "Plugins", "SingleStrip").trigger()
    process_events()
    assert dock_of(viewer).isVisible()
    assert open_dock.open_dock() is dock_of(viewer)  # and not a second one


def test_the_dock_opens_from_layers_segment(viewer: Any) -> None:
    find(viewer, "Layers", "Segment/SingleStrip").trigger()
    process_events()
    assert dock_of(viewer).isVisible()


def test_a_study_works_in_the_dock_of_the_menu(viewer: Any, study: Study) -> None:
    """napari hands a proxy to plugins: layers are drawn, painted and undone all the same."""
    find(viewer, "Plugins", "SingleStrip").trigger()
    session = dock_of(viewer).session
    session.take_study(study)
    session.show_scan(study.scans.names[1])
    mask = session.layers.editing.mask_on_display()
    mask[5:8, 5:8, 5:8] = True
    assert session.layers.editing.change(mask) == 27
    session.layers.editing.undo()
    assert not session.layers.editing.mask_on_scan().any()
    process_events()


def test_t1w_sample(viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_singlestrip.napari_io.samples.SAMPLE_SPACING_MM", 6.0)
    find(viewer, "Open Sample", "Single sample head").trigger()
    assert [layer._type_string for layer in viewer.layers] == ["image", "labels"]


def test_heads_sample_opens_at_once(
    viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_singlestrip.widgets.session.session import Session

    monkeypatch.setattr(Session, "start_job", lambda *_: None)  # that draws the other heads
    find(viewer, "Open Sample", "Sample heads").trigger()
    process_events()
    dock = dock_of(viewer)
    assert not child(dock, "place_row").isVisible()
    assert dock.session.study.folder == tmp_path / "home" / "sample_study" / "study"
    assert dock.session.scan and len(viewer.layers) == 2


def test_finished_sample_is_reviewed_at_once(viewer: Any, tmp_path: Path, heads: Heads) -> None:
    """With the heads there already, because drawing twelve takes a while."""
    from napari_singlestrip.sample_data.finished_study import heads_of, unfold
    from napari_singlestrip.sample_data.making import make_heads

    place = tmp_path / "home" / "sample_heads"
    list(make_heads([place] * heads_of().n, seed=0, spacing_mm=8.0))
    unfold(place)
    find(viewer, "Open Sample", "Finished").trigger()
    process_events()
    dock = dock_of(viewer)
    wait_until(lambda: dock.session.step == "review", "the finished study")
    study = dock.session.study
    assert len(study.scans.names) == 12 and study.rounds.numbers() == [0]
    assert len(study.rounds.scores(0)) == 11
    assert study.references.path(study.scans.names[3]) is not None
    wait_until(lambda: not dock.session.thumbnails.busy, "pictures")


def test_samples_that_do_not_exist_are_told(viewer: Any) -> None:
    with pytest.raises(UserError, match="no sample 'nothing'"):
        viewer.open("singlestrip://sample/nothing", plugin=PLUGIN)
    process_events()
