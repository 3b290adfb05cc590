"""Masks that other programs made: which belongs to which scan, and where a study's came from.

Read without torch: the window looks through a folder before the job takes its masks in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from napari_singlestrip.errors import UserError
from napari_singlestrip.failures import attempt
from napari_singlestrip.files.atomic import read_json
from napari_singlestrip.study.references import References, find_references, without_scans
from napari_singlestrip.study.round_folder import RoundFolder, first_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import MaskRecord
from napari_singlestrip.texts import counted

UNKNOWN = "another program"  # whose name is not known


@dataclass(frozen=True)
class OtherMasks:
    """A folder of masks of one program, with those of each scan.

    Attributes
    ----------
    folder : Path
    found : References
    names : tuple of str
        Scans of the study.
    lonely : tuple of Path
        Masks named like no scan.
    """

    folder: Path
    found: References
    names: tuple[str, ...] = ()
    lonely: tuple[Path, ...] = ()

    def of(self, name: str) -> Path | None:
        """Return the mask of a scan, or None.

        Raises
        ------
        UserError
            If more than one could be meant.
        """
        return self.found.of(name)

    @property
    def masked(self) -> tuple[str, ...]:
        """Scans that have a mask in the folder."""
        return tuple(n for n in self.names if isinstance(attempt(self.of, n), Path))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is left out, and the way out: masks of no scan, or of more than one."""
        return tuple(filter(None, (self._doubtful(), self._lonely())))

    def _doubtful(self) -> str:
        doubtful = {path for paths in self.found.doubtful.values() for path in paths}
        if not doubtful:
            return ""
        whose = ", ".join(list(self.found.doubtful)[:3])
        return (
            f"In {self.folder}, it is not clear whose mask {min(doubtful).name} is ({whose}): it "
            "is left out. Put masks into folders named like those of the scans."
        )

    def _lonely(self) -> str:
        if not self.lonely:
            return ""
        are = "is" if len(self.lonely) == 1 else "are"
        return (
            f"{counted(len(self.lonely), 'mask')} in {self.folder} {are} named like no scan, such "
            f"as {self.lonely[0].name}, and left out. Call each like its scan, with _mask behind "
            "it."
        )


def find_other_masks(folder: Path, scans: Mapping[str, Path]) -> OtherMasks:
    """Find the masks of scans in a folder.

    Parameters
    ----------
    folder : Path
    scans : mapping of str to Path
        Names in the study, and files.

    Raises
    ------
    UserError
        If there is no such folder, or it holds no masks: scans of the study are none.
    """
    from napari_singlestrip.engine.imaging.scan_names import find_masks

    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} of masks.", "Check the path.")
    masks = without_scans(find_masks(folder), scans)
    if not masks:
        raise UserError(
            f"In {folder} are scans of this study, and no masks.", "Choose the folder of the masks."
        )
    found = find_references(folder, scans)
    used = {path for name in scans if isinstance(path := attempt(found.of, name), Path)}
    doubtful = {path for paths in found.doubtful.values() for path in paths}
    lonely = sorted(set(masks) - used - doubtful)
    return OtherMasks(folder, found, tuple(scans), tuple(lonely))


@dataclass(frozen=True)
class OtherMask:
    """The mask of a scan that another program made.

    Attributes
    ----------
    name : str
        The scan's.
    program : str
        Name of the folder of its masks.
    file : Path
    """

    name: str
    program: str
    file: Path


def other_mask(name: str, sources: Sequence[OtherMasks]) -> OtherMask | None:
    """Return the mask of a scan: of the first program that has one.

    Raises
    ------
    UserError
        If more than one could be meant.
    """
    found = ((source.folder.name, source.of(name)) for source in sources)
    return next((OtherMask(name, who, path) for who, path in found if path is not None), None)


@dataclass(frozen=True)
class Origin:
    """Where an imported mask came from.

    Attributes
    ----------
    program : str
        The program that made it: the name of its folder.
    file : str
        Absolute path; empty if it is not known.
    is_good : bool
        Whether it was declared good: it is no pseudo-label then.
    """

    program: str
    file: str = ""
    is_good: bool = False


def origins_of(study: Study) -> dict[str, Origin]:
    """Origin of each imported mask of round 0, and of those declared good; empty if we made it."""
    if not first_round(study):
        return {}
    with suppress(FileNotFoundError, UserError):
        known = read_json(RoundFolder(study.rounds.folder(0)).origins)
        if isinstance(known, dict):
            return {name: origin for name, said in known.items() if (origin := _origin(said))}
    return {}


def _origin(said: object) -> Origin | None:
    if not isinstance(said, dict) or not isinstance(said.get("program"), str):
        return None
    file = said.get("file")
    return Origin(said["program"], file if isinstance(file, str) else "", said.get("good") is True)


def programs_of(study: Study) -> tuple[str, ...]:
    """Names of the programs that made the masks of round 0, most masks first; none if we did."""
    if not first_round(study):
        return ()
    found = Counter(one.program for one in origins_of(study).values() if not one.is_good)
    return tuple(program for program, _ in found.most_common()) or (UNKNOWN,)


def maker_of_good(record: MaskRecord, origin: Origin | None) -> str:
    """Return the program whose mask was declared good and not changed since; else empty."""
    unchanged = origin is not None and bool(origin.file) and record.source == origin.file
    return origin.program if origin is not None and unchanged else ""


def has_network(study: Study) -> bool:
    """Whether a study has a network of its own, so that no masks of others can be judged."""
    rounds = study.rounds.numbers()
    trained = any(RoundFolder(study.rounds.folder(n)).segmenter.exists() for n in rounds)
    return trained or study.rounds.current() > 0


def in_words(sources: Sequence[OtherMasks], n_scans: int) -> str:
    """Say how many scans have a mask."""
    masked = {name for source in sources for name in source.masked}
    return f"{len(masked)} of {counted(n_scans, 'scan')} have a mask."
