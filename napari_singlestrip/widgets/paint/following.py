"""The tool that propagates corrected slices to the rest of a mask."""

from __future__ import annotations

from collections.abc import Callable

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.masks.mask_tools import Image, Spacing
from napari_singlestrip.texts import counted
from napari_singlestrip.widgets.session.correcting import Correcting
from napari_singlestrip.widgets.session.kept_follower import Scene
from napari_singlestrip.widgets.session.originals import Corrected, PackedMask

Tool = Callable[[Mask, Image, Spacing], Mask]
SET_FIRST = "Correct one or more slices first: then the rest of the mask follows them."


class Following:
    """One use of the tool: finds the corrected slices, and propagates them.

    Parameters
    ----------
    correcting : Correcting
        Of the mask on screen.
    from_nothing : callable
        (mask, image, spacing) -> mask, used if there was no mask to start from.
    """

    def __init__(self, correcting: Correcting, from_nothing: Tool) -> None:
        self._correcting, self._read = correcting, correcting.originals.reader()
        self._from_nothing = from_nothing
        self._found: Corrected | None = None

    def __call__(self, mask: Mask, image: Image, spacing: Spacing) -> Mask:
        """Run in a thread; uses no widget."""
        if self._read is None:
            return mask
        found = self._found = self._read(mask)
        if not found.has_original:
            return self._from_nothing(mask, image, spacing)
        if not found.slices:
            return mask
        scene = Scene(image, spacing)
        return self._correcting.follower.follow(found.before, scene, mask, found.slices)

    @property
    def is_from_nothing(self) -> bool:
        """Whether there was no mask to start from."""
        return self._found is not None and not self._found.has_original

    @property
    def said(self) -> str:
        """What was done."""
        return f"Followed {self._set} you set:"

    @property
    def why_nothing(self) -> str:
        """Why nothing changed."""
        if self._found is None or not self._found.slices:
            return SET_FIRST
        return f"Nothing else changes: the rest agrees with the {self._set} you set."

    def keep(self, made: Mask) -> None:
        """Store the result, so that later corrections add to the slices."""
        found = self._found
        if found is not None:
            self._correcting.originals.followed(found, PackedMask.of(made), found.slices)

    @property
    def _set(self) -> str:
        return counted(0 if self._found is None else len(self._found.slices), "slice")
