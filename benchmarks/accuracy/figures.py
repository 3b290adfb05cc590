"""Figures of the accuracy experiment, as SVG beside the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from experiment import ALL_CORRECTED, CORRECTED, LABELS, ORDERS, POOR
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from results import Results, Table, common, contrast, contrasts, mean, of_contrast
from scores import Point, points

from napari_singlestrip.report.charts import LIGHT

Axes = Any
LEVELS = {
    "initial": "one label", "ae_k": "and its pseudo-labels", ALL_CORRECTED: "all corrected",
}
ORDER_WORDS = {"top": "top-ranked first", "worst": "worst-ranked first", "random": "any order"}
FEW_LABELS = LABELS[:-1]  # the last stands for all of them
MARKERS = {False: "o", True: "x"}  # of good scans, and of spoiled ones
SCORE_WORDS = {
    "autoencoder_error": "autoencoder error", "consistency": "agreement under augmentation",
}


@dataclass(frozen=True)
class Picture:
    """A figure that was drawn: its file, and words for those who do not see it."""

    path: Path
    words: str


def scatter(results: Results, path: Path) -> Picture | None:
    """Both scores of the first round against the true Dice, one colour a contrast.

    Crosses are scans that were spoiled on purpose.
    """
    cloud = points(results, "initial", whole_pool=False)
    cloud = cloud or points(results, "initial", whole_pool=True)
    if not cloud:
        return None
    figure, panels = _figure(2, (9.0, 3.8))
    for axes, (score, words) in zip(panels, SCORE_WORDS.items(), strict=True):
        for colour, name in zip(LIGHT.series, _names(cloud), strict=False):
            for poor, marker in MARKERS.items():
                part = [
                    p for p in cloud if contrast(p.scan) == name and (POOR in p.scan) == poor
                ]
                x = np.array([p.scores[score] for p in part])
                if score == "autoencoder_error":
                    x = -x  # as the program shows it: lower is better
                axes.scatter(x, [p.dice for p in part], s=22, color=colour, alpha=0.8,
                             marker=marker, label="" if poor else name, linewidth=1 if poor else 0)
        axes.set_xlabel(words)
        axes.set_ylabel("true Dice")
    panels[0].legend(frameon=False, fontsize=9)
    _save(figure, path)
    words = "Scores of the first round against the true Dice"
    if any(POOR in point.scan for point in cloud):
        words += "; crosses are spoiled scans"
    return Picture(path, words)


def corrections(results: Results, path: Path) -> Picture | None:
    """Dice on unseen people over the number of labels, at places that all arms have.

    Those of the painted scan and corrected masks, and as many labels from the start.
    """
    wanted = [f"corrected_{n}_{order}" for order in ORDERS for n in CORRECTED]
    wanted += [f"labels_{n}" for n in FEW_LABELS]
    arms = {arm: results.unseen[arm] for arm in (*LEVELS, *wanted) if arm in results.unseen}
    arms = common(arms)
    lines = {words: _line(arms, order) for order, words in ORDER_WORDS.items()}
    if not any(lines.values()):
        return None
    lines["labels from the start"] = [
        (n, mean(arms[arm])) for n in FEW_LABELS if (arm := f"labels_{n}") in arms
    ]
    figure, (axes,) = _figure(1, (5.6, 3.9))
    for colour, (words, line) in zip(LIGHT.series, lines.items(), strict=False):
        if line:
            axes.plot(*zip(*line, strict=True), marker="o", markersize=4, linewidth=1.6,
                      color=colour, label=words)
    for style, (arm, words) in zip(("-", "--", ":"), LEVELS.items(), strict=True):
        if arm in arms:
            axes.axhline(mean(arms[arm]), color=LIGHT.ink, linestyle=style, linewidth=1,
                         label=words)
    axes.set_xscale("log", base=2)
    ticks = [n + 1 for n in CORRECTED]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_xlabel("labels: one painted, others corrected")
    axes.set_ylabel("mean Dice, unseen people")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)
    return Picture(path, "Dice on unseen people over the number of labels")


def bars(results: Results, shown: Sequence[str], path: Path) -> Picture | None:
    """Mean Dice per contrast of some arms and the peers; dashes are the worst, where in view."""
    arms = {arm: results.unseen[arm] for arm in shown if arm in results.unseen}
    names = contrasts(arms.values())
    arms |= results.peer_tables()
    if not names:
        return None
    figure, (axes,) = _figure(1, (8.0, 3.8))
    width = 0.8 / len(arms)
    colours = [*LIGHT.series, LIGHT.ink, "#8d99a6"]
    for i, (arm, table) in enumerate(arms.items()):
        parts = [of_contrast(table, name) for name in names]
        x = np.arange(len(names)) + (i - (len(arms) - 1) / 2) * width
        axes.bar(x, [mean(part) for part in parts], 0.9 * width, label=arm,
                 color=colours[i % len(colours)])
        worst = [min((row["dice"] for row in part.values()), default=np.nan) for part in parts]
        axes.plot(x, worst, "_", color="black", markersize=7)
    axes.set_xticks(range(len(names)), names)
    lowest = min(bar.get_height() for bar in axes.patches if np.isfinite(bar.get_height()))
    axes.set_ylim(max(0.0, np.floor(20 * lowest) / 20 - 0.05), 1)
    axes.set_ylabel("Dice, unseen people")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)
    words = "Mean Dice per contrast, the peers beside; dashes are the worst scans, where in view"
    return Picture(path, words)


def _names(cloud: Sequence[Point]) -> list[str]:
    return sorted({contrast(point.scan) for point in cloud})


def _line(arms: Mapping[str, Table], order: str) -> list[tuple[int, float]]:
    found = [(n + 1, arms.get(f"corrected_{n}_{order}")) for n in CORRECTED]
    return [(n, mean(table)) for n, table in found if table]


def _figure(n_panels: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    panels = [figure.add_subplot(1, n_panels, i + 1) for i in range(n_panels)]
    for axes in panels:
        axes.tick_params(colors=LIGHT.ink, labelsize=9)
        axes.grid(color=LIGHT.grid, linewidth=0.8)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(LIGHT.grid)
    return figure, panels


def _save(figure: Figure, path: Path) -> None:
    """Write a figure; the same figures give the same file."""
    FigureCanvasSVG(figure)
    with rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, format="svg", metadata={"Date": None})
