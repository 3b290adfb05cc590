"""The stage that scores the predicted masks of a round and ranks them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.imaging.geometry import unconform
from napari_singlestrip.engine.imaging.volume import (
    Scan,
    load_mask,
    open_scan,
    save_map,
    save_marks,
    save_mask,
)
from napari_singlestrip.engine.judging.consistency import consistency
from napari_singlestrip.engine.judging.ranking import appearance, score_mask
from napari_singlestrip.engine.learning.autoencoder import load_autoencoder
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.device import in_words
from napari_singlestrip.engine.masks.doubt import doubted, places
from napari_singlestrip.events import Event, Progress, Started, seconds_left
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path
from napari_singlestrip.pipeline.axes_check import with_axes
from napari_singlestrip.pipeline.job import Job, attempt_scan, remarks_of, wrote
from napari_singlestrip.pipeline.round_segmenter import segmenter_of_round
from napari_singlestrip.pipeline.score_keeping import ScoreKeeper, comparable, ranked
from napari_singlestrip.study.expected_quality import with_expected
from napari_singlestrip.study.round_folder import doubts_path, heat_map_path
from napari_singlestrip.study.tables import ScoreRow


@dataclass(frozen=True)
class Agreement:
    """A measure for masks that no network made, in place of the network's consistency.

    Attributes
    ----------
    about : str
        What it depends on: scores that depend on something else are measured again.
    of : callable
        From a scan's name, its mask and the scan to a value from 0 to 1, or NaN.
    """

    about: str
    of: Callable[[str, npt.NDArray[np.bool_], Scan], float]


def rank_pool(job: Job, round_: int, agreement: Agreement | None = None) -> Iterator[Event]:
    """Score the predicted masks of a round, rank them and select the best.

    Masks that are unchanged since they were scored are not scored again, unless requested.

    Parameters
    ----------
    job : Job
    round_ : int
    agreement : Agreement, optional
        In place of the network's consistency; no segmenter is then needed.
    """
    keeper = ScoreKeeper(job.study, round_, is_shared=not job.part.is_all)
    rows = keeper.known(again=job.again)
    if keeper.is_complete(rows) and not job.again and agreement is None:
        for name in keeper.names:
            job.tally.count("rank", name, None)
        return
    yield Started("rank", in_words(job.device), f"round {round_}")
    rows = comparable(rows, _measured_with(job, round_, agreement))
    for name in rows:
        job.tally.count("rank", name, None)
    looks: dict[str, npt.NDArray[np.float64]] = {}
    mine = set(job.part.of(job.study.scans.names))
    names = [name for name in keeper.names if name not in rows and name in mine]
    ranker = Ranker(job, round_, keeper, looks, agreement) if names else None
    started = time.monotonic()
    for n, name in enumerate(names, 1):
        assert ranker is not None
        yield from attempt_scan(job, "rank", name, ranker.score(name, rows))
        left = seconds_left(time.monotonic() - started, n, len(names))
        yield Progress("rank", n, len(names), {}, left)
    table = [rows[name] for name in keeper.names if name in rows]
    if job.settings.ranking.select == "varied":
        yield from _look_at_the_rest(job, round_, table, looks)
    with keeper.alone():
        if not job.part.is_all:  # other parts may have scored more scans meanwhile
            there = ScoreKeeper(job.study, round_)
            rows |= comparable(there.known(), _measured_with(job, round_, agreement))
            table = [rows[name] for name in there.names if name in rows]
        table = ranked(table, job.settings.ranking, looks)
        if agreement is None:
            table = yield from with_axes(job, round_, table)
            table = with_expected(job.study, round_, table)
        keeper.save(table)
    yield wrote(job, job.study.rounds.scores_path(round_), "scores")


def _measured_with(job: Job, round_: int, agreement: Agreement | None = None) -> str:
    """Digest of everything besides the mask that scores depend on."""
    config = job.settings.ranking
    path = autoencoder_path(job.study, round_) or job.folder(round_).autoencoder
    weights = load_checkpoint(path, "autoencoder")["average"]
    prediction = job.settings.prediction  # whose masks are compared
    parts = (
        config.error, config.views, config.pitch_deg, job.settings.seed,
        config.measures_consistency and (
            config.n_augmentations, prediction.threshold, prediction.remove_leaks,
            prediction.refine_border,
        ),
    )
    digest = hashlib.sha256(repr(parts).encode())
    if agreement is not None:
        digest.update(f"judged {agreement.about}".encode("utf-8", "surrogateescape"))
    for name in sorted(weights):
        digest.update(weights[name].numpy().tobytes())
    return digest.hexdigest()[:8]


def _look_at_the_rest(
    job: Job, round_: int, rows: Sequence[ScoreRow], looks: dict[str, npt.NDArray[np.float64]]
) -> Iterator[Event]:
    """Add the appearance of scans whose scores were already known."""

    def look(name: str) -> Iterator[Event]:
        scan = open_scan(job.study.scans.path(name))
        mask = load_mask(job.study.rounds.pseudo_label_path(round_, name), like=scan)
        looks[name] = appearance(scan.load().data, mask)
        yield from ()

    for row in rows:
        if row.scan not in looks:
            yield from attempt_scan(job, "rank", row.scan, look(row.scan))


class Ranker:
    """Scores masks of one round."""

    def __init__(
        self, job: Job, round_: int, keeper: ScoreKeeper,
        looks: dict[str, npt.NDArray[np.float64]], agreement: Agreement | None = None,
    ) -> None:
        self.job, self.round, self.keeper = job, round_, keeper
        self.agreement = agreement
        autoencoder = None
        if agreement is None:
            self.segmenter = segmenter_of_round(job.study, round_, job.settings, job.device)
            autoencoder = self.segmenter.autoencoder
        if autoencoder is None:  # masks of other programs have no segmenter
            path = autoencoder_path(job.study, round_) or job.folder(round_).autoencoder
            autoencoder = load_autoencoder(path, job.device)
        self.autoencoder = autoencoder
        self.measured_with = _measured_with(job, round_, agreement)
        self.looks = looks  # appearance of the scans, for the rule "varied"

    def score(self, name: str, rows: dict[str, ScoreRow]) -> Iterator[Event]:
        """Score one mask; its row is added to `rows`, and saved, once its maps are written."""
        study, config = self.job.study, self.job.settings.ranking
        scan = open_scan(study.scans.path(name))
        digest = self.keeper.digest(name)
        mask = load_mask(study.rounds.pseudo_label_path(self.round, name), like=scan)
        shape = score_mask(self.autoencoder, mask, scan.grid, config)
        if self.agreement is not None:
            agreement = self.agreement.of(name, mask, scan)
        else:
            measured = config.measures_consistency
            agreement = self._consistency(scan, mask, name) if measured else float("nan")
            yield from remarks_of(self.segmenter, name)
        if config.select == "varied":
            self.looks[name] = appearance(scan.load().data, mask)
        on_scan = unconform(shape.views[0].reconstructed, shape.views[0].grid, scan.grid, fill=0.0)
        path = study.rounds.reconstruction_path(self.round, name)
        save_mask(path, on_scan > 0.5, like=scan)
        doubt = np.round(mask - on_scan, 2)
        save_map(heat_map_path(study, self.round, name), doubt, like=scan)
        marks = doubted(doubt, mask, scan.grid)
        save_marks(doubts_path(study, self.round, name), marks, like=scan)
        largest = max((p.volume_ml for p in places(marks, mask, scan.grid)), default=0.0)
        row = ScoreRow(
            name, shape.error, agreement, shape.volume_ml, mask_digest=digest,
            measured_with=self.measured_with, largest_place_ml=largest,
        )
        self.keeper.add(row)
        rows[name] = row
        yield wrote(self.job, path, "reconstruction")

    def _consistency(self, scan: Scan, mask: npt.NDArray[np.bool_], name: str) -> float:
        rng = np.random.default_rng([self.job.settings.seed, 5, *name.encode()])
        n = self.job.settings.ranking.n_augmentations
        return consistency(self.segmenter, scan.load(), mask, n, rng)
