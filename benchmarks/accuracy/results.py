"""Result files of the accuracy experiment, and the statistics that its tables share.

A table is one arm's figures by piece (fold and seed) and scan. Differences are paired: the same
scan, fold and seed with and without. Intervals (95%) are clustered by person and by trained
network, since neither scans of one person nor masks of one network are independent.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from experiment import person

Key = tuple[str, str]  # piece, scan
Cell = tuple[str, str]  # person, piece
Figures = dict[str, float]
Table = dict[Key, Figures]
FIELDS = ("dice", "hd95_mm", "mean_surface_distance_mm", "volume_difference_percent")
PEERS = ("bet", "deepbet")
FEWEST_PEOPLE = 3  # of whom an interval can be told


@dataclass(frozen=True)
class Results:
    """What one run of the experiment left.

    Attributes
    ----------
    unseen : dict of str to Table
        Results for people not used in training, by arm.
    whole_pool : dict of str to Table
        The same of fold "all", where everybody is in the pool.
    pools : dict of (arm, piece) to dict
        Content of the result files, for what the scores are worth.
    peers : dict of str to dict of str to Figures
        Other tools' figures by tool and scan.
    failures : dict of str to list of str
        Scans on which a peer failed; their Dice is 0.
    about : dict
        How the run was made, as the experiment noted it.
    """

    unseen: dict[str, Table]
    whole_pool: dict[str, Table]
    pools: dict[tuple[str, str], dict[str, Any]]
    peers: dict[str, dict[str, Figures]]
    failures: dict[str, list[str]]
    about: dict[str, Any]

    def peer_tables(self) -> dict[str, Table]:
        """Each peer's figures at every place where an arm was measured."""
        keys = {key for table in self.unseen.values() for key in table}
        return {
            peer: {key: rows[key[1]] for key in keys if key[1] in rows}
            for peer, rows in self.peers.items()
        }


def read(out: Path, peers_too: Path | None = None) -> Results:
    """Read all result files.

    Parameters
    ----------
    out : Path
        Of the experiment.
    peers_too : Path, optional
        Where the same scans' peers are, if not in `out`.
    """
    unseen: dict[str, Table] = defaultdict(dict)
    whole_pool: dict[str, Table] = defaultdict(dict)
    pools = {}
    for file in sorted(out.glob("fold-*_seed-*/*.json")):
        piece, content = file.parent.name, json.loads(file.read_text(encoding="utf-8"))
        target = whole_pool if piece.startswith("fold-all") else unseen
        for row in content["unseen"]:
            target[file.stem][piece, row["scan"]] = figures(row)
        pools[file.stem, piece] = content
    peers, failures = {}, {}
    for peer in PEERS:
        places = [place / "peers" / f"{peer}.json" for place in (out, peers_too) if place]
        found = next((place for place in places if place.is_file()), None)
        if found:
            rows = json.loads(found.read_text(encoding="utf-8"))["unseen"]
            peers[peer] = {row["scan"]: figures(row) for row in rows}
            failures[peer] = [row["scan"] for row in rows if row.get("problem")]
    about_file = out / "about.json"
    about = json.loads(about_file.read_text(encoding="utf-8")) if about_file.is_file() else {}
    return Results(dict(unseen), dict(whole_pool), pools, peers, failures, about)


def figures(row: Mapping[str, Any]) -> Figures:
    """Figures of a row; what could not be measured is NaN."""
    return {
        field: math.nan if row.get(field) is None else float(row[field]) for field in FIELDS
    }


def contrast(scan: str) -> str:
    """Contrast of a scan: what stands after the last underscore."""
    return scan.rsplit("_", 1)[-1]


def of_contrast(table: Table, wanted: str) -> Table:
    """Part of a table."""
    return {key: row for key, row in table.items() if contrast(key[1]) == wanted}


def contrasts(tables: Iterable[Table]) -> list[str]:
    """All contrasts, sorted."""
    return sorted({contrast(key[1]) for table in tables for key in table})


def column(table: Table, field: str) -> np.ndarray:
    """Values of one field that could be measured."""
    values = np.array([row[field] for row in table.values()])
    return values[np.isfinite(values)]


def mean(table: Table, field: str = "dice") -> float:
    """Mean of a field; NaN without values."""
    values = column(table, field)
    return float(values.mean()) if values.size else math.nan


def differences(table: Table, baseline: Table) -> dict[Cell, list[float]]:
    """Differences of Dice by person and piece, over the scans and pieces that both have."""
    found: dict[Cell, list[float]] = defaultdict(list)
    for piece, scan in sorted(table.keys() & baseline.keys()):
        key = (piece, scan)
        found[person(scan), piece].append(table[key]["dice"] - baseline[key]["dice"])
    return dict(found)


def mean_of(cells: Mapping[Cell, list[float]]) -> float:
    """Mean over all values."""
    return float(np.mean([value for values in cells.values() for value in values]))


def interval(cells: Mapping[Cell, list[float]]) -> tuple[float, float]:
    """95% interval of the mean (t); NaN with too few people.

    What one person's scans have in common, and what all masks of one trained network have, makes
    the mean uncertain in ways that more scans do not remedy. The variance is clustered both ways
    (Cameron, Gelbach & Miller 2011, doi 10.1198/jbes.2010.07136), and never taken for smaller than
    that over people alone; degrees of freedom are people less one.
    """
    people, pieces = (sorted({cell[axis] for cell in cells}) for axis in (0, 1))
    if len(people) < FEWEST_PEOPLE:
        return math.nan, math.nan
    mean = mean_of(cells)
    n = sum(map(len, cells.values()))
    off = {cell: sum(values) - len(values) * mean for cell, values in cells.items()}

    def variance(sums: Iterable[float]) -> float:
        sums = list(sums)
        fewness = len(sums) / (len(sums) - 1) if len(sums) > 1 else 0.0
        return fewness * sum(value**2 for value in sums) / n**2

    def over(axis: int, names: Iterable[str]) -> float:
        return variance(sum(v for cell, v in off.items() if cell[axis] == x) for x in names)

    of_people = over(0, people)
    both = of_people + over(1, pieces) - variance(off.values())
    half = float(scipy.stats.t.ppf(0.975, len(people) - 1)) * math.sqrt(max(of_people, both))
    return mean - half, mean + half


def paired(table: Table, baseline: Table) -> str:
    """Mean difference of Dice with its interval, in words; a dash without pairs."""
    cells = differences(table, baseline)
    if not cells or table is baseline:
        return "-"
    low, high = interval(cells)
    if math.isnan(low):
        n = len({name for name, _ in cells})
        return f"{mean_of(cells):+.4f} ({n} {'person' if n == 1 else 'people'})"
    return f"{mean_of(cells):+.4f} [{low:+.4f}, {high:+.4f}]"


def common(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The same tables, at the places which all of them have."""
    if not tables:
        return {}
    keys = sorted(set.intersection(*(set(table) for table in tables.values())))
    return {name: {key: table[key] for key in keys} for name, table in tables.items()}


def in_digits(value: float, digits: int = 4) -> str:
    """A number; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def spread(values: Iterable[float]) -> str:
    """Mean and range of what could be measured."""
    found = [value for value in values if math.isfinite(value)]
    if not found:
        return "-"
    return f"{np.mean(found):.2f} ({min(found):.2f} to {max(found):.2f})"
