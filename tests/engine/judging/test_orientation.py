"""Scans whose header says wrongly how their axes run."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from torch import nn

from napari_singlestrip.engine.config import RankingConfig, Settings
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.judging import orientation
from napari_singlestrip.engine.judging.orientation import in_words, likely_axes, quarter_turns
from napari_singlestrip.engine.learning.autoencoder import Autoencoder
from napari_singlestrip.engine.learning.segmenter import Segmenter

SEGMENTER = Segmenter(nn.Identity(), Settings(), 4.0, (8, 8, 8))
AUTOENCODER = cast(Autoencoder, None)
VOLUME = Volume(np.ones((4, 5, 6), np.float32), np.eye(4))


def likely(
    monkeypatch: pytest.MonkeyPatch, errors: dict[str, float], usual: float = 0.03
) -> str:
    """What is found if masks have such errors, by how the axes are said to run; others 0.09."""

    def seen(_: Any, mask: Any, grid: Grid, __: Any) -> Any:
        return grid.orientation

    def strip(segmenter: Segmenter, volume: Volume) -> Any:
        prediction = segmenter.settings.prediction
        assert prediction.windows == 1
        assert not (prediction.remove_leaks or prediction.refine_border)
        segmenter.remarks.append("one of these looks")
        return np.full(volume.data.shape, errors.get(volume.grid.orientation, 0.09) < 1)

    monkeypatch.setattr(orientation, "strip_volume", strip)
    monkeypatch.setattr(orientation, "best_views", seen)
    monkeypatch.setattr(
        orientation, "autoencoder_error", lambda views, _: errors.get(views, 0.09)
    )
    return likely_axes(SEGMENTER, AUTOENCODER, VOLUME, RankingConfig(), usual)


def test_turns_are_all_rotations_by_right_angles() -> None:
    turns = list(quarter_turns())
    assert np.array_equal(turns[0], np.eye(4))
    assert len({turn.tobytes() for turn in turns}) == 24
    for turn in turns:
        assert np.array_equal(turn @ turn.T, np.eye(4))
        assert np.linalg.det(turn) == pytest.approx(1)


@pytest.mark.parametrize(
    ("errors", "found"),
    [
        ({"RAS": 0.08, "PSL": 0.03}, "PSL"),  # a brain only if its axes run so
        ({"RAS": 0.04, "PSL": 0.03}, ""),  # not much better
        ({"RAS": 0.2, "PSL": 0.06}, ""),  # better, and still no brain
        ({"RAS": 0.03}, ""),
        ({"RAS": 2.0, "LPS": 0.03}, "LPS"),  # nothing is found as the header says
    ],
)
def test_axes_are_those_in_which_there_is_a_brain(
    monkeypatch: pytest.MonkeyPatch, errors: dict[str, float], found: str
) -> None:
    assert likely(monkeypatch, errors) == found


def test_what_was_said_of_the_scan_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    SEGMENTER.remarks.append("of the scan")
    likely(monkeypatch, {})
    assert SEGMENTER.told() == ["of the scan"]


def test_in_words() -> None:
    said = in_words("PSR", VOLUME.grid)
    assert said == "its voxel axes seem to be P-S-R, not R-A-S as its header says"
