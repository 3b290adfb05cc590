"""Which DICOM series the scans of a study were converted from.

Stored in the study when scans are added, so that the link survives if scans are moved.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from napari_singlestrip.dicom.sources import RECORD, Source, Sources, read_sources, write_sources
from napari_singlestrip.engine.imaging.scan_names import stem_of
from napari_singlestrip.files.locks import exclusive
from napari_singlestrip.study.document import ScanEntry, resolved_path


def keep_sources(study: Path, entries: Iterable[ScanEntry]) -> None:
    """Store the DICOM sources of scans that were added to a study."""
    found = {e.name: source for e in entries if (source := _beside(resolved_path(e.path, study)))}
    if not found:
        return
    record = study / RECORD
    with exclusive(record):
        known = read_sources(record)
        write_sources(record, Sources(scans={**known.scans, **found}))


def source_of(study: Path, entry: ScanEntry) -> Source | None:
    """Return the series a scan was converted from; None if it was not DICOM."""
    kept = read_sources(study / RECORD).scans.get(entry.name)
    return kept or _beside(resolved_path(entry.path, study))


def _beside(scan: Path) -> Source | None:
    return read_sources(scan.parent / RECORD).scans.get(stem_of(scan))
