"""The stage that scores the predicted masks of a round and ranks them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.imaging.geometry import unconform
from napari_singlestrip.engine.imaging.volume import (
    Scan,
    load_mask,
    open_scan,
    save_map,
    save_mask,
)
from napari_singlestrip.engine.judging.consistency import consistency
from napari_singlestrip.engine.judging.ranking import (
    appearance,
    autoencoder_error,
    best_views,
)
from napari_singlestrip.engine.learning.autoencoder import (
    load_autoencoder,
)
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.device import in_words
from napari_singlestrip.engine.learning.segmenter import (
    find_window,
    load_segmenter,
)
from napari_singlestrip.events import Event, Progress, Started
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path
from napari_singlestrip.pipeline.job import Job, attempt_scan, remarks_of, time_left, wrote
from napari_singlestrip.pipeline.score_keeping import ScoreKeeper, comparable, ranked
from napari_singlestrip.study.round_folder import (
    heat_map_path,
)
from napari_singlestrip.study.tables import ScoreRow


def rank_pool(job: Job, round_: int) -> Iterator[Event]:
    """Score the predicted masks of a round, rank them and select the best.

    Masks that were scored as they are now are not scored again, unless that is asked for.
    """
    keeper = ScoreKeeper(job.study, round_)
    rows = keeper.known(again=job.again)
    if keeper.is_complete(rows) and not job.again:
        for name in keeper.names:
            job.tally.count("rank", name, None)
        return
    yield Started("rank", in_words(job.device), f"round {round_}")
    rows = comparable(rows, _measured_with(job, round_))
    for name in rows:
        job.tally.count("rank", name, None)
    looks: dict[str, npt.NDArray[np.float64]] = {}
    names = [name for name in keeper.names if name not in rows]
    ranker = Ranker(job, round_, keeper, looks) if names else None
    started = time.monotonic()
    for n, name in enumerate(names, 1):
        assert ranker is not None
        yield from attempt_scan(job, "rank", name, ranker.score(name, rows))
        yield Progress("rank", n, len(names), {}, time_left(started, n, len(names)))
    table = [rows[name] for name in keeper.names if name in rows]
    if job.settings.ranking.select == "varied":
        yield from _look_at_the_rest(job, round_, table, looks)
    keeper.save(ranked(table, job.settings.ranking, looks))
    yield wrote(job, job.study.scores_path(round_), "scores")


def _measured_with(job: Job, round_: int) -> str:
    """What stands for all that scores of the same mask depend on."""
    config = job.settings.ranking
    path = autoencoder_path(job.study, round_) or job.folder(round_).autoencoder
    weights = load_checkpoint(path, "autoencoder")["average"]
    parts = (
        config.error, config.views, config.pitch_deg,
        config.measures_consistency and config.n_augmentations, job.settings.seed,
    )
    digest = hashlib.sha256(repr(parts).encode())
    for name in sorted(weights):
        digest.update(weights[name].numpy().tobytes())
    return digest.hexdigest()[:8]


def _look_at_the_rest(
    job: Job, round_: int, rows: Sequence[ScoreRow], looks: dict[str, npt.NDArray[np.float64]]
) -> Iterator[Event]:
    """Add what the scans look like whose scores were known already."""

    def look(name: str) -> Iterator[Event]:
        scan = open_scan(job.study.scan_path(name))
        mask = load_mask(job.study.pseudo_label_path(round_, name), like=scan)
        looks[name] = appearance(scan.load().data, mask)
        yield from ()

    for row in rows:
        if row.scan not in looks:
            yield from attempt_scan(job, "rank", row.scan, look(row.scan))


class Ranker:
    """Scores masks of one round."""

    def __init__(
        self, job: Job, round_: int, keeper: ScoreKeeper,
        looks: dict[str, npt.NDArray[np.float64]],
    ) -> None:
        self.job, self.round, self.keeper = job, round_, keeper
        path = autoencoder_path(job.study, round_) or job.folder(round_).autoencoder
        self.autoencoder = load_autoencoder(path, job.device)
        self.segmenter = load_segmenter(job.folder(round_).segmenter, job.device)
        self.measured_with = _measured_with(job, round_)
        self.looks = looks  # of the scans, for the rule that asks for varied ones

    def score(self, name: str, rows: dict[str, ScoreRow]) -> Iterator[Event]:
        """Score one mask; its row is added to `rows`, and kept, once its pictures are written."""
        study, config = self.job.study, self.job.settings.ranking
        scan = open_scan(study.scan_path(name))
        digest = self.keeper.digest(name)
        mask = load_mask(study.pseudo_label_path(self.round, name), like=scan)
        views = best_views(self.autoencoder, mask, scan.grid, config)
        agreement = self._consistency(scan, name) if config.measures_consistency else float("nan")
        yield from remarks_of(self.segmenter, name)
        error = autoencoder_error(views, config.error)
        volume_ml = float(mask.sum() * scan.grid.voxel_ml)
        if config.select == "varied":
            self.looks[name] = appearance(scan.load().data, mask)
        on_scan = unconform(views[0].redrawn, views[0].grid, scan.grid, fill=0.0)
        path = study.reconstruction_path(self.round, name)
        save_mask(path, on_scan > 0.5, like=scan)
        heat = heat_map_path(study, self.round, name)
        save_map(heat, np.round(mask - on_scan, 2), like=scan)
        row = ScoreRow(
            name, error, agreement, volume_ml,
            mask_digest=digest, measured_with=self.measured_with,
        )
        self.keeper.add(row)
        rows[name] = row
        yield wrote(self.job, path, "reconstruction")

    def _consistency(self, scan: Scan, name: str) -> float:
        data = find_window(self.segmenter, scan.load()).view.data
        seed = [self.job.settings.seed, 5, *name.encode()]
        n = self.job.settings.ranking.n_augmentations
        return consistency(self.segmenter, data, n, np.random.default_rng(seed))
