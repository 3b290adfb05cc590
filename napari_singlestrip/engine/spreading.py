"""The brain follows: a person sets a few slices right, and the rest of the mask comes along.

What was set stays exactly as it was set. Around it the surface moves with the slices (a Gaussian
process on their outlines, `spreading_field`), and where there is a picture it goes on to where the
picture looks as it does at the person's outlines (`spreading_image`). All of that happens in the
box around the brain and on voxels of about 2 mm, since neither changes within less, and is brought
onto the scan's own voxels at the end. Lengths are those of an adult brain and shrink with a small
one, so that a mouse's mask follows as a man's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.cleanup import bounding_box
from napari_singlestrip.engine.geometry import signed_distance
from napari_singlestrip.engine.grid import Grid, Volume
from napari_singlestrip.engine.mask_tools import interpolate_slices
from napari_singlestrip.engine.resampling import resample
from napari_singlestrip.engine.spreading_field import (
    ERROR_MM,
    FAR_MM,
    SetOutline,
    fit_displacement,
    on_plane,
)
from napari_singlestrip.engine.spreading_image import Look, fit_border, look_at

Mask = NDArray[np.bool_]
Array = NDArray[np.float32]
Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]

FINE_MM, COARSE_MM = 2.0, 3.5  # voxels on which the mask moves, and those of a first quick answer
ROOM_MM = 20.0  # around the masks
ADULT_RADIUS_MM = 69.0  # of a ball as large as an adult's brain
SMOOTH_MM = 1.2  # of the probability, before it becomes a mask
UNMOVED = 0.25  # of a voxel; where the surface moves by less, no voxel changes
CRUMB = 0.01  # pieces and holes below this part of the brain that nobody set are noise


@dataclass(frozen=True)
class SetSlice:
    """A slice that a person set right as a whole.

    Parameters
    ----------
    axis : int
        Across the slice, 0 to 2.
    index : int
        Its number along that axis.
    """

    axis: int
    index: int


def spread_corrections(
    before: Mask,
    edited: Mask,
    set_slices: Sequence[SetSlice],
    spacing: Spacing,
    image: NDArray[np.floating] | None = None,
    *,
    coarse: bool = False,
) -> Mask:
    """Carry the corrections of a few slices into the rest of a mask.

    Parameters
    ----------
    before : ndarray of bool, shape (I, P, L)
        The mask before any correction. If it is empty, the slices that were set are interpolated.
    edited : ndarray of bool, shape (I, P, L)
        The mask with the slices that were set; only those are read.
    set_slices : sequence of SetSlice
        In the order in which they were set: near a later one, what an earlier one says of the
        surroundings counts no longer.
    spacing : tuple of float
        Voxel size in mm.
    image : ndarray, shape (I, P, L), optional
        The scan. With it the surface also follows the picture.
    coarse : bool
        A quick first answer.

    Returns
    -------
    ndarray of bool, shape (I, P, L)
        On the set slices exactly as `edited`; as `before` elsewhere if nothing is set.

    Raises
    ------
    ValueError
        If shapes differ or a slice is outside.
    """
    return Follower(before, spacing, image).follow(edited, set_slices, coarse=coarse)


class Follower:
    """A mask that follows corrections; what depends on it and on the scan alone is kept.

    Parameters
    ----------
    before, spacing, image
        As `spread_corrections`; the arrays are not copied and must not change.
    """

    def __init__(
        self, before: Mask, spacing: Spacing, image: NDArray[np.floating] | None = None
    ) -> None:
        if image is not None and image.shape != before.shape:
            raise ValueError(f"a mask of shape {before.shape} for a scan of shape {image.shape}")
        self._before, self._spacing, self._image = before, spacing, image
        self._box = bounding_box(before)
        self._scenes: dict[tuple[object, ...], _Scene] = {}

    def follow(
        self, edited: Mask, set_slices: Sequence[SetSlice], *, coarse: bool = False
    ) -> Mask:
        """As `spread_corrections`."""
        slices = _checked(set_slices, edited, self._before)
        if not slices:
            return self._before.copy()
        if self._box is None:
            return self._from_nothing(edited, slices, coarse)
        scene = self._scene(_drawn_box(edited, slices), coarse)
        out = self._before.copy()
        out[scene.box] = scene.follow(edited, slices)
        _keep(out, edited, slices)
        return out

    def doubt(self, *, coarse: bool = False) -> Array:
        """Where the newest answer may be wrong: 0 where it is sure, 1 where it could be either.

        Before any answer, and without a picture, that is near the surface.

        Returns
        -------
        ndarray of float32, shape of the mask
        """
        out = np.zeros(self._before.shape, dtype=np.float32)
        if self._box is not None:
            kept = [scene for key, scene in self._scenes.items() if key[0] == coarse]
            scene = kept[0] if kept else self._scene(None, coarse)
            out[scene.box] = scene.doubt()
        return out

    def _scene(self, drawn: Box | None, coarse: bool) -> _Scene:
        """Surroundings of both masks; kept, since corrections seldom reach beyond the room."""
        assert self._box is not None
        size = _scale(self._before[self._box], self._spacing)
        box = _roomy(self._box, self._spacing, ROOM_MM * size, self._before.shape)
        if drawn is not None and not _holds(box, drawn):
            both = _around(self._box, drawn)
            box = _roomy(both, self._spacing, ROOM_MM * size, self._before.shape)
        key = (coarse, *((side.start, side.stop) for side in box))
        if key not in self._scenes:
            image = None if self._image is None else self._image[box]
            step = (COARSE_MM if coarse else FINE_MM) * size
            # The newest box of each fineness: scenes are large.
            self._scenes = {k: v for k, v in self._scenes.items() if k[0] != coarse}
            self._scenes[key] = _Scene(self._before[box], box, self._spacing, image, step, size)
        return self._scenes[key]

    def _from_nothing(self, edited: Mask, slices: list[SetSlice], coarse: bool) -> Mask:
        """Interpolate along the axis with most drawn slices, and correct that by the others."""
        drawn = _only(edited, slices)
        axis = _best_axis(drawn, slices)
        own = _only(edited, [s for s in slices if s.axis == axis])
        start = interpolate_slices(own, axis, self._spacing)
        if not start.any():
            return drawn
        if self._image is None and all(s.axis == axis for s in slices):
            _keep(start, edited, slices)
            return start
        out = Follower(start, self._spacing, self._image).follow(edited, slices, coarse=coarse)
        beyond = np.ones(out.shape[axis], dtype=bool)
        used = np.flatnonzero(start.any(axis=tuple(a for a in range(3) if a != axis)))
        beyond[used[0] : used[-1] + 1] = False
        np.moveaxis(out, axis, 0)[beyond] = False  # nobody has said anything of that side
        _keep(out, edited, slices)
        return out


class _Scene:
    """The box around a brain, on coarser voxels: distances and looks, kept between corrections."""

    def __init__(
        self,
        before: Mask,
        box: Box,
        spacing: Spacing,
        image: NDArray[np.floating] | None,
        step_mm: float,
        size: float,
    ) -> None:
        self.box, self.size, self.before = box, size, before
        self.own = _centred(before.shape, spacing)
        self.grid = _work_grid(self.own, step_mm)
        inside = _onto(before, self.own, self.grid) > 0.5
        far = FAR_MM * size
        self.distance = np.clip(signed_distance(inside, self.grid.spacing), -far, far)
        self.sure = _sure(self.distance, size)
        self.look: Look | None = None
        if image is not None:
            scan = resample(Volume(np.asarray(image, np.float32), self.own.affine), self.grid)
            self.look = look_at(scan, inside, self.distance, self.grid.spacing, size)

    def follow(self, edited: Mask, slices: list[SetSlice]) -> Mask:
        """The mask of the box; set slices are put in later."""
        outlines = [self._outline(edited, s) for s in slices if self._inside(s)]
        if not outlines:
            return self.before.copy()
        field = fit_displacement(outlines, self.size)
        moved = self.distance + field.onto(self.grid, self.distance)
        border = None
        if self.look is not None:
            border = fit_border(self.look, self.grid, outlines, field, self.size)
        if border is None:
            self.sure = _sure(moved, self.size)
            return self._moved(moved)
        self.sure = found = border.probability(moved)
        sigma = [SMOOTH_MM * self.size / s for s in self.grid.spacing]
        soft = scipy.ndimage.gaussian_filter(found, sigma, truncate=3.0)
        clean = _without_crumbs(soft > 0.5, [self._nearest(s) for s in slices if self._inside(s)])
        soft[clean != (soft > 0.5)] = clean[clean != (soft > 0.5)]
        mask: Mask = resample(Volume(soft, self.grid.affine), self.own) > 0.5
        return mask

    def doubt(self) -> Array:
        """Of the newest answer, on the scan's own voxels."""
        doubt: Array = resample(Volume(4 * self.sure * (1 - self.sure), self.grid.affine), self.own)
        return doubt

    def _moved(self, moved: Array) -> Mask:
        """Where nothing moves the mask stays as it is, to the voxel."""
        both = [resample(Volume(f, self.grid.affine), self.own) for f in (moved, self.distance)]
        still = np.abs(both[0] - both[1]) < UNMOVED * min(self.own.spacing)
        mask: Mask = np.where(still, self.before, both[0] < 0)
        return mask

    def _inside(self, s: SetSlice) -> bool:
        side = self.box[s.axis]
        return bool(side.start <= s.index < side.stop)

    def _nearest(self, s: SetSlice) -> SetSlice:
        """The slice of the coarser voxels at the place of one of the scan's own."""
        place = self.own.affine[s.axis, 3] + (
            (s.index - self.box[s.axis].start) * self.own.spacing[s.axis]
        )
        index = round((place - self.grid.affine[s.axis, 3]) / self.grid.spacing[s.axis])
        return SetSlice(s.axis, int(np.clip(index, 0, self.grid.shape[s.axis] - 1)))

    def _outline(self, edited: Mask, s: SetSlice) -> SetOutline:
        """A set slice and what was there, on the plane's own place and the coarser voxels."""
        index = s.index - self.box[s.axis].start
        thin = _plane(self.own, s.axis, self.own, index)
        plane = _plane(self.grid, s.axis, self.own, index)
        inside = _onto(edited[self.box][_one(s.axis, index)], thin, plane) > 0.5
        return SetOutline(s.axis, plane, inside, on_plane(self.distance, self.grid, plane, s.axis))


def _sure(distance: Array, size: float) -> Array:
    """Probability of being inside, by the distance to a surface alone."""
    likely: Array = scipy.special.expit(-distance / (ERROR_MM * size / 1.7)).astype(np.float32)
    return likely


# --- grids


def _centred(shape: tuple[int, ...], spacing: Spacing) -> Grid:
    """Grid of a box whose middle is at 0, so that a mirrored scan has a mirrored grid."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * np.array(spacing)
    i, p, l = shape  # noqa: E741
    return Grid((i, p, l), affine)


def _work_grid(own: Grid, step_mm: float) -> Grid:
    """Coarser where voxels are finer than `step_mm`, else the scan's own slices."""
    sides, steps = [], []
    for n, s in zip(own.shape, own.spacing, strict=True):
        coarser = s < 0.75 * step_mm
        steps.append(step_mm if coarser else s)
        sides.append(int(np.ceil(n * s / step_mm)) if coarser else n)
    return _centred(tuple(sides), (steps[0], steps[1], steps[2]))


def _plane(grid: Grid, axis: int, own: Grid, index: int) -> Grid:
    """One slice of `own`, with the voxels of `grid` within it."""
    affine, shape = grid.affine.copy(), list(grid.shape)
    shape[axis] = 1
    affine[axis, axis] = own.spacing[axis]
    affine[axis, 3] = own.affine[axis, 3] + index * own.spacing[axis]
    return Grid((shape[0], shape[1], shape[2]), affine)


def _onto(mask: Mask, own: Grid, grid: Grid) -> Array:
    """Part of each voxel that is inside."""
    return resample(Volume(mask.astype(np.float32), own.affine), grid)


def _scale(mask: Mask, spacing: Spacing) -> float:
    """Size of a brain, 1 for an adult's; a few voxels alone tell nothing below their own size."""
    volume = np.count_nonzero(mask) * float(np.prod(spacing))
    radius = (3 * volume / (4 * np.pi)) ** (1 / 3)
    return float(np.clip(radius / ADULT_RADIUS_MM, min(spacing) / FINE_MM, 1.0))


def _roomy(box: Box, spacing: Spacing, room_mm: float, shape: tuple[int, ...]) -> Box:
    i, p, l = (  # noqa: E741
        slice(max(side.start - int(np.ceil(room_mm / s)), 0),
              min(side.stop + int(np.ceil(room_mm / s)), n))
        for side, s, n in zip(box, spacing, shape, strict=True)
    )  # fmt: skip
    return i, p, l


def _holds(box: Box, other: Box) -> bool:
    return all(a.start <= b.start and b.stop <= a.stop for a, b in zip(box, other, strict=True))


def _around(box: Box, other: Box) -> Box:
    i, p, l = (  # noqa: E741
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True)
    )
    return i, p, l


# --- slices


def _checked(set_slices: Sequence[SetSlice], edited: Mask, before: Mask) -> list[SetSlice]:
    """Each slice once, where it was set last."""
    if edited.shape != before.shape:
        raise ValueError(f"masks of shapes {before.shape} and {edited.shape}")
    for s in set_slices:
        if not (0 <= s.axis < 3 and 0 <= s.index < before.shape[s.axis]):
            raise ValueError(f"{s} is outside a mask of shape {before.shape}")
    return list(dict.fromkeys(reversed(set_slices)))[::-1]


def _one(axis: int, index: int) -> Box:
    i, p, l = (slice(index, index + 1) if a == axis else slice(None) for a in range(3))  # noqa: E741
    return i, p, l


def _drawn_box(edited: Mask, slices: Sequence[SetSlice]) -> Box | None:
    """Box around what is drawn on the set slices."""
    found: Box | None = None
    for s in slices:
        box = bounding_box(edited[_one(s.axis, s.index)])
        if box is not None:
            here = [slice(s.index, s.index + 1) if a == s.axis else box[a] for a in range(3)]
            mine = (here[0], here[1], here[2])
            found = mine if found is None else _around(found, mine)
    return found


def _only(mask: Mask, slices: Sequence[SetSlice]) -> Mask:
    out = np.zeros_like(mask)
    _keep(out, mask, slices)
    return out


def _keep(out: Mask, edited: Mask, slices: Sequence[SetSlice]) -> None:
    for s in slices:
        out[_one(s.axis, s.index)] = edited[_one(s.axis, s.index)]


def _best_axis(drawn: Mask, slices: Sequence[SetSlice]) -> int:
    """Across most slices that are not empty; the newest of those as good."""
    counts = [0, 0, 0]
    for s in slices:
        counts[s.axis] += bool(drawn[_one(s.axis, s.index)].any())
    return max((s.axis for s in reversed(slices)), key=lambda axis: counts[axis])


def _without_crumbs(mask: Mask, slices: Sequence[SetSlice]) -> Mask:
    """Drop specks and fill pinholes away from the set slices; large pieces are meant."""
    for value in (True, False):
        labels, n = scipy.ndimage.label(mask == value)
        if n < 2:
            continue
        sizes = np.bincount(labels.ravel(), minlength=n + 1)
        small = sizes < CRUMB * max(1, np.count_nonzero(mask))
        small[0] = False
        for s in slices:
            small[np.unique(labels[_one(s.axis, s.index)])] = False
        if small.any():
            mask = mask ^ small[labels]
    return mask
