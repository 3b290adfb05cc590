"""Listing the series in a folder, for the user to choose from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_singlestrip.dicom.reading import frames_of, need, read_header
from napari_singlestrip.dicom.stack import Frame, SlicesMissing, Stack, orientation_words, stack
from napari_singlestrip.engine.imaging.dicom_files import files_below, is_dicom
from napari_singlestrip.errors import UserError
from napari_singlestrip.texts import counted

if TYPE_CHECKING:
    from pydicom import Dataset

_SHORTEST_WORD = 3  # shortest part of a name that is removed from descriptions


@dataclass(frozen=True)
class Person:
    """The identity of a patient; never shown, and only written as a digest."""

    identity: tuple[str, str, str] = field(repr=False)

    def without(self, text: str) -> str:
        """Return a text without the patient's name and number."""
        parts = self.identity[:2]
        words = {*parts, *(word for part in parts for word in re.split(r"[\W_]+", part))}
        for word in sorted(words, key=len, reverse=True):
            if len(word) >= _SHORTEST_WORD:
                text = re.sub(re.escape(word), "", text, flags=re.IGNORECASE)
        return text


@dataclass(frozen=True)
class Series:
    """A series of images.

    Attributes
    ----------
    number : int
        In the list, from 1, for choosing.
    person : Person
    person_number : int
        Number of the patient in the list, from 1.
    visit : int
        Number of the patient's examination in the list, from 1.
    uid, study_uid, frame_uid : str
        Of the series, the study and the frame of reference.
    series_number : int
        As given by the scanner; 0 if missing.
    description : str
        Without patient data.
    files : tuple of Path
    n_images : int
        Files, or frames of multi-frame files.
    shape : tuple of int
        Columns, rows, slices; empty if they are not a volume.
    voxels_mm : tuple of float
    orientation : str
    transfer_syntax : str
        Encoding of the images.
    problem : str
        Why it cannot be converted; empty if it can.
    is_cut : bool
        Whether that is because slices are missing: as a whole it would be a volume.
    n_volumes : int
        Images of each slice: echoes or time points.
    """

    number: int
    person: Person
    person_number: int
    visit: int
    uid: str
    study_uid: str
    frame_uid: str
    series_number: int
    description: str
    files: tuple[Path, ...] = field(repr=False)
    n_images: int
    shape: tuple[int, ...] = ()
    voxels_mm: tuple[float, ...] = ()
    orientation: str = ""
    transfer_syntax: str = ""
    problem: str = ""
    is_cut: bool = False
    n_volumes: int = 1
    grid: Stack | None = field(default=None, repr=False)

    @property
    def size_words(self) -> str:
        """Columns, rows and slices in words."""
        return " x ".join(map(str, self.shape))

    @property
    def voxel_words(self) -> str:
        """Voxel size in words."""
        return " x ".join(f"{mm:.3g}" for mm in self.voxels_mm)

    @property
    def note(self) -> str:
        """A remark for the user before choosing it."""
        if self.problem:
            return self.problem
        return f"{self.n_volumes} images of each slice" if self.n_volumes > 1 else ""


class FoundSeries(tuple[Series, ...]):
    """Series, and notes on skipped files.

    Attributes
    ----------
    notes : tuple of str
    """

    notes: tuple[str, ...]

    def __new__(cls, series: Iterable[Series], notes: Iterable[str] = ()) -> FoundSeries:
        """Combine the series and the notes on other files."""
        found = super().__new__(cls, series)
        found.notes = tuple(notes)
        return found


def find_series(folder: Path, go_on: Callable[[int], bool] = lambda _: True) -> FoundSeries:
    """List the series in a folder, at any depth; only headers are read.

    Parameters
    ----------
    folder : Path
    go_on : callable
        Called with the number of files read; returns False to stop.

    Raises
    ------
    UserError
        If the folder is missing or has no DICOM images, or pydicom is missing.
    """
    need("pydicom")
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder.", "Name the folder that the DICOM files are in.")
    groups: dict[str, list[tuple[Path, Dataset]]] = {}
    passed: Counter[str] = Counter()
    seen: set[str] = set()
    for n, path in enumerate(files_below(folder), 1):
        if not go_on(n):
            break
        why = _take(path, groups, seen)
        passed[why] += bool(why)
    if not groups:
        raise UserError(f"There are no DICOM images in {folder}.", _in_words(passed))
    notes = [f"Skipped: {_in_words(passed)}"] if +passed else []
    return FoundSeries(_numbered(groups), notes)


def choose(found: Sequence[Series], wanted: str) -> list[Series]:
    """Return the series that ``"2,5-7"`` or ``"all"`` means.

    All are those that can be converted, and those of which slices are missing: they fail, so that
    nobody takes the rest for all.

    Raises
    ------
    UserError
        If it names none, or one that is not in the list.
    """
    if wanted.strip().lower() == "all":
        chosen = [one for one in found if not one.problem or one.is_cut]
        if not chosen:
            raise UserError("None of the series can be converted.", "See the list for the reasons.")
        return chosen
    numbers: dict[int, None] = {}
    for part in wanted.split(","):
        ends = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", part)
        if ends is None:
            raise UserError(
                f"Cannot read --series {wanted!r}.", "Write numbers of the list: 2,5-7, or all."
            )
        first = int(ends[1])
        numbers |= dict.fromkeys(range(first, int(ends[2] or first) + 1))
    known = {one.number: one for one in found}
    unknown = [n for n in numbers if n not in known]
    if unknown or not numbers:
        raise UserError(
            f"There is no series {', '.join(map(str, unknown[:5]))} in the list.",
            f"It has {counted(len(known), 'line')}: see `singlestrip dicom DIR`.",
        )
    return [known[n] for n in numbers]


def _take(
    path: Path, groups: dict[str, list[tuple[Path, Dataset]]], seen: set[str]
) -> str:
    """Add a file to its series, or return why it is skipped."""
    if not is_dicom(path):
        return "of other kinds"
    data = read_header(path)
    if data is None:
        return "damaged"
    uid = str(data.get("SeriesInstanceUID", ""))
    if not uid or not data.get("Rows") or not data.get("Columns"):
        return "without an image"
    if data.get("Modality") in ("SEG", "RTSTRUCT", "RTDOSE", "PR", "SR", "KO"):
        return "results of other programs"
    own = str(data.get("SOPInstanceUID", path))
    if own in seen:
        return "there twice"
    seen.add(own)
    groups.setdefault(uid, []).append((path, data))
    return ""


def _in_words(passed: Counter[str]) -> str:
    return ", ".join(f"{counted(n, 'file')} {why}" for why, n in sorted((+passed).items())) + "."


def _numbered(groups: dict[str, list[tuple[Path, Dataset]]]) -> list[Series]:
    """Series by patient, visit and number; patients in the order of discovery."""
    heads = {uid: files[0][1] for uid, files in groups.items()}
    people = list(dict.fromkeys(map(_person, heads.values())))
    visits = _visits(heads.values())
    made = [
        _series(
            uid, groups[uid], _person(head), people.index(_person(head)) + 1,
            visits[_person(head), _text(head, "StudyInstanceUID")],
        )
        for uid, head in heads.items()
    ]
    made.sort(key=lambda one: (one.person_number, one.visit, one.series_number, one.uid))
    return [replace(one, number=n) for n, one in enumerate(made, 1)]


def _visits(heads: Iterable[Dataset]) -> dict[tuple[Person, str], int]:
    """Examinations of each patient, numbered by date and time."""
    days = {
        (_person(head), _text(head, "StudyInstanceUID")):
        _text(head, "StudyDate") + _text(head, "StudyTime")
        for head in heads
    }
    visits: dict[tuple[Person, str], int] = {}
    counts: Counter[Person] = Counter()
    for person, uid in sorted(days, key=lambda visit: (days[visit], visit[1])):
        counts[person] += 1
        visits[person, uid] = counts[person]
    return visits


def _series(
    uid: str, files: list[tuple[Path, Dataset]], person: Person, person_number: int, visit: int
) -> Series:
    first = files[0][1]
    frames = [frame for _, data in files for frame in frames_of(data)]
    grid, problem, is_cut = _put_together(frames, files)
    return Series(
        0, person, person_number, visit, uid,
        _text(first, "StudyInstanceUID"),
        _text(first, "FrameOfReferenceUID"),
        _whole(first.get("SeriesNumber")),
        _description(first, person),
        tuple(path for path, _ in files),
        _n_frames(files),
        grid.shape if grid else (),
        tuple(np.linalg.norm(grid.affine[:3, :3], axis=0).tolist()) if grid else (),
        orientation_words(frames[0]) if frames and grid else "",
        _syntax(first),
        problem,
        is_cut,
        grid.n_volumes if grid else 1,
        grid,
    )


def _put_together(
    frames: list[Frame], files: list[tuple[Path, Dataset]]
) -> tuple[Stack | None, str, bool]:
    if len(frames) < _n_frames(files):
        return None, "Its images have no position in space.", False
    if any(_whole(data.get("SamplesPerPixel")) > 1 for _, data in files):
        return None, "Its images are in colour.", False
    try:
        return stack(frames), "", False
    except UserError as error:
        return None, error.what, isinstance(error, SlicesMissing)


def _n_frames(files: list[tuple[Path, Dataset]]) -> int:
    return sum(max(1, _whole(data.get("NumberOfFrames"))) for _, data in files)


def _person(data: Dataset) -> Person:
    return Person(
        (_text(data, "PatientName"), _text(data, "PatientID"), _text(data, "PatientBirthDate"))
    )


def _text(data: Dataset, tag: str) -> str:
    return str(data.get(tag) or "")


def _description(data: Dataset, person: Person) -> str:
    text = _text(data, "SeriesDescription") or _text(data, "ProtocolName")
    return " ".join(person.without(text).split())


def _syntax(data: Dataset) -> str:
    meta = getattr(data, "file_meta", None)
    uid = getattr(meta, "TransferSyntaxUID", None)
    return "" if uid is None else str(uid.name)


def _whole(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0
