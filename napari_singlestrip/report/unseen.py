"""Sections of the demo: unseen heads and run times."""

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
    """Compare masks of heads outside the study with their references."""
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
        "Unseen heads", table(header, [*rows, *total], highlight=("mean", "worst")),
        legend(has_reference=True), element("div", *cards, class_="cards"),
        hint="Heads outside the study, with the masks of the first model and of the fine-tuned "
        "one. HD95 is the 95th percentile of the distance between the surfaces of two masks.",
    )


def seconds_per_stage(content: Content) -> Html | None:
    """Show how long each stage took."""
    seconds = dict(content.extra.seconds)
    if not seconds:
        return None
    total = sum(seconds.values())
    return section(
        "Run times", figure(bar_chart("Seconds per stage", seconds, "seconds")),
        element("p", f"In total {total:.0f} seconds, including heads and all rounds."),
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
