"""Tables and figures of the accuracy experiment, from its result files.

    python benchmarks/accuracy/tables.py OUT [--write docs/accuracy_tables.md]

Differences are paired: the same scan, fold and seed with and without. The confidence interval (95%)
is a bootstrap over people, since scans and seeds of one person are not independent.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

Key = tuple[str, str]  # piece (fold and seed), scan
Table = dict[Key, dict[str, float]]
N_BOOTSTRAP = 5000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    arms = read(options.out)
    text = "\n\n".join([
        table_of_arms(arms, "control"), table_of_contrasts(arms), table_of_scores(options.out)
    ])
    print(text)
    if options.write:
        options.write.write_text(text + "\n", encoding="utf-8")


def read(out: Path) -> dict[str, Table]:
    """Figures of unseen people by arm."""
    arms: dict[str, Table] = defaultdict(dict)
    for file in sorted(out.glob("fold-*_seed-*/*.json")):
        for row in json.loads(file.read_text())["unseen"]:
            arms[file.stem][file.parent.name, row["scan"]] = row
    return dict(arms)


def table_of_arms(arms: dict[str, Table], baseline: str) -> str:
    """Each arm on unseen people, and its paired difference from the control."""
    lines = [f"| arm | n | Dice | worst | HD95 mm | surface mm | Dice less {baseline} [95%] |",
             "|---|---|---|---|---|---|---|"]
    for arm, table in arms.items():
        column = {f: [row[f] for row in table.values()] for f in next(iter(table.values()))}
        difference = paired(table, arms.get(baseline, {}))
        lines.append(
            f"| {arm} | {len(table)} | {np.mean(column['dice']):.4f} | {min(column['dice']):.3f} "
            f"| {np.mean(column['hd95_mm']):.1f} | "
            f"{np.mean(column['mean_surface_distance_mm']):.2f} | {difference} |"
        )
    return "\n".join(lines)


def paired(table: Table, baseline: Table) -> str:
    """Mean difference of Dice with its interval, over the scans that both have."""
    by_person: dict[str, list[float]] = defaultdict(list)
    for key in table.keys() & baseline.keys():
        by_person[key[1].split("_")[0]].append(table[key]["dice"] - baseline[key]["dice"])
    if not by_person:
        return "-"
    low, high = interval(by_person)
    mean = np.mean([v for values in by_person.values() for v in values])
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def interval(by_person: dict[str, list[float]]) -> tuple[float, float]:
    """95% bootstrap interval of the mean, drawing people with replacement."""
    rng = np.random.default_rng(0)
    sums = np.array([[sum(v), len(v)] for v in by_person.values()])
    drawn = sums[rng.integers(len(sums), size=(N_BOOTSTRAP, len(sums)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
    return float(low), float(high)


def table_of_contrasts(arms: dict[str, Table]) -> str:
    """Mean Dice per contrast."""
    contrasts = sorted({key[1].rsplit("_", 1)[-1] for t in arms.values() for key in t})
    lines = ["| arm | " + " | ".join(contrasts) + " |", "|---" * (1 + len(contrasts)) + "|"]
    for arm, table in arms.items():
        cells = [mean_of(v["dice"] for k, v in table.items() if k[1].endswith(c))
                 for c in contrasts]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_of(values: Iterable[float]) -> str:
    """Mean to four places; a dash without values."""
    found = list(values)
    return f"{np.mean(found):.4f}" if found else "-"


def table_of_scores(out: Path) -> str:
    """What both scores tell of the true Dice on the pool, before and after fine-tuning."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(out.glob("fold-*_seed-*/*.json")):
        for score, value in json.loads(file.read_text()).get("spearman", {}).items():
            found[file.stem][score].append(value)
    lines = ["| arm | pieces | AE Spearman (range) | TTA Spearman (range) |", "|---|---|---|---|"]
    for arm, scores in found.items():
        cells = [
            f"{np.mean(scores[s]):.2f} ({min(scores[s]):.2f} to {max(scores[s]):.2f})"
            for s in ("autoencoder_error", "consistency")
        ]
        lines.append(f"| {arm} | {len(scores['consistency'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
