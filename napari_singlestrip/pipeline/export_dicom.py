"""The masks of a study as DICOM SEG, referring to the series the scans were converted from."""

from __future__ import annotations

from pathlib import Path

from napari_singlestrip.dicom.seg import ENDING, Algorithm, SourceSeries, write_seg
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.dicom_sources import source_of
from napari_singlestrip.study.study import Study

# A mask that was accepted unchanged was made by the program alone.
_ALGORITHMS: dict[str, Algorithm] = {"painted": "MANUAL", "corrected": "SEMIAUTOMATIC"}


class SegWriter:
    """Writes masks of a study as DICOM SEG.

    Parameters
    ----------
    study : Study
    folder : Path, optional
        Present location of the DICOM files; by default where they were converted from.
    """

    def __init__(self, study: Study, folder: Path | None = None) -> None:
        self._study = study
        self._sources = SourceSeries(folder)

    def write(
        self, scan: str, state: str, source: Path, out: Path, program: str = ""
    ) -> str:
        """Write a mask, and return the name of its file.

        Parameters
        ----------
        scan : str
        state : str
            "painted", "corrected", or what a program made.
        source : Path
            The mask.
        out : Path
            Folder for it.
        program : str
            The program that made the mask, if it was imported.

        Raises
        ------
        UserError
            If the scan was not converted from DICOM, the series is missing, or its geometry
            differs.
        """
        study = self._study
        origin = source_of(study.folder, study.scans.entry(scan))
        if origin is None:
            raise UserError(
                "It was not converted from DICOM by this program, so its series is not known.",
                "Convert with singlestrip dicom, or write its mask as NIfTI.",
            )
        series = self._sources.find(origin)
        grid = open_scan(source)
        mask = load_mask(source, like=grid, check=False)
        name = f"{scan}{ENDING}"
        algorithm = _ALGORITHMS.get(state, "AUTOMATIC")
        if state == "painted" and study.masks.records()[scan].is_suggested:
            algorithm = "SEMIAUTOMATIC"
        write_seg(out / name, mask, grid.grid.affine, series, algorithm, program)
        return name
