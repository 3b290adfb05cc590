"""The scores of a round as they come: what is known is not measured again, and nothing is lost.

While a round is ranked, each row is added to ``scores_so_far.jsonl`` as soon as it is measured, so
that a killed job loses one scan at most; scores.csv is written when all are ranked together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_singlestrip.atomic_files import file_digest
from napari_singlestrip.engine.config import RankingConfig
from napari_singlestrip.engine.judging.ranking import rank, ranked_by, select, unusual
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow

FILE = "scores_so_far.jsonl"
Appearances = Mapping[str, npt.NDArray[np.float64]]  # what scans look like, by name


class ScoreKeeper:
    """Rows of one round that are measured.

    Parameters
    ----------
    study : Study
    round_ : int

    Attributes
    ----------
    names : tuple of str
        Scans with a predicted mask.
    """

    def __init__(self, study: Study, round_: int) -> None:
        self._study, self._round = study, round_
        self.path = study.round_dir(round_) / FILE
        self.names = tuple(n for n in study.names if self._mask(n).is_file())
        self._digests: dict[str, str] = {}

    def known(self, *, again: bool = False) -> dict[str, ScoreRow]:
        """Rows of masks that are still as they were when they were measured, by scan.

        Parameters
        ----------
        again : bool
            Leave out those of rankings that were carried out to their end.
        """
        table = [] if again else self._study.scores(self._round)
        rows = {row.scan: row for row in (*table, *self._so_far())}
        fitting = {n: row for n in self.names if (row := rows.get(n)) and self._fits(row)}
        return {n: replace(row, mask_digest=self.digest(n)) for n, row in fitting.items()}

    def is_complete(self, known: Iterable[str]) -> bool:
        """Whether scores.csv ranks just these scans, and they are all."""
        ranked = {row.scan for row in self._study.scores(self._round)}
        there = self._study.scores_path(self._round).is_file() and not self.path.exists()
        return there and set(known) == set(self.names) == ranked

    def digest(self, name: str) -> str:
        """Of the mask of a scan; empty if it cannot be read."""
        if name not in self._digests:
            self._digests[name] = ""
            with suppress(OSError):
                self._digests[name] = file_digest(self._mask(name))
        return self._digests[name]

    def add(self, row: ScoreRow) -> None:
        """Keep a row that was measured just now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            # A killed job may have left half a line: it stays one of its own.
            file.write("\n" + json.dumps(asdict(row)) + "\n")

    def save(self, rows: Sequence[ScoreRow]) -> None:
        """Write scores.csv: all are ranked."""
        self._study.save_scores(self._round, rows)
        self.path.unlink(missing_ok=True)

    def _mask(self, name: str) -> Path:
        return self._study.pseudo_label_path(self._round, name)

    def _so_far(self) -> list[ScoreRow]:
        rows = []
        with suppress(FileNotFoundError):
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, TypeError):  # half a line
                    rows.append(ScoreRow(**json.loads(line)))
        return rows

    def _fits(self, row: ScoreRow) -> bool:
        if row.mask_digest:
            return row.mask_digest == self.digest(row.scan)
        # A table of an earlier version, which does not say: the mask may not be newer.
        table, mask = self._study.scores_path(self._round), self._mask(row.scan)
        return mask.stat().st_mtime <= table.stat().st_mtime


def comparable(known: Mapping[str, ScoreRow], measured_with: str) -> dict[str, ScoreRow]:
    """Rows that compare with those that are measured now; earlier versions do not say."""
    return {n: row for n, row in known.items() if row.measured_with in ("", measured_with)}


def ranked(
    rows: Sequence[ScoreRow], config: RankingConfig, looks: Appearances
) -> list[ScoreRow]:
    """Add ranks, selection and flags, best first.

    Parameters
    ----------
    rows : sequence of ScoreRow
    config : RankingConfig
    looks : mapping of str to array
        For the rule that asks for varied scans, which selects none that it cannot see.
    """
    shapes = [row.autoencoder_error for row in rows]
    errors = ranked_by(shapes, [row.consistency for row in rows], config.score)
    positions = rank(errors.tolist())
    if config.select == "varied":
        errors = np.where([row.scan in looks for row in rows], errors, np.nan)
    blank = np.zeros_like(next(iter(looks.values()), np.zeros(1)))
    chosen = select(errors.tolist(), config, [looks.get(row.scan, blank) for row in rows])
    flags = unusual(shapes, [row.volume_ml for row in rows])
    table = [
        replace(row, rank=int(position), selected=bool(taken), flag=flag)
        for row, position, taken, flag in zip(rows, positions, chosen, flags, strict=True)
    ]
    return sorted(table, key=lambda row: row.rank)
