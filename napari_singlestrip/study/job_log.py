"""job.log of a study: the events of its jobs, for questions and bug reports."""

from __future__ import annotations

import logging
import platform
import sys
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from napari_singlestrip import __version__
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Cancelled, Event, Failed, Finished, Note, Progress
from napari_singlestrip.files.atomic import open_to_append
from napari_singlestrip.texts import printable

MAX_BYTES = 1_000_000
LOGGER = logging.getLogger("napari_singlestrip")


class JobLog:
    """A sink that writes events, all but `Progress`, to ``job.log`` in a study folder.

    The handler is attached to the package's logger, so that it also receives what the engine logs.
    If the study cannot be opened, or its disk is full, nothing is written: the job itself reports
    it.

    Parameters
    ----------
    folder : Path
        The study folder.
    """

    def __init__(self, folder: Path) -> None:
        self._handler: logging.Handler | None = None
        if not (folder / "study.json").exists():
            return
        with suppress(OSError, UserError):
            self._handler = _Handler(
                folder / "job.log", maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8",
                errors="backslashreplace",  # file names that are not UTF-8
            )
            self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            LOGGER.addHandler(self._handler)
            LOGGER.setLevel(logging.INFO)
            LOGGER.info(
                "napari-singlestrip %s, Python %s, %s: %s",
                __version__, platform.python_version(), platform.platform(),
                printable(" ".join(sys.argv)),
            )  # fmt: skip

    def __call__(self, event: Event) -> None:
        """Write one event."""
        if self._handler is not None and not isinstance(event, Progress):
            LOGGER.log(_level(event), _text(event))

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            LOGGER.removeHandler(self._handler)
            with suppress(OSError):  # the disk is full
                self._handler.close()
            self._handler = None


class _Handler(RotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        file = open_to_append(Path(self.baseFilename))
        assert isinstance(file, TextIOWrapper)
        return file

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore a full disk or a link, which the job itself reports; anything else is a bug."""
        if not isinstance(sys.exc_info()[1], (OSError, UserError)):
            super().handleError(record)


def _level(event: Event) -> int:
    if isinstance(event, Failed):
        return logging.ERROR
    warning = isinstance(event, Note) and event.level == "warning"
    return logging.WARNING if warning else logging.INFO


def _text(event: Event) -> str:
    if isinstance(event, Note):
        kind = f"({event.kind}) " if event.kind else ""
        lines = (f"{kind}{event.text}", *event.traceback.rstrip().splitlines())
        return "\n".join(map(printable, lines)).rstrip()
    if isinstance(event, Failed):
        lines = (f"{event.what} {event.hint}", *event.traceback.rstrip().splitlines())
        return "\n".join(map(printable, lines)).rstrip()
    if isinstance(event, Finished):
        failed = f", {event.n_failed} scans failed" if event.n_failed else ""
        return f"Finished in {event.seconds:.0f} s{failed} {event.summary or ''}".rstrip()
    if isinstance(event, Cancelled):
        return f"Cancelled in {event.stage or 'the beginning'}, step {event.step}"
    return repr(event)
