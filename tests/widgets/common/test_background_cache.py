"""What is asked for is found once, and said."""

from __future__ import annotations

import threading

import pytest
from gui_fixtures import process_events, wait_until

from napari_singlestrip.widgets.common.background_cache import BackgroundCache

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def cache(qapp: object) -> object:
    found: BackgroundCache[str, int] = BackgroundCache()
    yield found
    found.close_all()


def test_a_value_is_found_once_and_said(cache: BackgroundCache[str, int]) -> None:
    runs, said = [], []
    cache.changed.connect(lambda: said.append(cache.known("a")))
    for _ in range(3):
        cache.ask("a", lambda: runs.append(1) or 7)  # type: ignore[func-returns-value]
    assert cache.known("a") is None
    wait_until(lambda: said == [7], "the value is said")
    cache.ask("a", lambda: runs.append(1) or 8)  # type: ignore[func-returns-value]
    process_events()
    assert runs == [1] and cache.known("a") == 7


def test_forgetting_drops_what_is_not_found_yet_and_keeps_the_rest(
    cache: BackgroundCache[str, int],
) -> None:
    cache.ask("a", lambda: 1)
    wait_until(lambda: cache.known("a") == 1, "a is found")
    hold, runs, said = threading.Event(), [], []
    cache.changed.connect(lambda: said.append(cache.known("held")))
    cache.ask("held", lambda: hold.wait(10) and 2)
    cache.forget()
    hold.set()
    cache.ask("a", lambda: runs.append(1) or 3)  # type: ignore[func-returns-value]
    cache.ask("held", lambda: 4)
    wait_until(lambda: cache.known("held") == 4, "it can be asked again")
    assert cache.known("a") == 1 and not runs
    assert said == [4], "what was dropped is not told"
