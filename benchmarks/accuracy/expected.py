"""The Dice one may expect of a mask from its scores: the fit, and how well it holds.

    python benchmarks/accuracy/expected.py

Fits the curve of `napari_singlestrip/engine/judging/expected_dice.py` on the kept result files
(measured/, beside this script): scores and true Dice of masks, no image. Writes its numbers beside
that module. tables.py makes the table of docs/accuracy_tables.md from the same files: fitted on
half of the people and told of the other half, and the same the other way round.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from experiment import person
from keep import MEASURED
from page_sections import table

from napari_singlestrip.engine.judging.expected_dice import (
    FILE,
    Curve,
    curve_from,
    expected_dice,
    shift_by,
    surprise,
)

Array = np.ndarray
SELF_TRAINED = ("ae_k", "default", "all", "rank_k", "random_k", "tta_k", "two_rounds")
CORRECTED = ("corrected_4_top", "corrected_4_worst", "corrected_2_worst", "corrected_1_worst")
KINDS = {
    "first": ("initial",), "self-trained": SELF_TRAINED, "corrected": CORRECTED,
}
GROUPS = tuple(f"{effort} {kind}" for effort in ("quick", "standard") for kind in KINDS)
# Folders of measured/, in words: those whose masks are as the program makes them, with refined
# borders.
RUNS = {
    "refined": "real heads", "painted_*": "... another scan painted",
    "refined_poor": "... and poor scans", "refined_standard": "real heads",
}
QUANTILES = 0.05, 0.95  # of what masks of left-out people are beside the curve
N_CORRECTED, DRAWS = 2, 10
# Standard deviation over studies, at least: that over studies of three painted scans, measured
# before borders were refined. Most that were measured since have the same painted scan.
LEAST_BETWEEN = 0.114
FEWEST_TOLD = 8
FEWEST = 3  # masks of a study, to tell it from others


@dataclass(frozen=True)
class Mask:
    """A mask of a pool whose true Dice is known.

    Attributes
    ----------
    run, study, scan : str
        One of `RUNS`; its folder, fold, seed and arm; name.
    group : str
        Effort and kind of round.
    error, agreement, dice : float
    """

    run: str
    study: str
    scan: str
    group: str
    error: float
    agreement: float
    dice: float

    @property
    def person(self) -> str:
        """Whom the scan shows."""
        return person(self.scan)


def main() -> None:
    masks = list(masks_of(MEASURED))
    FILE.write_text(json.dumps(fitted(masks), indent=1) + "\n", encoding="utf-8")
    print(table_of_expected(MEASURED))


def masks_of(folder: Path) -> Iterator[Mask]:
    """Read all masks of the kept result files that nobody painted or corrected."""
    for run in RUNS:
        for about in sorted(folder.glob(f"{run}/about.json")):
            painted = json.loads(about.read_text(encoding="utf-8")).get("painted")
            effort = "standard" if run.endswith("standard") else "quick"
            for piece in sorted(about.parent.glob("fold-*_seed-*")):
                for kind, arms in KINDS.items():
                    for arm in arms:
                        yield from _masks_of_arm(piece, arm, (run, f"{effort} {kind}"), painted)


def _masks_of_arm(
    piece: Path, arm: str, run_and_group: tuple[str, str], painted: str | None
) -> Iterator[Mask]:
    file, (run, group) = piece / f"{arm}.json", run_and_group
    if not file.is_file():
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    left_out = {painted, *(_corrected(piece, arm) if arm in CORRECTED else ())}
    for scan, dice in content.get("pool", {}).items():
        error, agreement = (content[name].get(scan) for name in ("errors", "consistency"))
        if scan not in left_out and None not in (dice, error, agreement):
            study = f"{piece.parent.name} {piece.name} {arm}"
            yield Mask(run, study, scan, group, error, agreement, dice)


def _corrected(piece: Path, arm: str) -> set[str]:
    """Scans that were corrected in an arm: by the ranking of the first round."""
    _, n, order = arm.split("_")
    content = json.loads((piece / "initial.json").read_text(encoding="utf-8"))
    doubt = {
        scan: error * (1 - content["consistency"][scan])
        for scan, error in content["errors"].items()
        if None not in (error, content["consistency"].get(scan))
    }
    ranked = sorted(doubt, key=lambda scan: doubt[scan])
    return set(ranked[: int(n)] if order == "top" else ranked[-int(n):])


def fitted(masks: Sequence[Mask]) -> dict[str, Any]:
    """The numbers of the curve, from all masks, and what they were fitted on."""
    weights, beside = fit(masks), left_out_residuals(masks)
    within, between = deviations(masks, beside)
    levels = dict(zip(GROUPS, map(_short, weights), strict=False))
    measured = {mask.group for mask in masks}
    seen, spread = {}, {}
    for effort in dict.fromkeys(mask.group.split()[0] for mask in masks):
        these = [n for n, mask in enumerate(masks) if mask.group.startswith(effort)]
        among = [masks[n] for n in these]
        # Never narrower than over all: an effort with few people holds too few of others.
        low, high = zip(quantiles(among, beside[these]), quantiles(masks, beside), strict=True)
        spread[effort] = [_short(min(low)), _short(max(high))]
        pairs = np.array([(mask.error, 1 - mask.agreement) for mask in among])
        seen[effort] = [[_short(pairs[:, n].min()), _short(pairs[:, n].max())] for n in (0, 1)]
    return {
        "about": "made by benchmarks/accuracy/expected.py from the result files kept there: scores "
        "and true Dice of masks, no image",
        "masks": dict(Counter(mask.group for mask in masks)),
        "people": len({mask.person for mask in masks}),
        "levels": {group: level for group, level in levels.items() if group in measured},
        "slopes": [_short(value) for value in weights[len(GROUPS):]],
        "spread": spread,
        "within": _short(within), "between": _short(between), "seen": seen,
    }


def design(masks: Sequence[Mask]) -> Array:
    """A level for each group, and the logarithms of both scores."""
    levels = np.array([[mask.group == group for group in GROUPS] for mask in masks], float)
    scores = np.log([(mask.error, 1 - mask.agreement) for mask in masks])
    return np.hstack([levels, scores])


def truth(masks: Sequence[Mask]) -> Array:
    """Logarithm of 1 - Dice."""
    return np.log([1 - mask.dice for mask in masks])


def shares(masks: Sequence[Mask]) -> Array:
    """Weights: each person counts alike in a run, however many scans and seeds there are."""
    keys = [(mask.group, mask.run, mask.person) for mask in masks]
    n = Counter(keys)
    return np.array([1 / n[key] for key in keys])


def fit(masks: Sequence[Mask]) -> Array:
    """Least squares."""
    root = np.sqrt(shares(masks))
    weights: Array = np.linalg.lstsq(design(masks) * root[:, None], truth(masks) * root)[0]
    return weights


def left_out_residuals(masks: Sequence[Mask]) -> Array:
    """What each mask is beside the curve that is fitted without its person."""
    people, beside = np.array([mask.person for mask in masks]), np.zeros(len(masks))
    for one in set(people):
        these = [mask for mask in masks if mask.person == one]
        weights = fit([mask for mask in masks if mask.person != one])
        beside[people == one] = truth(these) - design(these) @ weights
    return beside


def quantiles(masks: Sequence[Mask], beside: Array) -> tuple[float, float]:
    """Between them lies what 90% of the masks of other people are beside the curve."""
    order, weights = np.argsort(beside), shares(masks)
    so_far = np.cumsum(weights[order]) / weights.sum()
    low, high = np.interp(QUANTILES, so_far, beside[order])
    return float(low), float(high)


def deviations(masks: Sequence[Mask], beside: Array) -> tuple[float, float]:
    """Standard deviation over the masks of a study, and over studies."""
    studies = defaultdict(list)
    for mask, value in zip(masks, beside, strict=True):
        studies[mask.run, mask.study].append(value)
    groups = [np.array(values) for values in studies.values() if len(values) >= FEWEST]
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in groups)
    within = squares / sum(len(values) - 1 for values in groups)
    means = [float(values.mean() ** 2 - within / len(values)) for values in groups]
    return within**0.5, max(LEAST_BETWEEN, max(0.0, float(np.mean(means))) ** 0.5)


@dataclass(frozen=True)
class Told:
    """What was said of a mask whose person the curve had not seen.

    Attributes
    ----------
    wrong_by : float
        Expected less true Dice.
    held : bool
        Whether the interval holds the true one.
    width : float
        Of the interval; NaN where none was given.
    """

    wrong_by: float
    held: bool
    width: float


def told_of_others(
    masks: Sequence[Mask], n_corrected: int = 0
) -> dict[tuple[str, str], list[Told]]:
    """What half of the people tell of the other half, by group and run, both ways.

    With `n_corrected` masks of each study corrected, drawn `DRAWS` times, of the rest of it.
    """
    people = sorted({mask.person for mask in masks})
    half = {name: n % 2 for n, name in enumerate(people)}
    rng, found = np.random.default_rng(0), defaultdict(list)
    for known in (0, 1):
        from_half = curve_from(fitted([mask for mask in masks if half[mask.person] == known]))
        studies = defaultdict(list)
        for mask in masks:
            if half[mask.person] != known:
                studies[mask.group, mask.run, mask.study].append(mask)
        for (group, run, _), of_study in studies.items():
            for _ in range(DRAWS if n_corrected else 1):
                drawn = [of_study[n] for n in rng.permutation(len(of_study))]
                found[group, run] += told(drawn[n_corrected:], drawn[:n_corrected], from_half)
    return found


def told(masks: Sequence[Mask], corrected: Sequence[Mask], from_half: Curve) -> list[Told]:
    """What the program would say of masks once others of their study are corrected."""
    scores = {mask: (mask.error, mask.agreement, *mask.group.split()) for mask in corrected}
    shift = shift_by([surprise(*scores[m], m.dice, from_half) for m in corrected], from_half)
    said = []
    for mask in masks:
        e = expected_dice(mask.error, mask.agreement, *mask.group.split(), shift, from_half)
        said.append(Told(e.dice - mask.dice, e.low <= mask.dice <= e.high, e.high - e.low))
    return said


def table_of_expected(folder: Path) -> str:
    """Lines of the table: how wrong the expected Dice is on people it was not fitted on."""
    masks = list(masks_of(folder))
    if len({mask.person for mask in masks}) < 2:
        return ""  # none is left to tell it of
    alone, helped = told_of_others(masks), told_of_others(masks, N_CORRECTED)
    rows = []
    for group in GROUPS:
        for run, words in RUNS.items():
            if found := alone.get((group, run)):
                more = [] if group.endswith("corrected") else helped.get((group, run), [])
                rows.append([group, words, str(len(found)), *_cells(found), *_cells(more)[:2]])
    everything = [told for found in alone.values() for told in found]
    rows.append(["all", "", str(len(everything)), *_cells(everything), "-", "-"])
    after = f"{N_CORRECTED} corrected"
    columns = ["round", "scans", "masks", "mean absolute error", "in the 90% interval",
               "its width", f"error, {after}", f"in the interval, {after}"]
    return "\n".join(table(columns, rows))


def _cells(found: Sequence[Told]) -> list[str]:
    """Mean absolute error, and how often the interval holds, of masks that are given one."""
    given = [told for told in found if not np.isnan(told.width)]
    if len(given) < FEWEST_TOLD:
        return ["-", "-", "-"]
    wrong = float(np.mean([abs(told.wrong_by) for told in given]))
    held = float(np.mean([told.held for told in given]))
    return [f"{wrong:.4f}", f"{held:.0%}", f"{np.mean([told.width for told in given]):.3f}"]


def _short(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
