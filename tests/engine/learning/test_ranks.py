"""Several processes that train one network: with the same weights, and none waits for ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rank_worker import CPU, STEPS, End, Plan, both, draw, task

from napari_singlestrip.engine.devices.launch import Place, place_of
from napari_singlestrip.engine.learning import ranks, training
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.ranks import ALONE, HEADS, Ranks, device_of
from napari_singlestrip.engine.learning.training import Pair, is_done, train
from napari_singlestrip.errors import OK, USER_MISTAKE, UserError

WORKER = Path(__file__).parents[2] / "rank_worker.py"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


class Worker:
    """A program that forks two processes at a time; none is left behind."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )

    def run(self, folder: Path, plan: Plan) -> list[End]:
        """Train in two processes; return their ends, in order."""
        (folder / "meeting").unlink(missing_ok=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder), asdict(plan)]) + "\n")
        self._process.stdin.flush()
        return [End(**fields) for fields in json.loads(self._process.stdout.readline())]

    def trained(self, folder: Path, plan: Plan) -> list[dict[str, Any]]:
        """Train in two processes, and return what each kept."""
        assert [end.code for end in self.run(folder, plan)] == [OK, OK]
        return [torch.load(folder / f"rank_{n}.pt") for n in range(2)]

    def close(self) -> None:
        """End the program and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One for all tests."""
    with closing(Worker()) as started:
        yield started


def heads_of_both(step: int, rng: np.random.Generator) -> Pair:
    """What two processes learn from in a step, as one batch."""
    return both(rng, np.random.default_rng([task().seed, HEADS, 1, step]))


def reference(n_ranks: list[int]) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Gradients of the first step, and the weights, where one process learns from all heads."""
    state = training.begin(task(), CPU)
    first: list[torch.Tensor] = []
    for step, n in enumerate(n_ranks):
        drawn = draw if n == 1 else partial(heads_of_both, step)
        training.take_step(state, replace(task(), draw=drawn))
        first = first or [w.grad.clone() for w in state.net.parameters() if w.grad is not None]
    return first, state.net.state_dict()


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same weights to rounding, by the same names."""
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


# --- the same as one process with all heads


def test_two_processes_then_one_then_two_learn_as_one_with_all_heads(
    worker: Worker, tmp_path: Path
) -> None:
    path = tmp_path / "net.pt"
    first, second = worker.trained(tmp_path, Plan(stop_after=5))
    gradients, weights = reference([2] * 5)
    for found in (first, second):
        torch.testing.assert_close(found["gradients"], gradients, rtol=1e-5, atol=1e-7)
        assert_close(found["weights"], weights)
    saved = load_checkpoint(path, "segmenter")
    assert saved["step"] == 5
    for name, value in saved["weights"].items():
        assert torch.equal(value, first["weights"][name])
        assert torch.equal(value, second["weights"][name])

    events = train(task(), path, CPU)
    assert [next(events).step for _ in range(3)] == [6, 7, 8]
    events.close()  # type: ignore[attr-defined]
    assert_close(load_checkpoint(path, "segmenter")["weights"], reference([2] * 5 + [1] * 3)[1])

    worker.trained(tmp_path, Plan())
    assert is_done(path, "segmenter")
    expected = reference([2] * 5 + [1] * 3 + [2] * (STEPS - 8))[1]
    assert_close(load_checkpoint(path, "segmenter")["weights"], expected)


def test_one_process_draws_from_the_generator_it_had() -> None:
    rng = np.random.default_rng(0)
    assert ALONE.heads(rng, 3, 7) is rng


def test_the_heads_of_the_others_follow_from_seed_step_and_rank() -> None:
    drawn = {
        (seed, step, rank): Ranks(Place(rank, 4, rank, 4)).heads(
            np.random.default_rng(0), seed, step
        ).random()
        for seed in (0, 1) for step in (0, 1) for rank in (1, 2, 3)
    }  # fmt: skip
    assert len(set(drawn.values())) == len(drawn)
    again = Ranks(Place(2, 4, 2, 4)).heads(np.random.default_rng(9), 1, 1).random()
    assert again == drawn[1, 1, 2]


# --- what happens to the others


@pytest.mark.parametrize("within", [False, True], ids=["between steps", "within a step"])
@pytest.mark.timeout(120)
@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_process_is_killed_the_other_ends(
    worker: Worker, tmp_path: Path, victim: int, within: bool
) -> None:
    killed, other = worker.run(tmp_path, Plan(victim=victim, within=within))
    assert (killed.rank, killed.code) == (victim, -signal.SIGKILL)
    assert other.code == USER_MISTAKE
    assert other.seconds - killed.seconds < 20  # 0.1 s on an idle computer
    said = (tmp_path / f"said_{1 - victim}.txt").read_text(encoding="utf-8")
    assert "Another of the 2 training processes has ended" in said
    if victim == 1:  # the first saves
        assert load_checkpoint(tmp_path / "net.pt", "segmenter")["step"] == 2


@pytest.mark.parametrize("within", [False, True], ids=["between steps", "within a step"])
def test_a_process_that_is_stuck_is_not_waited_for(
    worker: Worker, tmp_path: Path, within: bool
) -> None:
    plan = Plan(victim=1, signal="SIGSTOP", within=within, step_seconds=3, pause_seconds=5)
    # The others wait longer than for a step while the first does something else.
    first, _ = worker.run(tmp_path, plan)
    assert (first.rank, first.code) == (0, USER_MISTAKE)
    assert "has not answered" in (tmp_path / "said_0.txt").read_text(encoding="utf-8")
    assert load_checkpoint(tmp_path / "net.pt", "segmenter")["step"] == 2


# --- where a process is


def test_without_torchrun_a_process_is_alone() -> None:
    assert place_of({}) == Place()
    assert place_of({"WORLD_SIZE": "1", "RANK": "0"}) == Place()
    with ranks.meeting(Place()) as met:
        assert met is ALONE
        assert met.shared("it") == "it"


def test_torchrun_says_where_a_process_is() -> None:
    given = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert place_of(given) == Place(5, 8, 1, 4)
    assert not place_of(given).first
    for change in ({"RANK": ""}, {"RANK": "8"}, {"LOCAL_RANK": "x"}, {"WORLD_SIZE": "two"}):
        with pytest.raises(UserError, match=r"torchrun --nproc-per-node N"):
            place_of(given | change)


def test_each_process_has_a_card_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []
    monkeypatch.setattr(ranks, "choose_device", lambda name: torch.device(
        "cuda" if name in ("auto", "cuda") else name
    ))  # fmt: skip
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(str(device)))
    there = Place(5, 8, 1, 4)
    assert device_of("cpu", there) == CPU
    assert device_of("auto", Place()) == torch.device("cuda")
    assert device_of("auto", there) == device_of("cuda", there) == torch.device("cuda:1")
    assert chosen == ["cuda:1"] * 2
    for name in ("cuda:0", "mps"):
        with pytest.raises(UserError, match="a graphics card of its own"):
            device_of(name, there)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no interface of that name")
@pytest.mark.parametrize(("place", "own", "found"), [
    (Place(0, 2, 0, 2), None, True),
    (Place(0, 2, 0, 1), None, False),  # the other is on another computer
    (Place(0, 2, 0, 2), "ib0", False),
])
def test_processes_of_one_computer_do_not_look_up_its_name(
    place: Place, own: str | None, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {} if own is None else {ranks.INTERFACE: own}
    monkeypatch.setattr(os, "environ", environment)
    ranks._stay_here(place)
    assert (environment.get(ranks.INTERFACE, "") in ranks.LOOPBACK) == found
    assert own is None or environment[ranks.INTERFACE] == own
