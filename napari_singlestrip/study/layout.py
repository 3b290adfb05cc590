"""Arrangement of results in a folder: flat, or as a BIDS derivative.

BIDS names a mask by the entities of its scan without the suffix, so that a T1w and a T2w scan of
the same participant would share a mask. The contrast that other programs look for first (T1w if
there is one) gets the plain name, the others state their space:
``sub-01_space-T2w_desc-brain_mask.nii.gz``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from napari_singlestrip.engine.imaging.bids import (
    ANATOMICAL,
    BidsDataset,
    BidsFolders,
    BidsName,
    dataset_of,
)
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.volumes_table import (
    BRAIN_SUFFIX,
    MASK_SUFFIX,
    PROBABILITY_SUFFIX,
    AppliedRow,
)

Kind = Literal["flat", "bids"]
KINDS = ("flat", "bids")

# Entities allowed in the name of a mask, in order; other entities of a scan go into its space.
_ENTITIES = (
    "sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "part", "space", "chunk",
)  # fmt: skip
_EVERYWHERE = frozenset(_ENTITIES) - {"dir", "ce"}
_ALSO = {"anat": {"ce"}, "func": {"ce", "dir"}, "dwi": {"dir"}}


@dataclass(frozen=True)
class Place:
    """Paths of the results of a scan, relative to the output folder.

    Attributes
    ----------
    mask, brain, probability : str
    source : str
        BIDS URI of the scan; empty if results have no sidecars.
    """

    mask: str
    brain: str
    probability: str
    source: str = ""


@dataclass
class Layout:
    """Arrangement of a folder of results.

    Attributes
    ----------
    kind : {"flat", "bids"}
    links : dict of str to Path
        Names of the datasets that scans come from, for URIs such as ``bids:raw:sub-01/...``.
    """

    kind: Kind
    links: dict[str, Path] = field(default_factory=dict)
    _folders: BidsFolders = field(default_factory=BidsFolders)
    _first: dict[Path, str] = field(default_factory=dict)

    def places(self, file: Path, name: str, kept: str = "") -> tuple[Place, ...]:
        """Possible paths of the results of a scan, best first.

        Parameters
        ----------
        file : Path
            The scan.
        name : str
            Name of the results in a flat folder.
        kept : str
            An existing mask, whose path is kept.

        Raises
        ------
        UserError
            If a scan has no place in a BIDS derivative.
        """
        if self.kind == "flat":
            return (flat_place(name),)
        dataset = dataset_of(file, self._folders)
        found = BidsName.parse(file.name)
        if dataset is None or found is None:
            raise UserError(
                f"{file} is in no BIDS dataset, so it has no place in a BIDS derivative.",
                "Use --layout flat, or another --out for it.",
            )
        link = self._link(dataset)
        source = f"bids:{link}:{file.relative_to(dataset.root).as_posix()}"
        places = _bids_places(found, file.parent.name, source)
        there = [place for place in places if place.mask == kept]
        if there or self._is_first(file, found):
            return (*there, *(place for place in places if place not in there))
        return places[-1:]

    def _is_first(self, file: Path, found: BidsName) -> bool:
        """Whether a scan has the contrast in its folder that other programs look for first."""
        folder = file.parent
        if folder.name != "anat":
            return True
        if folder not in self._first:
            self._first[folder] = _first_contrast(folder)
        return self._first[folder] == found.suffix

    def _link(self, dataset: BidsDataset) -> str:
        for link, root in self.links.items():
            if root == dataset.root:
                return link
        link = f"raw{len(self.links) + 1}" if self.links else "raw"
        self.links[link] = dataset.root
        return link


def choose_layout(
    wanted: Kind | None, files: Iterable[Path], rows: Iterable[AppliedRow] = ()
) -> Layout:
    """Choose the arrangement: as requested, else as existing results, else as the scans.

    Parameters
    ----------
    wanted : {"flat", "bids"}, optional
    files : iterable of Path
        Scans; if all are in BIDS datasets, the results are BIDS derivatives.
    rows : iterable of AppliedRow
        Rows of existing results.
    """
    layout = Layout(wanted or "flat")
    if wanted is None:
        masks = [row.mask for row in rows if row.mask]
        if masks:
            layout.kind = "bids" if all("/" in mask for mask in masks) else "flat"
        else:
            found = [dataset_of(file, layout._folders) is not None for file in files]
            layout.kind = "bids" if found and all(found) else "flat"
    return layout


def flat_place(name: str) -> Place:
    """Paths in a flat folder."""
    return Place(name + MASK_SUFFIX, name + BRAIN_SUFFIX, name + PROBABILITY_SUFFIX)


def _bids_places(found: BidsName, datatype: str, source: str) -> tuple[Place, ...]:
    """The plain name, and the name with the scan's space; only the latter if required."""
    allowed = (_EVERYWHERE | _ALSO.get(datatype, set())) & set(_ENTITIES)
    entities = {key: value for key, value in found.entities.items() if key in allowed}
    others = "".join(
        key + value for key, value in found.entities.items() if key not in (*allowed, "desc")
    )
    own_space = f"{found.suffix}{others}".replace("+", "")
    plain = _place(found, datatype, entities, source)
    if "space" in entities:
        return (plain,)
    spaced = _place(found, datatype, {**entities, "space": own_space}, source)
    return (spaced,) if others else (plain, spaced)


def _place(found: BidsName, datatype: str, entities: dict[str, str], source: str) -> Place:
    folder = PurePosixPath(found.folder.as_posix(), datatype)

    def path(ending: str, without: str = "") -> str:
        words = [f"{k}-{entities[k]}" for k in _ENTITIES if k in entities and k != without]
        return str(folder / "_".join([*words, ending]))

    return Place(
        path("desc-brain_mask.nii.gz"),
        path(f"desc-brain_{found.suffix}.nii.gz"),
        path("label-brain_probseg.nii.gz"),
        source,
    )


def _first_contrast(folder: Path) -> str:
    """The contrast in a folder that other programs look for first."""
    try:
        names = [BidsName.parse(name) for name in os.listdir(folder)]
    except OSError:
        return ""
    there = {name.suffix for name in names if name is not None}
    return next((suffix for suffix in ANATOMICAL if suffix in there), "")
