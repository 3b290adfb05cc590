"""What the command line prints of a new study, a ranking and an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_singlestrip.console import format_cell, make_console, show_table
from napari_singlestrip.errors import UserError
from napari_singlestrip.files import read_json
from napari_singlestrip.study import Study

if TYPE_CHECKING:
    from napari_singlestrip.ranking_report import RankingReport


def describe_new(study: Study, quiet: bool) -> None:
    """Say what the new study holds, which scans are in trouble, and what to do next."""
    _describe_scans(study, study.names, quiet)
    if quiet:
        return
    n_masks = len(study.masked_scans())
    typer.echo(f"Study {study.name}: {_count(len(study.scans), 'scan')}, "
               f"{_count(n_masks, 'painted mask')}.")  # fmt: skip
    if len(study.scans) == 1:
        typer.echo("With one scan there is nothing to predict and rank yet.")
    if n_masks:
        typer.echo(f"Next: singlestrip run {study.folder}")
    else:
        typer.echo("Next: paint the brain of one scan, in napari or with any other program.")


def describe_added(study: Study, names: Sequence[str], quiet: bool) -> None:
    """Say which scans are new in the study, which are in trouble, and what to do next."""
    _describe_scans(study, names, quiet)
    if quiet:
        return
    if not names:
        typer.echo(f"Nothing is new: the study {study.name} has these scans already.")
        return
    for name in names:
        typer.echo(name)
    typer.echo(f"{_count(len(names), 'scan')} added to the study {study.name}, which has "
               f"{len(study.scans)} now.")  # fmt: skip
    typer.echo(f"Next: singlestrip run {study.folder}")


def _describe_scans(study: Study, names: Sequence[str], quiet: bool) -> None:
    from napari_singlestrip.engine.volume import open_scan

    for name in names:
        try:
            notes = open_scan(study.scan_path(name)).notes
        except UserError as error:  # the rest of the study goes on
            typer.echo(f"Warning: {error}", err=True)
            continue
        for note in () if quiet else notes:
            typer.echo(f"{name}: {note}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def show_ranking(study: Study, round_: int, report: RankingReport) -> None:
    """Print the ranking of a round, and what the scores are worth where the truth is known."""
    decisions = study.decisions()
    rows = []
    for ranked in report.rows:
        row = asdict(ranked.score)
        row = {"rank": row.pop("rank") or None, **row}
        if report.correlations:
            row["true_dice"] = ranked.dice
        decision = decisions.get(ranked.score.scan)
        rows.append({**row, "decision": decision.state if decision else ""})
    show_table(make_console(), rows, f"Round {round_} of {study.name}")
    for name, found in report.correlations.items():
        typer.echo(
            f"{name} and true Dice of {_count(found.n, 'scan')}: "
            f"Spearman {format_cell(found.spearman)}, Pearson {format_cell(found.pearson)} "
            "(1: ranks perfectly)"
        )
    for problem in report.problems:
        typer.echo(f"Warning: {problem}", err=True)


def show_evaluation(rows: Sequence[Any]) -> None:
    """Print the figures of each mask (rows are dataclasses)."""
    show_table(make_console(), [asdict(row) for row in rows])


def show_demo(out: Path) -> None:
    """Print the figures that a demo wrote: heads it never saw, what the scores are worth, time."""
    path = out / "summary.json"
    try:
        _show_summary(read_json(path))
    except FileNotFoundError:
        return
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{path} is damaged: {type(error).__name__}.", "Run the demo again in another folder."
        ) from error


def _show_summary(summary: Mapping[str, Any]) -> None:
    console = make_console()
    names = {"mean_dice": "mean Dice", "worst_dice": "worst Dice",
             "mean_hd95_mm": "mean HD95 (mm)", "worst_hd95_mm": "worst HD95 (mm)"}  # fmt: skip
    sides = summary["unseen"]
    rows = [
        {"": words, "before": sides["before"][name], "after": sides["after"][name]}
        for name, words in names.items()
    ]
    show_table(console, rows, "\nHeads that were never seen, before and after fine-tuning")
    show_table(console, summary["rounds"], "\nThe study's own heads, and each score with true Dice")
    seconds = summary["seconds"]
    seconds = {**seconds, "all": sum(seconds.values())}
    rows = [{"stage": stage, "seconds": round(value)} for stage, value in seconds.items()]
    show_table(console, rows, "\nTime")
