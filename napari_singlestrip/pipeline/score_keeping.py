"""Saving the scores of a round as they are computed, so that none is lost or computed twice.

During ranking, each row is appended to ``scores_so_far.jsonl`` as soon as it is measured, so that a
killed job loses one scan at most; scores.csv is written at the end, with the ranks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.config import RankingConfig
from napari_singlestrip.engine.judging.ranking import rank, select, unusual
from napari_singlestrip.engine.judging.ranking_score import ranked_by
from napari_singlestrip.files.atomic import file_digest
from napari_singlestrip.files.locks import exclusive
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow

FILE = "scores_so_far.jsonl"
Appearances = Mapping[str, npt.NDArray[np.float64]]  # appearance features of scans, by name


class ScoreKeeper:
    """The scores of one round.

    Parameters
    ----------
    study : Study
    round_ : int
    is_shared : bool
        Whether other processes score masks of the same round.

    Attributes
    ----------
    names : tuple of str
        Scans with a predicted mask.
    """

    def __init__(self, study: Study, round_: int, is_shared: bool = False) -> None:
        self._study, self._round, self._is_shared = study, round_, is_shared
        self.path = study.rounds.folder(round_) / FILE
        self.names = tuple(n for n in study.scans.names if self._mask(n).is_file())
        self._digests: dict[str, str] = {}

    def known(self, *, again: bool = False) -> dict[str, ScoreRow]:
        """Rows of masks that are unchanged since they were scored, by scan.

        Parameters
        ----------
        again : bool
            Leave out those of completed rankings.
        """
        table = [] if again else self._study.rounds.scores(self._round)
        rows = {row.scan: row for row in (*table, *self._so_far())}
        fitting = {n: row for n in self.names if (row := rows.get(n)) and self._fits(row)}
        return {n: replace(row, mask_digest=self.digest(n)) for n, row in fitting.items()}

    def is_complete(self, known: Iterable[str]) -> bool:
        """Whether scores.csv ranks exactly these scans, and all of the round."""
        ranked = {row.scan for row in self._study.rounds.scores(self._round)}
        there = self._study.rounds.scores_path(self._round).is_file() and not self.path.exists()
        return there and set(known) == set(self.names) == ranked

    def digest(self, name: str) -> str:
        """Digest of the mask of a scan; empty if it cannot be read."""
        if name not in self._digests:
            self._digests[name] = ""
            with suppress(OSError):
                self._digests[name] = file_digest(self._mask(name))
        return self._digests[name]

    def add(self, row: ScoreRow) -> None:
        """Save a new row."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.alone(), self.path.open("a", encoding="utf-8") as file:
            # A killed job may have left an incomplete line, which must not join this one.
            file.write("\n" + json.dumps(asdict(row)) + "\n")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Prevent other processes from adding rows, if there are any."""
        if not self._is_shared:
            yield
            return
        with exclusive(self.path):
            yield

    def save(self, rows: Sequence[ScoreRow]) -> None:
        """Write scores.csv with all ranks."""
        self._study.rounds.save_scores(self._round, rows)
        self.path.unlink(missing_ok=True)

    def _mask(self, name: str) -> Path:
        return self._study.rounds.pseudo_label_path(self._round, name)

    def _so_far(self) -> list[ScoreRow]:
        rows = []
        with suppress(FileNotFoundError):
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, TypeError):  # an incomplete line
                    rows.append(ScoreRow(**json.loads(line)))
        return rows

    def _fits(self, row: ScoreRow) -> bool:
        return bool(row.mask_digest) and row.mask_digest == self.digest(row.scan)


def comparable(known: Mapping[str, ScoreRow], measured_with: str) -> dict[str, ScoreRow]:
    """Rows that are comparable to new ones; rows of earlier versions are not."""
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
        For the rule "varied", which selects no scan without them.
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
