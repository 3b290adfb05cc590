"""What commands and other windows change in a study is seen in this one, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.drafts import drafted
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from napari_singlestrip.widgets.session.session import Session

LOOK_MS = 2000


class Follower(QObject):
    """Looks every two seconds whether the study changed, but not during a stroke.

    What is painted and not kept yet stays on screen whatever others do.

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
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """Take over what others changed."""
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            return
        self._looking = True
        try:
            with self._session.guarded():
                self._study.follow()
                self._follow_scan()
        finally:
            self._looking = False
        self._note_own()

    def stop(self) -> None:
        """The study is closed."""
        self._timer.stop()
        self._changes.disconnect(self._note_own)
        self._session.scan_changed.disconnect(self._note_own)
        self.deleteLater()

    def _follow_scan(self) -> None:
        name = self._session.scan
        if name and name not in self._study.names:
            self._session.layers.clear()
            self._session.tell(
                f"{name} was taken out of the study elsewhere. What you painted on it is kept: "
                "add the scan again to go on.", "warning",
            )
        elif self._mask_on_disk() != self._mask and name not in drafted(self._study.folder):
            self._session.show_scan(name)

    def _note_own(self, _: object = None) -> None:
        if not self._looking:
            self._mask = self._mask_on_disk()

    def _mask_on_disk(self) -> tuple[str, int]:
        """Scan on screen, and when the mask that a person made of it was written."""
        name = self._session.scan
        try:
            return name, self._study.mask_path(name).stat().st_mtime_ns if name else 0
        except (OSError, UserError):
            return name, 0
