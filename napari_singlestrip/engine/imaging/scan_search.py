"""Which of the files in a folder are scans: masks and this program's own output are skipped.

The name alone proves nothing (``seg3d_T1w`` is a scan, ``masks/sub-01`` is not), and reading every
file of a large folder takes too long. So a name, or an extreme compression ratio, makes a file
suspect, and its content decides. A file that is given by name is always taken as a scan.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.bids import NO_RAW_DATA, BidsChoice, BidsDataset, BidsFolders
from napari_singlestrip.engine.imaging.scan import open_scan
from napari_singlestrip.engine.imaging.scan_files import (
    Listing,
    checked_name,
    image_of_pair,
    list_folder,
    no_scan,
    real_file,
)
from napari_singlestrip.engine.imaging.scan_names import SEGMENTATION, stem_of
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_json

# Signature in the header of every file this program writes, and the scan it was made for.
SIGNATURE = b"napari-singlestrip"
MADE_FOR = SIGNATURE + b" for "

# Words in the names of masks and label files.
MASK_WORDS = frozenset({
    "mask", "masks", "brainmask", "brainmasks", "seg", "segs", "dseg", "aseg", "aparc",
    "segmentation", "segmentations", "label", "labels", "labelmap", "labelmaps", "parc",
    "parcellation", "roi", "rois", "lesion", "lesions",
})  # fmt: skip
_FOLDERS_OF_STUDY = ("masks", "rounds", "drafts", "applied", "thumbnails")
_SET_ASIDE = "rounds_set_aside_"

_MAX_LABELS = 512  # whole-brain parcellations have some 200
_SMALL_BYTES = 2**20  # below this, files are read: that is quick, and compression says little
_FLAT, _VERY_FLAT = 0.1, 0.03  # compressed by uncompressed size: grey values stay above
_HEADER_BYTES = 352
_HEADERS = {348: 148, 540: 240}  # size of a NIfTI header, and where its description begins
_DESCRIPTION_BYTES = 80


class FoundScans(tuple[Path, ...]):
    """Scan files, sorted, each once. A broken link among them is reported when it is opened.

    Attributes
    ----------
    notes : tuple of str
        Files that were skipped, and why; and files that were taken although they look like masks.
    """

    notes: tuple[str, ...]

    def __new__(cls, files: Iterable[Path], notes: Iterable[str] = ()) -> FoundScans:
        """Combine the files and the notes on them."""
        found = super().__new__(cls, files)
        found.notes = tuple(notes)
        return found


def find_scans(paths: Iterable[str | Path]) -> list[Path]:
    """`search`, for callers that need the files alone."""
    return list(search(paths))


def search(
    paths: Iterable[str | Path],
    masks: Iterable[str | Path] = (),
    choice: BidsChoice | None = None,
) -> FoundScans:
    """Find the scans among files and, at any depth, in folders.

    Parameters
    ----------
    paths : iterable of str or Path
        A file is taken as a scan. In folders, hidden files, files of other types, masks, and this
        program's own output are skipped; links are followed.
    masks : iterable of str or Path
        Files that the user declared as masks, even if they are among `paths`.
    choice : BidsChoice, optional
        Which scans of BIDS datasets are wanted; by default the structural ones.

    Raises
    ------
    UserError
        If a path does not exist, a file has no extension of a scan, or a folder has no scan.
    """
    choice = choice or BidsChoice()
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
        scans, said = _scans_below(path, known_masks, choice)
        notes += said
        for scan in scans:
            found.setdefault(real_file(scan), scan)
    reals = {real_file(path) for path in named.values()}
    files = [*named.values(), *(path for real, path in found.items() if real not in reals)]
    return FoundScans(sorted(files), (*notes, *_doubtful(named.values())))


def has_mask_word(name: str) -> bool:
    """Whether a name contains a word of masks and label files (not "seg3d" or "unmasked")."""
    words = re.split(r"[\W_]+", name.casefold())
    return any(word.rstrip("0123456789") in MASK_WORDS for word in words)


def is_label_image(values: NDArray[np.float32]) -> bool:
    """Whether values are a mask or labels: few distinct integers, and constant over regions."""
    if _is_two_valued(values):
        return True
    if not np.isfinite(values).all() or (values != np.rint(values)).any():
        return False
    return np.unique(values).size <= _MAX_LABELS and _share_of_equal_neighbours(values) > 0.5


def made_for(path: Path) -> str | None:
    """Fingerprint of the scan for which this program made a file; None for other files.

    Empty when not known: files of older versions, maps and sample masks lack it.
    """
    text = _description(path)
    if not text.startswith(SIGNATURE):
        return None
    return text.removeprefix(MADE_FOR).decode("ascii", "ignore") if MADE_FOR in text else ""


def _scans_below(
    folder: Path, known_masks: set[str], choice: BidsChoice
) -> tuple[list[Path], list[str]]:
    looked = _Looked(folder, BidsFolders(), choice)
    listing = list_folder(folder, looked.enter)
    kinds = {path: looked.kind(path, known_masks) for path in listing.files}
    scans = [path for path, kind in kinds.items() if not kind]
    notes = [*_in_words(folder, kinds, listing, choice), *looked.notes(scans)]
    if not scans:
        raise no_scan(folder, " ".join(notes))
    return scans, notes


@dataclass
class _Looked:
    """What was found of BIDS datasets below a folder."""

    top: Path
    bids: BidsFolders
    choice: BidsChoice
    datasets: dict[Path, BidsDataset] = field(default_factory=dict)
    not_entered: list[str] = field(default_factory=list)

    def enter(self, folder: Path) -> bool:
        """Whether a folder below the top may contain scans."""
        if not _is_no_result(folder):
            return False
        parent, own = self.bids.at(folder.parent), self.bids.at(folder)
        results = own is not None and own.is_derivative
        if (parent is not None and folder.name in NO_RAW_DATA) or results:
            self.not_entered.append(folder.relative_to(self.top).as_posix())
            return False
        return True

    def kind(self, path: Path, known_masks: set[str]) -> str:
        """Why a file is skipped; empty if it is a wanted scan."""
        dataset = self.bids.within(path, self.top)
        if dataset is None:
            return _kind(path, self.top, known_masks)
        self.datasets[dataset.root] = dataset
        if real_file(path) in known_masks:
            return "given as masks"
        if made_for(path) is not None:
            return "made by this program"
        return self.choice.why_not(path)

    def notes(self, scans: Iterable[Path]) -> list[str]:
        """Further notes on the datasets."""
        notes = []
        if self.not_entered:
            names = [f"{name}/" for name in self.not_entered[:4]]
            more = ", ..." if len(self.not_entered) > 4 else ""
            notes.append(f"Not looked into: {', '.join(names)}{more}.")
        for dataset in self.datasets.values():
            _ = dataset.description
            notes += dataset.problems
            known = dataset.participants
            if unknown := [p for p in self.choice.participants if p not in known]:
                notes.append(
                    f"{dataset.root} has no participant {', '.join(unknown)}; it has "
                    f"{', '.join(known[:10])}{', ...' if len(known) > 10 else ''}."
                )
        if self.choice and not self.datasets:
            notes.append(f"{self.top} is no BIDS dataset, so nothing of it could be chosen.")
        return notes + (_broken_sidecars(scans) if self.datasets else [])


def _broken_sidecars(scans: Iterable[Path]) -> list[str]:
    """Note which sidecars are not JSON: no scan is lost, but the dataset should be corrected."""
    broken = []
    for scan in scans:
        sidecar = scan.with_name(f"{stem_of(scan)}.json")
        try:
            if sidecar.is_file():
                read_json(sidecar)
        except (UserError, OSError):
            broken.append(sidecar.name)
    if not broken:
        return []
    what = f"{len(broken)} sidecar{'s' * (len(broken) > 1)}"
    return [f"{what} cannot be read as JSON, such as {broken[0]}; the scans are taken without."]


def _in_words(
    folder: Path, kinds: dict[Path, str], listing: Listing, choice: BidsChoice
) -> list[str]:
    n = Counter(kind for kind in kinds.values() if kind)
    notes = list(listing.problems)
    if n:
        suffixes = [kind for kind in n if " " not in kind]
        what = ", ".join(
            f"{n[kind]} {kind}" if kind in suffixes
            else f"{n[kind]} file{'s' * (n[kind] != 1)} {kind}"
            for kind in sorted(n)
        )
        first = next(path for path, kind in kinds.items() if kind)
        why = f" ({choice.in_words()})" if suffixes else ""
        notes.append(f"Skipped in {folder}: {what}, such as {first.name}{why}.")
    return notes


def _is_no_result(folder: Path) -> bool:
    """Whether a folder is not one of a study's own output folders."""
    ours = folder.name in _FOLDERS_OF_STUDY or folder.name.startswith(_SET_ASIDE)
    return not (ours and (folder.parent / "study.json").is_file())


def _kind(path: Path, folder: Path, known_masks: set[str]) -> str:
    """Why a file is skipped; empty for scans and for unreadable files."""
    if real_file(path) in known_masks:
        return "given as masks"
    if made_for(path) is not None:
        return "made by this program"
    if stem_of(path).lower().endswith(SEGMENTATION):
        return "of masks or labels"
    within = path.relative_to(folder).parent.parts
    hint = has_mask_word(stem_of(path)) or any(map(has_mask_word, within))
    return "of masks or labels" if _holds_labels(path, hint) else ""


def _doubtful(files: Iterable[Path]) -> list[str]:
    """Note which of the named files look like masks."""
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
    except (UserError, OSError):  # reported when it is used as a scan
        return False
    return is_label_image(values) if hint else _is_two_valued(values)


def _is_worth_reading(path: Path, hint: bool) -> bool:
    """Whether a file may hold labels: without a hint, only at an extreme compression ratio."""
    if not path.is_file():
        return False
    if not path.name.lower().endswith("gz"):
        return hint
    with path.open("rb") as file:
        compressed = file.seek(0, os.SEEK_END)
        file.seek(max(compressed - 4, 0))
        size = int.from_bytes(file.read(4), "little")  # gzip ends with the uncompressed size
    if size <= _SMALL_BYTES:
        return hint
    return compressed < size * (_FLAT if hint else _VERY_FLAT)


def _is_two_valued(values: NDArray[np.float32]) -> bool:
    """Whether there are exactly two distinct values, one of them 0."""
    low, high = values.min(), values.max()
    return bool(low != high and 0 in (low, high) and ((values == low) | (values == high)).all())


def _share_of_equal_neighbours(values: NDArray[np.float32]) -> float:
    """Fraction of non-zero voxels that equal the next one along the first axis."""
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
