"""Following changes of the study by commands and other windows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.stamp import FileStamp, file_stamp
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.submission import newest_submission
from napari_singlestrip.vocabulary import FIRST_STAGES
from napari_singlestrip.widgets.session.job_process import FOLLOW

if TYPE_CHECKING:
    from napari_singlestrip.widgets.session.session import Session

LOOK_MS = 2000


class Follower(QObject):
    """Checks every two seconds whether the study changed, but not during a stroke.

    Unsaved strokes stay on screen in any case.

    Parameters
    ----------
    session : Session
    study : Study
    """

    def __init__(self, session: Session, study: Study) -> None:
        super().__init__(session)
        self._session, self._study = session, study
        self._looking = False
        self._mask = self._mask_on_disk()
        self._changes = study.changed
        self._changes.connect(self._note_own)
        session.scan_changed.connect(self._note_own)
        study.follow()
        self._followed: Path | None = None
        self.follow_submission()
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """Apply changes made by others."""
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            return
        self._looking = True
        try:
            with self._session.guarded():
                self._study.follow()
                self._follow_scan()
                self.follow_submission()
        finally:
            self._looking = False
        self._note_own()

    def follow_submission(self) -> None:
        """Show in the job bar how far submitted jobs are, once no other job is under way."""
        found = newest_submission(self._study.folder)
        if found is None or found.is_over or found.path == self._followed:
            return
        if not self._session.job.status.busy:
            self._followed = found.path
            self._session.job.start(
                ["follow", str(self._study.folder)], FOLLOW, stages=FIRST_STAGES
            )

    def stop(self) -> None:
        """The study is closed."""
        self._timer.stop()
        self._changes.disconnect(self._note_own)
        self._session.scan_changed.disconnect(self._note_own)
        self.deleteLater()

    def _follow_scan(self) -> None:
        name = self._session.scan
        if name and name not in self._study.scans.names:
            self._session.layers.clear()
            self._session.tell(
                f"{name} was removed from the study elsewhere. What you painted on it is kept: "
                "add the scan again to continue.", "warning",
            )
        elif self._mask_on_disk() != self._mask and name not in self._session.unfinished():
            self._session.show_scan(name)

    def _note_own(self, _: object = None) -> None:
        if not self._looking:
            self._mask = self._mask_on_disk()

    def _mask_on_disk(self) -> tuple[str, FileStamp | None]:
        """The scan on screen, and the stamp of its manual mask."""
        name = self._session.scan
        try:
            return name, file_stamp(self._study.masks.path(name)) if name else None
        except UserError:
            return name, None
