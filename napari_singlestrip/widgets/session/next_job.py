"""A job that waits until the one that runs by itself has saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.session.job_process import JobStatus

if TYPE_CHECKING:
    from napari_singlestrip.widgets.session.session import Session


class NextJob(QObject):
    """Stops a job that nobody asked for, and starts the next one once it has ended.

    Saving takes up to seconds, for which a window must not stand still.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._waiting: tuple[Study | None, Callable[[], None]] | None = None
        # Not at once: whoever listens to the job is still being told that it ended.
        self._soon = single_shot(self, 0, self._begin)
        session.job.changed.connect(self._on_job)

    def wait(self, start: Callable[[], None]) -> None:
        """Stop the job that runs, and call `start` once it has saved and ended.

        Parameters
        ----------
        start : callable
            Dropped if another study is opened first.
        """
        self._waiting = self._session.study, start
        self._session.job.cancel()

    # --- inside

    def _on_job(self, status: JobStatus) -> None:
        if self._waiting is not None and not status.busy:
            self._soon.start()

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting[0] is self._session.study:
            with self._session.guarded():
                waiting[1]()
