"""Prefetching: the next item is read, and the previous one written, during the present one.

One thread reads and one writes: compression and file access release the GIL.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

T = TypeVar("T")
Read = TypeVar("Read")
Done = TypeVar("Done")
Written = TypeVar("Written")


def overlapped(
    items: Sequence[T],
    read: Callable[[T], Read],
    work: Callable[[T, Future[Read]], Done],
    write: Callable[[Done], Written],
) -> Generator[Written, None, None]:
    """Process items in three steps, reading the next one and writing the previous one meanwhile.

    If closed early, it first writes all processed items. Its threads always end with it.

    Parameters
    ----------
    items : sequence
    read : callable
        In a thread; at most one item ahead of `work`.
    work : callable
        In the caller's thread, in order. The result or exception of `read` is in the future.
    write : callable
        In another thread, in order.

    Yields
    ------
    object
        Result of `write` for each item, in order; its exceptions are raised.
    """
    with (
        ThreadPoolExecutor(1, "write-behind") as writer,
        closing(read_ahead(items, read)) as arrivals,
    ):
        written: Future[Written] | None = None
        for item, arriving in arrivals:
            try:
                done = work(item, arriving)
            except Exception:
                if written is not None:  # earlier items are reported first
                    yield written.result()
                raise
            before, written = written, writer.submit(write, done)
            del done, arriving  # large objects, freed before the next ones are made
            if before is not None:
                yield before.result()
        if written is not None:
            yield written.result()


def read_ahead(
    items: Sequence[T], read: Callable[[T], Read]
) -> Generator[tuple[T, Future[Read]], None, None]:
    """Yield each item with the result of `read`, while the next one is read."""
    reader = ThreadPoolExecutor(1, "read-ahead")
    try:
        arriving = [reader.submit(read, item) for item in items[:1]]
        for n, item in enumerate(items, 1):
            arriving += [reader.submit(read, following) for following in items[n : n + 1]]
            yield item, arriving.pop(0)
    finally:
        reader.shutdown(wait=True, cancel_futures=True)
