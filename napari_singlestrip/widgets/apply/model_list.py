"""The list of models that can be applied, with their facts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QListView, QListWidget, QListWidgetItem, QWidget

from napari_singlestrip.engine.learning.model_card import read_card
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.round_facts import TrainedRound, trained_rounds
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import printable

ROWS_SHOWN = 3
MAX_CHARACTERS = 80  # of a name
MAX_NAMES = 20  # in a tooltip
MODEL_ENDINGS = (".safetensors", ".pt")  # of model files; new ones get the first
MODEL_FILTER = f"Models ({' '.join(f'*{ending}' for ending in MODEL_ENDINGS)})"


@dataclass(frozen=True)
class ModelChoice:
    """A model that can be applied.

    Attributes
    ----------
    path : Path
        A study folder or a model file.
    round : int or None
        Of the study; None for a model file.
    title, facts, tip : str
        The displayed texts.
    """

    path: Path
    round: int | None = None
    title: str = field(default="", compare=False)
    facts: str = field(default="", compare=False)
    tip: str = field(default="", compare=False)

    @property
    def options(self) -> list[str]:
        """Command-line options for this model."""
        return [] if self.round is None else ["--round", str(self.round)]

    @property
    def short(self) -> str:
        """A short text for the name of a folder."""
        return self.path.stem if self.round is None else f"round-{self.round:02d}"


class ModelsList(QListWidget):
    """A list of model cards; the first (latest) one is selected by default.

    Signals
    -------
    chosen_changed()
    """

    chosen_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("models")
        self.setToolTip("The model to apply: the latest one unless you choose another")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setResizeMode(QListView.ResizeMode.Adjust)  # cards are as wide as the list
        self._choices: tuple[ModelChoice, ...] = ()
        self._wanted: ModelChoice | None = None
        self.currentRowChanged.connect(self._on_row)

    def value(self) -> ModelChoice | None:
        """The chosen model; None if there is none."""
        row = self.currentRow()
        return self._choices[row] if 0 <= row < len(self._choices) else None

    def setValue(self, choice: ModelChoice) -> None:
        """Choose a model."""
        if choice in self._choices:
            self.setCurrentRow(self._choices.index(choice))

    def choices(self) -> tuple[ModelChoice, ...]:
        """All that can be chosen."""
        return self._choices

    def set_choices(self, choices: Sequence[ModelChoice]) -> None:
        """Show these models, keeping the user's choice while it exists."""
        if [(c.path, c.facts, c.title) for c in choices] == [
            (c.path, c.facts, c.title) for c in self._choices
        ]:
            return
        wanted = self._wanted
        self.blockSignals(True)
        self.clear()
        self._choices = tuple(choices)
        for choice in choices:
            self._add(choice)
        self.setCurrentRow(self._choices.index(wanted) if wanted in self._choices else 0)
        self.blockSignals(False)
        self._fit()
        self.chosen_changed.emit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Wrap the facts of the cards anew."""
        super().resizeEvent(event)
        self._fit()

    def _add(self, choice: ModelChoice) -> None:
        label = QLabel(
            f"<b>{escape(choice.title)}</b><br><span style='font-size: small'>"
            f"{escape(choice.facts)}</span>"
        )
        label.setContentsMargins(6, 3, 6, 3)
        label.setWordWrap(True)
        label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        item = QListWidgetItem()
        item.setToolTip(choice.tip)
        # For screen readers; the card is drawn over it.
        item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{choice.title}. {choice.facts}")
        self.addItem(item)
        self.setItemWidget(item, label)

    def _fit(self) -> None:
        """Make cards as high as their texts, and the list as high as some cards."""
        port, heights = self.viewport(), []
        for row in range(self.count()):
            item = self.item(row)
            label = self.itemWidget(item)
            if item is None or port is None or label is None:
                continue
            label.ensurePolished()
            heights.append(label.heightForWidth(port.width()))
            item.setSizeHint(QSize(10, heights[-1]))
        self.setFixedHeight(4 + sum(heights[:ROWS_SHOWN]))

    def _on_row(self, row: int) -> None:
        self._wanted = self.value()
        self.chosen_changed.emit()


def models_of(study: Study | None, files: Sequence[Path]) -> list[ModelChoice]:
    """The trained rounds of a study, latest first, and readable model files."""
    rounds = trained_rounds(study) if study is not None else ()
    found = [
        _round_choice(study, one, newest=one is rounds[0]) for one in rounds if study is not None
    ]
    for path in files:
        with suppress(UserError):  # reported when it was added; it may have been damaged since
            found.append(file_choice(path))
    return found


def models_elsewhere(folders: Sequence[Path]) -> list[ModelChoice]:
    """The latest model of each of these studies, without unreadable ones."""
    found = []
    for folder in folders:
        with suppress(UserError):
            study = Study.open(folder)
            for newest in trained_rounds(study)[:1]:
                choice = _round_choice(study, newest, newest=False)
                found.append(replace(choice, title=_title_elsewhere(study, newest)))
    return found


def file_choice(path: Path) -> ModelChoice:
    """Describe a model file by its card.

    Raises
    ------
    UserError
        If it is not a model.
    """
    card = read_card(path)
    n = len(card.training_scans)
    day = card.created[:10]
    name = _short(card.name)
    facts = _join(
        f"{name}, {day}" if day else name, _learned(n), _short(card.effort),
        _dice(card.validation_dice),
    )
    tip = f"{path}\nTrained on: {_some(card.training_scans) or 'not known'}"
    return ModelChoice(
        path, None, path.name, facts, f"{tip}\nMade by version {_short(card.version)}"
    )


def _title_elsewhere(study: Study, one: TrainedRound) -> str:
    return f"{study.name}, round {one.round}  ·  in {study.folder.parent.name}"


def _round_choice(study: Study, one: TrainedRound, newest: bool) -> ModelChoice:
    title = f"Round {one.round}" + ("" if one.parent is None else f" from round {one.parent}")
    title += "  ·  newest" if newest else ""
    facts = _join(
        f"{one.finished:%d %b %Y %H:%M}", _learned(len(one.scans)), one.effort,
        _dice(one.validation_dice),
    )
    kinds = _some([f"{n} {kind}" for kind, n in one.kinds.items()])
    painted = "" if math.isnan(one.painted_dice) else (
        f"\nDice on its training scans: {one.painted_dice:.3f}"
    )
    tip = (
        f"Trained on {kinds or 'unknown masks'}: {_some(one.scans)}"
        f"\nDice on held-out synthetic heads: {one.validation_dice:.3f}{painted}"
        f"\nTrained on {one.device} with version {one.version}"
    )
    return ModelChoice(study.folder, one.round, title, facts, tip)


def _short(text: str) -> str:
    """A text from a file, truncated."""
    shown = printable(text)
    return shown if len(shown) <= MAX_CHARACTERS else shown[: MAX_CHARACTERS - 1] + "…"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(_short, names[:MAX_NAMES]))
    more = len(names) - MAX_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _learned(n: int) -> str:
    return f"{n} scan{'s' * (n != 1)}"


def _dice(value: float) -> str:
    """The Dice of its validation, which says how well it learned and not how good masks are."""
    return "" if math.isnan(value) else f"Dice {value:.2f} on synthetic heads"


def _join(*parts: str) -> str:
    return "  ·  ".join(part for part in parts if part)
