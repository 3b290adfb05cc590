"""The one exception type for a person's mistakes; everything else is a bug, with a traceback.

And the exit codes that say how a program ended.
"""

from __future__ import annotations

OK = 0  # all that was asked for is done
BUG = 1
USER_MISTAKE = 2  # nothing was begun: a wrong path, option or setting
SOME_FAILED = 3  # some scans failed, each with a sentence; the others are done
NOTHING_DONE = 4  # the command ran, but not for a single scan could it be done
CANCELLED = 130


class UserError(Exception):
    """Something a person can put right: a bad file, an unknown setting, a full disk.

    Parameters
    ----------
    what : str
        One sentence naming the file or setting and what was found there.
    hint : str
        What to do about it.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip()

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        return type(self), (self.what, self.hint)


class NotWritten(UserError):
    """A file could not be written: what was to be kept in it is not."""
