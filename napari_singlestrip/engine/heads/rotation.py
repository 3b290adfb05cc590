"""More scans than fit into memory: which of them are loaded at each step of training.

A few scans at a time are enough if they take turns: each exchange replaces the scan that has been
loaded longest. Which scans are loaded depends on the step alone, so that a resumed training
continues with the same scans.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rotation:
    """The schedule of scans, by number.

    Attributes
    ----------
    n_scans : int
        Number of training scans; the first `n_fixed` are always loaded.
    n_fixed : int
    n_places : int
        Number of scans that fit into memory, more than `n_fixed`.
    n_steps : int
        Of the training, during which all scans are loaded for equally long.
    """

    n_scans: int
    n_fixed: int
    n_places: int
    n_steps: int

    @property
    def n_changing(self) -> int:
        """Slots whose scan changes."""
        return self.n_places - self.n_fixed

    @property
    def share(self) -> float:
        """How many scans take turns in each such slot."""
        return (self.n_scans - self.n_fixed) / self.n_changing

    def contents(self, step: int) -> list[int]:
        """Number of the scan in each slot at a step."""
        waiting = self.n_scans - self.n_places
        # The last scan to be loaded stays for as long as each of the others.
        exchanges = int(step * (waiting + 1) / max(self.n_steps, 1)) if waiting > 0 else 0
        exchanges = min(exchanges, max(waiting, 0))
        places = list(range(self.n_places))
        for n in range(max(0, exchanges - self.n_changing), exchanges):
            places[self.n_fixed + n % self.n_changing] = self.n_places + n
        return places
