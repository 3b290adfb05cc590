"""DICOM series of heads that do not exist, as scanners write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid  # noqa: E402

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
AXIAL = (1, 0, 0, 0, 1, 0)
SAGITTAL = (0, 1, 0, 0, 0, -1)
CORONAL = (1, 0, 0, 0, 0, -1)
NAME = "Sommerfeldt^Apollonia"
OBLIQUE = (
    0.9848077530122080, 0.0, 0.1736481776669303, 0.0593911746138847, 0.9396926207859084,
    -0.3368240888334652,
)  # fmt: skip


@dataclass
class Head:
    """A series to be written.

    Attributes
    ----------
    size : tuple of int
        Columns, rows, slices.
    left_out : tuple of int
        Slices that are missing.
    """

    size: tuple[int, int, int] = (20, 16, 10)
    voxel_mm: tuple[float, float, float] = (2.0, 2.5, 3.0)
    directions: tuple[float, ...] = AXIAL
    name: str = NAME
    number: int = 3
    description: str = "t1_mprage"
    patient_id: str = "KH-4711"
    left_out: tuple[int, ...] = ()
    positions: tuple[float, ...] | None = None
    uid: str = field(default_factory=generate_uid)
    study_uid: str = "1.2.826.0.1.3680043.8.498.77"
    frame_uid: str = field(default_factory=generate_uid)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> NDArray[np.uint16]:
        """Slices, rows, columns: no two voxels alike."""
        columns, rows, slices = self.size
        return (np.arange(columns * rows * slices) + 100).astype(np.uint16).reshape(
            slices, rows, columns
        )

    def place(self, n: int) -> list[float]:
        """Where slice `n` begins."""
        row, column = np.reshape(self.directions, (2, 3))
        along = n * self.voxel_mm[2] if self.positions is None else self.positions[n]
        place = np.array([-31.5, -22.25, 13.75]) + np.cross(row, column) * along
        return [round(float(mm), 6) for mm in place]

    def write(self, folder: Path) -> Head:
        """Write one file for each slice, in an order and with names that tell nothing."""
        folder.mkdir(parents=True, exist_ok=True)
        for n in range(self.size[2]):
            if n in self.left_out:
                continue
            data = self._common(MR)
            data.InstanceNumber = n + 1
            data.ImagePositionPatient = self.place(n)
            data.ImageOrientationPatient = list(self.directions)
            data.PixelSpacing = [self.voxel_mm[1], self.voxel_mm[0]]
            data.SliceThickness = self.voxel_mm[2]
            data.PixelData = self.values[n].tobytes()
            data.save_as(folder / f"IM{(n * 7) % 1000:04d}_{self.number}", enforce_file_format=True)
        return self

    def write_enhanced(self, path: Path) -> Head:
        """Write one file with a frame for each slice."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data = self._common(ENHANCED_MR)
        data.InstanceNumber = 1
        data.NumberOfFrames = self.size[2]
        measures, turn = Dataset(), Dataset()
        measures.PixelSpacing = [self.voxel_mm[1], self.voxel_mm[0]]
        measures.SliceThickness = measures.SpacingBetweenSlices = self.voxel_mm[2]
        turn.ImageOrientationPatient = list(self.directions)
        shared = Dataset()
        shared.PixelMeasuresSequence = Sequence([measures])
        shared.PlaneOrientationSequence = Sequence([turn])
        data.SharedFunctionalGroupsSequence = Sequence([shared])
        data.DimensionOrganizationSequence = Sequence([Dataset()])
        data.DimensionOrganizationSequence[0].DimensionOrganizationUID = generate_uid()
        data.PerFrameFunctionalGroupsSequence = Sequence(
            [self._own_groups(n) for n in range(self.size[2])]
        )
        data.PixelData = self.values.tobytes()
        data.save_as(path, enforce_file_format=True)
        return self

    def _own_groups(self, n: int) -> Dataset:
        own, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = self.place(n)
        content.StackID, content.InStackPositionNumber = "1", n + 1
        content.DimensionIndexValues = [1, n + 1]
        own.PlanePositionSequence = Sequence([place])
        own.FrameContentSequence = Sequence([content])
        return own

    def _common(self, kind: str) -> Dataset:
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID = kind, generate_uid()
        data.file_meta.MediaStorageSOPClassUID = UID(kind)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.Modality, data.Manufacturer = "MR", "Nobody"
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
        data.PatientName, data.PatientID = self.name, self.patient_id
        data.PatientBirthDate, data.PatientSex = "19520317", "F"
        data.StudyInstanceUID, data.SeriesInstanceUID = self.study_uid, self.uid
        data.FrameOfReferenceUID = self.frame_uid
        data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20260102"
        data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = "101500"
        data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "1", "A77", "Arzt^Anna"
        data.SeriesNumber, data.SeriesDescription = self.number, self.description
        data.ImageComments = f"for {self.name}"
        data.EchoTime, data.RepetitionTime, data.MagneticFieldStrength = 3.0, 2000.0, 3.0
        data.ScanningSequence, data.SequenceVariant, data.MRAcquisitionType = "GR", "SP", "3D"
        data.Columns, data.Rows = self.size[:2]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 0
        for tag, value in self.extra.items():
            setattr(data, tag, value)
        return data
