"""Tables of the effort benchmark: means over scans, intervals by a bootstrap over people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]
N_DRAWS = 2000
BASELINE = "one Gaussian"


def page(rows: Sequence[Row]) -> str:
    """A table for each order and hand."""
    curves = [r for r in rows if r["n"]]
    parts = []
    for hand, order in dict.fromkeys((r["hand"], r["order"]) for r in curves):
        mine = [r for r in curves if (r["hand"], r["order"]) == (hand, order)]
        parts.append(f"**{hand}, {order}**\n\n{table(mine, [r for r in rows if not r['n']])}")
    return "\n\n".join(parts) + "\n"


def table(curves: Sequence[Row], first: Sequence[Row]) -> str:
    """Dice, HD95 and seconds by way and number of slices."""
    lines = [
        "| the rest of the mask | slices | Dice | less one Gaussian (95%) | HD95 mm | seconds |",
        "|---|---|---|---|---|---|",
    ]
    dice, far = (np.mean([r[key] for r in first]) for key in ("dice", "hd95_mm"))
    lines.append(f"| first mask | 0 | {dice:.4f} | | {far:.1f} | 0 |")
    for way in dict.fromkeys(r["way"] for r in curves):
        for n in sorted({r["n"] for r in curves}):
            mine = [r for r in curves if (r["way"], r["n"]) == (way, n)]
            if not mine:
                continue
            means = {k: np.mean([r[k] for r in mine]) for k in ("dice", "hd95_mm", "seconds")}
            lines.append(
                f"| {way} | {n} | {means['dice']:.4f} | {against(curves, way, n)} "
                f"| {means['hd95_mm']:.1f} | {means['seconds']:.0f} |"
            )
    return "\n".join(lines)


def against(curves: Sequence[Row], way: str, n: int) -> str:
    """Paired difference of Dice to the baseline, with its interval."""
    if way == BASELINE:
        return ""
    pairs: dict[tuple[Any, ...], dict[str, float]] = defaultdict(dict)
    for r in curves:
        if r["n"] == n and r["way"] in (way, BASELINE):
            pairs[r["person"], r["scan"], r["seed"]][r["way"]] = r["dice"]
    by_person: dict[str, list[float]] = defaultdict(list)
    for (who, *_), both in pairs.items():
        if len(both) == 2:
            by_person[who].append(both[way] - both[BASELINE])
    if not by_person:
        return ""
    low, high = interval(by_person)
    return f"{np.mean(np.concatenate(list(by_person.values()))):+.4f} ({low:+.4f} to {high:+.4f})"


def interval(by_person: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """95% interval of the mean; people are drawn with replacement."""
    rng, values = np.random.default_rng(0), [np.asarray(v) for v in by_person.values()]
    means = [
        np.concatenate([values[i] for i in rng.integers(len(values), size=len(values))]).mean()
        for _ in range(N_DRAWS)
    ]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
