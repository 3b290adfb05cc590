"""The curves: points arrive, a resumed stage continues, and the theme is followed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gui_fixtures import process_events, wait_until
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

from napari_singlestrip.widgets.train.curves import (
    COLOURS,
    POINTS,
    WORDS,
    Curves,
    Plot,
    smooth,
    thinned,
)
from napari_singlestrip.widgets.train.track import METRICS, Track

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def curves(qapp: object) -> Iterator[Curves]:
    holder = QWidget()
    made = Curves(holder)
    holder.resize(400, 300)
    made.resize(400, 280)
    holder.show()
    process_events()
    yield made
    made.close_all()
    holder.close()
    holder.deleteLater()


def drawn(plot: Plot) -> int:
    return len(plot.lines[0].points)


def colours_of(plot: Plot) -> set[str]:
    image = plot.grab().toImage()
    return {
        QColor(image.pixel(x, y)).name()
        for x in range(image.width()) for y in range(image.height())
    }


def test_empty_curves_say_what_will_come(curves: Curves) -> None:
    assert "appear" in curves.legend.text()
    assert drawn(curves.loss) == 0


def test_points_are_drawn_a_moment_later(curves: Curves) -> None:
    for step in range(1, 31):
        curves.add(step, 100, {"loss": 1 / step, "unknown": 3.0})
    assert drawn(curves.loss) == 0  # not one redraw for each
    curves.add(31, 100, {"loss": 0.02, "validation_dice": 0.9, "painted_dice": 0.8})
    wait_until(lambda: drawn(curves.loss) == 31)
    assert drawn(curves.dice) == 1
    assert "0.900" in curves.legend.text()
    assert "0.800" in curves.legend.text()


def test_resumed_stage_replaces_what_was_lost() -> None:
    track = Track()
    for step in range(10, 60, 10):
        track.add(step, {"loss": 1.0})
    track.add(21, {"loss": 0.5})
    assert track.points["loss"] == [(10, 1.0), (20, 1.0), (21, 0.5)]
    track.add(22, {"loss": float("nan")})
    assert track.last("loss") == 0.5
    assert track.last("painted_dice") is None


def test_each_metric_has_a_colour_and_words() -> None:
    assert set(METRICS) == set(COLOURS) == set(WORDS)


def test_smoothing_has_no_pull() -> None:
    assert smooth((n, 2.0) for n in range(5)) == pytest.approx([2.0] * 5)
    assert smooth([]) == []
    falling = smooth((n, 10.0 - n) for n in range(10))
    assert falling == sorted(falling, reverse=True)


def test_curve_is_seen(curves: Curves) -> None:
    assert COLOURS["painted_dice"] not in colours_of(curves.dice)
    for step in range(100, 1000, 100):
        curves.add(step, 1000, {"painted_dice": 0.5 + step / 2500})
    curves.redraw()
    assert COLOURS["painted_dice"] in colours_of(curves.dice)
    assert curves.dice.y_range == (0.7, 1.0)


def test_long_training_is_thinned() -> None:
    line = [(n, float(n % 2)) for n in range(20_000)]
    few = thinned(line)
    assert len(few) <= POINTS
    assert few[-1][0] == 19_999
    assert {round(value, 1) for _, value in few} == {0.5}
    assert thinned(line[:10]) == line[:10]


def test_theme_is_followed(curves: Curves) -> None:
    holder = curves.parentWidget()
    assert holder is not None
    for text, other in (("#eeeeee", "#111111"), ("#111111", "#eeeeee")):
        holder.setStyleSheet(f"QWidget {{ background: {other}; color: {text}; }}")
        process_events()
        assert text in colours_of(curves.loss)
