"""Sections about the predicted masks: ranking, correlation with the truth, changes."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from napari_singlestrip.report.charts import Series, pairs_chart, scatter_chart
from napari_singlestrip.report.content import Content, Round
from napari_singlestrip.report.page import (
    Html,
    element,
    facts,
    figure,
    image,
    number,
    section,
    table,
)
from napari_singlestrip.report.pictures import HeadView
from napari_singlestrip.report.style import (
    MASK_COLOUR,
    REFERENCE_COLOUR,
    TOO_LITTLE_COLOUR,
    TOO_MUCH_COLOUR,
)
from napari_singlestrip.study.ranking_report import RankedScan
from napari_singlestrip.study.round_folder import heat_map_path

MAX_CARDS = 40  # half of them the best, half the worst, to limit the file size
N_CHANGES = 4
SCORE_NAMES = {
    "rank": "Rank", "autoencoder_error": "Autoencoder error", "consistency": "Consistency",
}


def ranking(content: Content) -> Html | None:
    """Show the latest ranking, best mask first; earlier ones as tables."""
    if not content.ranked:
        return None
    newest, shown = content.ranked[-1], shown_rows(content)
    left_out = len(newest.ranking.rows if newest.ranking else ()) - len(shown)
    words = [f"Images of {left_out} scans in the middle are left out."] if left_out else []
    return section(
        f"The ranking, best to worst (round {newest.number})",
        legend(has_reference=content.has_truth, has_heat=True),
        *(element("p", w) for w in words),
        element("div", *(_card(content, newest, row) for row in shown), class_="cards"),
        *(_as_table(content, r) for r in reversed(content.ranked)),
        hint="The smaller the autoencoder error, the more a mask looks like a brain; consistency "
        "is the overlap of the masks predicted from augmented versions of a scan. The expected "
        "Dice, with its 90% interval, is an estimate from both, as it was when the round was "
        "ranked; it is no measurement. The planes go "
        "through the centre of each mask; the patient's right is on the left.",
    )


def shown_rows(content: Content) -> Sequence[RankedScan]:
    """Masks of the latest ranking that have a card: all, or the best and the worst."""
    newest = content.ranked[-1].ranking if content.ranked else None
    rows = newest.rows if newest else ()
    half = MAX_CARDS // 2
    return rows[:half] + rows[len(rows) - half :] if len(rows) > MAX_CARDS else rows


def score_against_truth(content: Content) -> Html | None:
    """Show each score against the true Dice, if known."""
    charts = [_scatter(content, score) for score in SCORE_NAMES]
    found = [figure(chart) for chart in charts if chart]
    if not found:
        return None
    rows = [
        (r.number, SCORE_NAMES[name].lower(), c.spearman, c.pearson, c.n)
        for r in content.ranked
        for name, c in (r.ranking.correlations if r.ranking else {}).items()
    ]
    return section(
        "Scores and true Dice", element("div", *found, class_="charts"),
        table(("round", "score", "Spearman", "Pearson", "scans"), rows),
        hint="Each point is a predicted mask: its score against its true Dice, which the scores do "
        "not use. A correlation of 1 means that the score ranks the masks like the true Dice.",
    )


def fine_tuning(content: Content) -> Html | None:
    """Show the changes between rounds."""
    if len(content.ranked) < 2:
        return None
    first, last = content.ranked[0], content.ranked[-1]
    key = "true Dice" if content.has_truth else "autoencoder error"
    pairs = _pairs(first, last, content.has_truth)
    if not pairs:
        return None
    title = f"{key[0].upper()}{key[1:]}, round {first.number} and round {last.number}"
    chart = pairs_chart(title, pairs, key, higher_is_better=content.has_truth)
    rows = [(name, before, after, after - before) for name, (before, after) in pairs.items()]
    means = np.mean([row[1:] for row in rows], axis=0).tolist()
    most = sorted(rows, key=lambda row: -abs(row[3]))[:N_CHANGES]
    changes = [before_after_card(*_change(content, row[0], first, last)) for row in most]
    return section(
        "Fine-tuning, before and after",
        element("div", figure(chart), table(
            ("scan", "before", "after", "change"), [("mean", *means), *rows], highlight=("mean",)
        ), class_="charts"),
        element("h3", "Largest changes"),
        legend(has_reference=content.has_truth),
        element("div", *changes, class_="cards"),
        hint="The same scans, with masks predicted before and after fine-tuning.",
    )


def legend(*, has_reference: bool, has_heat: bool = False) -> Html:
    """Legend of the colours in images of heads."""
    colours = {"predicted mask": MASK_COLOUR}
    if has_reference:
        colours["reference mask"] = REFERENCE_COLOUR
    if has_heat:
        colours["probably too much (the autoencoder reconstructs no brain here)"] = TOO_MUCH_COLOUR
        colours["probably missing (the autoencoder reconstructs brain here)"] = TOO_LITTLE_COLOUR
    entries = [
        element("span", element("i", style=f"background:{colour}"), words)
        for words, colour in colours.items()
    ]
    return element("div", *entries, class_="legend")


def before_after_card(
    name: str, pictures: Sequence[tuple[str, str]], values: dict[str, object]
) -> Html:
    """Return a card with an image (caption, data URI) before and one after."""
    shown = [figure(image(data, f"{name}, {words}"), words) for words, data in pictures]
    return element(
        "article", element("header", element("h3", name)), *shown, facts(values), class_="card"
    )


def _card(content: Content, round_: Round, row: RankedScan) -> Html:
    score = row.score
    pictures = content.attempt(lambda: list(_pictures(content, round_, score.scan))) or []
    values: dict[str, object] = {
        "expected Dice": score.expected.in_words or None,
        "autoencoder error": score.autoencoder_error,
        "consistency": score.consistency,
        "volume (mL)": f"{score.volume_ml:.0f}" if math.isfinite(score.volume_ml) else None,
    }
    if row.dice is not None:
        values = {"true Dice": row.dice, **values}
    header = [element("span", str(score.rank or "–"), class_="rank"), element("h3", score.scan)]
    words = pictures or [element("p", "There is no image of this scan.", class_="hint")]
    header += _chips(content, row)
    return element(
        "article", element("header", *header), *words, facts(values), class_="card",
        id=card_id(score.scan),
    )


def card_id(name: str) -> str:
    """Anchor of a scan's card on the page; names may contain any characters."""
    return "scan-" + hashlib.blake2s(os.fsencode(name), digest_size=8).hexdigest()


def _chips(content: Content, row: RankedScan) -> Iterator[Html]:
    if _is_selected(content, row):
        yield element("span", "selected", class_="chip good")
    if decision := content.decisions.get(row.score.scan):
        standing = content.study.decisions.standing(decision)
        good = decision.state != "rejected" and standing != "older"
        words = decision.in_words(standing)
        yield element("span", words, class_="chip good" if good else "chip warn")
    if row.score.flag:
        yield element("span", row.score.flag, class_="chip warn")


def _is_selected(content: Content, row: RankedScan) -> bool:
    """Whether a mask is selected by the ranking and not rejected."""
    decision = content.decisions.get(row.score.scan)
    rejected = decision is not None and decision.state == "rejected"
    return row.score.selected and not rejected


def _pictures(content: Content, round_: Round, name: str) -> Iterator[Html]:
    study = content.study
    mask = study.rounds.pseudo_label_path(round_.number, name)
    view = HeadView(study.scans.path(name), through=mask)
    yield image(view.with_masks(mask, content.references.of(name)), f"{name} with outlines")
    heat = heat_map_path(study, round_.number, name)
    if heat.is_file():
        yield image(view.with_heat(heat, mask), f"{name}: where the autoencoder disagrees")


def _as_table(content: Content, round_: Round) -> Html:
    rows = []
    for row in round_.ranking.rows if round_.ranking else ():
        cells = asdict(row.score)
        decision = content.decisions.get(row.score.scan)
        rows.append((
            cells["rank"] or None, cells["scan"], row.score.expected.in_words or None,
            cells["autoencoder_error"], cells["consistency"],
            cells["volume_ml"], row.dice, _is_selected(content, row), cells["flag"],
            decision.in_words(content.study.decisions.standing(decision)) if decision else "",
        ))
    header = (
        "rank", "scan", "expected Dice", "autoencoder error", "consistency", "volume (mL)",
        "true Dice", "selected", "flag", "decision",
    )
    title = f"Ranking of round {round_.number} as a table"
    return element("details", element("summary", title), table(header, rows))


def _scatter(content: Content, score: str) -> Html | None:
    series = []
    for r in content.ranked:
        rows = r.ranking.rows if r.ranking else ()
        known = {
            row.score.scan: (float(getattr(row.score, score)), row.dice)
            for row in rows
            if row.dice is not None and math.isfinite(getattr(row.score, score))
        }
        if known and r.ranking:
            found = number(r.ranking.correlations[score].spearman, 2)
            label = f"round {r.number}: Spearman {found}"
            series.append(Series(label, list(known.values()), colour=r.number, names=list(known)))
    if not series:
        return None
    words = SCORE_NAMES[score]
    return scatter_chart(f"{words} and true Dice", series, (words.lower(), "true Dice"))


def _pairs(first: Round, last: Round, truth: bool) -> dict[str, tuple[float, float]]:
    """Values of the scans in both rounds, in the order of the last ranking."""
    values = []
    for r in (first, last):
        rows = r.ranking.rows if r.ranking else ()
        values.append({
            row.score.scan: (row.dice if truth else row.score.autoencoder_error) for row in rows
        })
    pairs = {name: (values[0].get(name), after) for name, after in values[1].items()}
    return {
        name: (before, after)
        for name, (before, after) in pairs.items()
        if before is not None and after is not None and math.isfinite(before + after)
    }


def _change(
    content: Content, name: str, first: Round, last: Round
) -> tuple[str, list[tuple[str, str]], dict[str, object]]:
    pictures = content.attempt(lambda: list(_both(content, name, first, last))) or []
    pair = _pairs(first, last, content.has_truth)[name]
    key = "true Dice" if content.has_truth else "autoencoder error"
    return name, pictures, {f"{key} before": pair[0], f"{key} after": pair[1]}


def _both(content: Content, name: str, first: Round, last: Round) -> Iterator[tuple[str, str]]:
    study = content.study
    masks: list[Path] = [study.rounds.pseudo_label_path(r.number, name) for r in (first, last)]
    reference = content.references.of(name)
    view = HeadView(study.scans.path(name), through=reference or masks[1])
    for r, mask in zip((first, last), masks, strict=True):
        yield f"Round {r.number}", view.with_masks(mask, reference)
