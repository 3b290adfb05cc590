"""The command that lists and converts the series in a folder of DICOM files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_singlestrip.cli.jobs import run_job
from napari_singlestrip.cli.options import EventsOption, QuietOption
from napari_singlestrip.errors import UserError
from napari_singlestrip.texts import printable

if TYPE_CHECKING:
    from napari_singlestrip.dicom.series import FoundSeries
    from napari_singlestrip.events import Event


def dicom(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of DICOM files, at any depth.")
    ],
    series: Annotated[
        str | None,
        typer.Option(
            "--series", metavar="LIST",
            help="Convert these lines of the list: 2,5-7, or all. By default only list.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Folder for the scans only."),
    ] = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the series in a folder of DICOM files, or convert some of them to scans.

    Scans are named by a number for the patient, the series number and the series description, as in
    p01_003_t1-mprage.nii.gz: the output contains no patient names. Series that are not a volume,
    such as a localiser or a series with missing slices, are reported and skipped.

    \b
    Examples:
      singlestrip dicom export/
      singlestrip dicom export/ --series 2,5-7 --out my_scans/
    """
    from napari_singlestrip.dicom.series import choose, find_series

    if (series is None) != (out is None):
        raise UserError(
            "--series and --out belong together.",
            "Give both to convert; neither to see which series there are.",
        )
    if series is None or out is None:
        _show(find_series(folder))
        return

    def job() -> Iterator[Event]:
        from napari_singlestrip.dicom.convert import convert

        yield from convert(choose(find_series(folder), series), out)

    run_job(job, events, quiet)


def _show(found: FoundSeries) -> None:
    """Print the list, with numbers in place of patients."""
    from napari_singlestrip.cli.console import make_console, show_table

    rows = [
        {
            "": one.number, "person": one.person_number, "visit": one.visit,
            "series": one.series_number, "description": one.description, "images": one.n_images,
            "size": one.size_words, "voxels (mm)": one.voxel_words,
            "orientation": one.orientation, "note": one.note,
        }
        for one in found
    ]
    show_table(make_console(), rows)
    for note in found.notes:
        typer.echo(printable(note))
    typer.echo("Convert some: singlestrip dicom DIR --series 1,2 --out FOLDER")
