"""Assembling the sections of the report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from napari_singlestrip import __version__
from napari_singlestrip.files.atomic import write_text_atomic
from napari_singlestrip.files.temporary import remove_leftovers
from napari_singlestrip.report import learning, ranking, summary, unseen
from napari_singlestrip.report.content import Content, gather
from napari_singlestrip.report.page import Html, element, page, section
from napari_singlestrip.report.results import DemoResults
from napari_singlestrip.study.study import Study

# Results come first; methods and their evaluation follow.
RESULTS = (summary.summary, unseen.unseen_heads, ranking.ranking)
METHODS = (
    learning.what_was_done,
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
    """Write the report of a study as one self-contained HTML file.

    It can be opened by double-click and sent by mail; images are embedded. Missing parts (no
    references, no later round, a missing scan) are omitted, and problems are listed.

    Parameters
    ----------
    study : Study
        In any state.
    path : str or Path
        The file to write.
    extra : DemoResults, optional
        Results outside the study.

    Returns
    -------
    list of str
        Problems: parts that could not be shown.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    remove_leftovers(Path(path).parent)
    content = gather(study, extra)
    results, methods = (
        [made for make in part if (made := make(content)) is not None]
        for part in (RESULTS, METHODS)
    )
    title = "Demo of napari-singlestrip" if content.extra.unseen else f"Report: {study.name}"
    heading = element("h1", "Methods and figures", class_="part")
    body = [*_top(title, content), *results, heading, *methods, *_end(content)]
    write_text_atomic(path, page(title, body))
    return content.problems


def _top(title: str, content: Content) -> Iterator[Html]:
    yield element("h1", title)
    yield element("p", _in_a_sentence(content), class_="hint")
    if not content.rounds:
        yield section("Nothing was trained yet", hint="Run `singlestrip run` on this study first.")


def _in_a_sentence(content: Content) -> str:
    study = content.study
    n_others = len(study.scans.names) - len(study.masks.names())
    by_hand = ", ".join(study.masks.names()) or "nothing yet"
    return f"Trained on {by_hand}; {n_others} other scans in the pool."


def _end(content: Content) -> Iterator[Html]:
    if content.problems:
        items = [element("li", problem) for problem in content.problems]
        yield section("What could not be shown", element("ul", *items, class_="warning"))
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    words = f"Made by napari-singlestrip {__version__} on {made}. For research, not for diagnosis."
    yield element("footer", words)
