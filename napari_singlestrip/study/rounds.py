"""The rounds of a study: predicted masks and their scores, written by jobs only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from napari_singlestrip.study.folder import StudyFolder
from napari_singlestrip.study.scans import StudyScans
from napari_singlestrip.study.tables import ScoreRow, read_scores, write_scores
from napari_singlestrip.vocabulary import StudyPart

EXTENSION = ".nii.gz"
ROUNDS, PSEUDO_LABELS = "rounds", "pseudo_labels"


class StudyRounds:
    """The folders of the rounds, and their scores of each scan.

    Parameters
    ----------
    folder : StudyFolder
    scans : StudyScans

    Attributes
    ----------
    shown : int or None
        The latest round that this program looks at: for it, later ones have no masks yet. None for
        all. A window keeps to the round under review while the next one is made.
    """

    def __init__(self, folder: StudyFolder, scans: StudyScans) -> None:
        self._folder, self._scans = folder, scans
        self.shown: int | None = None
        # Paths of predicted masks by round and name, for one state of study.json: a key in Review
        # asks for those of all decided scans.
        self._paths: tuple[object, dict[tuple[int, str], Path]] = (None, {})
        folder.watch(StudyPart.ROUNDS, self._watched)

    def numbers(self) -> list[int]:
        """Numbers of the rounds that exist, ascending."""
        folders = (p for p in (self._folder.path / ROUNDS).glob("*") if p.is_dir())
        return sorted(
            int(p.name) for p in folders
            if p.name.isdecimal() and p == self.folder(int(p.name))
        )

    def current(self) -> int:
        """Number of the latest round; 0 if there is none yet."""
        return max(self.numbers(), default=0)

    def in_view(self) -> list[int]:
        """Numbers of the rounds up to the one that is looked at, ascending."""
        return [r for r in self.numbers() if self.shown is None or r <= self.shown]

    def folder(self, round_: int) -> Path:
        """Folder of a round."""
        return self._folder.path / ROUNDS / f"{round_:02d}"

    def pseudo_label_path(self, round_: int, name: str) -> Path:
        """Path of a scan's predicted mask, whether it exists or not."""
        scans = self._scans.entries
        if self._paths[0] is not scans:
            self._paths = scans, {}
        paths = self._paths[1]
        if (round_, name) not in paths:
            file = self._scans.entry(name).name + EXTENSION
            paths[round_, name] = self.folder(round_) / f"{PSEUDO_LABELS}/{file}"
        return paths[round_, name]

    def pseudo_label_in_study(self, round_: int, name: str) -> str:
        """Path of a scan's predicted mask from the study folder, with slashes."""
        file = self._scans.entry(name).name + EXTENSION
        return f"{ROUNDS}/{round_:02d}/{PSEUDO_LABELS}/{file}"

    def newest_pseudo_label(self, name: str) -> tuple[int, Path] | None:
        """Round and path of a scan's latest predicted mask in view; None if there is none."""
        for round_ in reversed(self.in_view()):
            path = self.pseudo_label_path(round_, name)
            if path.exists():
                return round_, path
        return None

    def reconstruction_path(self, round_: int, name: str) -> Path:
        """Path of the reconstruction of a predicted mask, whether it exists or not."""
        return self.folder(round_) / "reconstructions" / (self._scans.entry(name).name + EXTENSION)

    def scores_path(self, round_: int) -> Path:
        """Path of the scores of a round, whether it exists or not."""
        return self.folder(round_) / "scores.csv"

    def scores(self, round_: int) -> list[ScoreRow]:
        """Scores of a round as the worker wrote them; empty if it is not ranked yet.

        Raises
        ------
        UserError
            If scores.csv is damaged.
        """
        return list(self._folder.read(self.scores_path(round_), read_scores))

    def score(self, round_: int, name: str) -> ScoreRow:
        """Return the scores of one mask; an empty row if it was not ranked."""
        rows = self._folder.read(self.scores_path(round_), _scores_by_name)
        return rows.get(name) or ScoreRow(name)

    def save_scores(self, round_: int, rows: Iterable[ScoreRow]) -> None:
        """Write the scores of a round (for the worker)."""
        write_scores(self.scores_path(round_), rows)
        self._folder.changed.emit(StudyPart.SCORES)

    def _watched(self) -> tuple[Path, ...]:
        newest = self.folder(self.current())
        return self._folder.path / "rounds", newest / "segmenter.pt", newest / "scores.csv"


def _scores_by_name(path: Path) -> dict[str, ScoreRow]:
    return {row.scan: row for row in read_scores(path)}
