"""A share of the scans, for several processes, on one computer or many, that share a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from napari_singlestrip.errors import UserError

T = TypeVar("T")

ARRAY = "array"  # read from the variables of a SLURM array
_VARIABLES = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")


@dataclass(frozen=True)
class Part:
    """The share of one process: every `total`-th scan, from `number` on.

    Attributes
    ----------
    number : int
        1 to `total`.
    total : int
    """

    number: int = 1
    total: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    @property
    def is_all(self) -> bool:
        """Whether it covers all scans."""
        return self.total == 1

    def of(self, items: Sequence[T]) -> list[T]:
        """Return the share of a sequence that has the same order for all parts."""
        return list(items[self.number - 1 :: self.total])


ALL = Part()


def parse_part(text: str | None, environment: Mapping[str, str]) -> Part:
    """Parse "2/8", or "array" in a task of a SLURM array; None means all.

    Raises
    ------
    UserError
        If it is invalid.
    """
    if text is None:
        return ALL
    if text.strip().lower() == ARRAY:
        return _of_array(environment)
    found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
    if found is None:
        raise UserError(f"Cannot read --part {text!r}.", "Write it as K/N, such as 2/8.")
    return _checked(int(found[1]), int(found[2]), f"--part {text}")


def _of_array(environment: Mapping[str, str]) -> Part:
    try:
        task, count = (int(environment[name]) for name in _VARIABLES)
        first = int(environment.get("SLURM_ARRAY_TASK_MIN", "1"))
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1")) or 1
    except (KeyError, ValueError) as error:
        raise UserError(
            f"--part {ARRAY} needs {' and '.join(_VARIABLES)}, which a task of a SLURM array has.",
            "Start it with sbatch --array=1-8, or write --part K/N.",
        ) from error
    return _checked((task - first) // step + 1, count, f"task {task} of the SLURM array")


def _checked(number: int, total: int, what: str) -> Part:
    if not 1 <= number <= total:
        raise UserError(
            f"There is no part {number} of {total} ({what}).",
            f"Parts count from 1: 1/{max(total, 1)} to {max(total, 1)}/{max(total, 1)}.",
        )
    return Part(number, total)
