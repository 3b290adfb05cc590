"""The label bank of a training, whose scans take turns if they do not all fit into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.heads.label_bank import (
    BankBuilder,
    Example,
    Geometry,
    entry_bytes,
    places_for,
)
from napari_singlestrip.engine.heads.label_map import LabelBank
from napari_singlestrip.engine.heads.rotation import Rotation
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.learning.segmenter_training import watched_scan
from napari_singlestrip.engine.learning.training import Pair
from napari_singlestrip.events import Event, Note, Progress, seconds_left
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.study.training_set import TRUSTED, TrainingMask

Load = Callable[[TrainingMask], tuple[Example, Volume, npt.NDArray[np.bool_]]]


class Supply:
    """Loads masks, makes their label maps, and exchanges them during training.

    A bad scan is left out. At least one with a mask made by hand must remain: if the last of them
    fails, so does the job, since pseudo-labels alone are no basis for training.

    Parameters
    ----------
    masks : sequence of TrainingMask
        Those made by hand come first.
    load : callable
        Reads the scan of a mask.
    geometry, settings, n_maps
        As for `BankBuilder`. Without label maps scans do not take turns: those that do not fit are
        left out.
    n_steps : int
        Of the training, during which all masks take turns.

    Attributes
    ----------
    watched : list of pairs
        Scans with masks made by hand, to validate on.
    failed : dict of str to Failure
        Scans that were left out, and why.
    """

    def __init__(
        self, masks: Sequence[TrainingMask], load: Load, geometry: Geometry, settings: Settings,
        n_maps: int | None, n_steps: int,
    ) -> None:
        self._masks, self._load, self._geometry, self._settings = masks, load, geometry, settings
        self._each = entry_bytes(geometry, settings, n_maps)
        fit = places_for(len(masks), geometry, settings, n_maps)
        self._n_left_out = len(masks) - fit if n_maps == 0 else 0
        self.rotation = None if n_maps == 0 else rotation_of(masks, fit, n_steps)
        rng = np.random.default_rng([settings.seed, 6])
        self._builder = BankBuilder(geometry, settings, rng, n_maps)
        self._places: dict[int, int] = {}  # slot of the rotation to slot in the bank
        self._bank: LabelBank | None = None
        self.watched: list[Pair] = []
        self.failed: dict[str, Failure] = {}

    @property
    def used(self) -> list[TrainingMask]:
        """The masks used in training, now or in a later turn."""
        fit = self._masks[: len(self._masks) - self._n_left_out]
        return [mask for mask in fit if mask.scan not in self.failed]

    def fill(self, step: int) -> Iterator[Event]:
        """Load the scans scheduled for a step."""
        yield from self._say_what_fits()
        n_masks = len(self._masks) - self._n_left_out
        numbers = self.rotation.contents(step) if self.rotation else list(range(n_masks))
        started = time.monotonic()
        for place, number in enumerate(numbers):
            yield from self._add(place, number, numbers)
            if len(self._masks) > 1:
                n = place + 1
                left = seconds_left(time.monotonic() - started, n, len(numbers))
                yield Progress("prepare", n, len(numbers), {}, left)

    def bank(self) -> LabelBank:
        """The label maps of the loaded scans."""
        if self._bank is None:
            self._bank = self._builder.build(changes=self.rotation is not None)
        return self._bank

    def follow(self, events: Iterable[Event], step: int) -> Iterator[Event]:
        """Pass on events of training from a step on, and exchange the scans that are due."""
        if self.rotation is None:
            yield from events
            return
        there = self.rotation.contents(step)
        for event in events:
            yield event
            if isinstance(event, Progress) and event.step < event.n_steps:
                wanted = self.rotation.contents(event.step)
                for place, (old, new) in enumerate(zip(there, wanted, strict=True)):
                    if old != new:
                        yield from self._put(place, new)
                there = wanted

    def _say_what_fits(self) -> Iterator[Event]:
        n, size = len(self._masks), f"{self._each / 2**20:.0f} MiB each"
        if self.rotation is not None:
            yield Note(
                f"{self.rotation.n_places} of {n} scans fit into memory at a time ({size}): the "
                "network trains on all of them, in turn."
            )
        elif self._n_left_out:
            yield Note(
                f"{n - self._n_left_out} of {n} masks fit into memory ({size}): the others are "
                "left out.", "warning",
            )

    def _add(self, place: int, number: int, numbers: Sequence[int]) -> Iterator[Event]:
        mask = self._masks[number]
        others = numbers[place + 1 :]
        if mask.kind in TRUSTED and not self.watched and not self._any_by_hand(others):
            self._take(place, number)  # the last one: its failure stops the job
            return
        failure = attempt(self._take, place, number)
        if failure is not None:
            yield self._left_out(mask, failure)

    def _any_by_hand(self, numbers: Iterable[int]) -> bool:
        return any(self._masks[number].kind in TRUSTED for number in numbers)

    def _take(self, place: int, number: int) -> None:
        mask = self._masks[number]
        example, volume, array = self._load(mask)
        seen = None
        if mask.kind in TRUSTED:
            seen = watched_scan(volume, array, self._geometry, self._settings)
        if self.rotation is None:
            self._builder.add(example)
        else:
            self._builder.add(self._waited_for(example, number), self._rng(number))
        self._places[place] = len(self._places)
        if seen is not None:
            self.watched.append(seen)

    def _put(self, place: int, number: int) -> Iterator[Event]:
        mask = self._masks[number]
        loaded = attempt(self._load, mask)
        if isinstance(loaded, Failure):
            yield self._left_out(mask, loaded)
        elif place in self._places:  # replaces a scan that could be read
            entry, rng = self._places[place], self._rng(number)
            self._builder.put(self.bank(), entry, self._waited_for(loaded[0], number), rng)

    def _left_out(self, mask: TrainingMask, failure: Failure) -> Note:
        self.failed[mask.scan] = failure
        return failure.note(mask.scan, "is left out")

    def _waited_for(self, example: Example, number: int) -> Example:
        """An example with the weight of all scans that take turns in its slot."""
        assert self.rotation is not None
        share = self.rotation.share if number >= self.rotation.n_fixed else 1.0
        return replace(example, weight=share * example.weight)

    def _rng(self, number: int) -> np.random.Generator:
        """A generator for each mask, so that its label maps are the same after resuming."""
        return np.random.default_rng([self._settings.seed, 6, number])


def rotation_of(
    masks: Sequence[TrainingMask], n_places: int, n_steps: int
) -> Rotation | None:
    """The schedule of scans, if not all fit. Masks made by hand stay, unless they are too many."""
    if n_places >= len(masks):
        return None
    kinds: list[Any] = [mask.kind for mask in masks]
    n_trusted = next((n for n, kind in enumerate(kinds) if kind not in TRUSTED), len(kinds))
    return Rotation(len(masks), n_trusted if 2 * n_trusted <= n_places else 0, n_places, n_steps)
