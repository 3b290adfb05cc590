"""Warns of a wrong orientation in the header, for scans whose mask is unlike a brain."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from napari_singlestrip.engine.imaging.volume import Volume, open_scan
from napari_singlestrip.engine.judging.orientation import in_words, likely_axes
from napari_singlestrip.engine.judging.ranking import UNLIKE
from napari_singlestrip.engine.learning.autoencoder import load_autoencoder
from napari_singlestrip.engine.learning.model import Model
from napari_singlestrip.events import Event, Note
from napari_singlestrip.failures import guarded
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.pipeline.round_segmenter import segmenter_of_round
from napari_singlestrip.pipeline.trained_model import ERROR_ROOM
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.study.volumes_table import AppliedRow


def with_axes(
    job: Job, round_: int, table: Sequence[ScoreRow]
) -> Generator[Event, None, list[ScoreRow]]:
    """Add the probable orientation to the flags of ranked scans, with a warning."""
    odd = [row for row in table if UNLIKE in row.flag]
    usual = [row.autoencoder_error for row in table if not row.flag]
    path = autoencoder_path(job.study, round_)
    if not odd or not usual or path is None:
        return list(table)
    segmenter = segmenter_of_round(job.study, round_, job.settings, job.device)
    autoencoder = load_autoencoder(path, job.device)
    flags: dict[str, str] = {}

    def check(row: ScoreRow) -> Iterator[Event]:
        volume = open_scan(job.study.scans.path(row.scan)).load()
        axes = likely_axes(segmenter, autoencoder, volume, job.settings.ranking, max(usual))
        if axes:
            flags[row.scan] = f"{row.flag}, axes perhaps {axes}"
            said = f"{row.scan}: {in_words(axes, volume.grid)}. Check it in a viewer."
            yield Note(said, "warning", row.scan)

    for row in odd:
        failure = yield from guarded(check(row))
        if failure is not None:
            yield failure.note(row.scan, "cannot be checked for a wrong orientation")
    return [replace(row, flag=flags.get(row.scan, row.flag)) for row in table]


def told_axes(model: Model, volume: Volume, row: AppliedRow) -> AppliedRow:
    """Add the probable orientation to the flag of a scan to which a model was applied."""
    if model.autoencoder is None or not row.autoencoder_error > model.card.max_error:
        return row
    config, usual = model.segmenter.settings.ranking, model.card.max_error / ERROR_ROOM
    axes = likely_axes(model.segmenter, model.autoencoder, volume, config, usual)
    return replace(row, flag=f"{row.flag}; {in_words(axes, volume.grid)}") if axes else row
