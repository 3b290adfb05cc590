"""Tables of what choices.py and beyond.py left: choices changed alone; an EPI and a mouse."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from page_sections import table
from results import Table, column, figures, in_digits, mean, paired

DEFAULT = "default"  # the file of a group in which nothing was changed


def table_of_choices(out: Path) -> str:
    """One table a group: Dice and its paired difference, or the correlations of the ranking."""
    texts = []
    for folder in sorted(path for path in (out / "choices").glob("*") if path.is_dir()):
        found = {
            file.stem: json.loads(file.read_text(encoding="utf-8"))
            for file in sorted(folder.glob("*.json"))
        }
        if DEFAULT not in found:
            continue
        ordered = {DEFAULT: found.pop(DEFAULT), **found}
        lines = _dices(ordered) if "unseen" in ordered[DEFAULT] else _correlations(ordered)
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


def _dices(found: dict[str, dict[str, Any]]) -> list[str]:
    tables: dict[str, Table] = {
        name: {("", row["scan"]): figures(row) for row in content["unseen"]}
        for name, content in found.items()
    }
    rows = [
        [_words(found[name]), str(len(entries)), in_digits(mean(entries)),
         in_digits(float(column(entries, "dice").min()), 3), in_digits(mean(entries, "hd95_mm"), 1),
         paired(entries, tables[DEFAULT])]
        for name, entries in tables.items()
    ]
    return table(["changed", "n", "Dice", "worst", "HD95 mm", "Dice less unchanged [95%]"], rows)


def _correlations(found: dict[str, dict[str, Any]]) -> list[str]:
    folds = list(found[DEFAULT]["spearman"])
    rows = [
        [_words(content),
         *(in_digits(content["spearman"].get(fold, {}).get("autoencoder_error", math.nan), 2)
           for fold in folds)]
        for content in found.values()
    ]
    return table(["changed", *(f"autoencoder, Spearman, fold {fold}" for fold in folds)], rows)


def _words(content: dict[str, Any]) -> str:
    return f"`{content['words']}`" if content["words"] else "nothing"
