"""The text of the header about saving."""

from __future__ import annotations

import time

from napari_singlestrip.texts import duration, printable
from napari_singlestrip.widgets.session.session import Session


def saved_words(session: Session, saved_at: float, *, failed: bool) -> str:
    """Time of the last save, or a warning after a failure until it is resolved.

    Parameters
    ----------
    session : Session
    saved_at : float
        Monotonic clock (s); 0 if nothing was saved yet.
    failed : bool
        Whether the last change could not be written.
    """
    study = session.study
    unsaved = () if study is None else session.unsaved.names(study.folder)
    if unsaved:
        return f"NOT saved: {', '.join(map(printable, unsaved))}"
    if failed:
        return "The last change is NOT saved"
    return f"saved {duration(time.monotonic() - saved_at)} ago" if saved_at else ""
