"""Reading ahead and writing behind: order, errors, stops, and no more in memory than said."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import Future

import pytest

from napari_singlestrip.pipeline.prefetch import overlapped, read_ahead


class Big:
    """Something that should not be kept."""

    def __init__(self, number: int) -> None:
        self.number = number


def running() -> list[str]:
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith(("read-ahead", "write-behind"))]


def double(item: int, arriving: Future[int]) -> int:
    return 2 * arriving.result()


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_results_come_in_turn(n: int) -> None:
    written: list[int] = []

    def write(done: int) -> int:
        written.append(done)
        return done + 1

    found = list(overlapped(range(n), lambda i: i, double, write))
    assert found == [2 * i + 1 for i in range(n)]
    assert written == [2 * i for i in range(n)]
    assert not running()


def test_each_step_has_its_thread() -> None:
    threads = {step: set[int]() for step in ("read", "work", "write")}

    def note(step: str) -> None:
        threads[step].add(threading.get_ident())

    steps = overlapped(
        range(3), lambda _: note("read"), lambda *_: note("work"), lambda _: note("write")
    )
    list(steps)
    assert threads["work"] == {threading.get_ident()}
    assert [len(found) for found in threads.values()] == [1, 1, 1]
    assert len(set.union(*threads.values())) == 3


def test_next_is_read_and_last_is_written_during_the_work() -> None:
    reading = [threading.Event() for _ in range(4)]
    writing = [threading.Event() for _ in range(3)]

    def work(item: int, arriving: Future[None]) -> int:
        if item < 2:
            assert reading[item + 1].wait(10)
        if item > 0:
            assert writing[item - 1].wait(10)
        return item

    steps = overlapped(range(3), lambda i: reading[i].set(), work, lambda i: writing[i].set())
    assert len(list(steps)) == 3


def test_no_more_is_alive_than_what_is_worked_on_and_the_next() -> None:
    alive: weakref.WeakSet[Big] = weakref.WeakSet()
    most = [0]

    def read(item: int) -> Big:
        time.sleep(0.002)  # as long as letting the last one go takes, and longer
        made = Big(item)
        alive.add(made)
        most[0] = max(most[0], len(alive))
        return made

    def work(item: int, arriving: Future[Big]) -> int:
        found = arriving.result().number
        time.sleep(0.01)
        most[0] = max(most[0], len(alive))
        return found

    assert list(overlapped(range(8), read, work, lambda done: done)) == list(range(8))
    assert most == [2]
    assert not alive


def test_reading_does_not_run_away() -> None:
    begun: list[int] = []
    steps = read_ahead(range(9), begun.append)
    for n in range(4):
        item, arriving = next(steps)
        arriving.result()
        time.sleep(0.02)
        assert item == n and max(begun) <= n + 1
    steps.close()
    assert not running()


def test_what_reading_raises_comes_with_its_item() -> None:
    def read(item: int) -> int:
        if item == 1:
            raise ValueError("damaged")
        return item

    def work(item: int, arriving: Future[int]) -> str:
        try:
            return str(arriving.result())
        except ValueError as error:
            return str(error)

    assert list(overlapped(range(3), read, work, lambda done: done)) == ["0", "damaged", "2"]


@pytest.mark.parametrize("step", ["work", "write"])
def test_what_else_is_raised_comes_in_turn(step: str) -> None:
    def fail(of: str, item: int) -> int:
        if of == step and item == 2:
            raise ZeroDivisionError
        return item

    written: list[int] = []

    def write(done: int) -> int:
        written.append(fail("write", done))
        return done

    steps = overlapped(range(9), lambda i: i, lambda i, _: fail("work", i), write)
    seen: list[int] = []
    with pytest.raises(ZeroDivisionError):
        seen.extend(steps)
    assert seen == [0, 1]
    assert written[:2] == [0, 1] and 2 not in written
    assert not running()


def test_closed_in_the_middle_all_that_was_worked_on_is_written() -> None:
    worked: list[int] = []
    written: list[int] = []

    def work(item: int, _: Future[int]) -> int:
        worked.append(item)
        return item

    def write(done: int) -> int:
        time.sleep(0.02)
        written.append(done)
        return done

    steps = overlapped(range(9), lambda i: i, work, write)
    assert next(steps) == 0
    steps.close()
    assert written == worked == [0, 1]
    assert not running()
