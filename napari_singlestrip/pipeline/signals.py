"""Handling of termination signals: the first cancels the job, the second ends the process.

Python handles a signal only between two bytecode instructions: a library that computes or waits in
C delays it. So a thread listens as well; and on Linux, where a library may even block all of
Python, the second signal has the system's default handler.
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
GRACE_SECONDS = 5.0  # for the job to save its state after the second signal


class Cancellable(Protocol):
    """Something that a signal can cancel."""

    @property
    def cancelled(self) -> bool:
        """Whether the job should stop."""

    def cancel(self) -> None:
        """Ask the job to stop at its next event."""


@contextmanager
def signals_cancel(control: Cancellable) -> Iterator[None]:
    """Let termination signals cancel the job; a second one ends the process in any case.

    The second one interrupts the job, which saves its state. If that takes longer than
    `GRACE_SECONDS`, the process is terminated.
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
    # An ignored signal stays ignored, as nohup and `&` require.
    ours = [number for number, handler in old.items() if handler not in (signal.SIG_IGN, None)]
    with ExitStack() as stack:
        for number in ours:
            stack.callback(signal.signal, number, old[number])
            signal.signal(number, handle)
            rearms[number] = _obeyed_once(number)
        stack.enter_context(_listening(rearms))
        yield


def _obeyed_once(number: int) -> Callable[[], None]:
    """Handle the next such signal in Python, and the one after it by the system's default.

    Returns
    -------
    callable
        Re-arms this once Python has handled a signal.
    """
    if sys.platform != "linux":
        return lambda: None
    try:
        install = ctypes.CDLL(None).sysv_signal  # resets the handler when it is called
    except (OSError, AttributeError):  # not the GNU C library
        return lambda: None
    install.restype, install.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    handler = install(number, None)  # Python's own, in C
    install(number, handler)

    def again() -> None:
        install(number, handler)

    return again


@contextmanager
def _listening(rearms: dict[int, Callable[[], None]]) -> Iterator[None]:
    """Count signals in a thread, which runs even if the main thread is blocked in a library."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    over = threading.Event()
    listener = threading.Thread(
        target=_listen, args=(reading, rearms, over), name="signals", daemon=True
    )
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    with suppress(RuntimeError):  # no memory for a thread: the job will report it
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
