"""The regression that tells inside from outside."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.masks import border_classifier
from napari_singlestrip.engine.masks.border_classifier import BorderClassifier


def fitted(rows: FloatArray, inside: Mask) -> BorderClassifier:
    found = BorderClassifier.fit(rows, inside)
    assert found is not None
    return found


def test_a_product_of_features_is_learned() -> None:
    rows = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32)
    inside = rows[:, 0] * rows[:, 1] > 0
    found = fitted(rows[:2000], inside[:2000]).log_odds(rows[2000:]) > 0
    assert (found == inside[2000:]).mean() > 0.95


def test_random_labels_are_not_learned() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4000, 3)).astype(np.float32)
    inside = rng.random(4000) < 0.8
    log_odds = fitted(rows, inside).log_odds(rows)
    assert abs(np.median(log_odds) - np.log(0.8 / 0.2)) < 0.1
    assert log_odds.std() < 0.2


def test_a_feature_that_is_constant_counts_for_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 1)).astype(np.float32)
    inside = rows[:, 0] > 0
    rounded = 5 + 1e-6 * rng.normal(size=rows.shape)
    both = np.hstack([rows, rounded.astype(np.float32)])
    alone = fitted(rows, inside).log_odds(rows)
    np.testing.assert_allclose(fitted(both, inside).log_odds(both), alone, atol=1e-3)


def test_too_few_voxels_teach_nothing() -> None:
    rows = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    for n, known in ((199, False), (200, True), (801, False)):
        assert (BorderClassifier.fit(rows, np.arange(1000) < n) is not None) == known


def test_many_voxels_are_judged_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    classifier = fitted(rows, rows[:, 0] > 0)
    at_once = classifier.log_odds(rows)
    monkeypatch.setattr(border_classifier, "CHUNK", 70)
    np.testing.assert_allclose(classifier.log_odds(rows), at_once, rtol=1e-4, atol=1e-4)
