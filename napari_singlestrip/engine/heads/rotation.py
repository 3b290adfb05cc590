"""More scans than fit into memory: which of them are there at each step of training.

A few at a time are enough to learn from, if all have their turn: each exchange replaces the scan
that has been there longest. What is there depends on the step alone, so that a training that was
stopped goes on with the same scans.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rotation:
    """Turns of scans, by number.

    Attributes
    ----------
    n_scans : int
        All that are learned from; the first `n_fixed` are always there.
    n_fixed : int
    n_places : int
        So many fit, more than `n_fixed`.
    n_steps : int
        Of the training, in which all have their turn.
    """

    n_scans: int
    n_fixed: int
    n_places: int
    n_steps: int

    @property
    def n_changing(self) -> int:
        """Places whose scan changes."""
        return self.n_places - self.n_fixed

    @property
    def share(self) -> float:
        """How many scans take turns at each such place."""
        return (self.n_scans - self.n_fixed) / self.n_changing

    def contents(self, step: int) -> list[int]:
        """Number of the scan at each place, after so many steps."""
        waiting = self.n_scans - self.n_places
        # The last one that comes is there for as long as each of the others.
        exchanges = int(step * (waiting + 1) / max(self.n_steps, 1)) if waiting > 0 else 0
        exchanges = min(exchanges, max(waiting, 0))
        places = list(range(self.n_places))
        for n in range(max(0, exchanges - self.n_changing), exchanges):
            places[self.n_fixed + n % self.n_changing] = self.n_places + n
        return places
