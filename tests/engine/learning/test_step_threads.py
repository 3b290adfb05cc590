"""The number of threads follows the load of the machine, at little cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from napari_singlestrip.engine.devices.precision import Precision
from napari_singlestrip.engine.learning.step_threads import EVERY, StepThreads, choice_of_threads

Seconds = Callable[[int], float]


def idle(threads: int) -> float:
    return 0.06 if threads == 2 else 0.1


def busy(threads: int) -> float:
    return 0.25 if threads == 2 else 0.12


def steps(choice: StepThreads, load: Seconds, n: int) -> list[int]:
    """Numbers of threads of n steps."""
    used = []
    for _ in range(n):
        used.append(choice.threads)
        choice.after(load(choice.threads))
    return used


@pytest.mark.parametrize("begun", [1, 2])
def test_the_faster_number_is_found_and_follows_the_load(begun: int) -> None:
    choice = StepThreads(begun, 2)
    for load, best in ((busy, 1), (idle, 2), (busy, 1)):
        steps(choice, load, EVERY + 20)
        rest = steps(choice, load, 5 * EVERY)
        assert np.mean(np.array(rest) == best) > 0.98


def test_equally_fast_numbers_are_not_changed() -> None:
    rng = np.random.default_rng(0)
    choice = StepThreads(2, 2)
    used = steps(choice, lambda _: float(0.1 * rng.uniform(0.97, 1.03)), 20 * EVERY)
    assert np.mean(np.array(used) == 2) > 0.98


def test_a_single_slow_step_decides_nothing() -> None:
    choice = StepThreads(2, 2)
    for n in range(4 * EVERY):
        choice.after(5.0 if n % 50 == 0 else idle(choice.threads))
    assert choice.threads == 2


def test_trials_are_short() -> None:
    used = np.array(steps(StepThreads(2, 2), idle, 10 * EVERY))
    assert 0 < np.count_nonzero(used == 1) <= 4 * 10


def test_there_is_no_choice_on_a_card_or_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert choice_of_threads(Precision(), torch.device("cuda")) is None
    for probed, threads in ((0, 2), (1, 1)):
        choice = choice_of_threads(Precision(threads=probed), torch.device("cpu"))
        assert choice is not None and choice.threads == threads
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert choice_of_threads(Precision(), torch.device("cpu")) is None
