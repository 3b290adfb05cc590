"""One mask after another, corrected slice by slice, with what a person and the program can see.

The simulated person of person.py goes where the program asks (`next_slice`), mends by strokes what
is visibly wrong there, and the rest follows (`Follower`). Of each slice it is kept how far the mask
that was seen there, which did not know the slice yet, was from what the person left: that, unlike
the true Dice, is known while one works.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from effort import Case, chosen_slice, even_slices, load
from person import Hand, outline_mm

from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.engine.masks.spreading import Follower, SetSlice


@dataclass(frozen=True)
class Step:
    """A slice that was set, and the mask after it.

    Attributes
    ----------
    index : int
        Of the slice.
    seconds : float
        The person's, for this slice.
    wrong, both : int
        Pixels in which the mask that was seen there differs from what the person left; pixels of
        both together, so that 1 - wrong / both is the Dice of the two.
    off_mm, outline_mm : float
        Mean distance of the two outlines (the area between them by their length), and that length.
    dice : float
        True Dice of the whole mask after it.
    """

    index: int
    seconds: float
    wrong: int
    both: int
    off_mm: float
    outline_mm: float
    dice: float


@dataclass(frozen=True)
class Curve:
    """A mask before, and after each slice."""

    first_dice: float
    steps: tuple[Step, ...]


def curve_of(
    scan: Path, first: Path | None, reference: Path, n: int, kept: Path, *, hand: str = "strokes",
    order: str = "doubt",
) -> Curve:
    """Correct `n` slices of a mask, or set them where there is none (`first` is None).

    Read from the file `kept` if it was done before.
    """
    if kept.is_file():
        said = json.loads(kept.read_text(encoding="utf-8"))
        return Curve(said["first_dice"], tuple(Step(**s) for s in said["steps"]))
    case = load(scan, first or reference, reference, every=1)
    if first is None:
        case = replace(case, first=np.zeros_like(case.reference))
    found = Curve(dice(case.first, case.reference),
                  tuple(step for step, _ in steps_of(case, n, hand, order)))
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(found)), encoding="utf-8")
    return found


def steps_of(
    case: Case, n: int, by: str = "strokes", order: str = "doubt"
) -> Iterator[tuple[Step, np.ndarray]]:
    """Each step with the mask after it, in the box of the case."""
    hand = Hand(case.reference, case.spacing, seed=0)
    even = even_slices(case, n) if order == "even" else []
    even = even[::2] + even[1::2]  # not from one end to the other
    follower = Follower(case.first, case.spacing, case.image)
    mask, edited = case.first, case.first.copy()
    done: list[SetSlice] = []
    for k in range(n):
        index = even[k] if even else chosen_slice(case, mask, done, order, follower)
        seen = np.moveaxis(mask, case.axis, 0)[index]
        left, seconds = (hand.lasso(case.axis, index) if by == "lasso"
                         else hand.strokes(case.axis, index, seen))
        wrong, both = (int(np.count_nonzero(seen ^ left)),
                       int(np.count_nonzero(seen)) + int(np.count_nonzero(left)))
        plane = [s for a, s in enumerate(case.spacing) if a != case.axis]
        length = outline_mm(seen | left, (plane[0], plane[1]))
        off = wrong * plane[0] * plane[1] / max(length, 1.0)
        np.moveaxis(edited, case.axis, 0)[index] = left
        done.append(SetSlice(case.axis, index))
        mask = follower.follow(edited, done)
        yield Step(index, seconds, wrong, both, off, length, dice(mask, case.reference)), mask


def seen_error(steps: Sequence[Step]) -> float:
    """1 - Dice of what was seen and what was left, over slices together."""
    return sum(s.wrong for s in steps) / max(1, sum(s.both for s in steps))
