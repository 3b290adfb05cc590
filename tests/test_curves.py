"""The curves: points arrive, a resumed stage goes on, and the theme is followed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gui_fixtures import process_events, wait_until
from qtpy.QtWidgets import QWidget

from napari_singlestrip.widgets.curves import Curves, Track, smooth

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


def test_empty_curves_say_what_will_come(curves: Curves) -> None:
    assert "appear" in curves.legend.text()
    assert curves.points("loss") == 0


def test_points_are_drawn_a_moment_later(curves: Curves) -> None:
    for step in range(1, 31):
        curves.add(step, 100, {"loss": 1 / step, "unknown": 3.0})
    assert curves.points("loss") == 0  # not one redraw for each
    curves.add(31, 100, {"loss": 0.02, "validation_dice": 0.9, "painted_dice": 0.8})
    wait_until(lambda: curves.points("loss") == 31)
    assert curves.points("validation_dice") == 1
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


def test_smoothing_has_no_pull() -> None:
    assert smooth((n, 2.0) for n in range(5)) == pytest.approx([2.0] * 5)
    assert smooth([]) == []
    falling = smooth((n, 10.0 - n) for n in range(10))
    assert falling == sorted(falling, reverse=True)


def test_theme_is_followed(curves: Curves) -> None:
    def colour() -> str:
        return str(curves._plots[0].getAxis("left").textPen().color().name())

    holder = curves.parentWidget()
    assert holder is not None
    holder.setStyleSheet("QWidget { background: #222; color: #eeeeee; }")
    process_events()
    assert colour() == "#eeeeee"
    holder.setStyleSheet("QWidget { background: #eee; color: #111111; }")
    process_events()
    assert colour() == "#111111"
