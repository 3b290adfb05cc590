"""Everything around the brain, from the skin inwards, in the order of painting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy

from napari_singlestrip.engine.arrays import FloatingArray
from napari_singlestrip.sample_data.brain import (
    Hulls,
    Layer,
    cerebellum_layers,
    cortex_layers,
    deep_layers,
    laid,
)
from napari_singlestrip.sample_data.person import Patterns, Person
from napari_singlestrip.sample_data.shapes import Body, Ellipsoid, Space, Tube, smooth_min

_GALEA_MM = 1.0  # muscle and fascia between fat and bone
_TABLE_MM = 1.4  # inner and outer table of the skull


def _profile(person: Person) -> list[tuple[Body, float]]:
    """Bodies of face and neck, each with the rounding (mm) of its seam."""
    tip, chin = 104 + 0.5 * person.nose, 80 + person.chin
    wide = 48 + person.neck
    return [
        (Ellipsoid((0, 34, -46), (62, 50, 46)), 12),  # cheeks and orbits
        (Ellipsoid((46, 38, -34), (22, 36, 32)), 12),  # temporal muscle
        (Ellipsoid((0, 36, -84), (50, 48, 36)), 14),  # upper and lower jaw
        (Ellipsoid((0, 70, -16), (34, 16, 12)), 10),  # brow
        (Tube(((0, 80, -24), (0, 90, -42), (0, tip, -62)), (7, 8.5, 9)), 14),  # bridge to tip
        (Tube(((0, tip - 3, -65), (9, 86, -67)), (8, 9.5)), 6),  # wings
        (Ellipsoid((0, 84, -82), (22, 9, 6)), 5),  # upper lip
        (Ellipsoid((0, 83, -93), (20, 8, 5.5)), 4),  # lower lip
        (Ellipsoid((0, chin, -113), (18, 13, 13)), 10),
        (Tube(((50, 6, -70), (42, 30, -103), (12, 70, -112)), (15, 13, 11)), 12),  # jaw line
        (Tube(((14, -40, -60), (14, -36, -125), (40, -30, -220)), (wide + 6, wide, 64)), 18),
    ]


def outline(space: Space, cavity: FloatingArray, person: Person) -> FloatingArray:
    """Signed distance to the skin."""
    scalp = person.skull + person.fat + person.skin + _GALEA_MM
    head = cavity - np.float32(scalp)
    for body, rounding in _profile(person):
        # A seam is rounded only within `rounding` of both bodies, inside the margin of the box.
        pieces = body.links() if isinstance(body, Tube) else [body]
        for piece in pieces:
            box = piece.box(space)
            head[box] = smooth_min(head[box], piece.distance(space.crop(box)), rounding)
    return head


def _ears(space: Space) -> Iterator[Layer]:
    shell = Ellipsoid((81, -22, -38), (4.5, 15, 27))
    yield laid(space, "skin", shell)
    yield laid(space, "air", Ellipsoid((85, -18, -38), (4, 8, 16)))
    yield laid(space, "air", Tube(((82, -20, -42), (54, -20, -40)), (3.5, 2.0)))


def _soft_layers(
    space: Space, head: FloatingArray, person: Person, patterns: Patterns
) -> Iterator[Layer]:
    """Skin, fat under it, and muscles parted by thin sheets of fat."""
    yield Layer("skin", head)
    yield Layer("fat", head + np.float32(person.skin))
    # Muscles run up and down, hence the stretch.
    upright = Space(space.x, space.y, space.z * np.float32(0.35), space.to_head)
    tissue = patterns.tissue.where((head < 0) & (space.z < 0), upright)
    # Thicker fat on cheeks and neck than on the scalp.
    below = scipy.special.expit(-(space.z + 45) / 10)
    depth = person.skin + person.fat * (1 + below * (0.5 + 0.45 * tissue))
    muscle = head + depth
    yield Layer("muscle", muscle)
    sheets = np.abs(tissue) / np.maximum(space.slope(tissue), 0.02) - 0.1
    yield Layer("fat", np.maximum(np.maximum(sheets, muscle + 2), space.z + 5))


def _skull_layers(
    space: Space, cavity: FloatingArray, person: Person, patterns: Patterns
) -> Iterator[Layer]:
    """Outer table, marrow, inner table."""
    uneven = 0.9 * patterns.depth.where((cavity > -1) & (cavity < 10), space)
    bone = cavity - np.float32(person.skull)
    yield Layer("bone", bone)
    middle = np.abs(cavity - np.float32(person.skull / 2)) - (person.skull / 2 - _TABLE_MM) - uneven
    yield Layer("marrow", np.maximum(middle, bone + 1))


_FACE_BONE: tuple[tuple[str, Body], ...] = (
    ("bone", Tube(((22, -14, -40), (54, -32, -40)), (9, 12))),  # petrous bone
    ("bone", Tube(((0, 4, -38), (0, -29, -61)), (9, 7.5))),  # clivus
    ("marrow", Tube(((0, 2, -40), (0, -27, -60)), (6.5, 5.5))),
    ("bone", Ellipsoid((0, 70, -12), (22, 9, 11))),
    ("marrow", Ellipsoid((0, 70, -12), (20, 7, 9))),
    ("bone", Tube(((26, 38, -60), (14, 62, -70)), (19, 12))),  # upper jaw
    ("marrow", Tube(((26, 38, -60), (14, 62, -70)), (17.5, 10))),
    ("bone", Ellipsoid((31, 42, -62), (16, 18.5, 17))),
    ("marrow", Tube(((30, 34, -72), (16, 62, -76)), (5, 6))),
    ("bone", Tube(((46, 62, -54), (62, 30, -52), (64, 0, -48)), (6, 4, 4))),  # cheek bone
    ("marrow", Tube(((46, 62, -54), (62, 30, -52)), (4, 2.2))),
    ("bone", Tube(((48, 2, -58), (46, 6, -84), (36, 42, -108), (0, 70, -114)), (6, 8, 8, 8))),
    ("marrow", Tube(((48, 2, -62), (46, 6, -84), (36, 42, -109), (0, 70, -115)), (3.5, 5, 5, 5.5))),
)
_MOUTH: tuple[tuple[str, Body], ...] = (
    ("tongue", Ellipsoid((0, 40, -92), (23, 30, 17))),
    ("fat", Ellipsoid((0, 44, -108), (16, 20, 3))),
    ("bone", Tube(((0, 28, -74), (0, 70, -74)), (3, 4))),  # palate
    ("bone", Tube(((26, 38, -83), (18, 60, -83), (0, 70, -83)), (5, 5, 5))),  # teeth
    ("bone", Tube(((26, 38, -94), (18, 58, -94), (0, 68, -94)), (5, 5, 5))),
    ("air", Tube(((0, 12, -78), (0, 34, -77), (0, 62, -80)), (1.5, 1.6, 1.2))),
)
_AIRWAYS: tuple[tuple[str, Body], ...] = (
    ("mucosa", Ellipsoid((0, 50, -56), (17, 34, 19))),
    ("air", Tube(((6, 92, -77), (5, 84, -66), (5, 40, -65), (4, 20, -62)), (2.2, 2.4, 2.4, 4))),
    ("air", Tube(((5, 66, -56), (5, 34, -57)), (2.4, 2.4))),
    ("air", Tube(((5, 70, -46), (5, 40, -48)), (2.6, 2.6))),
    ("mucosa", Ellipsoid((31, 42, -62), (14.5, 17, 15.5))),
    ("mucosa", Tube(((0, 16, -64), (0, 2, -82), (0, -2, -108), (0, 8, -140)), (12, 11, 11, 12))),
    ("air", Tube(((3, 18, -62), (5, 4, -76), (4, 0, -102), (2, 6, -126), (1, 8, -220)),
                 (6, 5, 5, 6, 9))),
)  # fmt: skip
_SINUSES: tuple[Body, ...] = (
    Ellipsoid((31, 42, -62), (13, 15.5, 14)),  # maxillary
    Ellipsoid((8, 72, -11), (8, 4.5, 7.5)),  # frontal
    Ellipsoid((7, 12, -37), (9, 12, 9)),  # sphenoid
)
_ORBIT: tuple[tuple[str, Body], ...] = (
    ("bone", Tube(((31, 58, -38), (15, 14, -27)), (17.9, 5.8))),
    ("fat", Tube(((31, 63, -38), (16, 18, -28)), (16.8, 4.5))),
    ("muscle", Tube(((19, 62, -38), (14, 34, -33), (15, 16, -27)), (1.2, 2.6, 1.2))),
    ("muscle", Tube(((45, 60, -38), (34, 34, -33), (17, 16, -27)), (1.2, 2.4, 1.2))),
    ("muscle", Tube(((31, 60, -25), (25, 34, -23), (16, 16, -25)), (1.2, 2.4, 1.2))),
    ("muscle", Tube(((31, 60, -50), (25, 34, -42), (16, 16, -30)), (1.2, 2.4, 1.2))),
    ("csf", Tube(((31, 50, -38), (22, 30, -32), (13, 12, -23)), (3.2, 3.0, 2.4))),
    ("nerve", Tube(((31, 50, -38), (22, 30, -32), (13, 12, -23)), (1.9, 1.9, 1.9))),
    ("sclera", Ellipsoid((31, 63, -38), (13.2, 13.2, 13.2))),
    ("vitreous", Ellipsoid((31, 63, -38), (12.1, 12.1, 12.1))),
    ("lens", Ellipsoid((31, 72, -38), (4.8, 2.3, 4.8))),
)
_SELLA: tuple[tuple[str, Body], ...] = (
    ("muscle", Ellipsoid((0, 3, -26), (6, 5, 4))),  # pituitary
    ("nerve", Tube(((13, 12, -22), (3, 5, -17), (8, -4, -14)), (2, 2.2, 2))),  # chiasm
    ("vessel", Tube(((12, 2, -34), (12, 10, -28), (12, 4, -22)), (2.4, 2.4, 2.0))),  # carotid
    ("vessel", Tube(((0, -8, -20), (0, -10, -38)), (1.6, 1.6))),  # basilar
)
_NECK_VESSELS: tuple[tuple[str, Body], ...] = (
    ("vessel", Tube(((24, -12, -50), (28, -8, -100), (26, -4, -220)), (2.6, 3.4, 3.6))),
    ("vessel", Tube(((34, -18, -50), (36, -14, -100), (34, -8, -220)), (4, 5, 5))),
)


def _vertebrae() -> Iterator[tuple[str, Body]]:
    """Seven vertebrae with marrow, discs between them, and spines behind the canal."""
    for n in range(8):
        z, y = -72.0 - 18 * n, -25.0 - 0.6 * n
        yield "bone", Tube(((5, y, z - 9), (5, y + 0.6, z + 9)), (9.5, 9.5))
        yield "marrow", Tube(((5, y, z - 9), (5, y + 0.6, z + 9)), (8.2, 8.2))
        yield "bone", Ellipsoid((0, y, z - 9), (18, 13, 3.8))
        yield "disc", Ellipsoid((0, y, z - 9), (15, 10, 2.7))
        yield "bone", Tube(((0, y - 38, z - 3), (0, y - 54, z - 9)), (4.5, 3.5))
        yield "marrow", Tube(((0, y - 38, z - 3), (0, y - 53, z - 9)), (2.6, 1.8))
        yield "bone", Tube(((15, y - 8, z), (17, y - 24, z), (2, y - 36, z - 3)), (6, 5.5, 3.5))
        yield "marrow", Tube(((15, y - 8, z), (17, y - 24, z)), (3.6, 3.2))


def _cord(space: Space) -> Iterator[Layer]:
    path = ((0, -42, -60), (0, -47, -78), (0, -49, -230))
    yield laid(space, "dura", Tube(path, (12, 10, 9.5)))
    yield laid(space, "csf", Tube(path, (11, 9, 8.5)))
    yield laid(space, "spinal_cord", Tube(path, (6.5, 5.8, 5.5)))


def _cells(space: Space, patterns: Patterns) -> Iterator[Layer]:
    """Air cells of the ethmoid and mastoid: small bubbles in bone."""
    for body in (Ellipsoid((0, 40, -36), (13, 28, 11)), Ellipsoid((56, -42, -46), (11, 13, 15))):
        box = body.box(space)
        near = space.crop(box)
        bubbles = 2.5 * (0.1 - patterns.grain(near.x, near.y, near.z))
        inside = body.distance(near)
        yield Layer("mucosa", inside, box)
        yield Layer("air", np.maximum(inside + 1, bubbles), box)


def _face_layers(space: Space, person: Person, patterns: Patterns) -> Iterator[Layer]:
    for tissue, body in _FACE_BONE + _MOUTH + _AIRWAYS:
        yield laid(space, tissue, body)
    for body in _SINUSES:
        yield laid(space, "air", body, person.sinuses)
    yield from _cells(space, patterns)
    for tissue, body in _ORBIT + _NECK_VESSELS:
        yield laid(space, tissue, body)
    for tissue, body in _vertebrae():
        yield laid(space, tissue, body)


def _lining_layers(space: Space, cavity: FloatingArray, hulls: Hulls) -> Iterator[Layer]:
    """Dura under the bone, fluid inside it, and the two sheets that divide the cavity."""
    yield Layer("dura", cavity - np.float32(1.2))
    yield Layer("csf", cavity)
    yield from _cord(space)
    for tissue, body in _SELLA:
        yield laid(space, tissue, body)
    # Falx: between the hemispheres, above the callosum and the cerebellum.
    arch = Ellipsoid((0, -8, -4), (1e3, 48, 42)).distance(space)
    high = np.maximum(cavity, -np.maximum(-arch, -40 - space.z))
    yield Layer("dura", np.maximum(np.maximum(space.side - 0.5, high), -8 - space.z))
    between = np.abs(hulls.cerebrum - hulls.cerebellum) - 1.0
    roof = np.maximum(np.maximum(between, hulls.cerebrum - 2.5), space.y + 40)
    yield Layer("dura", np.maximum(roof, cavity))
    sinus = np.maximum(space.side + 0.7 * np.maximum(-cavity, 0) - 5, cavity - 0.5)
    back = np.maximum(sinus, np.minimum(-20 - space.y, 20 - space.z))
    yield Layer("vessel", np.maximum(back, -20 - space.z))


def head_layers(space: Space, hulls: Hulls, person: Person, patterns: Patterns) -> Iterator[Layer]:
    """All layers of a head in the order of painting, over air."""
    cavity = hulls.cavity(person.csf_gap)
    yield from _ears(space)
    yield from _soft_layers(space, outline(space, cavity, person), person, patterns)
    yield from _skull_layers(space, cavity, person, patterns)
    yield from _face_layers(space, person, patterns)
    yield from _lining_layers(space, cavity, hulls)
    yield from cortex_layers(space, hulls.cerebrum, person, patterns)
    yield from cerebellum_layers(space, hulls.cerebellum, patterns)
    yield from deep_layers(space, hulls, person)
