"""Fixtures of the tests that drive the window: a real viewer on a screen, a real mouse, real keys.

A file of such tests says so, because all others need neither Qt nor a screen::

    pytest_plugins = ("gui_fixtures",)

    def test_painting(window, study):
        window.session.take_study(study)
        window.session.show_scan(study.scans.names[1])
        stroke(window.viewer, [(9, 8, 7), (9, 8, 12)])  # voxels (I, P, L), on the plane shown

What a test leaves behind (a top-level widget, one of our timers that runs, a thread, a child
process) fails it: see `leaks`. The screen is Xvfb where there is one, so that no window pops up.
"""

from __future__ import annotations

import atexit
import itertools
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gui_leaks import Leaks
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from conftest import Heads
    from napari import Viewer

    from napari_singlestrip.study.study import Study
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("pytestqt.plugin",)

SCREEN = (1366, 768)  # the smallest that the window must fit


def _open_screen() -> None:
    """Draw on a virtual screen; without Xvfb (macOS, Windows) windows are seen."""
    if not sys.platform.startswith("linux"):
        return
    if shutil.which("Xvfb") is None:
        raise pytest.UsageError(
            "The window's tests need Xvfb: run tools/system_packages.sh window (or make setup)."
        )
    from pyvirtualdisplay.display import Display

    screen = Display(backend="xvfb", size=SCREEN, color_depth=24)
    screen.start()
    atexit.register(screen.stop)


_open_screen()


# --- a viewer, our dock, studies to work on


@pytest.fixture(autouse=True)
def leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that uses Qt and leaves something behind."""
    if "qapp" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("qapp")
    with Leaks() as found:
        yield
        process_events()
        found.check()


@pytest.fixture(autouse=True)
def painting_is_quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which Qt cannot paint: most often an image without size."""
    if "qapp" not in request.fixturenames:
        yield
        return
    said = request.getfixturevalue("qtlog")
    yield
    assert not [r.message for r in said.records if r.message.startswith("QPainter")]


@pytest.fixture(autouse=True)
def own_preferences(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recent studies and napari's Preferences are those of the test, not of who runs it."""
    from qtpy.QtCore import QSettings

    from napari_singlestrip.widgets.session import user_settings as preferences

    folder = tmp_path_factory.mktemp("preferences")
    file = str(folder / "preferences.ini")
    kept = QSettings(file, QSettings.Format.IniFormat)
    monkeypatch.setattr(preferences, "settings", lambda: kept)
    preferences.want_follow_live(False)  # a mask is as it was painted; other tests ask for it
    _own_page(folder, monkeypatch)
    # The size of the window is the test's, too: else it grows while the test looks.
    monkeypatch.setattr("napari_singlestrip.widgets.dock.window_size.is_first", lambda: False)


def _own_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is set in napari's Preferences in a folder; napari reads it when it is asked."""
    import napari.settings as of_napari

    if hasattr(of_napari, "_PLUGIN_SETTINGS"):  # napari 0.9
        monkeypatch.setattr(of_napari, "_CFG_PATH", str(folder / "settings.yaml"))
        of_napari._PLUGIN_SETTINGS.clear()


@pytest.fixture
def viewer(qapp: QApplication) -> Iterator[Viewer]:
    """napari's viewer, on screen at 1366 x 768; closed afterwards."""
    import napari

    viewer = napari.Viewer(show=False)
    main = viewer.window._qt_window
    main.resize(*SCREEN)
    main.show()
    QTest.qWaitForWindowExposed(main)
    yield viewer
    close_viewer(viewer)


@pytest.fixture
def window(viewer: Viewer) -> StripWidget:
    """Our dock in the viewer, without a study; it closes with the viewer."""
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

    dock = StripWidget(viewer)
    viewer.window.add_dock_widget(dock, name="SingleStrip", area="right")
    process_events()
    return dock


@pytest.fixture(scope="session")
def ranked_source(tmp_path_factory: pytest.TempPathFactory, heads: Heads) -> Path:
    """Folder of a study that looks as after a first run, made without training."""
    from conftest import make_study

    study = make_study(tmp_path_factory.mktemp("ranked") / "study", heads)
    for rank, (name, mask) in enumerate(zip(heads.names[1:], heads.masks[1:], strict=True), 1):
        _predict(study, name, mask, rank)
    scores = [_score(study, name, r) for r, name in enumerate(heads.names[1:], 1)]
    study.rounds.save_scores(0, scores)
    return study.folder


@pytest.fixture
def ranked_study(tmp_path: Path, ranked_source: Path) -> Study:
    """A study with pseudo-labels, heat maps and a ranking: the first is perfect, the last worst."""
    from napari_singlestrip.study.study import Study

    shutil.copytree(ranked_source, tmp_path / "ranked")
    return Study.open(tmp_path / "ranked")


def _predict(study: Study, name: str, truth: Path, rank: int) -> None:
    """Write the true mask as pseudo-label, with a bite missing that grows with the rank."""
    from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_map, save_mask
    from napari_singlestrip.study.round_folder import heat_map_path

    scan = open_scan(study.scans.path(name))
    mask = load_mask(truth, like=scan)
    bitten = mask.copy()
    first = int(np.flatnonzero(mask.any(axis=(1, 2)))[0])
    bitten[: first + 2 * (rank - 1)] = False
    save_mask(study.rounds.pseudo_label_path(0, name), bitten, like=scan)
    save_mask(study.rounds.reconstruction_path(0, name), mask, like=scan)
    missing = bitten.astype(np.float32) - mask.astype(np.float32)
    save_map(heat_map_path(study, 0, name), missing, like=scan)


def _score(study: Study, name: str, rank: int) -> Any:
    from napari_singlestrip.study.tables import ScoreRow

    return ScoreRow(name, 0.05 * rank, 1 - 0.05 * rank, 1200.0 + rank, rank, rank == 1)


# --- time


def process_events() -> None:
    """Let Qt do what is due, deletions included."""
    for _ in range(3):
        QApplication.processEvents()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def wait_until(true: Callable[[], object], what: str = "", seconds: float = 20.0) -> None:
    """Let Qt run until something is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:g} s for: {what or true.__name__}")
        QTest.qWait(10)


def close_viewer(viewer: Viewer) -> None:
    """Close a viewer as a person does, once."""
    window = getattr(viewer.window, "_qt_window", None)
    if window is not None:
        viewer.close()
    process_events()


# --- mouse and keys


def canvas_of(viewer: Viewer) -> QWidget:
    """The widget that napari draws on: it gets the mouse and the keys."""
    native: QWidget = viewer.window._qt_viewer.canvas.native
    return native


def camera(viewer: Viewer) -> Any:
    """The camera of the canvas: napari 0.9 moved it."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def pixel_of(viewer: Viewer, point: Sequence[float], layer: Any = None) -> QPoint:
    """Where a voxel (I, P, L) of a layer (by default: the active one) is on the canvas."""
    layer = layer or viewer.layers.selection.active
    world, extra = layer.data_to_world(point), viewer.dims.ndim - layer.ndim
    shown = [world[axis - extra] for axis in viewer.dims.displayed][::-1]
    view = viewer.window._qt_viewer.canvas.view
    x, y = (view.transform * view.scene.transform).map(shown)[:2]
    return QPoint(round(float(x)), round(float(y)))


def stroke(
    viewer: Viewer,
    points: Sequence[Sequence[float]],
    button: Qt.MouseButton = Qt.MouseButton.LeftButton,
    modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
) -> None:
    """Draw with the mouse through voxels (I, P, L) on the plane shown; one point is a click."""
    process_events()  # the camera follows the window's size
    canvas = canvas_of(viewer)
    pixels = [pixel_of(viewer, point) for point in points]
    for pixel in pixels:
        assert canvas.rect().contains(pixel), f"{pixel} is outside the canvas: look there first"
    QTest.mouseMove(canvas, pixels[0])
    QTest.mousePress(canvas, button, modifier, pixels[0])
    for start, end in itertools.pairwise(pixels):
        for part in np.linspace(0.2, 1, 5):
            QTest.mouseMove(canvas, start + (end - start) * float(part))
            QApplication.processEvents()
    process_events()  # a busy machine may still have the last move before it
    QTest.mouseRelease(canvas, button, modifier, pixels[-1])
    process_events()


def press_key(
    target: Viewer | QWidget,
    key: Qt.Key,
    modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
) -> None:
    """Press and release a key, on the canvas of a viewer or on a widget."""
    widget = target if isinstance(target, QWidget) else canvas_of(target)
    QTest.keyClick(widget, key, modifier)
    process_events()


def click(widget: QWidget) -> None:
    """Click a widget that a person can see and use."""
    assert widget.isVisible(), f"{widget.objectName()} is not visible"
    assert widget.isEnabled(), f"{widget.objectName()} is not enabled"
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)
    process_events()


def child(parent: QWidget, name: str) -> Any:
    """Find a widget by its objectName."""
    found = parent.findChild(QWidget, name)
    assert found is not None, f"there is no {name} in {parent.objectName()}"
    return found
