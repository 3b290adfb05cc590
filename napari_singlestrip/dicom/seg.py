"""A brain mask as DICOM SEG: a segment on the slices of the series its scan was converted from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip import __version__
from napari_singlestrip.dicom.geometry import onto_stack
from napari_singlestrip.dicom.reading import need, quietly, read_header
from napari_singlestrip.dicom.series import Series, find_series
from napari_singlestrip.dicom.sources import Source
from napari_singlestrip.dicom.stack import Stack
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import atomic_path

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom import Dataset

# DICOM's terms for how a mask was made: automatic, semi-automatic, manual.
Algorithm = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
ENDING = "_desc-brain_seg.dcm"
_NAME = "napari-singlestrip"
# Attributes of an image that must exist, possibly empty.
_MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate",
    "StudyTime", "AccessionNumber", "ReferringPhysicianName",
)
_SERIES_NUMBERS_FROM = 9000  # beyond the numbers that scanners use


class SourceSeries:
    """Finds the series that scans were converted from; each folder is searched once.

    Parameters
    ----------
    folder : Path, optional
        Present location of the DICOM files; by default where they were.
    """

    def __init__(self, folder: Path | None = None) -> None:
        need("pydicom", "highdicom")
        self._folder = folder
        self._found: dict[Path, dict[str, Series]] = {}

    def find(self, source: Source) -> Series:
        """Return the series of a scan.

        Raises
        ------
        UserError
            If it is missing or no longer complete.
        """
        place = self._folder or source.path
        if place not in self._found:
            found = find_series(place) if place.is_dir() else ()
            self._found[place] = {series.uid: series for series in found}
        series = self._found[place].get(source.series_uid)
        if series is None:
            where = f"in {place}" if self._folder else "where its DICOM files were"
            raise UserError(
                f"Its source, {source.words}, is not {where}.",
                "Name the folder in which it is now: --dicom DIR.",
            )
        if series.problem:
            raise UserError(f"Its source, {source.words}, has changed. {series.problem}")
        return series


def write_seg(
    path: Path,
    mask: NDArray[np.bool_],
    affine: NDArray[np.float64],
    series: Series,
    algorithm: Algorithm,
    program: str = "",
) -> None:
    """Write a mask as DICOM SEG on the slices of its series, without resampling.

    Parameters
    ----------
    path : Path
    mask : ndarray, shape (i, j, k)
        On the grid of the converted scan.
    affine : ndarray, shape (4, 4)
        Of this grid: voxel index to RAS mm.
    series : Series
    algorithm : {"AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"}
    program : str
        Another program that made the mask, whose version is not known; by default this one.

    Raises
    ------
    UserError
        If the mask is empty or not on the slices of the series, another file has the same name, or
        the series lacks attributes that a SEG needs.
    """
    assert series.grid is not None
    slices = onto_stack(mask, affine, series.grid)
    if not slices.any():
        raise UserError("The mask is empty.", "DICOM SEG has no empty masks.")
    _check_free(path, series)
    images, values = _images_and_values(series, series.grid, slices)
    with _in_words(series), quietly():
        made = _segmentation(images, values, series, _description(algorithm, program))
    with atomic_path(path) as file:
        made.save_as(file)


def _images_and_values(
    series: Series, grid: Stack, slices: NDArray[np.bool_]
) -> tuple[list[Dataset], NDArray[np.uint8]]:
    """The source images and the mask's values for them: one image per slice, or one file."""
    if len(series.files) == series.n_images:
        images = [_image(series.files[here[0]]) for here in grid.slices]
        return images, slices.astype(np.uint8)
    if len(series.files) > 1 or grid.n_volumes > 1:
        raise UserError(
            "Its series is made of several volumes in multi-frame files.",
            "DICOM SEG is written for one volume.",
        )
    values = np.zeros_like(slices, dtype=np.uint8)
    for n, (frame,) in enumerate(grid.slices):
        values[frame] = slices[n]
    return [_image(series.files[0])], values


def _image(path: Path) -> Dataset:
    """Read the header of a source image; attributes removed by anonymisation become empty."""
    image = read_header(path, whole=True)
    if image is None:
        raise UserError("An image of its series cannot be read any more.", "Export it again.")
    for tag in _MAY_BE_EMPTY:
        if tag not in image:
            setattr(image, tag, None)
    return image


def _segmentation(
    images: list[Dataset], values: NDArray[np.uint8], series: Series, segment: SegmentDescription
) -> Segmentation:
    import highdicom as hd
    from pydicom.uid import generate_uid

    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=values,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=generate_uid(),
        series_number=_SERIES_NUMBERS_FROM + series.series_number,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=_NAME,
        manufacturer_model_name=_NAME,
        software_versions=__version__,
        device_serial_number="0",
        content_label="BRAIN_MASK",
        content_description="Brain mask",
        series_description="Brain mask",
    )


def _description(algorithm: Algorithm, program: str) -> SegmentDescription:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    by_program = None
    if algorithm != "MANUAL":
        by_program = hd.AlgorithmIdentificationSequence(
            name=program or _NAME, family=codes.DCM.ArtificialIntelligence,
            version="unknown" if program else __version__,
        )  # fmt: skip
    return hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Brain",
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Brain,
        algorithm_type=algorithm,
        algorithm_identification=by_program,
    )


def _check_free(path: Path, series: Series) -> None:
    """Refuse to replace an image or the mask of another scan."""
    if not os.path.lexists(path):
        return
    there = read_header(path, whole=True)
    if there is not None and there.get("Modality") == "SEG" and series.uid in _sources_of(there):
        return
    raise UserError(
        f"{path.name} in {path.parent} is not a mask of this scan.",
        "Move it away, or choose another folder.",
    )


def _sources_of(seg: Dataset) -> set[str]:
    return {str(one.SeriesInstanceUID) for one in seg.get("ReferencedSeriesSequence", ())}


@contextmanager
def _in_words(series: Series) -> Iterator[None]:
    """Explain errors of highdicom, which checks more attributes than a scan needs."""
    try:
        yield
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        # Only these two name an attribute; others may quote its value.
        said = f": {error}" if isinstance(error, (AttributeError, KeyError)) else ""
        raise UserError(
            f"The headers of series {series.series_number} are not enough for DICOM SEG{said}.",
            "Write the mask as NIfTI.",
        ) from error
