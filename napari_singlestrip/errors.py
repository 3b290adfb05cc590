"""The exception type for users' mistakes; everything else is a bug, with a traceback.

Also the exit codes of the command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_singlestrip import __version__

OK = 0  # everything requested is done
BUG = 1
USER_MISTAKE = 2  # nothing was started: a wrong path, option or setting
SOME_FAILED = 3  # some scans failed, each with a message; the others are done
NOTHING_DONE = 4  # the command ran, but failed for every scan
CANCELLED = 130


class UserError(Exception):
    """An error that the user can fix: a bad file, an unknown setting, a full disk.

    Parameters
    ----------
    what : str
        One sentence that names the file or setting and what was found.
    hint : str
        What to do about it.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip()

    def __reduce__(self) -> tuple[type[UserError], tuple[Any, ...]]:
        return type(self), (self.what, self.hint)


class FromNewerVersion(UserError):
    """A file holds what this version does not know: a newer one wrote it, and it is not damaged.

    Parameters
    ----------
    path : Path
        The file.
    found : str
        What is not known, such as "setting network.depth".
    """

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"{path} was made by a newer version of napari-singlestrip "
            f"({found}; this is version {__version__}).",
            "Update with `pip install --upgrade napari-singlestrip`, and leave the file as it is.",
        )
        self._made_of = (path, found)

    def __reduce__(self) -> tuple[type[UserError], tuple[Any, ...]]:
        return type(self), self._made_of


class InUse(UserError):
    """Another program works where only one may."""


class NotWritten(UserError):
    """A file could not be written, so its content is not saved."""
