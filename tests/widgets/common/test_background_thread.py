"""Work in a thread, whose results come back to Qt's."""

from __future__ import annotations

import sys
import threading
from functools import partial

import pytest
from gui_fixtures import wait_until
from pytestqt.qtbot import QtBot

from napari_singlestrip.errors import UserError
from napari_singlestrip.widgets.common.background_thread import (
    SLOW_IMPORTS,
    Background,
    import_slow_parts,
)

pytest_plugins = ("gui_fixtures",)


def test_results_come_in_turn_to_the_thread_that_asked(qtbot: QtBot) -> None:
    background, seen = Background("test"), list[tuple[int, int]]()
    here = threading.get_ident()
    worked: list[int] = []

    def work(n: int) -> int:
        worked.append(threading.get_ident())
        return n

    def take(result: int) -> None:
        seen.append((result, threading.get_ident()))

    for n in range(3):
        background.run(partial(work, n), take)
    wait_until(lambda: len(seen) == 3)
    assert seen == [(0, here), (1, here), (2, here)]
    assert here not in worked
    background.close_all()


def test_what_is_forgotten_does_not_arrive(qtbot: QtBot) -> None:
    background, seen, go = Background("test"), list[str](), threading.Event()
    background.run(lambda: go.wait(5), lambda _: seen.append("old"))
    background.forget()
    go.set()
    background.run(lambda: None, lambda _: seen.append("new"))
    wait_until(lambda: seen)
    assert seen == ["new"]
    background.close_all()
    background.run(lambda: None, lambda _: seen.append("closed"))
    assert seen == ["new"]


def test_mistakes_are_told_and_bugs_are_seen(qtbot: QtBot) -> None:
    background, told = Background("test"), list[str]()
    background.failed.connect(told.append)

    def fail(error: BaseException) -> None:
        raise error

    background.run(lambda: fail(UserError("No file.", "Look.")), lambda _: None)
    background.run(lambda: fail(MemoryError()), lambda _: None)
    wait_until(lambda: len(told) == 2)
    assert "No file." in told[0] and "memory" in told[1]
    with qtbot.capture_exceptions() as caught:
        background.run(lambda: fail(ZeroDivisionError("a bug")), lambda _: None)
        wait_until(lambda: caught)
    assert caught[0][0] is ZeroDivisionError
    background.close_all()


def test_whoever_asks_may_hear_of_the_failure(qtbot: QtBot) -> None:
    background, told, seen = Background("test"), list[str](), list[Exception]()
    background.failed.connect(told.append)
    background.run(lambda: 1 / 0, lambda _: told.append("done"), seen.append)
    wait_until(lambda: seen)
    assert isinstance(seen[0], ZeroDivisionError) and not told
    background.close_all()


def test_several_threads_work_at_once(qtbot: QtBot) -> None:
    background, seen = Background("test", None, 2), list[int]()
    both = threading.Barrier(2)
    for _ in range(2):
        background.run(lambda: both.wait(20), seen.append)
    wait_until(lambda: len(seen) == 2)
    background.close_all()


@pytest.mark.parametrize("asked", [0, 3])
def test_closing_waits_for_the_thread(qtbot: QtBot, asked: int) -> None:
    background = Background("test-closing")
    for _ in range(asked):
        background.run(lambda: None, lambda _: None)
    background.close_all()
    assert not [t for t in threading.enumerate() if t.name.startswith("test-closing")]


def test_slow_parts_are_imported_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(
        "importlib.import_module", lambda name: asked.append((name, threading.get_ident()))
    )
    thread = import_slow_parts()
    thread.join(10)
    assert [name for name, _ in asked] == list(SLOW_IMPORTS)
    assert threading.get_ident() not in {ident for _, ident in asked}


def test_slow_parts_are_there() -> None:
    import_slow_parts().join(60)
    assert set(SLOW_IMPORTS) <= set(sys.modules)
