"""The summary: numbers of masks, brain volumes, and masks to inspect."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.masks.cleanup import mask_volume_ml
from napari_singlestrip.report.content import Content
from napari_singlestrip.report.page import Html, element, image, number, section, table
from napari_singlestrip.report.pictures import HeadView
from napari_singlestrip.report.ranking import card_id, shown_rows
from napari_singlestrip.study.review import ReviewRow, ReviewState, review
from napari_singlestrip.study.round_facts import newest_trained_round
from napari_singlestrip.study.round_folder import first_round

MAX_TO_LOOK_AT = 6  # images; the others are in the table
STATES: tuple[ReviewState, ...] = ("accepted", "corrected", "rejected", "to review")


@dataclass(frozen=True)
class Result:
    """A scan's current mask: painted, corrected or predicted.

    Attributes
    ----------
    row : ReviewRow
    volume_ml : float
        NaN if unknown.
    why : str
        Why it should be inspected; empty if there is no reason.
    """

    row: ReviewRow
    volume_ml: float
    why: str


def summary(content: Content) -> Html | None:
    """Summarise the results, and which masks to inspect."""
    results = _results(content)
    if not results:
        return None
    doubtful = [result for result in results if result.why]
    cards = [_card(content, result) for result in doubtful[:MAX_TO_LOOK_AT]]
    more = len(doubtful) - len(cards)
    rest = [element("p", f"And {more} more, in the table.")] if more > 0 else []
    nothing = [] if doubtful else [element("p", "No mask stands out. Inspect all of them anyway.")]
    return section(
        "Results",
        element("div", *_tiles(content, results), class_="tiles"),
        element("h3", f"Masks to inspect: {len(doubtful)}"),
        *nothing, element("div", *cards, class_="cards"), *rest,
        _all_masks(results, {row.score.scan for row in shown_rows(content)}),
        hint="The outline is the current mask: corrected by hand, or as predicted. "
        "The patient's right is on the left.",
    )


def _results(content: Content) -> list[Result]:
    """All ranked masks; those to inspect come first, beginning with the worst."""
    reviewed = content.attempt(lambda: review(content.study))
    if reviewed is None:
        return []
    results = [
        Result(row, _volume_ml(content, row), _why(row)) for row in reversed(reviewed.rows)
    ]
    return sorted(results, key=lambda result: not result.why)


def _volume_ml(content: Content, row: ReviewRow) -> float:
    """Volume of a corrected mask, or else of the predicted one."""
    if row.state != "corrected":
        return row.score.volume_ml
    path = content.study.masks.path(row.name)

    def measure() -> float:
        grid = open_scan(path)
        return mask_volume_ml(load_mask(path, like=grid), grid.grid)

    measured = content.attempt(measure)
    return math.nan if measured is None else measured


def _why(row: ReviewRow) -> str:
    """Reasons for inspection; empty for accepted and corrected masks."""
    if row.state in ("accepted", "corrected", "painted"):
        return ""
    if row.state == "rejected":
        return "Rejected: there is no mask to use yet."
    if row.unsaved:
        return "There are unsaved changes."
    return f"{row.score.flag[0].upper()}{row.score.flag[1:]}." if row.score.flag else ""


def _tiles(content: Content, results: Sequence[Result]) -> Iterator[Html]:
    states = Counter(result.row.state for result in results)
    volumes = [
        r.volume_ml for r in results if r.row.state != "rejected" and math.isfinite(r.volume_ml)
    ]
    yield _tile(number(len(content.study.scans)), "scans in the study")
    judged = first_round(content.study) and newest_trained_round(content.study) is None
    yield _tile(number(len(results)), f"brain masks {'judged' if judged else 'predicted'}")
    for state in STATES:
        if states[state]:
            yield _tile(number(states[state]), state)
    if volumes:
        low, middle, high = np.percentile(volumes, [0, 50, 100])
        yield _tile(f"{middle:.0f} mL", f"median brain volume ({low:.0f} to {high:.0f} mL)")
    ranking = content.ranked[-1].ranking if content.ranked else None
    known = [row.dice for row in (ranking.rows if ranking else ()) if row.dice is not None]
    if known:
        yield _tile(number(float(np.mean(known))), f"mean Dice with {len(known)} reference masks")


def _tile(value: str, words: str) -> Html:
    return element("div", element("b", value), element("span", words), class_="tile")


def _card(content: Content, result: Result) -> Html:
    name = result.row.name
    picture = content.attempt(lambda: _picture(content, result))
    words = [picture] if picture else [element("p", "There is no image of this scan.")]
    return element(
        "article", element("header", element("h3", name)), *words,
        element("p", result.why, class_="warning"), class_="card",
    )


def _picture(content: Content, result: Result) -> Html:
    study, row = content.study, result.row
    path = study.decisions.labelled_path(row.name)
    if path is None:
        newest = study.rounds.newest_pseudo_label(row.name)
        path = newest[1] if newest else None
    view = HeadView(study.scans.path(row.name), through=path)
    return image(view.with_masks(path), f"{row.name} with the outline of its mask")


def _all_masks(results: Sequence[Result], linked: Collection[str]) -> Html:
    rows = [
        (
            _link(result.row.name) if result.row.name in linked else result.row.name,
            f"{result.volume_ml:.0f}" if math.isfinite(result.volume_ml) else None,
            result.row.in_words, result.why or result.row.score.flag,
            result.row.decision.note if result.row.decision else "",
        )
        for result in sorted(results, key=lambda result: result.row.name)
    ]
    header = ("scan", "volume (mL)", "state", "remark", "note")
    return element("details", element("summary", "All masks"), table(header, rows))


def _link(name: str) -> Html:
    return element("a", name, href=f"#{card_id(name)}")
