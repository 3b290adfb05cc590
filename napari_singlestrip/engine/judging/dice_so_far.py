"""How good a mask probably is by now, from the slices that were set; needs no torch.

Each slice was predicted before a person set it: what was wrong there is a sample of what is wrong
with the mask. The curve from these samples to the Dice of the whole mask was fitted on masks whose
true Dice is known, and its interval is that of people it was not fitted on
(`benchmarks/effort/told.py`). After one to three slices it was wrong too often to be told.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from napari_singlestrip.engine.arrays import Mask

FEWEST = 4  # slices
# What was fitted, in log(1 - Dice): level, slope, half of the 90% interval; and what the next slice
# takes of 1 - Dice, divided by the number of slices.
LEVEL, SLOPE, HALF_WIDTH, GAIN = -3.057, 0.298, 0.362, 0.105
SEEN = (0.0202, 0.0734)  # least and largest error of the set slices in the fit
ROOM = 1.25  # errors larger by this factor are still like those of the fit


@dataclass(frozen=True)
class SliceCheck:
    """How far the mask was from a slice before that was set.

    Attributes
    ----------
    wrong : int
        Pixels that differ.
    both : int
        Pixels of the slice as seen, plus those as set; 1 - wrong / both is their Dice.
    """

    wrong: int
    both: int

    @classmethod
    def of(cls, seen: Mask, left: Mask) -> SliceCheck:
        """Compare a slice as it was predicted and as it was set."""
        both = int(np.count_nonzero(seen)) + int(np.count_nonzero(left))
        return cls(int(np.count_nonzero(seen != left)), both)


@dataclass(frozen=True)
class DiceSoFar:
    """What to expect of a mask after some slices.

    Attributes
    ----------
    n : int
        Slices.
    dice, low, high : float
        Expected, and between which it is in 9 of 10 masks.
    gain : float
        Of Dice, that one slice more brings.
    """

    n: int
    dice: float
    low: float
    high: float
    gain: float

    @property
    def in_words(self) -> str:
        """Such as "about 0.981 (0.973 to 0.987) after 5 slices; another brings about 0.0004"."""
        return (f"about {self.dice:.3f} ({self.low:.3f} to {self.high:.3f}) after {self.n} slices; "
                f"another brings about {self.gain:.4f}")


def dice_so_far(checks: Collection[SliceCheck]) -> DiceSoFar | None:
    """Return what to expect of a mask that followed set slices.

    Parameters
    ----------
    checks : collection of SliceCheck
        Of all set slices.

    Returns
    -------
    DiceSoFar or None
        None for fewer than `FEWEST` slices, and where they were further off than those of the fit.
    """
    both = sum(check.both for check in checks)
    if len(checks) < FEWEST or not both:
        return None
    seen = max(sum(check.wrong for check in checks) / both, SEEN[0])
    if seen > SEEN[1] * ROOM:
        return None
    middle = LEVEL + SLOPE * math.log(seen)
    dice, low, high = (1 - math.exp(middle + off) for off in (0, HALF_WIDTH, -HALF_WIDTH))
    return DiceSoFar(len(checks), dice, low, high, (1 - dice) * GAIN / len(checks))
