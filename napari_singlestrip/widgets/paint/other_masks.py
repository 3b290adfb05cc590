"""Masks that can be combined with the one on screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from napari.layers import Labels

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.shown import Shown


@dataclass(frozen=True, eq=False)
class OtherMask:
    """A mask that can be loaded.

    Attributes
    ----------
    text : str
        Its origin.
    load : callable
        Returns it as displayed, axes (I, P, L); may be called in a thread.
    """

    text: str
    load: Callable[[], Mask]


def other_masks(session: Session) -> list[OtherMask]:
    """Available masks besides the one on screen: predictions and layers."""
    now = session.layers.showing.now
    return [] if now is None else [*_of_scan(now), *_layers(session, now), *_of_others(now)]


def from_file(now: Shown, path: Path) -> OtherMask:
    """A mask from a file, which must be on the grid of the scan on screen."""
    return OtherMask(path.name, lambda: _read(now, path))


def _of_scan(now: Shown) -> Iterator[OtherMask]:
    newest = now.study.rounds.newest_pseudo_label(now.name)
    if newest is not None:
        path = newest[1]
        yield OtherMask("current prediction", lambda: _read(now, path))
    kept = now.study.masks.path(now.name)
    if kept.exists():
        yield OtherMask("last kept mask", lambda: _read(now, kept))


def _layers(session: Session, now: Shown) -> Iterator[OtherMask]:
    """Labels layers of the user with the shape of the scan on screen."""
    own, shape = session.layers.own, now.upright.to_display(now.mask).shape
    for layer in session.viewer.layers:
        if isinstance(layer, Labels) and not own.has(layer) and layer.data.shape == shape:
            yield OtherMask(f"layer {layer.name}", _reader(layer))


def _reader(layer: Labels) -> Callable[[], Mask]:
    return lambda: np.asarray(layer.data) != 0


def _of_others(now: Shown) -> Iterator[OtherMask]:
    for name in now.study.masks.names():
        if name != now.name:
            yield from_file(now, now.study.masks.path(name))


def _read(now: Shown, path: Path) -> Mask:
    found: Mask = now.upright.to_display(load_mask(path, like=now.scan, check=False))
    return found
