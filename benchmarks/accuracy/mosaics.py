"""Images of the worst masks, and where they are wrong.

The masks are those that the experiment keeps: OUT/PIECE/applied_ARM/SCAN_desc-brain_mask.nii.gz.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from page_sections import table
from results import Results

from napari_singlestrip.engine.imaging.geometry import conform, resample
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.pipeline import previews
from napari_singlestrip.study.volumes_table import MASK_SUFFIX

ARMS = ("initial", "default")  # left and right; the worst are those of the last
GREEN = np.array([0.2, 0.9, 0.3], np.float32)
N_WORST = 6
SPACING_MM = 1.5


@dataclass(frozen=True)
class Head:
    """A scan with two masks of it, upright, on one grid."""

    data: np.ndarray
    mask: np.ndarray
    reference: np.ndarray

    @property
    def too_much_ml(self) -> float:
        """What is no brain for the reference."""
        return float((self.mask & ~self.reference).sum() * SPACING_MM**3 / 1000)

    @property
    def missing_ml(self) -> float:
        """What was left out."""
        return float((self.reference & ~self.mask).sum() * SPACING_MM**3 / 1000)

    @property
    def where(self) -> str:
        """In which third of the brain's height most of the error is, and how much of it."""
        heights = np.flatnonzero(self.reference.any(axis=(0, 1)))
        cuts = np.linspace(heights[0], heights[-1] + 1, 4)[1:3]
        wrong = (self.mask ^ self.reference).sum(axis=(0, 1))
        k = np.arange(len(wrong))
        parts = [wrong[k < cuts[0]], wrong[(k >= cuts[0]) & (k < cuts[1])], wrong[k >= cuts[1]]]
        shares = np.array([part.sum() for part in parts]) / max(wrong.sum(), 1)
        names = ("lower", "middle", "upper")
        return f"{names[int(shares.argmax())]} third ({100 * shares.max():.0f}%)"


def worst(results: Results, out: Path, data: Path, path: Path) -> str | None:
    """Draw the scans with the lowest Dice after fine-tuning, before and after, and tell of them.

    Red is the mask, green the reference; each plane is the one in which most is wrong. None
    where there are no scans, or no masks were kept.
    """
    if not (data / "scans").is_dir():
        return None
    pictures, rows = [], []
    for piece, scan in lowest(results, out):
        heads = [head(data, scan, file) for file in kept(out, piece, scan)]
        wrong = sum((each.mask ^ each.reference).astype(np.uint8) for each in heads)
        pictures += [picture(each, wrong) for each in heads]
        dices = [results.unseen[arm][piece, scan]["dice"] for arm in ARMS]
        last = heads[-1]
        rows.append([
            str(len(rows) + 1), scan, f"{dices[0]:.3f}, {dices[1]:.3f}", f"{last.too_much_ml:.0f}",
            f"{last.missing_ml:.0f}", last.where,
        ])
    if not rows:
        return None
    previews.save_picture(path, previews.montage(pictures, len(ARMS)), 1)
    columns = ["row", "scan", f"Dice {ARMS[0]}, {ARMS[1]}", "too much, ml", "missing, ml",
               "most of it in the"]
    return "\n".join([f"![Masks (red) and references (green)](pictures/{path.name})", "",
                      *table(columns, rows)])


def lowest(results: Results, out: Path) -> list[tuple[str, str]]:
    """Pieces and scans with the lowest Dice whose masks were kept, each scan once."""
    before, after = (results.unseen.get(arm, {}) for arm in ARMS)
    found: dict[str, tuple[str, str]] = {}
    for key in sorted(after.keys() & before.keys(), key=lambda key: after[key]["dice"]):
        if all(file.is_file() for file in kept(out, *key)):
            found.setdefault(key[1], key)
    return list(found.values())[:N_WORST]


def kept(out: Path, piece: str, scan: str) -> list[Path]:
    """Masks of a scan, one for each arm."""
    return [out / piece / f"applied_{arm}" / f"{scan}{MASK_SUFFIX}" for arm in ARMS]


def head(data: Path, scan: str, mask: Path) -> Head:
    """Read a scan, its reference and a mask."""
    opened = open_scan(data / "scans" / f"{scan}.nii.gz")
    volume = opened.load()
    seen = conform(volume, SPACING_MM)
    found, reference = (
        resample(Volume(load_mask(file, like=opened, check=False).astype(np.float32),
                        volume.affine), seen.grid) > 0.5
        for file in (mask, data / "masks" / f"{scan}.nii.gz")
    )
    return Head(seen.data, found, reference)


def picture(shown: Head, wrong: np.ndarray) -> np.ndarray:
    """Three planes, each where most is wrong."""
    i, j, k = (int(wrong.sum(axis=axes).argmax()) for axes in ((1, 2), (0, 2), (0, 1)))
    grey, mask, reference = (
        previews.side_by_side(each[i], each[:, j], each[:, :, k])
        for each in (shown.data, shown.mask, shown.reference)
    )
    drawn = np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2).astype(np.float32)
    drawn[previews.outline(reference)] = GREEN
    drawn[previews.outline(mask)] = previews.RED
    return drawn
