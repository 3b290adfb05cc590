"""The whole method on simulated heads: from one painted head to a report.

Everything is in one folder, and existing results are kept, so that the same call resumes. Heads are
made in two groups: the pool, which belongs to the study, and the unseen ones.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_singlestrip.demo.record import DemoRecord, open_record
from napari_singlestrip.engine.imaging.scan_files import check_folder_name
from napari_singlestrip.engine.learning.device import choose_device, in_words
from napari_singlestrip.engine.masks.evaluation import EvaluationRow, evaluate_folders
from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.events import Event, Finished, Note, Started, Wrote
from napari_singlestrip.files.atomic import write_json_atomic
from napari_singlestrip.pipeline import apply as applying
from napari_singlestrip.pipeline import stages
from napari_singlestrip.report import DemoResults, UnseenHead, write_report
from napari_singlestrip.sample_data import sample_name
from napari_singlestrip.sample_data.making import make_heads
from napari_singlestrip.study.document import DOCUMENT_NAME, json_values
from napari_singlestrip.study.lock import StudyLock
from napari_singlestrip.study.ranking_report import ranking_report
from napari_singlestrip.study.round_facts import newest_trained_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import MASK_SUFFIX, TABLE, read_table

SUMMARY_NAME = "summary.json"
REPORT_NAME = "report.html"


@dataclass(frozen=True)
class DemoPlan:
    """Numbers of simulated heads, in the study and beside it, and their voxel size (mm)."""

    n_pool: int = 18
    n_unseen: int = 5
    spacing_mm: float = 2.0


@dataclass(frozen=True)
class DemoFolder:
    """Paths of a demo."""

    path: Path

    @property
    def pool(self) -> Path:
        """Heads of the study: scans/ and masks/."""
        return self.path / "heads"

    @property
    def unseen(self) -> Path:
        """Heads outside the study: scans/ and masks/."""
        return self.path / "unseen"

    @property
    def study(self) -> Path:
        """The study."""
        return self.path / "study"

    @property
    def applied(self) -> tuple[Path, Path]:
        """Masks of the unseen heads, before and after fine-tuning."""
        return self.path / "applied_before", self.path / "applied_after"


def demo(
    out: Path,
    *,
    effort: str,
    device: str,
    seed: int,
    overrides: Mapping[str, Any],
    plan: DemoPlan | None = None,
) -> Iterator[Event]:
    """Make heads, train on one of them, rank, fine-tune, evaluate, and write a report.

    Parameters
    ----------
    out : Path
        A folder that is new, empty, or of the same demo, which is then continued.
    effort, device, overrides
        As `stages.run`.
    seed : int
        Of the heads and of all training.
    plan : DemoPlan, optional
        Numbers of heads.

    Raises
    ------
    UserError
        If the folder holds other files or a demo with other settings, or a setting is wrong.
    """
    started = time.monotonic()
    plan, folder = plan or DemoPlan(), DemoFolder(Path(os.path.abspath(out.expanduser())))
    check_folder_name(folder.path)
    settings_for(effort, overrides, seed=seed)  # type: ignore[arg-type]  # it says what is wrong
    record = open_record(folder.path, {
        "effort": effort, "seed": seed, "overrides": json_values(overrides), "plan": asdict(plan),
    })
    yield Started("", in_words(choose_device(device)), f"{folder.path.name}, {effort}")
    done = failed = 0
    with closing(_steps(folder, plan, record, device)) as steps:
        try:
            for event in steps:
                if isinstance(event, Finished):  # of a part
                    done, failed = done + event.n_done, failed + event.n_failed
                    continue
                record.watch(event)
                yield event
        finally:
            record.stop()
    _write_summary(folder, record.seconds)
    yield Finished(time.monotonic() - started, n_done=done, n_failed=failed)


def _steps(
    folder: DemoFolder, plan: DemoPlan, record: DemoRecord, device: str
) -> Generator[Event, None, None]:
    yield from _make_heads(folder, plan, record.seed)
    study = _open_study(folder, record)
    with StudyLock(study.folder):
        yield from _inner(stages.run(study, device=device))
    newest = newest_trained_round(study)
    for round_, masks in zip((0, newest), folder.applied, strict=True):
        scans = sorted((folder.unseen / "scans").glob("*.nii.gz"))
        if len(read_table(masks / TABLE)) < len(scans):
            yield from _inner(
                applying.apply(study.folder, scans, masks, device=device, round_=round_)
            )
    yield Started("report")
    results = DemoResults(_unseen_heads(folder), record.seconds)
    write_report(study, folder.path / REPORT_NAME, results)
    yield Wrote(REPORT_NAME, "report")
    yield Note(f"The report: {folder.path / REPORT_NAME}")


def _inner(events: Iterator[Event]) -> Iterator[Event]:
    """Pass on the events of a part of the job, without its start and end."""
    with closing(events) as inner:  # type: ignore[type-var]
        for event in inner:
            if event != Started("", *_rest(event)):
                yield event


def _rest(event: Event) -> tuple[str, str]:
    return (event.device, event.detail) if isinstance(event, Started) else ("", "")


def _make_heads(folder: DemoFolder, plan: DemoPlan, seed: int) -> Iterator[Event]:
    n = plan.n_pool + plan.n_unseen
    places = [folder.pool if i < plan.n_pool else folder.unseen for i in range(n)]
    yield from make_heads(places, seed, plan.spacing_mm)


def _open_study(folder: DemoFolder, record: DemoRecord) -> Study:
    """Open the study or make it; the first head is the painted one."""
    painted = sample_name(0)
    mask = folder.pool / "masks" / f"{painted}.nii.gz"
    if not (folder.study / DOCUMENT_NAME).is_file():
        return Study.create(
            folder.study,
            [folder.pool / "scans"],
            masks={painted: mask},
            references=folder.pool / "masks",
            effort=record.effort,
            overrides={"seed": record.seed, **record.overrides},
        )
    study = Study.open(folder.study)
    if painted not in study.masks.names():  # an earlier run was stopped before it was stored
        study.masks.import_file(painted, mask)
    return study


def _unseen_heads(folder: DemoFolder) -> tuple[UnseenHead, ...]:
    references = sorted((folder.unseen / "masks").glob("*.nii.gz"))
    before, after = (_evaluate(folder, masks, references) for masks in folder.applied)
    heads = []
    for reference, row_before, row_after in zip(references, before, after, strict=True):
        masks = [path / (row_before.name + MASK_SUFFIX) for path in folder.applied]
        scan = folder.unseen / "scans" / reference.name
        heads.append(UnseenHead(scan, reference, masks[0], masks[1], row_before, row_after))
    return tuple(heads)


def _evaluate(
    folder: DemoFolder, masks: Path, references: Sequence[Path]
) -> list[EvaluationRow]:
    """Compare masks with references; if no brain was found, Dice is 0 and not left out."""
    names = [path.name.removesuffix(".nii.gz") for path in references]
    found: dict[str, EvaluationRow] = {}
    if any(masks.glob(f"*{MASK_SUFFIX}")):
        found = {row.name: row for row in evaluate_folders(masks, folder.unseen / "masks")}
    rows = [found.get(name, EvaluationRow(name)) for name in names]
    return [replace(row, dice=0.0) if math.isnan(row.dice) else row for row in rows]


def _write_summary(folder: DemoFolder, seconds: Mapping[str, float]) -> None:
    """Write the results that the command line prints."""
    heads = _unseen_heads(folder)
    sides = {"before": [h.before_scores for h in heads], "after": [h.after_scores for h in heads]}
    study = Study.open(folder.study)
    ranked = [round_ for round_ in study.rounds.numbers() if study.rounds.scores(round_)]
    write_json_atomic(folder.path / SUMMARY_NAME, {
        "unseen": {side: _side(rows) for side, rows in sides.items()},
        "rounds": [_ranking(study, round_) for round_ in ranked],
        "seconds": {stage: round(s, 1) for stage, s in seconds.items()},
        "report": REPORT_NAME,
    })


def _side(rows: Sequence[EvaluationRow]) -> dict[str, float | None]:
    distances = [row.hd95_mm for row in rows if math.isfinite(row.hd95_mm)]
    return {
        "mean_dice": float(np.mean([row.dice for row in rows])),
        "worst_dice": min(row.dice for row in rows),
        "mean_hd95_mm": float(np.mean(distances)) if distances else None,
        "worst_hd95_mm": max(distances, default=None),
    }


def _ranking(study: Study, round_: int) -> dict[str, float | None]:
    report = ranking_report(study, round_)
    dices = [row.dice for row in report.rows if row.dice is not None]
    figures: dict[str, float | None] = {"round": round_, "mean_dice": None, "worst_dice": None}
    if dices:
        figures |= {"mean_dice": float(np.mean(dices)), "worst_dice": min(dices)}
    for name, found in report.correlations.items():
        for kind, value in (("spearman", found.spearman), ("pearson", found.pearson)):
            figures[f"{name}_{kind}"] = value if math.isfinite(value) else None
    return figures
