"""Which reference mask belongs to which scan of a study: the folder is listed once for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_singlestrip.errors import UserError


@dataclass(frozen=True)
class References:
    """The reference masks of the scans of a study.

    Attributes
    ----------
    exact : mapping of str to Path
        Masks by what they are called.
    matched : mapping of str to Path
        By the name of the scan: found by its file name and folders.
    doubtful : mapping of str to list of Path
        By the name of the scan: more than one could be meant.
    """

    exact: Mapping[str, Path] = field(default_factory=dict)
    matched: Mapping[str, Path] = field(default_factory=dict)
    doubtful: Mapping[str, list[Path]] = field(default_factory=dict)

    def of(self, name: str) -> Path | None:
        """Return the reference mask of a scan, or None when there is none.

        It has the name of the scan in the study, or else the same file name, in folders that are
        called alike as far as that tells it from others.

        Raises
        ------
        UserError
            If more than one could be meant.
        """
        if name in self.exact:
            return self.exact[name]
        if name in self.doubtful:
            raise UserError(
                f"It is not clear which reference mask belongs to {name}, such as "
                f"{self.doubtful[name][0]}.",
                f"Call it {name}_mask, or put the references in folders named like those of the "
                "scans.",
            )
        return self.matched.get(name)


def find_references(folder: Path | None, scans: Mapping[str, Path]) -> References:
    """Find the reference masks of all scans.

    Parameters
    ----------
    folder : Path or None
        Where they are; without it, there are none.
    scans : mapping of str to Path
        Names in the study, and files.

    Raises
    ------
    UserError
        If the references cannot be read.
    """
    if folder is None or not folder.is_dir():
        return References()
    from napari_singlestrip.engine.imaging.scan_names import find_masks, match, possible_names

    masks = find_masks(folder)
    exact: dict[str, Path] = {}
    for path, names in masks.items():
        if len(names) == 1:
            exact.setdefault(names[0], path)
    longest_first = {
        name: sorted({name, *possible_names(path)}, key=len, reverse=True)
        for name, path in scans.items()
    }
    return References(exact, *match(longest_first, masks))
