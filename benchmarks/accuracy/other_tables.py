"""Other tables: choices changed alone, an EPI and a mouse, other painted scans."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from choices import seed_and_changes
from experiment import DEFAULT
from page_sections import table
from results import Results, Table, column, figures, in_digits, mean, paired, spread

NOTHING = ""  # the words of a choice that changes nothing
FIRST = "initial"


def table_of_choices(out: Path) -> str:
    """One table a group: Dice and its paired difference, or the correlations of the ranking."""
    texts = []
    for folder in sorted(path for path in (out / "choices").glob("*") if path.is_dir()):
        # By choice and seed: what was changed, then which seed it was measured with.
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for file in sorted(folder.glob("*.json")):
            content = json.loads(file.read_text(encoding="utf-8"))
            seed, changes = seed_and_changes(content["words"])
            found.setdefault(" ".join(changes), {})[seed] = content
        if NOTHING not in found:
            continue
        ordered = {NOTHING: found.pop(NOTHING), **found}
        ranked = any("spearman" in content for content in ordered[NOTHING].values())
        lines = _correlations(ordered) if ranked else _dices(ordered)
        texts.append("\n".join([f"**{folder.name}**", "", *lines]))
    return "\n\n".join(texts)


def table_of_beyond(out: Path) -> str:
    """Dice of each scan that is no adult's T1w, T2w or FLAIR, by round."""
    file = out / "beyond" / "beyond.json"
    if not file.is_file():
        return ""
    found = json.loads(file.read_text(encoding="utf-8"))
    rounds = sorted({round_ for parts in found.values() for round_ in parts})
    rows = []
    for what, parts in found.items():
        dices = {round_: {r["scan"]: r["dice"] for r in part} for round_, part in parts.items()}
        for scan in sorted({scan for part in dices.values() for scan in part}):
            values = [dices.get(round_, {}).get(scan) for round_ in rounds]
            cells = [in_digits(math.nan if value is None else value, 3) for value in values]
            rows.append([what, scan, *cells])
    return "\n".join(table(["what", "scan", *(f"Dice, {round_}" for round_ in rounds)], rows))


def table_of_hard_looks(out: Path) -> str:
    """Mean Dice of each look by network, of the first half of the people and of the second."""
    files = sorted((out / "hard_looks").glob("*.json"))
    runs = {
        file.stem.replace("_", " "): json.loads(file.read_text(encoding="utf-8")) for file in files
    }
    if not runs:
        return ""
    looks = dict.fromkeys(row["look"] for rows in runs.values() for row in rows)
    lines = [[look, *(_halves(rows, look) for rows in runs.values())] for look in looks]
    lines.append(["the same scans as they were", *(_halves(rows) for rows in runs.values())])
    return "\n".join(table(["look", *runs], lines))


def _halves(rows: list[dict[str, Any]], look: str = "") -> str:
    """Both means of a look; of all scans as they were, each once, without a look."""
    means = []
    for half in (0, 1):
        among = [row for row in rows if row["half"] == half]
        as_they_were = {row["scan"]: row["as_it_was"] for row in among}
        dices = [row["dice"] for row in among if row["look"] == look]
        means.append(mean_of(dices if look else list(as_they_were.values())))
    return ", ".join(in_digits(value, 3) for value in means)


def mean_of(values: list[float]) -> float:
    """Mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def table_of_painted(runs: Sequence[Results]) -> str:
    """Dice by the scan that was painted, everybody else in the pool: the best first masks first.

    Beside them stand the paired differences from the first of the runs.
    """
    rows = []
    for results in runs:
        arms = results.whole_pool
        if FIRST not in arms:
            continue
        cells = []
        for arm in (FIRST, DEFAULT):
            entries, usual = arms.get(arm, {}), runs[0].whole_pool.get(arm, {})
            cells += [_mean_and_worst(entries), paired(entries, usual)]
        how = [results.about.get("painted", "?"), results.about.get("settings", "")]
        painted = ", ".join(word for word in how if word)
        rows.append((mean(arms[FIRST]), [painted, str(len(arms[FIRST])), *cells]))
    if len(rows) < 2:
        return ""
    rows.sort(reverse=True)
    less = f"less {runs[0].about.get('painted', '?').split('_')[0]} [95%]"
    columns = ["painted", "n", "first masks", less, "fine-tuned", less]
    return "\n".join(table(columns, [row for _, row in rows]))


def _mean_and_worst(entries: Table) -> str:
    if not entries:
        return "-"
    return f"{in_digits(mean(entries))} ({in_digits(float(column(entries, 'dice').min()), 3)})"


def _dices(found: dict[str, dict[int, dict[str, Any]]]) -> list[str]:
    tables: dict[str, Table] = {
        changed: {
            (f"seed-{seed}", row["scan"]): figures(row)
            for seed, content in by_seed.items() for row in content["unseen"]
        }
        for changed, by_seed in found.items()
    }
    rows = []
    for changed, entries in tables.items():
        means = [mean(part) for part in _by_piece(entries)]
        rows.append([
            _words(changed), str(len(entries)), ", ".join(in_digits(m) for m in means),
            in_digits(float(column(entries, "dice").min()), 3),
            in_digits(mean(entries, "hd95_mm"), 1), paired(entries, tables[NOTHING]),
        ])
    columns = ["n", "Dice, by seed", "worst", "HD95 mm", "Dice less unchanged [95%]"]
    return table(["changed", *columns], rows)


def _by_piece(entries: Table) -> list[Table]:
    pieces = sorted({piece for piece, _ in entries})
    return [{k: v for k, v in entries.items() if k[0] == piece} for piece in pieces]


def _correlations(found: dict[str, dict[int, dict[str, Any]]]) -> list[str]:
    """Spearman of the error alone and of the order the program shows, over seeds and pools."""
    rows = []
    for changed, by_seed in found.items():
        pools = [pool for content in by_seed.values() for pool in content["spearman"].values()]
        cells = [
            spread(pool.get(score, math.nan) for pool in pools)
            for score in ("autoencoder_error", "rank")
        ]
        rows.append([_words(changed), str(len(pools)), *cells])
    return table(["changed", "pools", "autoencoder: mean (range)", "ranking: mean (range)"], rows)


def _words(changed: str) -> str:
    return f"`{changed}`" if changed else "nothing"
