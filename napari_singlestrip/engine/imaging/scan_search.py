"""Which of the files in a folder are scans: masks, and what this program wrote, are passed over.

A name is no proof (``seg3d_T1w`` is a scan, ``masks/sub-01`` is none), and reading every file of a
large folder takes too long. So a name, or a file that is compressed to almost nothing, is a hint,
and what is in the file decides. A file that a person names is taken as a scan, whatever it is.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.scan import open_scan
from napari_singlestrip.engine.imaging.scan_files import (
    Listing,
    checked_name,
    image_of_pair,
    list_folder,
    no_scan,
    real_file,
)
from napari_singlestrip.engine.imaging.scan_names import stem_of
from napari_singlestrip.errors import UserError

# Written into the headers of all that this program writes, and for which scan.
SIGNATURE = b"napari-singlestrip"
MADE_FOR = SIGNATURE + b" for "

# Whole words of names that masks and label files have.
MASK_WORDS = frozenset({
    "mask", "masks", "brainmask", "brainmasks", "seg", "segs", "dseg", "aseg", "aparc",
    "segmentation", "segmentations", "label", "labels", "labelmap", "labelmaps", "parc",
    "parcellation", "roi", "rois", "lesion", "lesions",
})  # fmt: skip
_FOLDERS_OF_STUDY = ("masks", "rounds", "drafts", "applied", "thumbnails")
_SET_ASIDE = "rounds_set_aside_"

_MAX_LABELS = 512  # whole-brain parcellations have some 200
_SMALL_BYTES = 2**20  # so little is soon read, and its compression says little
_FLAT, _VERY_FLAT = 0.1, 0.03  # compressed size, of that in full: grey values stay above
_HEADER_BYTES = 352
_HEADERS = {348: 148, 540: 240}  # size of a NIfTI header, and where its description begins
_DESCRIPTION_BYTES = 80


class FoundScans(tuple[Path, ...]):
    """Scan files, sorted, each once. A broken link among them is told when it is opened.

    Attributes
    ----------
    notes : tuple of str
        What was passed over, and why; and what was taken although it looks like a mask.
    """

    notes: tuple[str, ...]

    def __new__(cls, files: Iterable[Path], notes: Iterable[str] = ()) -> FoundScans:
        """Put together the files and what is to be said of them."""
        found = super().__new__(cls, files)
        found.notes = tuple(notes)
        return found


def find_scans(paths: Iterable[str | Path]) -> list[Path]:
    """`search`, for who needs the files alone."""
    return list(search(paths))


def search(paths: Iterable[str | Path], masks: Iterable[str | Path] = ()) -> FoundScans:
    """Find the scans among files and, at any depth, in folders.

    Parameters
    ----------
    paths : iterable of str or Path
        A file is taken as a scan. In folders, hidden files, other kinds of files, masks, and what
        this program wrote are passed over; links are followed.
    masks : iterable of str or Path
        Files that are masks by a person's word, also where they are among `paths`.

    Raises
    ------
    UserError
        If a path does not exist, a file is not named like a scan, or a folder has none.
    """
    known_masks = {real_file(Path(mask)) for mask in masks}
    named: dict[str, Path] = {}
    found: dict[str, Path] = {}
    notes: list[str] = []
    for path in (Path(p) for p in paths):
        if not path.is_dir():
            chosen = image_of_pair(checked_name(path))
            if real_file(chosen) not in known_masks:
                named.setdefault(os.path.abspath(chosen), chosen)
            continue
        scans, said = _scans_below(path, known_masks)
        notes += said
        for scan in scans:
            found.setdefault(real_file(scan), scan)
    reals = {real_file(path) for path in named.values()}
    files = [*named.values(), *(path for real, path in found.items() if real not in reals)]
    return FoundScans(sorted(files), (*notes, *_doubtful(named.values())))


def has_mask_word(name: str) -> bool:
    """Whether a name has a whole word that masks and label files have: not "seg3d", "unmasked"."""
    words = re.split(r"[\W_]+", name.casefold())
    return any(word.rstrip("0123456789") in MASK_WORDS for word in words)


def is_label_image(values: NDArray[np.float32]) -> bool:
    """Whether values are those of a mask or of labels: few, whole, and alike side by side."""
    if _is_two_valued(values):
        return True
    if not np.isfinite(values).all() or (values != np.rint(values)).any():
        return False
    return np.unique(values).size <= _MAX_LABELS and _share_of_equal_neighbours(values) > 0.5


def made_for(path: Path) -> str | None:
    """Fingerprint of the scan that a file of ours was made for; None if it is not ours.

    Empty when it is not known: files of older versions, maps and sample masks do not say.
    """
    text = _description(path)
    if not text.startswith(SIGNATURE):
        return None
    return text.removeprefix(MADE_FOR).decode("ascii", "ignore") if MADE_FOR in text else ""


def _scans_below(folder: Path, known_masks: set[str]) -> tuple[list[Path], list[str]]:
    listing = list_folder(folder, _is_no_result)
    kinds = {path: _kind(path, folder, known_masks) for path in listing.files}
    scans = [path for path, kind in kinds.items() if not kind]
    notes = _in_words(folder, kinds, listing)
    if not scans:
        raise no_scan(folder, " ".join(notes))
    return scans, notes


def _in_words(folder: Path, kinds: dict[Path, str], listing: Listing) -> list[str]:
    n = Counter(kind for kind in kinds.values() if kind)
    notes = list(listing.problems)
    if n:
        what = ", ".join(
            f"{number} file{'s' * (number != 1)} {kind}" for kind, number in sorted(n.items())
        )
        first = next(path for path, kind in kinds.items() if kind)
        notes.append(f"Passed over in {folder}: {what}, such as {first.name}.")
    return notes


def _is_no_result(folder: Path) -> bool:
    """Whether a folder is none of those in which a study keeps what it made."""
    ours = folder.name in _FOLDERS_OF_STUDY or folder.name.startswith(_SET_ASIDE)
    return not (ours and (folder.parent / "study.json").is_file())


def _kind(path: Path, folder: Path, known_masks: set[str]) -> str:
    """What a file is, other than a scan; empty for scans, and for what cannot be read."""
    if real_file(path) in known_masks:
        return "given as masks"
    if made_for(path) is not None:
        return "made by this program"
    within = path.relative_to(folder).parent.parts
    hint = has_mask_word(stem_of(path)) or any(map(has_mask_word, within))
    return "of masks or labels" if _holds_labels(path, hint) else ""


def _doubtful(files: Iterable[Path]) -> list[str]:
    """Say which named files look like masks."""
    masks = [p for p in files if has_mask_word(stem_of(p)) and _holds_labels(p, hint=True)]
    if not masks:
        return []
    is_one = len(masks) == 1
    names = ", ".join(path.name for path in masks[:3]) + (", ..." if len(masks) > 3 else "")
    return [
        f"{names} look{'s' * is_one} like {'a mask' if is_one else 'masks'}, and "
        f"{'is' if is_one else 'are'} taken as {'a scan' if is_one else 'scans'} since you named "
        f"{'it' if is_one else 'them'}."
    ]


def _holds_labels(path: Path, hint: bool) -> bool:
    try:
        if not _is_worth_reading(path, hint):
            return False
        scan = open_scan(path)
        if scan.frames > 1:
            return False
        values = scan.read_float()
    except (UserError, OSError):  # told when it is used as a scan
        return False
    return is_label_image(values) if hint else _is_two_valued(values)


def _is_worth_reading(path: Path, hint: bool) -> bool:
    """Whether a file may hold labels: without a hint, only what is compressed to almost nothing."""
    if not path.is_file():
        return False
    if not path.name.lower().endswith("gz"):
        return hint
    with path.open("rb") as file:
        compressed = file.seek(0, os.SEEK_END)
        file.seek(max(compressed - 4, 0))
        size = int.from_bytes(file.read(4), "little")  # gzip ends with the size of what is in it
    if size <= _SMALL_BYTES:
        return hint
    return compressed < size * (_FLAT if hint else _VERY_FLAT)


def _is_two_valued(values: NDArray[np.float32]) -> bool:
    """Whether there are exactly two values, one of them 0."""
    low, high = values.min(), values.max()
    return bool(low != high and 0 in (low, high) and ((values == low) | (values == high)).all())


def _share_of_equal_neighbours(values: NDArray[np.float32]) -> float:
    """Of voxels that are not 0, how many are like the next one along the first axis."""
    here, there = values[:-1], values[1:]
    inside = here != 0
    n = int(np.count_nonzero(inside))
    return float(np.count_nonzero(inside & (here == there)) / n) if n else 0.0


def _description(path: Path) -> bytes:
    """The description in the header of a NIfTI file; empty where there is none."""
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")) or not path.is_file():
        return b""
    try:
        with gzip.open(path) if name.endswith("gz") else path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
    except (OSError, EOFError, ValueError, zlib.error):
        return b""
    size = next((int.from_bytes(start[:4], order) for order in ("little", "big")
                 if int.from_bytes(start[:4], order) in _HEADERS), 0)  # fmt: skip
    at = _HEADERS.get(size, len(start))
    return start[at : at + _DESCRIPTION_BYTES].rstrip(b"\0")
