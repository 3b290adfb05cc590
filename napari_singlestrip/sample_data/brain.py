"""The brain, from the pia inwards: layers of tissue as signed distances (mm of the template).

Positions are approximate MNI152 coordinates, set by hand and adjusted by eye.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from napari_singlestrip.engine.arrays import FloatingArray
from napari_singlestrip.sample_data.person import Patterns, Person
from napari_singlestrip.sample_data.shapes import (
    WHOLE,
    Body,
    Box,
    Ellipsoid,
    Space,
    Tube,
    length,
    smooth_max,
    smooth_min,
)

Chosen = npt.NDArray[np.bool_]

FORAMEN_MAGNUM_Z = -63.0
_THIN_CSF_MM = 0.6  # the mask ends at the pia plus this much fluid
_FAR_MM = 50.0
_WIDEST_MM = 12.0  # farther from a sulcus than any cortex reaches
_STEEPEST = 1.0  # per mm; a field of unit variance and 20 mm wavelength stays near 0.3
_CLEFT_MM = 0.8  # half width of the fissure between the hemispheres


@dataclass(frozen=True)
class Layer:
    """A tissue painted over existing ones where ``distance`` is negative."""

    tissue: str
    distance: FloatingArray
    box: Box = WHOLE


@dataclass(frozen=True)
class Hulls:
    """Smooth outer surfaces of the parts of the brain, on the whole grid."""

    cerebrum: FloatingArray
    cerebellum: FloatingArray
    stem: FloatingArray

    @property
    def brain(self) -> FloatingArray:
        """The region of the mask: hulls and the thin fluid on them.

        Fissures and most of the cisterns at the base are bridged, as painted masks do.
        """
        both = smooth_min(self.cerebrum, self.cerebellum, 11)
        return smooth_min(both, self.stem, 12) - np.float32(_THIN_CSF_MM)

    def cavity(self, gap: float) -> FloatingArray:
        """Inner face of the skull: ``gap`` mm of fluid outside, wide cisterns at the base."""
        both = smooth_min(self.cerebrum, self.cerebellum, 14)
        return smooth_min(both, self.stem, 16) - np.float32(gap)


def _tentorium(space: Space) -> FloatingArray:
    """Height (mm) of the sheet between the occipital lobes and the cerebellum."""
    height: FloatingArray = 1 - 0.45 * space.side - 0.22 * np.maximum(-50 - space.y, 0)
    return height


def _cerebrum(space: Space) -> FloatingArray:
    y, z = space.y, space.z
    # Narrower in front than behind, as seen from above.
    side = space.side * (1 + np.float32(0.0016) * (y + 18))
    egg = Space(side, y, z, space.to_head)
    dome = Ellipsoid((0, -18, 12), (70, 89, 67)).distance(egg)
    front = scipy.special.expit((y + 22) / 6)
    base = front * -19 + (1 - front) * _tentorium(space)
    dome = smooth_max(dome, base - z, 6)
    temporal = Tube(
        ((38, 5, -31), (48, -12, -28), (51, -38, -17), (45, -62, -6)), (14.5, 18.5, 18.5, 17)
    )
    inner = Tube(((24, -4, -24), (25, -20, -20), (22, -38, -8)), (9.5, 9, 8))  # parahippocampal
    lobe = smooth_min(temporal.distance(space), inner.distance(space), 7)
    return smooth_min(dome, lobe, 5)


def _cerebellum(space: Space) -> FloatingArray:
    lobes = Ellipsoid((24, -64, -35), (31, 26, 25)).distance(space)
    vermis = Ellipsoid((0, -63, -29), (20, 24, 28)).distance(space)
    both = smooth_min(lobes, vermis, 8)
    return smooth_max(both, space.z - _tentorium(space) + 1.6, 3)


def _stem(space: Space) -> FloatingArray:
    axis = Tube(
        ((0, -16, -4), (0, -25, -14), (0, -29, -30), (0, -34, -46), (0, -42, -62), (0, -46, -72)),
        (15, 13.5, 13, 10, 7, 6.5),
    )
    pons = Ellipsoid((0, -22, -30), (18, 12.5, 14))
    both = smooth_min(axis.distance(space), pons.distance(space), 4)
    return smooth_max(both, np.float32(FORAMEN_MAGNUM_Z) - space.z, 2)


def hulls(space: Space) -> Hulls:
    """Outer surfaces of cerebrum, cerebellum and brainstem on a grid."""
    cerebrum = _cerebrum(space)
    # A groove along the midline holds the sagittal sinus; the mask follows it.
    groove = 2.5 * np.exp(-((space.x / 4) ** 2)) * scipy.special.expit(_core(space))
    return Hulls(cerebrum + groove, _cerebellum(space), _stem(space))


def _core(space: Space) -> FloatingArray:
    """Distance in the sagittal plane to the body under the callosal arch, which is not split."""
    return Ellipsoid((0, -4, 3), (1e3, 37, 26)).distance(_sagittal(space))


def _sagittal(space: Space) -> Space:
    """The points moved into the sagittal plane: bodies become cylinders across the head."""
    return Space(np.zeros_like(space.y), space.y, space.z, space.to_head)


def _sylvian(space: Space, wobble: FloatingArray) -> FloatingArray:
    """The lateral fissure: a cleft from the side, opening into a T over the insula."""
    y, z = space.y, space.z
    side = space.side + 0.004 * (y + 6) ** 2 + 1.5 * wobble
    height = z + 2 + 0.42 * y - 0.18 * (side - 50) + 2.5 * wobble
    ends = np.abs(y + 6) - 31
    opening = np.float32(0.7) + 1.6 * np.exp(-(((side - 40) / 5) ** 2))
    cleft = np.maximum(np.maximum(np.abs(height) - opening, 39 - side), ends)
    insula = np.maximum(np.abs(side - 39 - 0.012 * height**2) - 1.0, np.abs(height) - 13)
    fissure: FloatingArray = np.minimum(cleft, np.maximum(insula, ends + 3))
    return fissure


def _surface(space: Space, hull: FloatingArray) -> tuple[Space, FloatingArray]:
    """Each point projected to the nearest point on the hull, from where folds run straight inwards.

    Also returns the slope of the hull's distance. It drops where two sides are equally near; there
    the projection jumps, and a fold would be an artefact.
    """
    gx, gy, gz = space.gradient(hull)
    slope = length(gx, gy, gz)
    depth = hull / np.maximum(slope, 0.3) ** 2
    foot = Space(space.x - depth * gx, space.y - depth * gy, space.z - depth * gz, space.to_head)
    return foot, slope


def _sheets(space: Space, field: FloatingArray, jump: Chosen | bool = False) -> FloatingArray:
    """Distance (mm) to the sheets where a field changes sign.

    A jump is not a sheet: there the distance is extended from the smooth surroundings.
    """
    slope = space.slope(field)
    distance = np.minimum(np.abs(field) / np.maximum(slope, 0.015), _WIDEST_MM)
    smooth = ((slope < _STEEPEST) & ~jump).astype(np.float32)
    around = scipy.ndimage.uniform_filter(smooth * distance, 5)
    weight = scipy.ndimage.uniform_filter(smooth, 5)
    sheets: FloatingArray = np.where(smooth > 0, distance, around / np.maximum(weight, 1e-3))
    return sheets


def _reach(foot: Space, person: Person, uneven: FloatingArray) -> FloatingArray:
    """Depth of the sulci (mm): less in the temporal lobe and on the medial face."""
    low = 1 - 0.40 * scipy.special.expit(-(foot.z + 6) / 4)
    medial = 1 - 0.35 * np.exp(-((foot.x / 6) ** 2))
    reach: FloatingArray = (person.sulcus_depth + 4.0 * np.clip(uneven, -1.6, 1.6)) * low * medial
    return reach


def _sulci(
    space: Space, hull: FloatingArray, wobble: FloatingArray, person: Person, patterns: Patterns
) -> FloatingArray:
    """Thin fluid-filled sheets that reach from the hull into the hemispheres."""
    foot, slope = _surface(space, hull)
    bend = 2.6 * wobble
    bent = Space(foot.x + bend, foot.y + bend, foot.z - bend, space.to_head)
    shell, jump = _shell(hull), (slope < 0.8) & (hull < -4)
    reach = _reach(foot, person, patterns.depth.where(shell, bent))
    depth = -hull
    width = person.sulcus_width + 1.1 * np.exp(-np.maximum(depth, 0) / 2.5)
    folds, dimples = (p.where(shell, bent) for p in (patterns.folds, patterns.dimples))
    deep = np.maximum(_sheets(space, folds, jump) - width, depth - reach)
    shallow = np.maximum(_sheets(space, dimples, jump) - 0.7 * width, depth - 0.45 * reach)
    sulci = np.minimum(deep, shallow)
    sulci[~shell] = _FAR_MM
    return sulci


def _shell(hull: FloatingArray) -> Chosen:
    """Where folds can be: the outer shell of the hemispheres."""
    return (hull > -28) & (hull < 4)


def cortex_layers(
    space: Space, cerebrum: FloatingArray, person: Person, patterns: Patterns
) -> Iterator[Layer]:
    """Cortical ribbon and white matter of both hemispheres."""
    box = space.box((-74, -110, -54), (74, 76, 84))
    near = space.crop(box)
    cleft = np.maximum(near.side - np.float32(_CLEFT_MM), -_core(near))
    hull = np.maximum(cerebrum[box], -cleft)
    wobble = patterns.wobble.where(_shell(hull), near)
    sulci = np.minimum(_sulci(near, hull, wobble, person, patterns), _sylvian(near, wobble))
    thick = np.float32(person.cortex)
    yield Layer("cortex", smooth_max(hull, -sulci, 1.5), box)
    yield Layer("white_matter", smooth_max(hull + thick, thick - sulci, 2.0), box)


def cerebellum_layers(
    space: Space, cerebellum: FloatingArray, patterns: Patterns
) -> Iterator[Layer]:
    """Folia that fan out from the fourth ventricle around a branching white core."""
    box = space.box((-56, -94, -62), (56, -36, -4))
    near, hull = space.crop(box), cerebellum[box]
    wobble = patterns.wobble(near.x, near.y, near.z)
    angle = np.arctan2(near.z + 34, -(near.y + 38)) + 0.05 * wobble
    fine = np.maximum(_sheets(near, np.sin(20 * angle)) - 0.35, -hull - 6)
    coarse = np.maximum(_sheets(near, np.sin(7 * angle)) - 0.6, -hull - 12)
    folia = np.minimum(fine, coarse)
    yield Layer("cerebellar_cortex", smooth_max(hull, -folia, 0.8), box)
    branches = _sheets(near, np.cos(7 * angle)) - 0.5 + 0.10 * hull
    twigs = np.maximum(_sheets(near, np.cos(20 * angle)) - 0.5, hull + 5)
    tree = np.minimum(np.minimum(branches, twigs), hull + 14)
    yield Layer("white_matter", np.maximum(tree, hull + 2.5), box)


def _callosum(space: Space) -> FloatingArray:
    """The arch of fibres over the ventricles, thicker at both ends."""
    rim = np.abs(_core(space) + 3.6) - 3.1
    splenium = Tube(((0, -36, 12), (0, -32, 17)), (5.0, 3.5)).distance(_sagittal(space))
    genu = Tube(((0, 27, 2), (0, 26, 9)), (4.5, 4.5)).distance(_sagittal(space))
    rim = np.maximum(rim, -0.12 * space.y - 1 - space.z)
    arch: FloatingArray = np.minimum(np.minimum(rim, splenium), genu)
    return np.maximum(arch, space.side - 12)


_LATERAL_VENTRICLE = Tube(
    (
        (14, 31, -1), (9.5, 19, 8), (8, 2, 18), (11, -20, 21), (20, -36, 17),
        (27, -44, 6), (24, -60, 7), (20, -76, 4),
    ),
    (4.0, 6.4, 5.2, 4.8, 5.8, 7.2, 5.0, 2.0),
)  # fmt: skip
_TEMPORAL_HORN = Tube(((28, -42, 4), (34, -28, -12), (30, -12, -21)), (4.0, 1.8, 1.4))
_DEEP_GREY: tuple[Body, ...] = (
    Ellipsoid((11.5, -18, 7), (8.5, 15, 9.5)),  # thalamus
    Tube(((16, 17, 1), (16, 9, 9), (16, -4, 18), (19, -22, 20)), (5.5, 6.0, 3.2, 2.0)),  # caudate
    Tube(((24, 11, -3), (27, -2, 2), (30, -16, 3)), (6.5, 7.0, 3.5)),  # putamen
    Tube(((27, 0, 8), (26, 8, 5)), (5.0, 5.0)),
    Ellipsoid((22, -4, -20), (8, 8, 8)),  # amygdala
    Tube(((26, -14, -21), (29, -28, -11), (24, -38, -1)), (5.5, 4.5, 3.0)),  # hippocampus
)
_PALLIDUM = Ellipsoid((19.5, -5, 0), (4.5, 9, 6))
_NUCLEI_OF_STEM: tuple[Body, ...] = (
    Ellipsoid((5, -20, -9), (2.5, 3, 3.5)),  # red nucleus
    Ellipsoid((14, -56, -34), (5, 5, 4)),  # dentate
)
_FLUID_OF_MIDLINE: tuple[Body, ...] = (
    Tube(((0, 2, -12), (0, -4, 2), (0, -20, 4), (0, -27, -1)), (2.0, 3.0, 2.8, 2.0)),
    Tube(((0, -2, -4), (0, -16, -2)), (1.8, 1.8)),
    Tube(((0, -28, -3), (0, -37, -18)), (1.0, 1.2)),  # aqueduct
    Tube(((0, -40, -24), (0, -46, -33), (0, -45, -46)), (2.2, 5.0, 1.5)),  # fourth
)


_UNDER_THE_ARCH = Tube(((9, 0, 2), (9, -22, 2)), (17, 16))
_SEPTUM = Tube(((0, 22, 14), (0, 0, 20), (0, -14, 22)), (1.0, 1.0, 1.0))


def laid(space: Space, tissue: str, body: Body, grow: float = 0.0) -> Layer:
    """A body as a layer on the part of the grid that it touches, ``grow`` mm larger."""
    box = body.box(space)
    return Layer(tissue, body.distance(space.crop(box)) - np.float32(grow), box)


def deep_layers(space: Space, surfaces: Hulls, person: Person) -> Iterator[Layer]:
    """Callosum, deep grey matter, ventricles and brainstem, none of it outside the hull."""
    box = space.box((-20, -62, -80), (20, 0, 14))
    brain = surfaces.brain + np.float32(_THIN_CSF_MM)
    yield laid(space, "white_matter", _UNDER_THE_ARCH)
    arch = space.box((-16, -46, -20), (16, 38, 34))
    yield Layer("white_matter", _callosum(space.crop(arch)), arch)
    yield Layer("brainstem", surfaces.stem[box], box)
    for layer in _inner_layers(space, person):
        yield Layer(layer.tissue, np.maximum(layer.distance, brain[layer.box]), layer.box)


def _inner_layers(space: Space, person: Person) -> Iterator[Layer]:
    for body in _DEEP_GREY + _NUCLEI_OF_STEM:
        yield laid(space, "deep_grey", body)
    yield laid(space, "pallidum", _PALLIDUM)
    yield laid(space, "ventricles", _LATERAL_VENTRICLE, person.ventricles)
    yield laid(space, "ventricles", _TEMPORAL_HORN, 0.4 * person.ventricles)
    for body in _FLUID_OF_MIDLINE:
        yield laid(space, "ventricles", body, 0.3 * person.ventricles)
    yield laid(space, "white_matter", _SEPTUM)
