"""What was asked of the accuracy, and whether it was reached."""

from __future__ import annotations

import math
from collections.abc import Iterator

from experiment import ALL_CORRECTED, DEFAULT
from page_sections import table
from results import Results, Table, column, contrasts, differences, interval, mean, of_contrast
from scores import by_contrast, points, worth

OURS = "ae_k"
Line = tuple[str, str, float, bool]  # what, what was asked, what was found, reached


def goals(results: Results, run: str) -> str:
    """Table of what was asked; lines that could not be measured say so by being absent.

    Parameters
    ----------
    results : Results
    run : {"real", "standard", "poor"}
        What was asked differs with the effort; with poor scans in the pool, only of what is
        selected and of the ranking.
    """
    lines: list[Line] = []
    if run != "poor":
        standard = run == "standard"
        lines += [*_dice(results.unseen, standard), *_peers(results, standard)]
    if run != "standard":
        lines += [*_gains(results.unseen), *_scores(results)]
    rows = [
        [what, asked, f"{found:.4f}", "yes" if reached else "no"]
        for what, asked, found, reached in lines if math.isfinite(found)
    ]
    return "\n".join(table(["what", "asked", "found", "reached"], rows)) if rows else ""


def _dice(arms: dict[str, Table], standard: bool) -> Iterator[Line]:
    ours = arms.get(OURS, {})
    asked_mean, asked_worst = (0.965, 0.93) if standard else (0.945, 0.88)
    if not ours:
        return
    for arm in (DEFAULT, OURS):
        if entries := arms.get(arm):
            yield _at_least(f"mean Dice, {arm}", mean(entries), asked_mean)
            yield _at_least(f"worst Dice, {arm}", float(column(entries, "dice").min()), asked_worst)
    if standard:
        hd95 = mean(ours, "hd95_mm")
        yield f"mean HD95 (mm), {OURS}", "under 5", hd95, hd95 < 5
        for upper in ("labels_99", ALL_CORRECTED):
            shared = ours.keys() & arms.get(upper, {}).keys()
            if shared:
                all_labels = mean({k: arms[upper][k] for k in shared})
                share = mean({k: ours[k] for k in shared}) / all_labels
                yield _at_least(f"{OURS}, share of the Dice of {upper}", share, 0.98)
    elif "corrected_4_top" in arms:
        found = mean(arms["corrected_4_top"])
        yield _at_least("mean Dice, four corrected masks", found, 0.955)


def _gains(arms: dict[str, Table]) -> Iterator[Line]:
    """Gains count only when their whole interval is above 0."""
    for baseline in ("initial", "control", "control_synthetic", "tta_k", "random_k"):
        pairs = differences(arms.get(OURS, {}), arms.get(baseline, {}))
        if pairs:
            low, _ = interval(pairs)
            yield f"{OURS} less {baseline}, lower end of the interval", "above 0", low, low > 0


def _scores(results: Results) -> Iterator[Line]:
    cloud = points(results, "initial", whole_pool=False)
    if not cloud:
        return
    found = {"all scans": worth(cloud).pooled}
    cloud += points(results, "initial", whole_pool=True)  # as in the table of the contrasts
    found |= {name: values for name, (_, values) in by_contrast(cloud).items()}
    for group, values in found.items():
        ours, rival = values["autoencoder_error"], values["consistency"]
        yield _at_least(f"autoencoder, Spearman pooled, {group}", ours, 0.7)
        both = f"geometric mean of both (the ranking), Spearman pooled, {group}"
        yield _at_least(both, values["mean"], 0.7)
        above = f"above {rival:.2f} (agreement)"
        yield f"autoencoder, Spearman pooled, {group}", above, ours, ours > rival


def _peers(results: Results, standard: bool) -> Iterator[Line]:
    ours, peers = results.unseen.get(OURS, {}), results.peer_tables()
    for peer, entries in peers.items():
        names = contrasts([ours]) if peer == "bet" else []
        parts = [(name, of_contrast(ours, name)) for name in names]
        for name, part in [*parts, *([("all scans", ours)] if peer == "deepbet" else [])]:
            shared = part.keys() & entries.keys()
            if not shared:
                continue
            less = mean({k: part[k] for k in shared}) - mean({k: entries[k] for k in shared})
            what = f"{OURS} less {peer}, {name}"
            if peer == "bet":
                yield what, "above 0", less, less > 0
            elif standard:
                yield what, "at least -0.01", less, less >= -0.01


def _at_least(what: str, found: float, asked: float) -> Line:
    return what, f"at least {asked:g}", found, found >= asked
