"""The Brain Imaging Data Structure (BIDS): recognising datasets and parsing file names.

File names and folders are enough, so nothing is indexed: finding a thousand participants takes no
longer than listing their folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_json

DESCRIPTION = "dataset_description.json"
# Structural images that are taken by default. Parametric maps have units of their own, and often no
# skull.
ANATOMICAL = (
    "T1w", "T2w", "PDw", "T2starw", "FLAIR", "inplaneT1", "inplaneT2", "PDT2", "UNIT1", "PD",
    "FLASH", "T2star",
)  # fmt: skip
NO_RAW_DATA = frozenset({"derivatives", "sourcedata", "code", "stimuli", "phenotype"})
_NO_MAGNITUDE = frozenset({"phase", "real", "imag"})
_NAME = re.compile(
    r"(?P<entities>sub-[A-Za-z0-9+]+(?:_[A-Za-z]+-[A-Za-z0-9+]+)*)_(?P<suffix>[A-Za-z0-9]+)"
    r"(?P<extension>\.nii(?:\.gz)?)"
)
_UP = re.compile(r"(sub|ses)-|(anat|func|dwi|perf|fmap|pet|mrs)$")


@dataclass(frozen=True)
class BidsName:
    """A file name, such as ``sub-01_ses-2_run-1_T1w.nii.gz``.

    Attributes
    ----------
    entities : dict of str to str
        In the order of the name, such as ``{"sub": "01", "ses": "2", "run": "1"}``.
    suffix : str
        What kind of image it is, such as "T1w".
    """

    entities: dict[str, str]
    suffix: str

    @classmethod
    def parse(cls, file_name: str) -> BidsName | None:
        """Read a file name; None if it is not of BIDS."""
        found = _NAME.fullmatch(file_name)
        if found is None:
            return None
        parts = (part.split("-", 1) for part in found["entities"].split("_"))
        return cls(dict(parts), found["suffix"])

    @property
    def folder(self) -> Path:
        """Folder of the session or participant, below the dataset."""
        parts = [f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities]
        return Path(*parts)


@dataclass(frozen=True)
class BidsChoice:
    """Which scans of a dataset are wanted.

    Attributes
    ----------
    suffixes : tuple of str
        Such as ("T1w", "bold"); empty for the structural ones in ``anat/``.
    participants : tuple of str
        Labels without "sub-"; empty for all participants.
    """

    suffixes: tuple[str, ...] = ()
    participants: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything was chosen."""
        return bool(self.suffixes or self.participants)

    def in_words(self) -> str:
        """Which suffixes are taken."""
        if self.suffixes:
            return f"only {', '.join(self.suffixes)} was requested"
        return (
            "in a BIDS dataset, only structural scans in anat/ are taken by default, others with "
            "singlestrip new --suffix"
        )

    def why_not(self, file: Path) -> str:
        """Why a file of a dataset is skipped; empty if it is wanted."""
        name = BidsName.parse(file.name)
        if name is None:
            return "not named as BIDS has it"
        if self.participants and name.entities["sub"] not in self.participants:
            return "of other participants"
        if self.suffixes:
            wanted = name.suffix in self.suffixes
        else:
            wanted = file.parent.name == "anat" and name.suffix in ANATOMICAL
        if not wanted:
            return f"{name.suffix}"
        part = name.entities.get("part", "")
        return f"{part} images" if part in _NO_MAGNITUDE else ""


@dataclass(frozen=True)
class BidsDataset:
    """A dataset on disk.

    Attributes
    ----------
    root : Path
        Its folder.
    """

    root: Path
    problems: list[str] = field(default_factory=list, compare=False)

    @cached_property
    def description(self) -> dict[str, Any]:
        """What dataset_description.json says; empty, with a problem, where that cannot be read."""
        path = self.root / DESCRIPTION
        try:
            content = read_json(path)
        except FileNotFoundError:
            self.problems.append(
                f"{self.root} has no {DESCRIPTION}: by its folders it is taken as a BIDS dataset."
            )
            return {}
        except (UserError, OSError) as error:
            self.problems.append(f"{getattr(error, 'what', error)} It says nothing, then.")
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def is_derivative(self) -> bool:
        """Whether it holds derivatives rather than raw scans."""
        return self.description.get("DatasetType") == "derivative"

    @property
    def participants(self) -> list[str]:
        """Labels of all participants, sorted."""
        return sorted(path.name[4:] for path in self.root.glob("sub-*") if path.is_dir())


class BidsFolders:
    """Which dataset a folder is in; each folder is read once."""

    def __init__(self) -> None:
        self._known: dict[Path, BidsDataset | None] = {}

    def at(self, folder: Path) -> BidsDataset | None:
        """The dataset whose root a folder is."""
        if folder not in self._known:
            self._known[folder] = BidsDataset(folder) if is_root(folder) else None
        return self._known[folder]

    def above(self, folder: Path) -> BidsDataset | None:
        """The dataset of which a folder is the root, a participant or a session."""
        for place in (folder, *folder.absolute().parents):
            if (dataset := self.at(place)) is not None or not _UP.match(place.name):
                return dataset
        return None

    def within(self, path: Path, top: Path) -> BidsDataset | None:
        """The dataset that a file below `top` is in: the nearest one."""
        for place in path.parents:
            if (dataset := self.at(place)) is not None:
                return dataset
            if place == top:
                break
        return self.above(top)


def is_root(folder: Path) -> bool:
    """Whether a folder is a dataset: by its description file, or by its layout."""
    if (folder / DESCRIPTION).is_file():
        return True
    return any(
        BidsName.parse(path.name) is not None and path.name.startswith(f"{person.name}_")
        for person in _people(folder)
        for pattern in ("anat/sub-*.nii*", "ses-*/anat/sub-*.nii*")
        for path in person.glob(pattern)
    )


def dataset_of(file: Path, folders: BidsFolders | None = None) -> BidsDataset | None:
    """The dataset that a scan is in; None if it has no place or name there.

    Parameters
    ----------
    file : Path
    folders : BidsFolders, optional
        A cache, for callers that ask about many scans.
    """
    if BidsName.parse(file.name) is None:
        return None
    return (folders or BidsFolders()).above(file.absolute().parent)


def _people(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.glob("sub-*")
    except OSError:  # reported when the folder is listed
        return
