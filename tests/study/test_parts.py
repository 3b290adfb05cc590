"""Shares of the scans: each scan in one of them, and mistakes in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.lock import StudyLock
from napari_singlestrip.study.parts import ALL, Part, parse_part


@given(st.lists(st.integers(), unique=True, max_size=30), st.integers(1, 12))
def test_no_scan_twice_and_none_left_out(items: list[int], total: int) -> None:
    shares = [Part(number, total).of(items) for number in range(1, total + 1)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_part_is_read() -> None:
    assert parse_part("2/8", {}) == Part(2, 8)
    assert parse_part(" 1 / 1 ", {}) == ALL
    assert parse_part(None, {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}) == ALL


@pytest.mark.parametrize(
    ("variables", "part"),
    [({"ID": "3", "COUNT": "4"}, Part(3, 4)), ({"ID": "0", "COUNT": "4", "MIN": "0"}, Part(1, 4)),
     ({"ID": "9", "COUNT": "3", "MIN": "5", "STEP": "2"}, Part(3, 3))],
)  # fmt: skip
def test_an_array_tells_its_part(variables: dict[str, str], part: Part) -> None:
    environment = {f"SLURM_ARRAY_TASK_{name}": value for name, value in variables.items()}
    assert parse_part("array", environment) == part


@pytest.mark.parametrize(
    ("text", "words"),
    [("4/3", "no part 4 of 3"), ("0/3", "no part 0"), ("1/0", "no part 1 of 0"),
     ("2", "Cannot read"), ("a/b", "Cannot read"), ("-1/2", "Cannot read"),
     ("array", "SLURM_ARRAY_TASK_ID")],
)  # fmt: skip
def test_what_is_no_part_is_told(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_part(text, {})


def test_parts_work_side_by_side_but_not_beside_a_job_for_all(tmp_path: Path) -> None:
    with StudyLock(tmp_path, "1_of_2"), StudyLock(tmp_path, "2_of_2"):
        with pytest.raises(UserError, match="Another job"), StudyLock(tmp_path):
            pass
        with pytest.raises(UserError, match="Another job"), StudyLock(tmp_path, "1_of_2"):
            pass
    with (
        StudyLock(tmp_path),
        pytest.raises(UserError, match="Another job"),
        StudyLock(tmp_path, "1_of_2"),
    ):
        pass
