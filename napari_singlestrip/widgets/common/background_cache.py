"""Answers that are found once, in the background, and kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import ClassVar, Generic, TypeVar

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.widgets.common.background_thread import Background

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BackgroundCache(Generic[Key, Value]):
    """Finds each value once, in a thread, and says when another one is there.

    Parameters
    ----------
    parent : QObject, optional

    Attributes
    ----------
    thread_name : str
    changed : Signal
        Another value was found.
    """

    thread_name: ClassVar[str] = "cache"

    def __init__(self, parent: QObject | None = None) -> None:
        self.background = Background(self.thread_name, parent)
        self._told = _Told(parent)
        self.changed = self._told.changed
        self._values: dict[Key, Value] = {}
        self._asked: set[Key] = set()

    def ask(self, key: Key, work: Callable[[], Value]) -> None:
        """Find the value of a key, unless that was asked before.

        Parameters
        ----------
        key : hashable
            Holds all that the value depends on, such as the stamps of files.
        work : callable
            Runs in the thread; must not touch Qt or a study's tables.
        """
        if key in self._asked:
            return
        self._asked.add(key)
        self.background.run(work, lambda value: self._take(key, value))

    def known(self, key: Key) -> Value | None:
        """Return the value of a key; None until it is found."""
        return self._values.get(key)

    def forget(self) -> None:
        """Drop what was asked and is not found yet: another study is open."""
        self.background.forget()
        self._asked = set(self._values)

    def close_all(self) -> None:
        """End the thread when the window closes."""
        self.background.close_all()

    def _take(self, key: Key, value: Value) -> None:
        self._values[key] = value
        self.changed.emit()


class _Told(QObject):
    """The signal: a class that is generic can be no QObject in every binding."""

    changed = Signal()
