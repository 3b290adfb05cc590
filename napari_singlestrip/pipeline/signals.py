"""Signals that ask a process to end: the first cancels the job, the second ends the process.

Python obeys a signal between two of its own steps, and no sooner: a library that computes, waits or
spins in C would let it wait. So a thread listens, too; and on Linux, where a library may even keep
all of Python waiting, the system itself obeys the second signal.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Protocol

from napari_singlestrip.errors import CANCELLED

CANCELLING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
GRACE_SECONDS = 5.0  # for the second signal to end the job in good order: what it has is saved


class Cancellable(Protocol):
    """What a signal cancels."""

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop."""

    def cancel(self) -> None:
        """Ask the job to stop at its next event."""


@contextmanager
def signals_cancel(control: Cancellable) -> Iterator[None]:
    """Let signals that ask a process to end cancel; a second one ends it, whatever it is doing.

    The second interrupts the job, which saves what it has. If that does not end it within
    `GRACE_SECONDS`, the process is ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    rearms: dict[int, Callable[[], None]] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        rearms[number]()
        if control.cancelled:
            raise KeyboardInterrupt
        control.cancel()

    old = {number: signal.getsignal(number) for number in CANCELLING_SIGNALS}
    # An ignored signal stays ignored: that is how nohup and `&` keep a job running.
    ours = [number for number, handler in old.items() if handler not in (signal.SIG_IGN, None)]
    with ExitStack() as stack:
        for number in ours:
            stack.callback(signal.signal, number, old[number])
            signal.signal(number, handle)
            rearms[number] = _obeyed_once(number)
        stack.enter_context(_listening(rearms))
        yield


def _obeyed_once(number: int) -> Callable[[], None]:
    """Let Python obey the next such signal, and the system the one after it, by ending the process.

    Returns
    -------
    callable
        Does so again, once Python has seen a signal: it can obey the next one, too.
    """
    if sys.platform != "linux":
        return lambda: None
    try:
        install = ctypes.CDLL(None).sysv_signal  # forgets a handler when it is called
    except (OSError, AttributeError):  # another C library than GNU's
        return lambda: None
    install.restype, install.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    handler = install(number, None)  # Python's own, in C
    install(number, handler)

    def again() -> None:
        install(number, handler)

    return again


@contextmanager
def _listening(rearms: dict[int, Callable[[], None]]) -> Iterator[None]:
    """Count signals in a thread, which goes on while the main one is kept in a library."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    over = threading.Event()
    listener = threading.Thread(
        target=_listen, args=(reading, rearms, over), name="signals", daemon=True
    )
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    with suppress(RuntimeError):  # no memory for a thread: the job says so soon enough
        listener.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(writing)
        if listener.ident is not None:
            listener.join()
        os.close(reading)


def _listen(reading: int, rearms: dict[int, Callable[[], None]], over: threading.Event) -> None:
    n = 0
    while numbers := os.read(reading, 64):
        for number in numbers:
            if number in rearms:
                rearms[number]()
                n += 1
        if n > 1 and not over.wait(GRACE_SECONDS):
            os._exit(CANCELLED)
