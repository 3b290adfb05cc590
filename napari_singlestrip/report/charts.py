"""Charts, rendered twice: for light and for dark screens.

Only matplotlib's own objects are used, never pyplot: nothing is global, and no window opens.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_singlestrip.report.page import Html, image
from napari_singlestrip.report.pictures import png_uri
from napari_singlestrip.texts import printable

Axes = Any
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Theme:
    """Colours of a chart: text, grid lines and series."""

    ink: str
    grid: str
    series: tuple[str, ...]


LIGHT = Theme("#3a4350", "#dde3ea", ("#1f6fc4", "#c8680a", "#138a5e", "#8a4fb0", "#a03050"))
DARK = Theme("#c3ccd8", "#333d49", ("#6cb2ff", "#ffb454", "#5fd6a2", "#c79be6", "#ff8fa3"))


@dataclass(frozen=True)
class Series:
    """A line or a scatter of points.

    Attributes
    ----------
    label : str
        For the legend.
    points : sequence of (x, y)
    dashed : bool
        Draw the line dashed.
    colour : int
        Index of the theme's colour.
    names : sequence of str
        Names of the points.
    """

    label: str
    points: Points
    dashed: bool = False
    colour: int = 0
    names: Sequence[str] = ()


def line_chart(title: str, series: Sequence[Series], labels: tuple[str, str]) -> Html:
    """Draw curves; short ones with markers, since a line of two points is easily overlooked."""

    def draw(axes: Axes, theme: Theme) -> None:
        for line in series:
            x, y = np.array(line.points).T
            axes.plot(
                x, y, color=theme.series[line.colour % len(theme.series)], label=line.label,
                linestyle="--" if line.dashed else "-", marker="o" if len(x) < 12 else "",
                markersize=4, linewidth=1.6,
            )
        axes.legend(frameon=False, labelcolor=theme.ink, fontsize=9)

    return _chart(title, draw, labels)


def scatter_chart(title: str, series: Sequence[Series], labels: tuple[str, str]) -> Html:
    """Draw scatter plots; the lowest point of each is labelled."""

    def draw(axes: Axes, theme: Theme) -> None:
        for cloud in series:
            colour = theme.series[cloud.colour % len(theme.series)]
            x, y = np.array(cloud.points).T
            axes.scatter(x, y, s=34, color=colour, alpha=0.85, label=cloud.label, linewidth=0)
            if cloud.names:
                lowest = int(y.argmin())
                side = "right" if x[lowest] > (x.min() + x.max()) / 2 else "left"
                axes.annotate(
                    _plain(cloud.names[lowest]), (x[lowest], y[lowest]), color=colour, fontsize=8,
                    textcoords="offset points", xytext=(-7 if side == "right" else 7, -3),
                    horizontalalignment=side,
                )
        axes.margins(0.08, 0.1)
        axes.legend(
            frameon=False, labelcolor=theme.ink, fontsize=9, loc="lower left",
            bbox_to_anchor=(0, 1), borderaxespad=0, ncols=1,
        )

    return _chart(title, draw, labels, title_in_legend=len(series))


def pairs_chart(
    title: str, pairs: Mapping[str, tuple[float, float]], label: str, higher_is_better: bool
) -> Html:
    """Draw one line per scan from before to after, highlighting deterioration."""

    def draw(axes: Axes, theme: Theme) -> None:
        for before, after in pairs.values():
            better = (after >= before) == higher_is_better or after == before
            axes.plot(
                (0, 1), (before, after), marker="o", markersize=5, linewidth=1.5,
                color=theme.series[2 if better else 1],
            )
        axes.set_xlim(-0.3, 1.3)
        axes.set_xticks([0, 1], ["before", "after"])

    return _chart(title, draw, ("", label))


def bar_chart(title: str, values: Mapping[str, float], label: str) -> Html:
    """Draw horizontal bars, the first on top."""

    def draw(axes: Axes, theme: Theme) -> None:
        names = [_plain(name) for name in values]
        bars = axes.barh(names, list(values.values()), color=theme.series[0], height=0.65)
        axes.bar_label(bars, fmt="%.0f", color=theme.ink, fontsize=9, padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.12)

    return _chart(title, draw, (label, ""))


def _chart(
    title: str,
    draw: Callable[[Axes, Theme], None],
    labels: tuple[str, str],
    title_in_legend: int = 0,
) -> Html:
    light, dark = (_render(title, draw, labels, t, title_in_legend) for t in (LIGHT, DARK))
    return image(light, title, dark)


def _render(
    title: str,
    draw: Callable[[Axes, Theme], None],
    labels: tuple[str, str],
    theme: Theme,
    lines_above: int,
) -> str:
    figure = Figure(figsize=(5.2, 3.5 + 0.18 * lines_above), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw(axes, theme)
    axes.set_title(
        _plain(title), color=theme.ink, fontsize=11, loc="left", fontweight="bold",
        pad=8 + 15 * lines_above,
    )
    axes.set_xlabel(labels[0], color=theme.ink)
    axes.set_ylabel(labels[1], color=theme.ink)
    axes.tick_params(colors=theme.ink, labelsize=9)
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.patch.set_alpha(0)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(theme.grid)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True)
    return png_uri(buffer.getvalue())


def _plain(text: str) -> str:
    """Escape $ signs, which are not formulas here, and characters the font lacks."""
    return printable(text).encode("latin-1", "replace").decode("latin-1").replace("$", r"\$")
