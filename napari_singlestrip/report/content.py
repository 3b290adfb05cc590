"""The content of a report, gathered once; missing or damaged parts only leave a gap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from napari_singlestrip.errors import UserError
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.atomic import read_json
from napari_singlestrip.report.results import DemoResults
from napari_singlestrip.study.ranking_report import RankingReport, ranking_report, told
from napari_singlestrip.study.references import References
from napari_singlestrip.study.round_folder import RoundFolder, read_metrics
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision

T = TypeVar("T")
MAX_MASKS = 10_000  # listed per round


@dataclass(frozen=True)
class Round:
    """One round of self-training.

    Attributes
    ----------
    number : int
    folder : RoundFolder
    run : dict
        Content of settings.json: settings, version, python, device; empty if missing or damaged.
    training_set : list of dict
        Provenance of the training masks.
    metrics : list of dict
        Lines of metrics.jsonl, from `read_metrics`.
    ranking : RankingReport or None
        None if the round was not ranked.
    """

    number: int
    folder: RoundFolder
    run: dict[str, Any]
    training_set: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    ranking: RankingReport | None


@dataclass
class Content:
    """The input of all sections.

    Attributes
    ----------
    study : Study
    extra : DemoResults
    rounds : list of Round
    decisions : dict of str to Decision
    problems : list of str
        Problems in reading or showing the content; appended to while the page is made.
    """

    study: Study
    extra: DemoResults
    rounds: list[Round] = field(default_factory=list)
    decisions: dict[str, Decision] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ranked(self) -> list[Round]:
        """Rounds with a ranking."""
        return [round_ for round_ in self.rounds if round_.ranking is not None]

    @property
    def has_truth(self) -> bool:
        """Whether the Dice with a reference is known for any mask."""
        return any(r.ranking and r.ranking.correlations for r in self.rounds)

    @cached_property
    def references(self) -> References:
        """Reference masks of all scans."""
        return self.study.references.find()

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Return the result of `work`; if it fails, note why and return None."""
        found = attempt(work)
        if not isinstance(found, Failure):
            return found
        if (problem := told("", found)) not in self.problems:
            self.problems.append(problem)
        return None


def gather(study: Study, extra: DemoResults | None = None) -> Content:
    """Read the content of a report."""
    content = Content(study, extra or DemoResults())
    content.decisions = content.attempt(study.decisions.all) or {}
    content.rounds = [_round(content, number) for number in study.rounds.numbers()]
    return content


def _round(content: Content, number: int) -> Round:
    study = content.study
    folder = RoundFolder(study.rounds.folder(number))
    ranking = None
    if content.attempt(lambda: study.rounds.scores(number)):
        ranking = content.attempt(lambda: ranking_report(study, number))
    if ranking is not None:
        content.problems += [p for p in ranking.problems if p not in content.problems]
    return Round(
        number,
        folder,
        content.attempt(lambda: _run(folder.settings)) or {},
        content.attempt(lambda: _training_set(folder.training_set)) or [],
        content.attempt(lambda: read_metrics(folder)) or [],
        ranking,
    )


def _run(path: Path) -> dict[str, Any]:
    run = _read_json(path, dict)
    if run and not isinstance(run.get("settings"), dict):
        raise UserError(f"{path} is damaged: it holds no settings.")
    return run


def _training_set(path: Path) -> list[dict[str, Any]]:
    masks = _read_json(path, list)
    if not all(isinstance(mask, dict) for mask in masks):
        raise UserError(f"{path} is damaged: not all of it are masks.")
    return masks[:MAX_MASKS]


def _read_json(path: Path, kind: type[T]) -> T:
    """Read a file that may be missing; its content must be a `kind`."""
    try:
        found = read_json(path)
    except FileNotFoundError:
        return kind()
    if not isinstance(found, kind):
        raise UserError(f"{path} is damaged.")
    return found
