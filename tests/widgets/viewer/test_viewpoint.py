"""The viewpoint: what is drawn anew as it moves, and what is shown in the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_singlestrip.widgets.viewer import napari_private
from napari_singlestrip.widgets.viewer.viewpoint import Viewpoint

SHAPE, MM = (9, 8, 7), (2.0, 0.7, 3.0)


@pytest.fixture
def viewer() -> Any:
    """A scan and its mask, at voxel (4, 4, 3) in the axial plane."""
    viewer = ViewerModel()
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    viewer.add_image(values, scale=MM)
    viewer.add_labels(values % 2, scale=MM)
    return viewer


@pytest.fixture
def viewpoint(viewer: Any) -> Viewpoint:
    found = Viewpoint(viewer)
    found.set_grid(SHAPE, MM)
    found.look_at((4, 4, 3))
    return found


@pytest.fixture
def drawn(viewer: Any, viewpoint: Viewpoint) -> list[object]:
    """The layers that were sliced anew, in order."""
    found: list[object] = []
    for layer in viewer.layers:
        layer.events.set_data.connect(lambda event: found.append(event.source))
    return found


def shown(viewer: Any) -> list[list[list[int]]]:
    return [layer._slice.image.raw.tolist() for layer in viewer.layers]


def test_layers_stay_as_they_are_while_the_point_moves_in_the_plane(
    viewer: Any, viewpoint: Viewpoint, drawn: list[object]
) -> None:
    viewpoint.look_at((4, 1, 6))
    assert viewpoint.point == (4, 1, 6)
    assert viewer.dims.current_step == (4, 1, 6)
    assert not drawn


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_another_slice_or_plane_is_shown_through_the_moved_point(
    viewer: Any, viewpoint: Viewpoint, drawn: list[object], plane: str
) -> None:
    viewpoint.look_at((4, 1, 6))
    viewpoint.turn_to(plane)
    values = [layer.data for layer in viewer.layers]
    cut = {"axial": (4,), "coronal": (slice(None), 1), "sagittal": (..., 6)}[plane]
    assert shown(viewer) == [v[cut].tolist() for v in values]
    drawn.clear()
    viewpoint.look_at((5, 2, 5))  # across every plane
    assert set(drawn) == set(viewer.layers)
    cut = {"axial": (5,), "coronal": (slice(None), 2), "sagittal": (..., 5)}[plane]
    assert shown(viewer) == [v[cut].tolist() for v in values]


def test_a_napari_that_slices_by_another_name_shows_the_same(
    viewer: Any, viewpoint: Viewpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(napari_private, "_private", lambda *_: None)
    viewpoint.look_at((4, 1, 6))
    assert viewpoint.point == (4, 1, 6)
