"""The score that ranks, and finding it in a table that was stored."""

from __future__ import annotations

import math

import pytest

from napari_singlestrip.engine.judging.ranking import rank
from napari_singlestrip.engine.judging.ranking_score import ranked_by, score_of_ranking

ALL = ("mean", "autoencoder", "consistency")


def test_the_mean_of_both_scores_counts() -> None:
    errors, consistencies = [0.02, 0.10, 0.03], [0.99, 0.95, 0.80]
    expected = {
        "autoencoder": errors, "consistency": [0.01, 0.05, 0.20],
        "mean": [0.0002**0.5, 0.005**0.5, 0.006**0.5],
    }
    for score, values in expected.items():
        assert ranked_by(errors, consistencies, score) == pytest.approx(values)


def test_what_has_no_agreement_has_the_place_of_its_error() -> None:
    """Of two programs, one may have no mask of a scan: that says nothing about the other's."""
    errors, agreements = [0.02, 0.03, 0.04, 0.08, 0.09], [0.97, math.nan, 0.95, 0.80, 0.79]
    assert rank(ranked_by(errors, agreements, "mean").tolist()).tolist() == [1, 2, 3, 4, 5]
    best_and_worst = ranked_by([0.01, 0.02, 0.04, 0.99], [math.nan, 0.97, 0.95, math.nan], "mean")
    assert rank(best_and_worst.tolist()).tolist() == [1, 2, 3, 4]
    assert score_of_ranking(errors, agreements, ALL) == "mean"


def test_what_has_no_error_or_nobodys_agreement_is_last() -> None:
    values = ranked_by([0.02, math.nan, 0.5], [0.9, 0.99, 0.9], "mean")
    assert rank(values.tolist()).tolist() == [1, 3, 2]
    assert all(math.isnan(v) for v in ranked_by([0.02, 0.03], [math.nan, math.nan], "mean"))
    assert rank(ranked_by([0.02, -1.0, 0.5], [0.9, 0.99, 0.9], "mean").tolist())[1] == 3


@pytest.mark.parametrize(("errors", "agreements", "expected"), [
    ([0.03, 0.02, 0.05], [0.99, 0.97, 0.96], "mean"),  # 0.0173, 0.0245, 0.0447
    ([0.02, 0.03, 0.05], [0.90, 0.99, 0.98], "autoencoder"),
    ([0.09, 0.03, 0.01], [0.99, 0.98, 0.97], "consistency"),
    ([0.02, 0.03, math.nan], [math.nan] * 3, "autoencoder"),  # no agreement was measured
    ([0.03, 0.02, 0.05], [0.90, 0.99, 0.50], ""),
    ([math.nan] * 2, [math.nan] * 2, ""),
])
def test_the_score_that_ranks_is_found_in_the_order(
    errors: list[float], agreements: list[float], expected: str
) -> None:
    assert score_of_ranking(errors, agreements, ALL) == expected


def test_of_several_that_fit_the_likely_one_is_taken_and_rounding_is_no_disorder() -> None:
    errors, agreements = [0.020001, 0.02, 0.05], [0.99, 0.98, 0.97]
    assert score_of_ranking(errors, agreements, ("autoencoder", "mean")) == "autoencoder"
    assert score_of_ranking(errors, agreements, ("mean", "autoencoder")) == "mean"
