"""Sections of the demo: heads that were never seen, and how long everything took."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_singlestrip.report.charts import bar_chart
from napari_singlestrip.report.content import Content
from napari_singlestrip.report.page import Html, element, figure, section, table
from napari_singlestrip.report.pictures import HeadView
from napari_singlestrip.report.ranking import before_after_card, legend
from napari_singlestrip.report.results import UnseenHead


def unseen_heads(content: Content) -> Html | None:
    """Compare masks of heads outside the study with the truth."""
    heads = content.extra.unseen
    if not heads:
        return None
    header = ("scan", "Dice before", "Dice after", "HD95 before (mm)", "HD95 after (mm)")
    rows = [(head.name, *_scores(head)) for head in heads]
    values = np.array([row[1:] for row in rows], dtype=float)
    worst = [*values[:, :2].min(axis=0), *values[:, 2:].max(axis=0)]
    total = [("mean", *values.mean(axis=0).tolist()), ("worst", *(float(w) for w in worst))]
    cards = [before_after_card(head.name, _pictures(content, head), {}) for head in heads]
    return section(
        "Heads that were never seen", table(header, [*rows, *total], highlight=("mean", "worst")),
        legend(has_reference=True), element("div", *cards, class_="cards"),
        hint="People outside the study, with the masks of the first model and of the fine-tuned "
        "one. HD95 is the distance between the surfaces of two masks that 95% of them keep.",
    )


def seconds_per_stage(content: Content) -> Html | None:
    """Show how long each stage took."""
    seconds = dict(content.extra.seconds)
    if not seconds:
        return None
    total = sum(seconds.values())
    return section(
        "How long it took", figure(bar_chart("Seconds per stage", seconds, "seconds")),
        element("p", f"In all {total:.0f} seconds, heads and all rounds together."),
    )


def _scores(head: UnseenHead) -> Sequence[float]:
    both = (head.before_scores, head.after_scores)
    return [*(row.dice for row in both), *(row.hd95_mm for row in both)]


def _pictures(content: Content, head: UnseenHead) -> list[tuple[str, str]]:
    return content.attempt(lambda: _before_and_after(head)) or []


def _before_and_after(head: UnseenHead) -> list[tuple[str, str]]:
    view = HeadView(head.scan, through=head.reference)
    both = {"Before": (head.before, head.before_scores), "After": (head.after, head.after_scores)}
    return [
        (f"{words} fine-tuning: Dice {scores.dice:.3f}", view.with_masks(path, head.reference))
        for words, (path, scores) in both.items()
        if path.is_file()
    ]
