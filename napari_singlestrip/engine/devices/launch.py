"""Which of several processes this one is, as torchrun tells each in its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from napari_singlestrip.errors import UserError


@dataclass(frozen=True)
class Place:
    """The place of a process among those that train together; by default it is alone.

    Attributes
    ----------
    rank : int
        Its number, from 0; number 0 does everything but the others' heads.
    n : int
        Number of processes.
    local_rank : int
        Its number on its computer, which is also that of its graphics card.
    n_local : int
        Number of processes on its computer.
    """

    rank: int = 0
    n: int = 1
    local_rank: int = 0
    n_local: int = 1

    @property
    def first(self) -> bool:
        """Whether it is number 0, the only one that writes."""
        return self.rank == 0


ALONE = Place()


def place_of(environment: Mapping[str, str] = os.environ) -> Place:
    """Read the place of a process from its environment.

    Raises
    ------
    UserError
        If the variables of torchrun are there but make no sense.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if environment.get("WORLD_SIZE", "1") == "1":
        return ALONE
    given = {name: environment.get(name, "") for name in names}
    if all(value.isdecimal() for value in given.values()):
        found = Place(*(int(value) for value in given.values()))
        if found.rank < found.n and found.local_rank < found.n_local <= found.n:
            return found
    said = ", ".join(f"{name}={value}" for name, value in given.items())
    raise UserError(
        f"The environment does not say which of several processes this is ({said}).",
        "Start them with `torchrun --nproc-per-node N -m napari_singlestrip run STUDY`, or unset "
        "WORLD_SIZE.",
    )
