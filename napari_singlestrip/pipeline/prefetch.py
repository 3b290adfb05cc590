"""Reading what comes next and writing what is done, while the present piece is worked on.

One thread reads and one writes: unpacking, packing and files leave the interpreter to others.
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
    """Take items through three steps, with the next one read and the last one written meanwhile.

    Closed in the middle, it first writes all that was worked on. Whatever happens, its threads are
    gone afterwards.

    Parameters
    ----------
    items : sequence
    read : callable
        In a thread; at most one item ahead of `work`.
    work : callable
        In the caller's thread, in turn. What `read` returned or raised is the future's result.
    write : callable
        In another thread, in turn.

    Yields
    ------
    object
        What `write` returned for each item, in turn, once it is written. What it raised is raised.
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
                if written is not None:  # what went before is told first
                    yield written.result()
                raise
            before, written = written, writer.submit(write, done)
            del done, arriving  # large things, for which there must be room
            if before is not None:
                yield before.result()
        if written is not None:
            yield written.result()


def read_ahead(
    items: Sequence[T], read: Callable[[T], Read]
) -> Generator[tuple[T, Future[Read]], None, None]:
    """Yield each item with what `read` returns for it; the next one is read in the meantime."""
    reader = ThreadPoolExecutor(1, "read-ahead")
    try:
        arriving = [reader.submit(read, item) for item in items[:1]]
        for n, item in enumerate(items, 1):
            arriving += [reader.submit(read, following) for following in items[n : n + 1]]
            yield item, arriving.pop(0)
    finally:
        reader.shutdown(wait=True, cancel_futures=True)
