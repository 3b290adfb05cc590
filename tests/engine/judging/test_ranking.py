"""From errors to ranks to a selection: rules that hold for any scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_singlestrip.engine.config import RankingConfig
from napari_singlestrip.engine.judging.ranking import appearance, rank, select, unusual
from napari_singlestrip.engine.overrides import settings_for

NAN = math.nan
ERRORS = st.lists(
    st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, NAN])), min_size=1, max_size=30
)


def usable(errors: list[float]) -> int:
    return sum(math.isfinite(e) for e in errors)


@given(ERRORS)
def test_ranks_are_a_permutation_in_order(errors: list[float]) -> None:
    ranks = rank(errors)
    assert sorted(ranks) == list(range(1, len(errors) + 1))
    ordered = [errors[i] for i in np.argsort(ranks)]
    finite = [e for e in ordered if math.isfinite(e)]
    assert finite == sorted(finite)
    assert all(math.isfinite(e) for e in ordered[: len(finite)])  # NaN comes last


@given(ERRORS)
def test_equal_errors_keep_their_order(errors: list[float]) -> None:
    ranks = rank(errors)
    for i, first in enumerate(errors):
        for j in range(i + 1, len(errors)):
            if first == errors[j] or (math.isnan(first) and math.isnan(errors[j])):
                assert ranks[i] < ranks[j]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20, unique=True), st.randoms())
def test_ranks_belong_to_the_masks_whatever_their_order(errors: list[float], random: Any) -> None:
    order = list(range(len(errors)))
    random.shuffle(order)
    assert list(rank([errors[i] for i in order])) == [rank(errors)[i] for i in order]


@given(ERRORS, st.integers(1, 40))
def test_top_k_takes_the_k_best(errors: list[float], k: int) -> None:
    chosen = select(errors, RankingConfig(select="top_k", top_k=k))
    assert chosen.sum() == min(k, usable(errors))
    assert_best(errors, chosen)


@given(ERRORS, st.floats(0.01, 1))
def test_fraction_takes_its_share_of_the_usable(errors: list[float], fraction: float) -> None:
    chosen = select(errors, RankingConfig(select="fraction", fraction=fraction))
    n = usable(errors)
    assert chosen.sum() == min(n, max(1, round(fraction * n)))
    assert_best(errors, chosen)


@given(ERRORS, st.floats(0, 1))
def test_threshold_takes_all_that_are_good_enough(errors: list[float], limit: float) -> None:
    chosen = select(errors, RankingConfig(select="threshold", max_error=limit))
    assert list(chosen) == [math.isfinite(e) and e <= limit for e in errors]


def assert_best(errors: list[float], chosen: Any) -> None:
    """No mask that was left out is better than one that was taken; NaN is never taken."""
    taken = [e for e, c in zip(errors, chosen, strict=True) if c]
    left = [e for e, c in zip(errors, chosen, strict=True) if not c and math.isfinite(e)]
    assert all(math.isfinite(e) for e in taken)
    assert max(taken, default=-1.0) <= min(left, default=math.inf)


@given(ERRORS, st.floats(0.01, 1))
def test_varied_takes_as_many_as_fraction(errors: list[float], fraction: float) -> None:
    looks = [np.random.default_rng(i).normal(size=10) for i in range(len(errors))]
    chosen = select(errors, RankingConfig(select="varied", fraction=fraction), looks)
    n = usable(errors)
    assert chosen.sum() == min(n, max(1, round(fraction * n)))
    assert not any(c and not math.isfinite(e) for c, e in zip(chosen, errors, strict=True))


def test_varied_takes_the_best_of_each_group_that_looks_alike() -> None:
    errors = [0.01, 0.02, 0.03, 0.2, 0.1, 0.3, NAN]
    looks = [np.array([kind, 0.01 * i]) for i, kind in enumerate([0, 0, 0, 9, 9, 5, 7.0])]
    chosen = select(errors, RankingConfig(select="varied", fraction=0.5), looks)
    assert list(np.flatnonzero(chosen)) == [0, 4, 5]


def test_scans_of_a_contrast_look_alike_whatever_their_scale() -> None:
    rng = np.random.default_rng(0)
    mask = ((np.indices((12, 12, 12)) - 5.5) ** 2).sum(0) < 16

    def scan(inside: float, outside: float, scale: float) -> Any:
        data = np.where(mask, inside, outside) + 0.02 * rng.normal(size=mask.shape)
        return appearance((scale * data).astype(np.float32), mask)

    one, same, other = scan(0.8, 0.3, 1), scan(0.8, 0.3, 700), scan(0.4, 0.9, 1)
    assert np.abs(one - same).max() < 0.05
    assert np.abs(one - other).max() > 0.5


@pytest.mark.parametrize("rule", ["top_k", "fraction", "threshold", "varied"])
def test_nothing_usable_selects_nothing(rule: Any) -> None:
    assert not select([NAN, NAN, math.inf], RankingConfig(select=rule)).any()
    assert select([], RankingConfig(select=rule)).shape == (0,)


# --- what a person should look at


def test_masks_alike_are_not_unusual() -> None:
    assert unusual([0.1, 0.11, 0.09, 0.1], [1400, 1450, 1300, 1500]) == [""] * 4


def test_far_errors_and_volumes_are_named() -> None:
    errors = [0.05, 0.06, 0.05, 0.055, 0.4, 0.05, 0.06]
    volumes = [1400.0, 1420, 1390, 400, 1400, 3500, 1410]
    flags = unusual(errors, volumes)
    assert flags == ["", "", "", "small", "unlike a brain", "large", ""]


def test_good_errors_are_not_flagged() -> None:
    assert unusual([0.3, 0.3, 0.3, 0.01], [1400] * 4) == [""] * 4


def test_one_mask_can_be_both() -> None:
    flags = unusual([0.05] * 6 + [0.9], [1400.0] * 6 + [20.0])
    assert flags[-1] == "unlike a brain, small"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 5000)), max_size=20))
def test_any_scores_have_flags(rows: list[tuple[float, float]]) -> None:
    flags = unusual([e for e, _ in rows], [v for _, v in rows])
    assert len(flags) == len(rows)
    assert set(flags) <= {"", "small", "large", "unlike a brain", "unlike a brain, small",
                          "unlike a brain, large"}
    assert sum(bool(f) for f in flags) <= len(rows)


def test_nan_is_not_unusual() -> None:
    assert unusual([0.1, NAN, 0.1], [1400, 1400, 1400]) == ["", "", ""]
    assert unusual([NAN, NAN], [1400, 1400]) == ["", ""]


# --- what the ranking is by


@pytest.mark.parametrize("score", ["mean", "autoencoder", "consistency"])
def test_agreement_is_measured_where_the_ranking_needs_it(score: str) -> None:
    settings = settings_for("quick", {"ranking.score": score, "ranking.consistency": False})
    assert settings.ranking.measures_consistency == (score != "autoencoder")
