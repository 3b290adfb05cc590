"""The lit surface: follows the mask, is clicked, coloured, turned and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui_fixtures import click, press_key, process_events, wait_until
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.panes.surface_pane import EMPTY
from napari_singlestrip.widgets.panes.surface_view import BONE

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def session(window: Any, ranked_study: Study) -> Any:
    """A session with the second scan in four panes, its surface found."""
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    window.panes.set_wanted("four")
    process_events()
    wait_until(lambda: n_faces(window) > 0, "the surface")
    return window.session


def n_faces(window: Any) -> int:
    """Triangles on screen."""
    view = window.panes.surface.view
    return 0 if view is None else len(view.surface.faces)


def test_surface_follows_the_mask_and_says_when_there_is_none(window: Any, session: Any) -> None:
    pane, editing = window.panes.surface, session.layers.editing
    mask = editing.mask_on_display()
    size = np.ptp(pane.view.surface.vertices, axis=0)
    ends = np.argwhere(mask)
    shape_mm = (np.ptp(ends, axis=0) + 1) * session.layers.viewpoint.scale
    # RAS: the axes of the display (I, P, L) the other way round.
    assert size == pytest.approx(shape_mm[[2, 1, 0]], abs=4 * max(session.layers.viewpoint.scale))
    editing.change(np.zeros_like(mask))
    wait_until(lambda: n_faces(window) == 0, "no surface")
    assert "nothing is painted" in pane._name.text() and not pane.save_button.isEnabled()
    editing.undo()
    wait_until(lambda: n_faces(window) > 0, "the surface again")


def test_a_single_slice_is_not_called_nothing(window: Any, session: Any) -> None:
    pane, mask = window.panes.surface, session.layers.editing.mask_on_display()
    thin = np.zeros_like(mask)
    thin[len(thin) // 2] = mask[len(thin) // 2]
    session.layers.editing.change(thin)
    pane._coarse.stop()
    pane._show(EMPTY)  # as where the coarse surface passes over the slice
    assert "too thin" in pane._name.text()
    assert not pane.view._lines.visible  # nor a crosshair without a surface


def test_there_is_no_crosshair_before_the_view_is_fitted(window: Any, session: Any) -> None:
    """Without a surface the camera stands anywhere: the lines of the crosshair were stray ones."""
    view = window.panes.surface.view
    wait_until(lambda: view._lines.visible and view._spot.visible, "the crosshair")
    mask = session.layers.editing.mask_on_display()
    session.layers.editing.change(np.zeros_like(mask))
    view.forget_frame()  # another scan
    session.layers.viewpoint.look_at((2, 2, 2))
    window.panes.surface.refresh()
    assert not view._lines.visible and not view._spot.visible
    session.layers.editing.undo()
    wait_until(lambda: n_faces(window) > 0, "the surface again")
    wait_until(lambda: view._lines.visible and view._spot.visible, "the crosshair again")


def test_another_scan_never_shows_the_brain_of_the_one_before(
    window: Any, session: Any, ranked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    pane = window.panes.surface
    started: list[Any] = []
    monkeypatch.setattr(pane._background, "run", lambda work, then: started.append((work, then)))
    session.show_scan(ranked_study.scans.names[2])
    assert n_faces(window) == 0 and pane._name.text() == "Surface ..."  # at once, not once found
    assert not pane.save_button.isEnabled()
    wait_until(lambda: started, "the search for its surface")
    assert n_faces(window) == 0
    work, then = started[0]
    then(work())
    assert n_faces(window) > 0 and pane._name.text() == "Surface"


def test_click_on_the_surface_moves_the_slices_there(window: Any, session: Any) -> None:
    view = window.panes.surface.view
    wait_until(lambda: not window.panes.surface._fine.isActive(), "the fine surface")
    centre = (view.native.width() / 2, view.native.height() / 2)
    place = view.place_at(centre)
    assert place is not None and view.place_at((0, 0)) is None
    view._picked(place)
    point = np.array(session.layers.viewpoint.point)
    mask, affine = session.layers.solid()
    assert affine[:3, :3] @ point + affine[:3, 3] == pytest.approx(place, abs=4)
    near = tuple(slice(max(0, n - 2), n + 3) for n in point)
    assert mask[near].any() and not mask[near].all()  # on the border of the mask
    # The eye is before the forehead, on the patient's left: so is what it sees.
    middle = view.surface.vertices.mean(axis=0)
    assert place[1] > middle[1]


def test_what_is_probably_wrong_colours_the_surface(window: Any, session: Any) -> None:
    pane = window.panes.surface
    assert pane._colours(pane.view.surface) is None
    marks = np.zeros(session.layers.showing.now.mask.shape, np.uint8)
    upright = session.layers.showing.now.upright.to_display(marks)
    _, affine = session.layers.solid()
    hot = pane.view.surface.vertices[0]
    i, p, l = np.round(np.linalg.inv(affine) @ (*hot, 1))[:3].astype(int)  # noqa: E741
    upright[i - 1 : i + 2, p - 1 : p + 2, l - 1 : l + 2] = 1
    session.layers.overlays.show_doubts(marks, True)
    wait_until(lambda: pane._shown_doubts is not None, "the marks")
    colours = pane._colours(pane.view.surface)
    assert abs(colours[0] - BONE).max() > 0.05
    far = np.linalg.norm(pane.view.surface.vertices - hot, axis=1).argmax()
    assert colours[far] == pytest.approx(BONE, abs=0.01)


def test_d_shows_the_lit_surface_alone_and_goes_back(window: Any, session: Any) -> None:
    window.go_to("paint")
    panes, size = window.panes, window.viewer.window._qt_window.size()
    press_key(session.viewer, Qt.Key.Key_D)
    assert panes.surface.geometry() == panes.rect() and not panes.is_four
    assert window.viewer.window._qt_window.size() == size
    press_key(session.viewer, Qt.Key.Key_D)
    assert panes.is_four and panes._canvas.updatesEnabled()


def test_saved_surface_is_that_of_the_mask(
    window: Any, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    session.told.connect(lambda text, level: said.append(text))
    answer = str(tmp_path / "brain"), "STL (*.stl)"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: answer)
    click(window.panes.surface.save_button)
    wait_until(lambda: "Wrote brain.stl." in said, "the file")
    assert (tmp_path / "brain.stl").stat().st_size > 84
