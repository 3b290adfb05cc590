"""What is private in napari is used in one module only, and nothing breaks when it is gone."""

from __future__ import annotations

import ast
import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

import napari_singlestrip
from napari_singlestrip.widgets.viewer import napari_private

PACKAGE = Path(napari_singlestrip.__file__).parent
HOME = "widgets/viewer/napari_private.py"
# Private names of a Labels layer are also looked for as text: getattr(layer, "_draw").
LAYER = {name for name in dir(Labels) if name.startswith("_") and not name.startswith("__")}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _used_in(source: str) -> Iterator[str]:
    """Private attributes of others, whether they are written with a dot or as text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            if ast.unparse(node.value) not in ("self", "cls", "super()"):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in LAYER or node.value.startswith(("_qt_", "_task_")):
                yield f"{node.lineno}: {node.value!r}"
        elif isinstance(node, ast.ImportFrom):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            if parts[0] in ("napari", "vispy") and any(_is_private(part) for part in parts):
                yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("source", [
    "viewer.window._qt_window", "getattr(layer, '_draw', None)", "x = '_qt_viewer'",
    "from napari._qt import qt_viewer", "from napari.layers import _source",
])
def test_the_scan_finds(source: str) -> None:
    assert list(_used_in(source))


def test_one_module_knows_what_is_private_in_napari() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{used}"
        for folder in ("widgets", "napari_io")
        for path in sorted((PACKAGE / folder).rglob("*.py"))
        if path.relative_to(PACKAGE).as_posix() != HOME
        for used in _used_in(path.read_text(encoding="utf-8"))
    ]
    assert not found, f"such things belong into {HOME}, with a guard: {found}"


class Gone:
    """A layer, a window or a viewer of a napari without any of it."""

    def __init__(self) -> None:
        self.window = self
        self.undone = 0
        self.block_history = nullcontext

    def undo(self) -> None:
        self.undone += 1

    redo = undo


@pytest.mark.parametrize(("function", "instead"), [
    (napari_private.main_window_of, None),
    (napari_private.canvas_of, None),
    (napari_private.closing_tasks_of, None),
    (napari_private.reset_history, None),
    (napari_private.know_colours, None),
    (napari_private.can_undo, True),
    (napari_private.commit_stroke, None),
    (napari_private.is_stroke_open, False),
    (napari_private.switch_off_going_round, None),
    (lambda layer: napari_private.wrap_drawing(layer, lambda draw: draw), None),
    (lambda layer: napari_private.wrap_writing(layer, lambda write: write), False),
    (lambda layer: napari_private.write_part(layer, (), np.ones(3, bool), np.ones(3, bool)), False),
])
def test_without_it_the_rest_goes_on_and_it_is_logged_once(
    function: Callable[[Any], Any], instead: object, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(napari_private, "_said", set())
    with caplog.at_level(logging.INFO, napari_private.__name__):
        assert function(Gone()) is instead
        assert function(Gone()) is instead

    (said,) = caplog.messages
    assert said.startswith("This napari has no Gone._")


@pytest.mark.parametrize("function", [
    napari_private.main_window_of, napari_private.canvas_of, napari_private.closing_tasks_of,
])
def test_a_viewer_without_a_window_is_nothing_to_tell_of(
    function: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, napari_private.__name__):
        assert function(SimpleNamespace()) is None

    assert not caplog.messages


@pytest.mark.parametrize("missing", [(), ("_block_refresh",), ("_on_layers_change",),
                                     ("_update_layers",), ("_clear_extent",)])
@pytest.mark.parametrize("axial", [4, 2])  # 2 mm: where it is already
def test_layers_that_change_together_are_drawn_once(
    missing: tuple[str, ...], axial: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other voxels of another size, and another slice; the rest works without what is private."""
    private = napari_private._private
    monkeypatch.setattr(
        napari_private, "_private", lambda *a: None if a[1] in missing else private(*a)
    )
    viewer = ViewerModel()
    layers = [viewer.add_image(np.zeros((9, 8, 7))), viewer.add_labels(np.zeros((9, 8, 7), int)),
              viewer.add_labels(np.zeros((9, 8, 7), int), visible=False)]
    viewer.dims.set_point([0, 1, 2], [2.0, 0.0, 0.0])
    drawn: list[object] = []
    for layer in layers:
        layer.events.set_data.connect(lambda event: drawn.append(event.source))
    other = np.arange(5 * 6 * 20).reshape(5, 6, 20)

    def look() -> None:
        viewer.dims.set_point([0, 1, 2], [float(axial), 3.0, 38.0])

    with napari_private.changed_together(viewer, layers, look):
        for layer in layers:
            layer.data, layer.scale = other, (2, 3, 2)
    assert [(r.start, r.stop, r.step) for r in viewer.dims.range] == [
        (0, 8, 2), (0, 15, 3), (0, 38, 2)
    ]
    assert viewer.dims.point == (axial, 3.0, 38.0)
    for layer in layers[:2]:
        assert np.array_equal(layer._slice.image.raw, other[axial // 2])
    layers[2].visible = True
    assert np.array_equal(layers[2]._slice.image.raw, other[axial // 2])
    if not missing:
        assert sorted(map(id, drawn)) == sorted(map(id, layers))  # the last as it was shown


def test_without_a_reset_nothing_is_undone_into_another_scan() -> None:
    layer = Gone()
    napari_private.reset_history(layer)
    layer.undo()
    layer.redo()

    assert layer.undone == 0


def test_no_layer_has_nothing_to_undo_and_no_stroke() -> None:
    assert napari_private.can_undo(None) is False
    assert napari_private.is_stroke_open(None) is False
    napari_private.switch_off_going_round(None)
    napari_private.commit_stroke(None)


def test_colours_that_are_known_are_those_napari_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    colours = {None: "red", 0: "transparent", 1: "#00d8f0", 2: "#4a8cff"}
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = DirectLabelColormap(color_dict=colours).map(labels)
    told = DirectLabelColormap(color_dict=colours)
    napari_private.know_colours(told)
    asked: list[object] = []
    monkeypatch.setattr(
        DirectLabelColormap, "_map_without_cache", lambda self, values: asked.append(values)
    )
    np.testing.assert_array_equal(told.map(labels), found)
    Labels(np.zeros((4, 5, 6), np.uint8), colormap=told)
    assert not asked


BOX = (slice(1, 4), slice(0, 5), slice(2, 6))


@pytest.mark.parametrize("contour", [0, 1])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_part_is_written_as_by_lists_of_indices_and_undone_in_one_step(
    contour: int, order: Literal["C", "F"]
) -> None:
    rng = np.random.default_rng(0)
    before = np.array(rng.integers(0, 2, (6, 7, 8), np.uint8), order=order)
    mask = rng.integers(0, 2, (3, 5, 4)).astype(bool)
    changed = (before[BOX] != 0) != mask
    layer = Labels(before.copy(order="K")[::-1][::-1])  # a view, as ours is
    layer.contour = contour
    with layer.block_history():
        assert napari_private.write_part(layer, BOX, changed, mask)
    after = before.copy()
    after[BOX] = mask
    assert np.array_equal(layer.data, after)
    layer.undo()
    assert np.array_equal(layer.data, before)
    layer.redo()
    assert np.array_equal(layer.data, after)


def test_labels_that_napari_keeps_are_written_in_the_other_way() -> None:
    layer = Labels(np.zeros((3, 3, 3), np.uint8))
    layer.preserve_labels = True
    ones = np.ones((3, 3, 3), bool)
    assert napari_private.write_part(layer, (slice(0, 3),) * 3, ones, ones) is False
    assert not layer.data.any()
