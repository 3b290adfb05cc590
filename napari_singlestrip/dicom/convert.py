"""Converting series to scans with dcm2niix: into a folder of their own, under anonymous names."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from nibabel.nifti1 import header_dtype

from napari_singlestrip.dicom.geometry import lies_on
from napari_singlestrip.dicom.reading import need
from napari_singlestrip.dicom.series import Person, Series
from napari_singlestrip.dicom.sources import RECORD, Source, Sources, read_sources, write_sources
from napari_singlestrip.engine.imaging.scan import open_scan
from napari_singlestrip.engine.imaging.scan_files import check_folder_name
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress, Started, Wrote
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.atomic import atomic_path, read_json, write_json_atomic
from napari_singlestrip.files.locks import exclusive
from napari_singlestrip.files.temporary import remove_leftovers, temporary_folder
from napari_singlestrip.texts import counted

IMAGE = ".nii.gz"
_SIDECAR = ".json"
_MAX_WORDS = 40  # characters of the description in a name
_MAX_SECONDS = 1800.0
# Compression by dcm2niix, an anonymised sidecar, no comments in the header, no cropping, and no
# settings from the home folder.
_OPTIONS = ("-z", "i", "-b", "y", "-ba", "y", "-c", "", "-x", "i", "-w", "1", "-g", "i")
_HEADER = np.dtype(header_dtype)
# Text fields of a NIfTI header.
_TEXTS = ("descrip", "aux_file", "intent_name", "db_name")


def convert(chosen: Sequence[Series], out: Path) -> Iterator[Event]:
    """Convert series into a folder; existing scans are kept.

    Parameters
    ----------
    chosen : sequence of Series
    out : Path
        Must not be inside the folder of DICOM files, which is not changed.

    Raises
    ------
    UserError
        If dcm2niix is missing, or `out` cannot be used.
    """
    need("dcm2niix")
    started = time.monotonic()
    check_folder_name(out, f"each series becomes <name>{IMAGE} there")
    _check_elsewhere(chosen, out)
    yield Started("dicom", "", counted(len(chosen), "series").replace("seriess", "series"))
    done = failed = 0
    for n, series in enumerate(chosen, 1):
        made = attempt(_convert_one, series, out)
        if isinstance(made, Failure):
            failed += 1
            yield made.note("", f"Series {series.number} ({series.description or 'unnamed'})")
        else:
            done += 1
            for path in made:
                yield Wrote(str(path), "scan")
            if len(made) > 1:
                yield Note(f"Series {series.number} became {len(made)} scans.")
        left = (time.monotonic() - started) / n * (len(chosen) - n)
        yield Progress("dicom", n, len(chosen), {}, left)
    yield Finished(time.monotonic() - started, {}, done, failed)


def _check_elsewhere(chosen: Sequence[Series], out: Path) -> None:
    folders = {os.path.realpath(path.parent) for one in chosen for path in one.files}
    if os.path.realpath(out) in folders:
        raise UserError(
            f"The DICOM files are in {out} themselves.", "Choose another folder for the scans."
        )


def _convert_one(series: Series, out: Path) -> list[Path]:
    """Convert a series; return its scans."""
    if series.problem:
        raise UserError(series.problem)
    there = _known(read_sources(out / RECORD), series, out)
    if there and all(path.is_file() for path in there):
        return there
    with temporary_folder(out) as work:
        remove_leftovers(out)
        made = _run(series, work)
        with exclusive(out / RECORD):
            sources = read_sources(out / RECORD)
            targets = _targets(sources, series, out, made)
            write_sources(out / RECORD, sources)  # first, as it links to the series
            for image, target in zip(made, targets, strict=True):
                _keep(image, target, series.person)
    return targets


def _known(sources: Sources, series: Series, out: Path) -> list[Path]:
    return [
        out / f"{name}{IMAGE}" for name, source in sources.scans.items()
        if source.series_uid == series.uid
    ]


def _run(series: Series, work: Path) -> list[Path]:
    """Run dcm2niix on the series alone; return the images whose geometry matches its slices."""
    import dcm2niix

    taken, given = work / "in", work / "out"
    taken.mkdir()
    given.mkdir()
    for n, path in enumerate(series.files):
        _link(path.absolute(), taken / f"{n:06d}.dcm")
    command = [str(dcm2niix.bin), *_OPTIONS, "-f", "x", "-o", str(given), str(taken)]
    try:
        # Its output contains header data of the patient, and is not shown.
        subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=_MAX_SECONDS,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired as error:
        raise UserError("dcm2niix took more than half an hour, and was stopped.") from error
    images = sorted(given.glob(f"*{IMAGE}"))
    if not images:
        if "VR" in series.transfer_syntax and "Deflated" not in series.transfer_syntax:
            raise UserError(  # uncompressed
                "dcm2niix could not convert it: one of its files may be cut off or damaged.",
                "Export the series again.",
            )
        raise UserError(
            f"dcm2niix could not convert it; its images are stored as "
            f"{series.transfer_syntax or 'an unknown transfer syntax'}.",
            "Store it uncompressed (gdcmconv --raw, or the export of the PACS) and try again.",
        )
    assert series.grid is not None
    right = [path for path in images if _lies_right(path, series)]
    if not right:
        raise UserError(
            "What dcm2niix made of it does not lie where the DICOM headers say.",
            "Convert it with another program, and compare the two.",
        )
    return right


def _lies_right(path: Path, series: Series) -> bool:
    grid = open_scan(path).grid
    return series.grid is not None and lies_on(grid.shape, grid.affine, series.grid)


def _link(path: Path, link: Path) -> None:
    try:
        link.symlink_to(path)
    except OSError:  # links need privileges on Windows
        shutil.copyfile(path, link)


def _targets(sources: Sources, series: Series, out: Path, made: Sequence[Path]) -> list[Path]:
    """Name the scans of a series, with the same names if converted before, and record them."""
    person = sources.person(series.person)
    before = _known(sources, series, out)
    if len(before) == len(made):
        return before
    base = f"{person}_{series.series_number:03d}_{_slug(series.description)}"
    base, number = base.rstrip("_-"), 1
    taken = {name.lower() for name in sources.scans}
    stem = base
    while any(_is_taken(stem + _ending(image), out, taken) for image in made):
        number += 1
        stem = f"{base}_{number}"
    for image in made:
        sources.scans[stem + _ending(image)] = Source.of(series, person)
    return [out / f"{stem}{_ending(image)}{IMAGE}" for image in made]


def _is_taken(name: str, out: Path, taken: set[str]) -> bool:
    return name.lower() in taken or (out / f"{name}{IMAGE}").exists()


def _ending(image: Path) -> str:
    """The suffix added by dcm2niix: the echo, or "ph" for a phase image."""
    return image.name.removesuffix(IMAGE).removeprefix("x")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:_MAX_WORDS].strip("-")


def _keep(image: Path, target: Path, person: Person) -> None:
    """Move a scan and its sidecar to their destination, without patient data."""
    sidecar = image.with_name(image.name.removesuffix(IMAGE) + _SIDECAR)
    if sidecar.is_file():
        told = _names_nobody(read_json(sidecar), person)
        write_json_atomic(target.with_name(target.name.removesuffix(IMAGE) + _SIDECAR), told)
    with gzip.open(image, "rb") as old, atomic_path(target) as path:
        header = np.frombuffer(old.read(_HEADER.itemsize), _HEADER).copy()
        for text in _TEXTS:
            said = bytes(header[text][0]).rstrip(b"\0").decode("latin-1")
            header[text] = person.without(said).encode("latin-1")
        with gzip.open(path, "wb", compresslevel=1) as new:
            new.write(header.tobytes())
            shutil.copyfileobj(old, new, 2**20)  # the voxel values


def _names_nobody(sidecar: object, person: Person) -> dict[str, object]:
    told = sidecar if isinstance(sidecar, dict) else {}
    return {
        key: value for key, value in told.items()
        if not key.startswith("Patient") and json.dumps(value) == person.without(json.dumps(value))
    }


