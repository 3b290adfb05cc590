"""Comparing the decided masks of a study with what was reviewed, while the window is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision
from napari_singlestrip.widgets.common.background_thread import Background

READ_AT_ONCE = 100  # masks: with more, the window would stand still


class DecidedMasks(QObject):
    """Reads many decided masks of a study that was just opened, in a thread.

    That tells whether each is the one that was reviewed, as it nearly always is: until it is known,
    all steps take it for that one, and none waits.

    Signals
    -------
    found()
        Some were replaced since: what was shown of the study is to be looked up again.
    """

    found = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._background = Background("decided-masks", self)
        self._reading: Study | None = None

    @property
    def reading(self) -> bool:
        """Whether some are still presumed to be right."""
        return self._reading is not None

    def begin(self, study: Study) -> None:
        """Begin to read the masks of a study; a few are left to whoever needs them."""
        self.end()
        unread: list[Decision] = []
        with suppress(UserError):  # a damaged table: the steps tell it
            unread = study.decisions.unread()
        if len(unread) <= READ_AT_ONCE:
            return
        study.decisions.presume(unread)
        self._reading = study
        wanted = partial(self._reads, study)
        self._background.run(
            partial(_all_right, study, unread, wanted), partial(self._on_read, study)
        )

    def end(self) -> None:
        """Stop reading: the study is closed."""
        self._reading = None
        self._background.forget()

    def close_all(self) -> None:
        """End the thread: the window closes."""
        self.end()
        self._background.close_all()

    def _reads(self, study: Study) -> bool:
        return self._reading is study

    def _on_read(self, study: Study, right: bool) -> None:
        self._reading = None
        study.decisions.presume(())
        if not right:
            self.found.emit()


def _all_right(study: Study, decisions: Sequence[Decision], wanted: Callable[[], bool]) -> bool:
    """Read masks as long as they are wanted; return whether all are those that were reviewed."""
    right = True
    for decision in decisions:
        if not wanted():  # another study was opened, or the window closes
            break
        right &= study.decisions.is_about_its_file(decision)
    return right
