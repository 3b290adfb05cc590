"""Compare a folder of masks with references, and correlate a score with the true Dice."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np
import scipy

from napari_singlestrip.engine.imaging.scan_names import find_masks, match
from napari_singlestrip.engine.imaging.scipy_parts import load_scipy_parts
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.masks.cleanup import mask_volume_ml
from napari_singlestrip.engine.masks.metrics import MaskScores, compare
from napari_singlestrip.errors import UserError
from napari_singlestrip.failures import attempt
from napari_singlestrip.files.atomic import write_text_atomic
from napari_singlestrip.texts import csv_text

_NAN = math.nan
_NO_MASK = "There is no mask for this reference."
_NO_REFERENCE = "There is no reference for this mask."
_UNCLEAR = "It is not clear which mask and which reference belong together: name them alike."


@dataclass(frozen=True)
class EvaluationRow:
    """One scan: the scores of its mask, or the problem.

    Parameters
    ----------
    name : str
        The scan's name.
    dice, hd95_mm, mean_surface_distance_mm, volume_difference_percent : float
        As in `MaskScores`; NaN if not measured.
    volume_ml, reference_ml : float
        Volumes of mask and reference.
    problem : str
        Empty if there is none.
    kind : str
        Kind of the problem if a file could not be measured, as in `failures.Failure`.
    """

    name: str
    dice: float = _NAN
    hd95_mm: float = _NAN
    mean_surface_distance_mm: float = _NAN
    volume_difference_percent: float = _NAN
    volume_ml: float = _NAN
    reference_ml: float = _NAN
    problem: str = ""
    kind: str = ""

    @property
    def is_measured(self) -> bool:
        """Whether the Dice was measured."""
        return not math.isnan(self.dice)


@dataclass(frozen=True)
class Summary:
    """Summary of all rows.

    Parameters
    ----------
    n : int
        Masks with a Dice.
    n_problems : int
        Rows with a problem.
    mean, median, worst : MaskScores
        Of each score separately, over the rows that have it; NaN if none has.
    """

    n: int
    n_problems: int
    mean: MaskScores
    median: MaskScores
    worst: MaskScores


@dataclass(frozen=True)
class Correlation:
    """Correlation of a score with the true Dice over `n` scans; NaN if undefined."""

    spearman: float
    pearson: float
    n: int


def evaluate_folders(mask_dir: str | Path, reference_dir: str | Path) -> list[EvaluationRow]:
    """Compare every mask with the reference of the same scan.

    Files belong together when their names agree without extension and without ``_desc-brain_mask``,
    ``_brain_mask`` or ``_mask``; if several files have the same name, their folders within the
    given folders tell them apart (``patient1/T1`` and ``patient1_T1`` agree). A bad or missing file
    gives a row with the problem, and the rest continues. An empty mask has Dice 0, since leaving it
    out would inflate the mean.

    Parameters
    ----------
    mask_dir, reference_dir : str or Path
        Folders, searched at any depth.

    Returns
    -------
    list of EvaluationRow
        Sorted by name.

    Raises
    ------
    UserError
        If a folder is missing or holds no scan, or if no files of the two folders match.
    """
    load_scipy_parts()
    masks, references = (_masks(Path(folder)) for folder in (mask_dir, reference_dir))
    pairs, doubtful = match(masks, references)
    if not pairs and not doubtful:
        raise UserError(
            f"No mask in {mask_dir} has the name of a reference in {reference_dir}.",
            f"Name them alike: {_one_name(masks)} here, {_one_name(references)} there.",
        )
    names, others = _told_apart(masks), _told_apart(references)
    rows = [_evaluate(max(names[m], others[r], key=len), m, r) for m, r in pairs.items()]
    rows += [
        EvaluationRow(name, problem=_UNCLEAR if mask in doubtful else _NO_REFERENCE)
        for mask, name in names.items() if mask not in pairs
    ]
    unclear = {reference for several in doubtful.values() for reference in several}
    rows += [
        EvaluationRow(name, problem=_UNCLEAR if reference in unclear else _NO_MASK)
        for reference, name in others.items() if reference not in pairs.values()
    ]
    return sorted(rows, key=lambda row: row.name)


def summarize(rows: Sequence[EvaluationRow]) -> Summary:
    """Mean, median and worst of each score."""
    scores = np.array([[getattr(row, f.name) for f in fields(MaskScores)] for row in rows])
    columns = [column[np.isfinite(column)] for column in scores.reshape(-1, 4).T]
    lowest_is_worst = [field.name == "dice" for field in fields(MaskScores)]
    worst = [
        _worst(column, lowest) for column, lowest in zip(columns, lowest_is_worst, strict=True)
    ]
    return Summary(
        n=int(columns[0].size),
        n_problems=sum(bool(row.problem) for row in rows),
        mean=MaskScores(*(float(c.mean()) if c.size else _NAN for c in columns)),
        median=MaskScores(*(float(np.median(c)) if c.size else _NAN for c in columns)),
        worst=MaskScores(*worst),
    )


def write_csv(rows: Sequence[EvaluationRow], path: str | Path) -> None:
    """Write one line per scan, with a header line; NaN is left empty.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    header = [field.name for field in fields(EvaluationRow)]
    write_text_atomic(path, csv_text([header, *map(astuple, rows)]))


def correlation(scores: Sequence[float], dices: Sequence[float]) -> Correlation:
    """Rank (Spearman) and linear (Pearson) correlation of a score with the true Dice.

    Pairs with a NaN are left out. Fewer than three pairs, or equal values, give NaN.

    Parameters
    ----------
    scores, dices : sequence of float
        One pair per scan; an error, which falls as Dice grows, correlates negatively.
    """
    pairs = np.array([scores, dices], dtype=np.float64)
    x, y = pairs[:, np.isfinite(pairs).all(axis=0)]
    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(_NAN, _NAN, int(x.size))
    spearman = float(scipy.stats.spearmanr(x, y).statistic)
    pearson = float(np.corrcoef(x, y)[0, 1])  # scipy's version warns if values are almost equal
    return Correlation(spearman, pearson, int(x.size))


def _masks(folder: Path) -> dict[Path, tuple[str, ...]]:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder.", "Name the folder it is in.")
    return find_masks(folder)


def _one_name(masks: Mapping[Path, Sequence[str]]) -> str:
    return next(iter(masks.values()))[-1]


def _told_apart(masks: Mapping[Path, Sequence[str]]) -> dict[Path, str]:
    """The shortest name of each file that no other file may have; else its longest."""
    n = Counter(name for names in masks.values() for name in names)
    return {
        path: next((name for name in reversed(names) if n[name] == 1), names[0])
        for path, names in masks.items()
    }


def _evaluate(name: str, mask_path: Path, reference_path: Path) -> EvaluationRow:
    row = attempt(_compare_files, name, mask_path, reference_path)
    if isinstance(row, EvaluationRow):
        return row
    if row.traceback:
        logging.getLogger(__name__).error("%s: %s\n%s", name, row, row.traceback)
    return EvaluationRow(name, problem=str(row), kind=row.kind)


def _compare_files(name: str, mask_path: Path, reference_path: Path) -> EvaluationRow:
    scan = open_scan(reference_path)
    reference = load_mask(reference_path, like=scan)
    mask = load_mask(mask_path, like=scan, check=False)
    scores = compare(mask, reference, scan.grid.spacing)
    return EvaluationRow(
        name,
        **asdict(scores),
        volume_ml=mask_volume_ml(mask, scan.grid),
        reference_ml=mask_volume_ml(reference, scan.grid),
        problem="" if mask.any() else "The mask is empty.",
    )


def _worst(values: np.ndarray, lowest: bool) -> float:
    if not values.size:
        return _NAN
    return float(values.min() if lowest else values[np.abs(values).argmax()])
