"""A thousand scans: what they take in bytes, who is there when, and that all are learned from."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_singlestrip.engine.devices import memory
from napari_singlestrip.engine.devices.memory import GIB
from napari_singlestrip.engine.heads import label_map, synthesis
from napari_singlestrip.engine.heads.label_bank import Example, Geometry, entry_bytes, places_for
from napari_singlestrip.engine.heads.rotation import Rotation
from napari_singlestrip.engine.heads.synthesis_params import sample_params
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Progress
from napari_singlestrip.pipeline import supply as supply_module
from napari_singlestrip.pipeline.supply import Supply
from napari_singlestrip.study.training_set import Kind, TrainingMask

if TYPE_CHECKING:
    from napari_singlestrip.engine.config import Settings
    from napari_singlestrip.engine.heads.label_map import LabelBank

STANDARD = Geometry(2.0, (96, 112, 96), 2)  # an adult's brain at 2 mm, with its margin
THOROUGH = Geometry(1.0, (192, 224, 192), 1)


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 GiB of memory, 10 of them free, and a card of 12 GiB."""
    ram = SimpleNamespace(total=16 * GIB, available=10 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: ram)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (11 * GIB, 12 * GIB))


# --- bytes


def test_bytes_of_an_entry_are_those_of_its_tensors(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings
) -> None:
    assert bank.nbytes == entry_bytes(geometry, tiny_settings, None)


@pytest.mark.usefixtures("laptop")
@pytest.mark.parametrize(("effort", "geometry"), [("standard", STANDARD), ("thorough", THOROUGH)])
def test_a_thousand_scans_fit_a_laptop_and_its_card(effort: Any, geometry: Geometry) -> None:
    settings = settings_for(effort)
    each = entry_bytes(geometry, settings, settings.finetuning.label_maps)
    assert 80e6 < each < 120e6
    n = places_for(1000, geometry, settings, settings.finetuning.label_maps)
    assert 20 < n < 100
    in_memory = n * each
    assert 1.5 * in_memory < 0.35 * 16 * GIB  # while it is stacked, half of it is there twice
    # On the card: the whole bank, or what a batch of four needs of it; and the noise.
    card = torch.device("cuda")
    sent = 4 * each
    on_card = in_memory if in_memory <= memory.device_share(card) else sent
    wide = int(np.prod(geometry.shape) * settings.training.context_scale**3)
    noise = 4 * synthesis._noise_size(wide)
    assert noise <= 256 * 2**20
    assert on_card + noise < 0.4 * 12 * GIB


@given(st.integers(1, 2**28))
def test_noise_is_bounded_and_longer_than_a_picture(n: int) -> None:
    size = synthesis._noise_size(n)
    assert size > n
    assert 4 * size <= max(memory.NOISE_MOST, 5 * n)
    if n <= 2**24:  # as it always was
        assert size == 2 ** max(22, (4 * n - 1).bit_length())


def test_a_short_stream_of_noise_is_the_beginning_of_a_long_one(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(synthesis, "_pools", {})
    short = synthesis._noise_pool(2**12, cpu).clone()
    long = synthesis._noise_pool(2**14, cpu)
    assert torch.equal(long[: 2**12], short)
    assert torch.equal(synthesis._noise_pool(2**12, cpu), short)
    assert len(synthesis._pools) == 1


@pytest.mark.usefixtures("laptop")
def test_what_is_too_much_is_said_before_it_is_made() -> None:
    settings = settings_for("thorough", {"label_map.oversampling": 4})
    huge = replace(THOROUGH, ratio=4)
    with pytest.raises(UserError, match=r"not enough memory for label maps.* GiB") as caught:
        places_for(1, huge, settings, None)
    assert "oversampling" in caught.value.hint


def test_a_bank_too_large_for_a_card_stays_on_the_host(
    bank: LabelBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = torch.device("meta")
    monkeypatch.setattr(label_map, "device_share", lambda _: bank.nbytes)
    assert bank.to(meta).labels.device == meta
    monkeypatch.setattr(label_map, "device_share", lambda _: bank.nbytes - 1)
    stays = bank.to(meta)
    assert stays.device == meta
    assert stays.labels is bank.labels
    assert stays.distance_of(0).device == meta  # only what is needed goes there
    assert bank.to(torch.device("cpu")).labels is bank.labels


# --- turns


@given(st.integers(3, 60), st.integers(0, 5), st.integers(1, 20), st.integers(1, 300))
def test_all_have_their_turn(n_scans: int, n_fixed: int, n_more: int, n_steps: int) -> None:
    n_places = min(n_scans - 1, n_fixed + n_more)
    n_fixed = min(n_fixed, n_places - 1)
    rotation = Rotation(n_scans, n_fixed, n_places, n_steps)
    seen: set[int] = set()
    before = rotation.contents(0)
    assert before == list(range(n_places))
    for step in range(n_steps):
        there = rotation.contents(step)
        assert len(set(there)) == n_places  # nobody twice
        assert there[:n_fixed] == list(range(n_fixed))
        seen.update(there)
    if n_steps > n_scans:
        assert seen == set(range(n_scans))


# --- a bank that changes


def masks_of(n: int, n_painted: int = 1) -> list[TrainingMask]:
    kinds: tuple[Kind, Kind] = ("painted", "selected")
    return [TrainingMask(f"head{i}", kinds[i >= n_painted], "", 1.0) for i in range(n)]


@pytest.fixture
def three_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supply_module, "places_for", lambda n, *_: min(n, 3))


class Heads:
    """Examples that differ in brightness; which were loaded, and which are broken."""

    def __init__(self, example: Example, broken: tuple[str, ...] = ()) -> None:
        self.example, self.broken = example, broken
        self.loaded: list[str] = []

    def __call__(self, mask: TrainingMask) -> tuple[Example, Volume, Any]:
        self.loaded.append(mask.scan)
        if mask.scan in self.broken:
            raise UserError(f"{mask.scan} is damaged.", "Get it again.")
        n = int(mask.scan.removeprefix("head"))
        data = np.where(self.example.seen, (n + 1) / 20, 0).astype(np.float32)
        made = replace(self.example, name=mask.scan, data=data, weight=mask.weight)
        return made, Volume(data, np.eye(4)), self.example.mask


def made(
    heads: Heads, masks: list[TrainingMask], geometry: Geometry, settings: Settings,
    n_maps: int | None = None, step: int = 0,
) -> tuple[Supply, list[Event]]:
    supply = Supply(masks, heads, geometry, settings, n_maps, n_steps=60)
    return supply, list(supply.fill(step))


def brightness(bank: LabelBank) -> list[int]:
    """Number of the head at each place of a bank."""
    return [round(float(volume.max()) / 255 * 20) - 1 for volume in bank.intensities]


def steps(first: int, last: int) -> list[Event]:
    return [Progress("train", step, 60) for step in range(first, last + 1)]


@pytest.mark.usefixtures("three_places")
def test_scans_take_turns_between_steps(
    example: Example, geometry: Geometry, tiny_settings: Settings
) -> None:
    heads, masks = Heads(example), masks_of(9)
    supply, events = made(heads, masks, geometry, tiny_settings)
    (note,) = (event for event in events if isinstance(event, Note))
    assert "3 of 9 scans fit into memory at a time" in note.text
    bank = supply.bank().to(torch.device("cpu"))
    assert brightness(bank) == [0, 1, 2]
    assert bank.weights == pytest.approx(np.array([1, 4, 4]) / 9)  # 8 take turns at two places
    seen = set()
    for _ in supply.follow(steps(1, 60), 0):
        now = brightness(bank)
        assert now[0] == 0  # what a person painted stays
        seen.update(now)
        params = sample_params(np.random.default_rng(0), bank, tiny_settings.synthesis)
        assert params.means.shape[1] == bank.n_labels
    assert seen == set(range(9))
    assert heads.loaded == [f"head{n}" for n in range(9)]  # each once


@pytest.mark.usefixtures("three_places")
def test_after_a_stop_the_same_scans_are_there(
    example: Example, geometry: Geometry, tiny_settings: Settings
) -> None:
    masks = masks_of(9)
    whole, _ = made(Heads(example), masks, geometry, tiny_settings)
    for _ in whole.follow(steps(1, 40), 0):
        pass
    resumed, _ = made(Heads(example), masks, geometry, tiny_settings, step=40)
    for name in ("labels", "distance", "intensities"):
        assert torch.equal(getattr(whole.bank(), name), getattr(resumed.bank(), name))
    assert whole.bank().twins == resumed.bank().twins
    assert whole.bank().weights.tolist() == resumed.bank().weights.tolist()


@pytest.mark.usefixtures("three_places")
def test_a_bad_scan_misses_its_turn(
    example: Example, geometry: Geometry, tiny_settings: Settings
) -> None:
    heads = Heads(example, broken=("head2", "head5"))
    supply, events = made(heads, masks_of(9), geometry, tiny_settings)
    events += list(supply.follow(steps(1, 60), 0))
    told = [event.scan for event in events if isinstance(event, Note) and event.level == "warning"]
    assert told == ["head2", "head5"]
    assert len(brightness(supply.bank())) == 2
    with pytest.raises(UserError, match="head0 is damaged"):
        made(Heads(example, broken=("head0",)), masks_of(9), geometry, tiny_settings)


def test_where_all_fit_nothing_changes(
    example: Example, geometry: Geometry, tiny_settings: Settings
) -> None:
    heads = Heads(example)
    supply, events = made(heads, masks_of(4), geometry, tiny_settings)
    assert not [event for event in events if isinstance(event, Note)]
    assert list(supply.follow(steps(1, 60), 0)) == steps(1, 60)
    assert len(heads.loaded) == 4
    assert not supply.bank().changes


@pytest.mark.usefixtures("three_places")
def test_of_masks_alone_as_many_as_fit(
    example: Example, geometry: Geometry, tiny_settings: Settings
) -> None:
    supply, events = made(Heads(example), masks_of(5, 5), geometry, tiny_settings, n_maps=0)
    (note,) = (event for event in events if isinstance(event, Note))
    assert "3 of 5 masks" in note.text and note.level == "warning"
    bank = supply.bank()
    assert len(bank.distance) == 3
    assert bank.nbytes == 3 * entry_bytes(geometry, tiny_settings, 0)
