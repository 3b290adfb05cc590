"""The Dice to expect of the masks of a round, and what corrected masks say about the others'."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.judging.expected_dice import (
    ExpectedDice,
    Kind,
    Shift,
    expected_dice,
    shift_by,
    surprise,
)
from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.atomic import file_digest
from napari_singlestrip.study.masks import FOLDER as BY_HAND
from napari_singlestrip.study.round_facts import describe_round, is_trained, learned_masks
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow

RoundKind = tuple[str, Kind]  # effort, and what the round learned from


def kind_of_round(study: Study, round_: int) -> RoundKind | None:
    """Say what the round is to the fit; None where nothing was fitted for such a one.

    That is so of masks of other programs, of a first training on several painted scans, and where
    settings that the scores depend on are not those of the effort.
    """
    try:
        settings = RoundFolder(study.rounds.folder(round_)).read_settings()
    except UserError:  # it is told where the round is needed
        return None
    if settings is None or not is_trained(study, round_):
        return None
    if _scored_by(settings) != _scored_by(settings_for(settings.effort)):
        return None
    kinds = describe_round(study, round_).kinds
    by_hand = kinds.get("painted", 0) + kinds.get("corrected", 0)
    if round_ == 0:
        return (settings.effort, "first") if by_hand == 1 else None
    return settings.effort, "self-trained" if by_hand == 1 else "corrected"


def _scored_by(settings: Settings) -> tuple[object, ...]:
    """What the scores of a mask, and what they stand for, depend on."""
    ranking, prediction = settings.ranking, settings.prediction
    return (
        settings.conform, settings.network, settings.autoencoder,
        prediction.remove_leaks, prediction.refine_border,
        ranking.error, ranking.views, ranking.n_augmentations,
    )


def with_expected(study: Study, round_: int, rows: Iterable[ScoreRow]) -> list[ScoreRow]:
    """Add what is expected now to the scores of a round."""
    kind, shift = kind_of_round(study, round_), shift_of(study)
    return [filled(row, kind, shift) for row in rows]


def filled(row: ScoreRow, kind: RoundKind | None, shift: Shift) -> ScoreRow:
    """Return scores with what is expected of the mask."""
    found = ExpectedDice()
    if kind is not None:
        found = expected_dice(row.autoencoder_error, row.consistency, *kind, shift)
    return replace(
        row, expected_dice=found.dice, expected_dice_low=found.low, expected_dice_high=found.high
    )


def shift_of(study: Study) -> Shift:
    """Compare each corrected mask with the predicted one that the person had before them.

    That of the last round that had not learned from it. Takes a moment for each; what cannot be
    read says nothing.
    """
    learned = _learned_scans(study)
    found = (
        attempt(_surprise_of, study, name, learned)
        for name in study.decisions.labelled().corrected
    )
    return shift_by([value for value in found if not isinstance(value, Failure | None)])


def _learned_scans(study: Study) -> dict[int, set[str]]:
    """Scans whose masks by hand each round learned from."""
    return {
        number: {
            scan for scan, path in learned_masks(RoundFolder(study.rounds.folder(number)))
            if PurePosixPath(path).parent.name == BY_HAND
        }
        for number in study.rounds.numbers()
    }


def _surprise_of(study: Study, name: str, learned: Mapping[int, set[str]]) -> float | None:
    from napari_singlestrip.engine.masks.metrics import dice

    first = min((r for r, scans in learned.items() if name in scans), default=math.inf)
    ranked = [r for r in learned if r < first and study.rounds.scores(r)]
    round_ = max(ranked, default=None)
    if round_ is None:
        return None
    kind, score = kind_of_round(study, round_), study.rounds.score(round_, name)
    predicted = study.rounds.pseudo_label_path(round_, name)
    if kind is None or not predicted.is_file() or score.mask_digest != file_digest(predicted):
        return None
    like = open_scan(predicted)
    found = dice(load_mask(predicted, like=like), load_mask(study.masks.path(name), like=like))
    return surprise(score.autoencoder_error, score.consistency, *kind, float(found))
