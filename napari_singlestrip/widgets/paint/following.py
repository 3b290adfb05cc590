"""The tool by which the rest of a mask follows the slices that a person set right."""

from __future__ import annotations

from collections.abc import Sequence

from napari_singlestrip.engine.masks.changed_slices import changed_slices
from napari_singlestrip.engine.masks.mask_tools import Image, Mask, Spacing
from napari_singlestrip.engine.masks.spreading import SetSlice, spread_corrections
from napari_singlestrip.texts import counted
from napari_singlestrip.widgets.session.originals import Known, Originals

SET_FIRST = "Set one or more slices right first: then the rest of the mask follows them."


class Following:
    """One press of the tool: finds the slices that were set, and lets the rest follow.

    Parameters
    ----------
    start : Known or None
        The mask that the person changed.
    seen : sequence of SetSlice
        Slices that were on screen meanwhile.
    """

    def __init__(self, start: Known | None, seen: Sequence[SetSlice]) -> None:
        self._start, self._seen = start, seen
        self._slices: tuple[SetSlice, ...] = ()

    def __call__(self, mask: Mask, image: Image, spacing: Spacing) -> Mask:
        """Work in a thread: touches no widget."""
        start = self._start
        if start is None:
            return mask
        now_set = changed_slices(start.mask.unpacked(), mask, self._seen)
        if not now_set:
            return mask
        self._slices = tuple(dict.fromkeys([*(s for s in start.slices if s not in now_set),
                                            *now_set]))
        # By one slice alone the picture is not known well enough: it can do harm.
        picture = image if len(self._slices) > 1 else None
        before = start.before.unpacked()
        return spread_corrections(before, mask, self._slices, spacing, picture)

    @property
    def said(self) -> str:
        """What was done."""
        return f"Followed {counted(len(self._slices), 'slice')} you set:"

    @property
    def why_nothing(self) -> str:
        """Why nothing changed."""
        if not self._slices:
            return SET_FIRST
        set_ = counted(len(self._slices), "slice")
        return f"Nothing else changes: the rest agrees with the {set_} you set."

    def keep(self, originals: Originals, made: Mask) -> None:
        """Remember the answer: what is set on it adds to the slices."""
        if self._start is not None:
            originals.followed(made, self._start, self._slices)
