"""Printing a new study, a ranking and an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_singlestrip.cli.console import format_cell, make_console, show_table, show_traceback
from napari_singlestrip.errors import UserError
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.atomic import read_json
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import counted, printable

if TYPE_CHECKING:
    from napari_singlestrip.engine.imaging.bids import BidsChoice
    from napari_singlestrip.study.ranking_report import RankingReport


def scan_names_of(paths: Sequence[Path], choice: BidsChoice) -> set[str]:
    """Names of the scans among files and in folders, to resolve an ambiguous argument."""
    from napari_singlestrip.engine.imaging.scan_names import name_scans
    from napari_singlestrip.study.found_scans import scans_among

    return set(name_scans(scans_among(paths, choice=choice)[0]).names.values())


def describe_new(
    study: Study, problems: Sequence[Failure], quiet: bool, notes: Sequence[str] = ()
) -> int:
    """Print the content of a new study, problems with its scans, and the next step.

    Returns
    -------
    int
        Number of problems, including `problems` (inputs that are not scans).
    """
    _say_notes(notes, quiet)
    failed = _describe_scans(study, study.scans.names, problems, quiet)
    if quiet:
        return failed
    n_masks = len(study.masks.names())
    _echo(f"Study {study.name}: {counted(len(study.scans), 'scan')}, "
               f"{counted(n_masks, 'painted mask')}.")  # fmt: skip
    if study.references.folder is not None:
        _echo(_references_in_words(study))
    if len(study.scans) == 1:
        _echo("With one scan there is nothing to predict and rank yet.")
    if n_masks:
        _echo(f"Next: singlestrip run {study.folder}")
    else:
        _echo("Next: paint the brain of one scan, in napari or with any other program.")
    return failed


def _references_in_words(study: Study) -> str:
    """For how many scans there is a reference mask: one that is named otherwise counts nowhere."""
    found = attempt(study.references.find)
    if isinstance(found, Failure):
        return f"No reference masks: {found}"
    n = sum(name in found.exact or name in found.matched for name in study.scans.names)
    line = f"Reference masks: of {n} of {counted(len(study.scans), 'scan')}."
    return line if n else f"{line} Name each like its scan, with _mask behind it."


def describe_added(
    study: Study,
    names: Sequence[str],
    problems: Sequence[Failure],
    quiet: bool,
    notes: Sequence[str] = (),
) -> int:
    """Print which scans were added, problems with them, and the next step.

    Returns
    -------
    int
        Number of problems, including `problems` (inputs that are not scans).
    """
    _say_notes(notes, quiet)
    failed = _describe_scans(study, names, problems, quiet)
    if quiet:
        return failed
    if not names:
        _echo(f"Nothing is new: the study {study.name} has these scans already.")
        return failed
    for name in names:
        _echo(name)
    _echo(f"{counted(len(names), 'scan')} added to the study {study.name}, which has "
               f"{len(study.scans)} now.")  # fmt: skip
    _echo(f"Next: singlestrip run {study.folder}")
    return failed


def _echo(text: str, err: bool = False) -> None:
    """Print a line, escaping control characters in names."""
    typer.echo(printable(text), err=err)


def _say_notes(notes: Sequence[str], quiet: bool) -> None:
    """Print what was skipped in folders, and what was taken despite doubts."""
    for note in () if quiet else notes:
        _echo(note)


def _describe_scans(
    study: Study, names: Sequence[str], problems: Sequence[Failure], quiet: bool
) -> int:
    from napari_singlestrip.engine.imaging.volume import open_scan

    for problem in problems:
        warn(problem)
    failed = len(problems)
    for name in names:
        scan = attempt(open_scan, study.scans.path(name))
        if isinstance(scan, Failure):  # the other scans are not affected
            warn(scan, name)
            failed += 1
            continue
        for note in () if quiet else scan.notes:
            _echo(f"{name}: {note}")
    return failed


def warn(failure: Failure, scan: str = "") -> None:
    """Print the failure of one scan; for a bug, its traceback first."""
    if failure.traceback:
        show_traceback(failure.traceback)
    about = f"{scan}: " if scan and scan not in str(failure) else ""
    _echo(f"Warning: {about}{failure}", err=True)


def show_ranking(study: Study, round_: int, report: RankingReport) -> None:
    """Print the ranking of a round, and the correlation of scores with the true Dice, if known."""
    decisions = study.decisions.all()
    rows = []
    for ranked in report.rows:
        row = asdict(ranked.score)
        del row["mask_digest"], row["measured_with"]  # for the program
        del row["expected_dice_low"], row["expected_dice_high"]  # told in one cell
        row["expected_dice"] = ranked.score.expected.in_words
        row = {"rank": row.pop("rank") or None, **row}
        if report.correlations:
            row["true_dice"] = ranked.dice
        decision = decisions.get(ranked.score.scan)
        said = decision.in_words(study.decisions.standing(decision)) if decision else ""
        rows.append({**row, "decision": said})
    show_table(make_console(), rows, f"Round {round_} of {study.name}")
    for name, found in report.correlations.items():
        _echo(
            f"{name} and true Dice of {counted(found.n, 'scan')}: "
            f"Spearman {format_cell(found.spearman)}, Pearson {format_cell(found.pearson)} "
            "(1: ranks perfectly)"
        )
    for problem in report.problems:
        _echo(f"Warning: {problem}", err=True)


def show_evaluation(rows: Sequence[Any]) -> int:
    """Print the scores of each mask (rows are dataclasses); return how many have none."""
    show_table(make_console(), [asdict(row) for row in rows])
    failed = sum(not row.is_measured for row in rows)
    if failed:
        what = counted(failed, "file")
        _echo(f"Warning: {what} could not be compared: see the problems.", err=True)
    return failed


def show_demo(out: Path) -> None:
    """Print the results of a demo: unseen heads, correlation of the scores, run time."""
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
    show_table(console, rows, "\nUnseen heads, before and after fine-tuning")
    show_table(console, summary["rounds"], "\nHeads of the study, and scores versus true Dice")
    seconds = summary["seconds"]
    seconds = {**seconds, "all": sum(seconds.values())}
    rows = [{"stage": stage, "seconds": round(value)} for stage, value in seconds.items()]
    show_table(console, rows, "\nTime")
