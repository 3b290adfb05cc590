"""From the click on Accept to its row on disk: few modules, so that one can follow the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from call_path import watch_writes
from gui_fixtures import click, process_events

from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)
MOST = 8


def test_a_click_on_accept_is_on_disk_by_few_modules(
    window: StripWidget, ranked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("review")
    process_events()
    panel: Any = window.panels["review"]
    ways = watch_writes(monkeypatch, lambda target: target.endswith("decisions.csv"))
    click(panel.decisions.buttons["accept"])

    (way,) = ways
    assert "napari_singlestrip.widgets.review.decision_bar" in way
    assert len(way) <= MOST, way
