"""Reading DICOM headers, without revealing patient data in messages."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_singlestrip.dicom.stack import Frame
from napari_singlestrip.errors import UserError

if TYPE_CHECKING:
    from pydicom import Dataset

TAGS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType",
    "PatientName", "PatientID", "PatientBirthDate",
    "StudyDate", "StudyTime", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "SeriesNumber", "SeriesDescription", "ProtocolName", "InstanceNumber",
    "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "SamplesPerPixel",
    "ImagePositionPatient", "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


def need(*modules: str) -> None:
    """Check that the packages of the extra are installed.

    Raises
    ------
    UserError
        If one is missing.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UserError(
            f"{' and '.join(missing)}, which DICOM needs, is not installed.",
            'Install it: pip install "napari-singlestrip[dicom]"',
        )


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress pydicom's warnings, which may contain header data such as a patient's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(path: Path, whole: bool = False) -> Dataset | None:
    """Read the header of a file, without its image; None if it is damaged or not DICOM."""
    import pydicom

    tags: Any = None if whole else TAGS
    try:
        with quietly():
            return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except (OSError, EOFError, ValueError, AttributeError, KeyError, TypeError,
            NotImplementedError, pydicom.errors.InvalidDicomError):  # fmt: skip
        return None


def frames_of(data: Dataset) -> list[Frame]:
    """The slices of an image; empty if they have no position in space."""
    try:
        with quietly():
            if "PerFrameFunctionalGroupsSequence" not in data:
                if int(data.get("NumberOfFrames") or 1) > 1:
                    return []
                return [_frame(data, data, data, data)]
            return [_frame_of_many(data, one) for one in data.PerFrameFunctionalGroupsSequence]
    except (AttributeError, LookupError, TypeError, ValueError):
        return []


def _frame_of_many(data: Dataset, own: Dataset) -> Frame:
    shared = data.SharedFunctionalGroupsSequence[0]

    def group(name: str) -> Dataset:
        found: Dataset = (own if name in own else shared)[name].value[0]
        return found

    return _frame(
        data, group("PlanePositionSequence"), group("PlaneOrientationSequence"),
        group("PixelMeasuresSequence"),
    )


def _frame(data: Dataset, place: Dataset, turn: Dataset, size: Dataset) -> Frame:
    frame = Frame(
        tuple(map(float, place.ImagePositionPatient)),
        tuple(map(float, turn.ImageOrientationPatient)),
        tuple(map(float, size.PixelSpacing)),
        (int(data.Rows), int(data.Columns)),
    )
    if (len(frame.position), len(frame.directions), len(frame.spacing)) != (3, 6, 2):
        raise ValueError("no place in space")
    return frame
