"""Thumbnails of the ranked masks, small for the table and large for the gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QObject
from qtpy.QtGui import QPixmap

from napari_singlestrip.study.round_folder import doubts_path
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.thumbnails import Thumbnails, placeholder
from napari_singlestrip.widgets.review.gallery import PICTURE as TILE
from napari_singlestrip.widgets.review.table_model import THUMBNAIL
from napari_singlestrip.widgets.session.session import Session

MOST_TILES = 400  # thumbnails kept in memory, 135 kB each


class ReviewPictures(QObject):
    """Draws the latest mask of a scan over it, in the background.

    Parameters
    ----------
    session : Session
    ranked_round : callable
        Number of the reviewed round, or None.
    parent : QObject

    Attributes
    ----------
    small, large : Thumbnails
    """

    def __init__(
        self, session: Session, ranked_round: Callable[[], int | None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._session, self._round = session, ranked_round
        self.small, self.large = Thumbnails(self), Thumbnails(self, most=MOST_TILES)

    def row(self, name: str) -> QPixmap:
        """Thumbnail for the table, or its placeholder until it is drawn."""
        study, round_ = self._session.study, self._round()
        if study is None or round_ is None:
            return placeholder(THUMBNAIL)
        return self.small.pixmap(study, name, _mask(study, round_, name), THUMBNAIL)

    def tile(self, name: str) -> QPixmap:
        """Image for the gallery: the slice with the largest doubts."""
        study, round_ = self._session.study, self._round()
        if study is None or round_ is None:
            return placeholder(TILE)
        marks = doubts_path(study, round_, name)
        return self.large.pixmap(study, name, _mask(study, round_, name), TILE, marks)

    def close_all(self) -> None:
        """End the threads: the window closes."""
        self.large.close_all()
        self.small.close_all()


def _mask(study: Study, round_: int, name: str) -> Path:
    """The mask of a scan: made by hand, or else predicted."""
    made = study.masks.path(name)
    return made if made.exists() else study.rounds.pseudo_label_path(round_, name)
