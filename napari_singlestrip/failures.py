"""Classification of exceptions: what went wrong, in words and by kind.

One bad scan never stops the rest: each is processed through `attempt` or `guarded`.
"""

from __future__ import annotations

import errno
import re
import traceback as tracebacks
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from napari_singlestrip.errors import UserError
from napari_singlestrip.events import FailureKind, Note

P = ParamSpec("P")
T = TypeVar("T")

BUG_HINT = "Please report it with what `singlestrip doctor` prints."
MEMORY_HINT = (
    "Close other programs, or make the job smaller: `--set training.batch_size=1` or a larger "
    "voxel size, such as `--set conform.spacing_mm=5`."
)
SCAN_MEMORY_HINT = "Close other programs and give the same command again, or use larger voxels."
DISK_HINT = "Free some space and start the same command again: it resumes."
# Messages of torch, its convolutions, C++, Python and the system's loader for lack of memory.
NO_MEMORY = re.compile(
    "out of memory|t allocate memory|could not create a primitive$|bad_alloc|t start new thread"
    "|failed to map segment|memory allocation still failed"
    # Python's message if an import inside C runs out of memory.
    "|error return without exception set$",
    re.IGNORECASE | re.MULTILINE,
)
# The disk is full or read-only: no scan can be written.
DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# Limits of the system, such as on file size or open files.
LIMITS = (errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT)


@dataclass(frozen=True)
class Failure:
    """The reason why something failed.

    Attributes
    ----------
    kind : {"mistake", "limit", "bug"}
        The user can fix it; it exceeds this computer's resources; or it is a bug.
    what, hint : str
        What is wrong, and what to do.
    traceback : str
        Of a bug.
    """

    kind: FailureKind
    what: str
    hint: str = ""
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip()

    def note(self, scan: str, words: str = "") -> Note:
        """Make a note for a scan, with `words` after its name."""
        about = f"{scan} {words}".strip()
        text = f"{about}: {self}" if about else str(self)
        return Note(text, "warning", scan, self.kind, self.traceback)


def describe(error: BaseException, memory_hint: str = MEMORY_HINT) -> Failure:
    """Describe `error`: in plain words if the user can do something, else as a bug.

    Parameters
    ----------
    error : BaseException
    memory_hint : str
        The hint for lack of memory.
    """
    if isinstance(error, UserError):
        limited = any(_is_limit(cause) for cause in _causes(error))
        return Failure("limit" if limited else "mistake", error.what, error.hint)
    text = str(error)
    if _is_lack_of_memory(error):
        return Failure("limit", "There was not enough memory.", memory_hint)
    if _is_about_a_full_disk(error) or _number(error) == errno.EFBIG:
        state = "read-only" if _number(error) == errno.EROFS else "full"
        return Failure("limit", f"The disk is {state}: {text.splitlines()[0]}.", DISK_HINT)
    if _is_limit(error):
        return Failure("limit", f"It is too much for this computer: {text or _name(error)}.")
    trace = "".join(tracebacks.format_exception(error))
    return Failure("bug", f"{_name(error)}: {text}", BUG_HINT, trace)


def concerns_all(error: BaseException) -> bool:
    """Whether `error` would affect every other scan too, as a full disk does."""
    return any(_is_about_a_full_disk(cause) for cause in _causes(error))


def attempt(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Failure:
    """Return the result of `work`, or its failure; only errors that affect all scans are raised."""
    try:
        return work(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - one bad scan must not stop the others
        return of_scan(error)


def guarded(work: Iterable[T]) -> Generator[T, None, Failure | None]:
    """Yield from `work`; return its failure, as in `attempt`, or None."""
    try:
        yield from work
    except Exception as error:  # noqa: BLE001 - as above
        return of_scan(error)
    return None


def of_scan(error: Exception) -> Failure:
    """Describe the failure of one scan; raise `error` if it affects all of them."""
    if concerns_all(error):
        raise error
    return describe(error, SCAN_MEMORY_HINT)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and the chain of its causes."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__


def _is_about_a_full_disk(error: BaseException) -> bool:
    return _number(error) in DISK_IS_FULL or (
        not isinstance(error, UserError) and "No space left on device" in str(error)
    )


def _is_limit(error: BaseException) -> bool:
    return (
        _is_lack_of_memory(error)
        or isinstance(error, (RecursionError, TimeoutError))
        or _number(error) in LIMITS
    )


def _is_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, UserError):  # its text may contain anything, such as a file name
        return False
    return isinstance(error, MemoryError) or NO_MEMORY.search(str(error)) is not None


def _number(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _name(error: BaseException) -> str:
    return type(error).__name__
