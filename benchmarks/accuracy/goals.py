"""What was asked of the program as it is, and whether it was reached."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from expected import masks_of, told_of_others
from experiment import DEFAULT
from page_sections import table
from results import Results, Table, column, differences, interval, mean
from scores import Point, points, worth

CORRECTED = "corrected_4_top"
POOR = "refined_poor"
# Asked at each effort: run, mean and worst when nobody decides, mean with four corrected masks,
# correlation of the ranking with the true Dice, mean absolute error of the expected Dice.
EFFORTS = {
    "quick": ("refined", 0.963, 0.93, 0.970, 0.8, 0.008),
    "standard": ("refined_standard", 0.9765, 0.955, 0.982, 0.75, 0.008),
}
OTHER_RUNS = {POOR: "pools with poor scans", "painted_*": "other painted scans"}
LARGEST_LOSS = 0.005  # of Dice, of any scan
LOOKS, OTHERS = 0.92, 0.93  # Dice of each hard look; of an EPI and a mouse
LOOKS_AFTER_A_ROUND = {"quick": "4_a_round", "standard": "6_standard,_a_round"}
SELECTION = 0.004  # of Dice, over a random half
LAST = 3  # of a pool, among which its worst mask should be
COVER = 0.85, 0.95
Line = tuple[str, str, float, bool]  # what, what was asked, what was found, reached


def goals(runs: Mapping[str, Results], folder: Path) -> str:
    """Table of what was asked; what was not measured has no line.

    Parameters
    ----------
    runs : mapping of str to Results
        By folder of measured/.
    folder : Path
        measured/.
    """
    lines: list[Line] = []
    for effort, (run, *asked, ranked, wrong_by) in EFFORTS.items():
        if run in runs:
            lines += [*_dice(runs[run], effort, *asked), *_ranking(runs[run], effort, ranked)]
        lines += _expected(folder, effort, run, wrong_by)
    if POOR in runs:
        lines += _ranking(runs[POOR], "pools with poor scans, quick", EFFORTS["quick"][4])
        lines += _selection(runs[POOR])
    lines += [*_looks(folder), *_beyond(folder)]
    rows = [
        [what, asked, f"{found:.4g}" if found == int(found) else f"{found:.4f}",
         "yes" if reached else "no"]
        for what, asked, found, reached in lines if math.isfinite(found)
    ]  # fmt: skip
    return "\n".join(table(["what", "asked", "found", "reached"], rows)) if rows else ""


def _dice(
    results: Results, effort: str, asked_mean: float, asked_worst: float, asked_corrected: float
) -> Iterator[Line]:
    """Dice on people outside the pool, and which scans were made worse."""
    arms = results.unseen
    if entries := arms.get(DEFAULT):
        yield _at_least(f"{effort}, nobody decides: mean Dice", mean(entries), asked_mean)
        worst = float(column(entries, "dice").min())
        yield _at_least(f"{effort}, nobody decides: worst Dice", worst, asked_worst)
    if entries := arms.get(CORRECTED):
        yield _at_least(f"{effort}, four masks corrected: mean Dice", mean(entries),
                        asked_corrected)  # fmt: skip
    for where, tables in (("other people", arms), ("the pool itself", results.whole_pool)):
        for baseline in ("initial", "control_synthetic"):
            yield from _made_worse(tables, baseline, f"{effort}, {where}")
    if pairs := differences(arms.get(DEFAULT, {}), arms.get("control_synthetic", {})):
        low, _ = interval(pairs)
        yield (f"{effort}, nobody decides less as many synthetic steps, lower end of the interval",
               "above 0", low, low > 0)  # fmt: skip


def _made_worse(arms: Mapping[str, Table], baseline: str, where: str) -> Iterator[Line]:
    ours, before = arms.get(DEFAULT, {}), arms.get(baseline, {})
    shared = ours.keys() & before.keys()
    if shared:
        lost = [before[key]["dice"] - ours[key]["dice"] for key in shared]
        n = sum(loss > LARGEST_LOSS for loss in lost)
        than = "first masks" if baseline == "initial" else "after as many synthetic steps"
        yield (f"{where}: masks worse than {than} by more than {LARGEST_LOSS}, of {len(lost)}",
               "none", n, n == 0)  # fmt: skip


def _ranking(results: Results, where: str, asked: float) -> Iterator[Line]:
    """Correlations of the program's score, and where it puts the worst mask of a pool."""
    for arm, words in (("initial", "first masks"), (DEFAULT, "after fine-tuning")):
        clouds = {whole: points(results, arm, whole_pool=whole) for whole in (False, True)}
        for whole, cloud in clouds.items():
            if cloud:
                pool = "everybody" if whole else "half of the people"
                yield _at_least(f"{where}, {words}, {pool}: Spearman of the ranking, pooled",
                                worth(cloud).pooled["mean"], asked)  # fmt: skip
        found = [place for cloud in clouds.values() for place in _places_of_worst(cloud)]
        if found:
            n = sum(place <= LAST for place in found)
            yield (f"{where}, {words}: pools whose worst mask is among the last {LAST}",
                   f"all {len(found)}", n, n == len(found))  # fmt: skip


def _places_of_worst(cloud: Sequence[Point]) -> Iterator[int]:
    """From the end of the ranking: 1 is the last."""
    for piece in dict.fromkeys(point.piece for point in cloud):
        pool = [point for point in cloud if point.piece == piece]
        worst = min(pool, key=lambda point: point.dice)
        yield 1 + sum(point.score("mean") < worst.score("mean") for point in pool)


def _expected(folder: Path, effort: str, run: str, asked: float) -> Iterator[Line]:
    """Error of the expected Dice on people it was not fitted on, and what its interval holds."""
    masks = list(masks_of(folder))
    if len({mask.person for mask in masks}) < 2:
        return
    for (group, where), told in sorted(told_of_others(masks).items()):
        if not group.startswith(effort) or "corrected" in group:
            continue
        given = [one for one in told if not np.isnan(one.width)]
        pool = f"{group} masks" + ("" if where == run else f", {OTHER_RUNS[where]}")
        wrong = float(np.mean([abs(one.wrong_by) for one in given]))
        yield f"{pool}: error of the expected Dice", f"at most {asked:g}", wrong, wrong <= asked
        held = float(np.mean([one.held for one in given]))
        yield (f"{pool}: share in the 90% interval", "0.85 to 0.95", held,
               COVER[0] <= held <= COVER[1])  # fmt: skip


def _selection(results: Results) -> Iterator[Line]:
    pairs = differences(results.unseen.get("rank_k", {}), results.unseen.get("random_k", {}))
    if pairs:
        low, _ = interval(pairs)
        found = float(np.mean([value for values in pairs.values() for value in values]))
        yield ("pools with poor scans: the ranking's half less a random half",
               f"at least {SELECTION}, the interval above 0", found,
               found >= SELECTION and low > 0)  # fmt: skip


def _looks(folder: Path) -> Iterator[Line]:
    for effort, name in LOOKS_AFTER_A_ROUND.items():
        file = folder / "real" / "hard_looks" / f"{name}.json"
        if file.is_file():
            rows = json.loads(file.read_text(encoding="utf-8"))
            n = sum(row["dice"] < LOOKS for row in rows)
            yield (f"{effort}, hard looks after a round: scans under {LOOKS}, of {len(rows)}",
                   "none", n, n == 0)  # fmt: skip


def _beyond(folder: Path) -> Iterator[Line]:
    file = folder / "real" / "beyond" / "beyond.json"
    if file.is_file():
        for what, rounds in json.loads(file.read_text(encoding="utf-8")).items():
            dices = [row["dice"] for row in rounds[max(rounds)] if row["dice"] is not None]
            if dices:
                yield _at_least(f"quick, {what} after a round: mean Dice", float(np.mean(dices)),
                                OTHERS)  # fmt: skip


def _at_least(what: str, found: float, asked: float) -> Line:
    return what, f"at least {asked:g}", found, found >= asked
