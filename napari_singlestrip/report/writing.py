"""Putting the sections of the report together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from napari_singlestrip import __version__
from napari_singlestrip.atomic_files import remove_leftovers, write_text_atomic
from napari_singlestrip.report import learning, ranking, unseen
from napari_singlestrip.report.content import Content, gather
from napari_singlestrip.report.page import Html, element, number, page, section
from napari_singlestrip.report.results import DemoResults
from napari_singlestrip.study.study import Study

SECTIONS = (
    learning.what_was_done,
    unseen.unseen_heads,
    ranking.ranking,
    ranking.score_against_truth,
    ranking.fine_tuning,
    learning.label_maps,
    learning.synthetic_heads,
    learning.curves,
    learning.provenance,
    unseen.seconds_per_stage,
)


def write_report(
    study: Study, path: str | Path, extra: DemoResults | None = None
) -> list[str]:
    """Write what happened in a study as one HTML file that needs nothing else.

    It can be opened by double-click and sent by mail; pictures are inside. What is missing (no
    references, no later round, a scan that is gone) leaves a gap, and what went wrong is listed.

    Parameters
    ----------
    study : Study
        Whatever its state.
    path : str or Path
        The file to write.
    extra : DemoResults, optional
        Results outside the study.

    Returns
    -------
    list of str
        What could not be shown.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    remove_leftovers(Path(path).parent)
    content = gather(study, extra)
    sections = [made for make in SECTIONS if (made := make(content)) is not None]
    title = "Demo of napari-singlestrip" if content.extra.unseen else f"Report: {study.name}"
    body = [*_top(title, content), *sections, *_end(content)]
    write_text_atomic(path, page(title, body))
    return content.problems


def _top(title: str, content: Content) -> Iterator[Html]:
    yield element("h1", title)
    yield element("p", _in_a_sentence(content), class_="hint")
    tiles = [
        element("div", element("b", value), element("span", words), class_="tile")
        for words, value in _figures(content).items()
    ]
    if tiles:
        yield element("div", *tiles, class_="tiles")
    if not content.rounds:
        yield section("Nothing was trained yet", hint="Run `singlestrip run` on this study first.")


def _in_a_sentence(content: Content) -> str:
    study = content.study
    n_others = len(study.names) - len(study.masked_scans())
    by_hand = ", ".join(study.masked_scans()) or "nothing yet"
    return f"Learned to find the brain from {by_hand}; {n_others} other scans in the pool."


def _figures(content: Content) -> dict[str, str]:
    """Return what one wants to know first."""
    found: dict[str, str] = {}
    if heads := content.extra.unseen:
        before = float(np.mean([head.before_scores.dice for head in heads]))
        after = float(np.mean([head.after_scores.dice for head in heads]))
        words = f"mean Dice on {len(heads)} unseen heads, {number(before)} before fine-tuning"
        found[words] = number(after)
    for r in content.ranked[-1:]:
        rows = r.ranking.rows if r.ranking else ()
        dices = [row.dice for row in rows if row.dice is not None]
        if dices:
            found[f"mean true Dice of {len(dices)} masks in the pool"] = number(
                float(np.mean(dices))
            )
        found["masks ranked"] = str(len(rows))
        found["masks flagged, to be looked at"] = str(sum(bool(row.score.flag) for row in rows))
    for r in content.ranked[:1]:
        for name, c in (r.ranking.correlations if r.ranking else {}).items():
            words = f"Spearman of {ranking.SCORE_NAMES[name].lower()} with true Dice"
            found[f"{words}, round {r.number}"] = number(c.spearman, 2)
    if content.extra.seconds:
        found["minutes in all"] = number(sum(content.extra.seconds.values()) / 60, 1)
    return found


def _end(content: Content) -> Iterator[Html]:
    if content.problems:
        items = [element("li", problem) for problem in content.problems]
        yield section("What could not be shown", element("ul", *items, class_="warning"))
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    words = f"Made by napari-singlestrip {__version__} on {made}. For research, not for diagnosis."
    yield element("footer", words)
