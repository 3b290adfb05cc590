"""The traffic light of a mask: what its scores say beside those of the others."""

from __future__ import annotations

from dataclasses import replace
from math import nan

from napari_singlestrip.study.outlook import outlooks
from napari_singlestrip.study.review import ReviewRow
from napari_singlestrip.study.tables import ScoreRow


def rows(errors: list[float], flags: dict[int, str] | None = None) -> list[ReviewRow]:
    return [
        ReviewRow(ScoreRow(f"s{n}", e, 1 - e, 1400.0, n + 1, False, (flags or {}).get(n, "")))
        for n, e in enumerate(errors)
    ]


def test_most_are_good_some_are_worth_a_look_and_one_is_far_off() -> None:
    found = outlooks(rows([0.04, 0.05, 0.05, 0.06, 0.045, 0.075, 0.3]))
    assert [found[f"s{n}"] for n in range(7)] == [*["usual"] * 5, "look", "likely wrong"]


def test_a_large_place_to_check_is_worth_a_look_whatever_the_scores() -> None:
    few = rows([0.05] * 6)
    small = [replace(r, score=replace(r.score, largest_place_ml=4.0)) for r in few]
    assert set(outlooks(small).values()) == {"usual"}
    large = replace(small[0], score=replace(few[0].score, largest_place_ml=12.0))
    assert outlooks([large, *small[1:]])["s0"] == "look"
    child = replace(small[0], score=replace(small[0].score, volume_ml=350.0))
    assert outlooks([child, *small[1:]])["s0"] == "look"  # 4 mL are a large part of this brain


def test_a_flag_is_never_green() -> None:
    found = outlooks(rows([0.05] * 6, {0: "small"}))
    assert found["s0"] == "likely wrong"
    assert found["s1"] == "usual"


def test_few_masks_cannot_be_compared() -> None:
    assert set(outlooks(rows([0.01, 0.5, 0.02])).values()) == {"look"}


def test_small_differences_say_nothing_and_unknown_scores_are_looked_at() -> None:
    found = outlooks(rows([0.050, 0.051, 0.052, 0.053, 0.0535, nan]))
    assert {found[f"s{n}"] for n in range(5)} == {"usual"}
    assert found["s5"] == "look"


def test_a_mask_that_views_disagree_about_is_seen_where_disagreement_is_small() -> None:
    """The autoencoder's errors are larger, and would hide it in a sum."""
    found = outlooks([
        ReviewRow(ScoreRow(f"s{n}", 0.02, agreement, 1400.0, n + 1, False, ""))
        for n, agreement in enumerate([0.994, 0.995, 0.994, 0.993, 0.994, 0.982])
    ])
    assert [found[f"s{n}"] for n in range(6)] == [*["usual"] * 5, "look"]
