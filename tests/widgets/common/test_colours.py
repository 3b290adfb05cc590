"""Text can be read on napari's dark and light background, links too; states can be told apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from napari.utils.theme import get_theme
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QColor, QPalette, QTextDocument
from qtpy.QtWidgets import QLabel

from napari_singlestrip.widgets.common.colours import TONES, is_dark
from napari_singlestrip.widgets.common.controls import words
from napari_singlestrip.widgets.review.table_model import STATE_COLOURS
from napari_singlestrip.widgets.viewer.own_layers import (
    ANSWER,
    BEFORE,
    COLOURS,
    DOUBT_COLOURS,
    MASK,
)

pytest_plugins = ("gui_fixtures",)

LEAST = 4.5  # WCAG 2, level AA
# Colours as the commonest kinds of colour blindness see them, in linear RGB (Machado 2009).
BLIND = {
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}


def linear(colour: str) -> np.ndarray:
    """Linear red, green and blue, 0 to 1."""
    shown = QColor(colour)
    rgb = np.array([shown.redF(), shown.greenF(), shown.blueF()])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast of two colours: 1 to 21."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, other))
    return high / low


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_has_contrast(theme: str) -> None:
    of_napari = get_theme(theme)
    behind = [of_napari.background.as_hex(), of_napari.foreground.as_hex()]
    found = {
        (name, back): contrast(colour, back)
        for name, colour in TONES[theme].items() for back in behind if colour
    }
    assert {what: value for what, value in found.items() if value < LEAST} == {}
    assert contrast("#0000ff", get_theme("dark").background.as_hex()) < LEAST  # Qt's own links


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_links_have_the_colour_of_the_theme(qtbot: QtBot, theme: str) -> None:
    label = words("Go to <a href='scans'>step 1</a>.")
    qtbot.addWidget(label)
    palette = label.palette()
    text = QColor("#f0f1f2" if theme == "dark" else "#3b3a39")
    palette.setColor(QPalette.ColorRole.WindowText, text)
    label.setPalette(palette)
    assert is_dark(label) == (theme == "dark")
    label.setText("Go to <a href='scans'>step 2</a>.")
    document = QTextDocument()
    document.setHtml(QLabel.text(label))
    assert TONES[theme]["link"] in document.toHtml()
    assert label.text() == "Go to <a href='scans'>step 2</a>."


@pytest.mark.parametrize("kind", [*BLIND, "none"])
def test_states_can_be_told_apart(kind: str) -> None:
    """They differ in words, too: the colours only have to differ, not to be named."""
    seen = np.array(BLIND.get(kind, np.eye(3)))
    colours = {state: np.clip(seen @ linear(c), 0, 1) ** (1 / 2.2)
               for state, c in STATE_COLOURS.items()}  # fmt: skip
    apart = {
        (a, b): float(np.linalg.norm(colours[a] - colours[b]))
        for a, b in itertools.combinations(colours, 2)
    }
    assert min(apart.values()) > 0.08, sorted(apart.items(), key=lambda item: item[1])[:3]


@pytest.mark.parametrize("kind", [*BLIND, "none"])
def test_what_is_drawn_on_the_scan_can_be_told_apart(kind: str) -> None:
    """Too much, missing, the mask, and what is seen beside it; none is a grey of the scan."""
    seen = np.array(BLIND.get(kind, np.eye(3)))
    drawn = {str(kind): colour for kind, colour in DOUBT_COLOURS.items()}
    drawn |= {"mask": COLOURS[MASK], "before": COLOURS[BEFORE], "prediction": COLOURS[ANSWER]}
    colours = {name: np.clip(seen @ linear(c), 0, 1) ** (1 / 2.2) for name, c in drawn.items()}
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(colours[one] - colours[other]) > 0.2, (one, other)
    for name, colour in colours.items():
        assert np.ptp(colour) > 0.15, name


@pytest.mark.parametrize("text", ["/a/long/path/to/sub-0123456789_ses-02_acq-mprage_T1w.nii.gz"])
def test_long_names_wrap_and_are_copied_as_they_are(qtbot: QtBot, text: str) -> None:
    label = words(text)
    qtbot.addWidget(label)
    assert label.text() == text
    assert "\u200b" in QLabel.text(label)
    assert label.minimumSizeHint().width() < label.fontMetrics().horizontalAdvance(text) / 2
    label.copy()
    from qtpy.QtWidgets import QApplication

    clipboard = QApplication.clipboard()
    assert clipboard is not None and clipboard.text() == text
