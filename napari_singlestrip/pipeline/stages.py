"""The stages: study in, study out. Each is a generator of events; closing it cancels.

Round 0 trains on the painted mask, trains the autoencoder, predicts all other scans and ranks the
predictions. Each later round fine-tunes on masks chosen by a person or by the ranking, trains the
autoencoder anew if there are more masks made by hand, predicts and ranks again. What is done
already is not done twice, so that the same call resumes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_singlestrip.engine.config import Settings, override
from napari_singlestrip.engine.heads.label_bank import (
    Example,
    Geometry,
    make_example,
    training_geometry,
)
from napari_singlestrip.engine.heads.label_map import LabelBank, untiled
from napari_singlestrip.engine.heads.synthesis import render, sample_params
from napari_singlestrip.engine.imaging.geometry import unconform
from napari_singlestrip.engine.imaging.volume import (
    Scan,
    Volume,
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
    autoencoder_task,
    load_autoencoder,
)
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.device import choose_device, in_words, remarks
from napari_singlestrip.engine.learning.segmenter import (
    Segmenter,
    find_window,
    load_segmenter,
    predict,
    segmenter_task,
    to_mask,
)
from napari_singlestrip.engine.learning.training import Pair, Weights, is_done, step_of, train
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Progress, Started, Wrote
from napari_singlestrip.failures import Failure, attempt, guarded
from napari_singlestrip.pipeline import previews
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path, fingerprint, knows
from napari_singlestrip.pipeline.live_prediction import PresentAnswer
from napari_singlestrip.pipeline.score_keeping import ScoreKeeper, comparable, ranked
from napari_singlestrip.pipeline.supply import Supply
from napari_singlestrip.pipeline.tally import LEARN, NO_BRAIN, Tally
from napari_singlestrip.study.round_facts import describe_round, unfinished_round
from napari_singlestrip.study.round_folder import (
    RoundFolder,
    heat_map_path,
    metrics_log,
    remove_temporary_files,
    set_aside,
    settings_of_run,
)
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.study.training_set import (
    TRUSTED,
    TrainingMask,
    lacks_ranking,
    masks_by_hand,
    masks_of_round,
    write_training_set,
)

STAGES = ("train", "autoencoder", "predict", "rank", "finetune")
PREVIEW_HEADS = 12


@dataclass(frozen=True)
class Job:
    """What every stage needs to know.

    Attributes
    ----------
    study : Study
    settings : Settings
    device : torch.device
    again : bool
        Do what was asked for even if it is done (prediction and ranking only).
    watch : str
        Scan whose present answer is shown while the segmenter trains; empty for none.
    tally : Tally
        What became of the scans.
    """

    study: Study
    settings: Settings
    device: torch.device
    again: bool = False
    watch: str = ""
    tally: Tally = field(default_factory=Tally, compare=False)

    def folder(self, round_: int) -> RoundFolder:
        """Paths of a round."""
        return RoundFolder(self.study.round_dir(round_))


def run(
    study: Study,
    *,
    stages: Sequence[str] | None = None,
    rounds: int | None = None,
    effort: str | None = None,
    device: str = "auto",
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    restart: bool = False,
    watch: str = "",
) -> Iterator[Event]:
    """Run stages of a study.

    Parameters
    ----------
    study : Study
    stages : sequence of str, optional
        Some of `STAGES`; "predict" and "rank" apply to the newest round, "finetune" begins the
        next one. Without: everything that is missing, in order.
    rounds : int, optional
        Rounds of fine-tuning, instead of the settings'.
    effort, seed, overrides
        Changes of the study's settings for this run.
    device : str
        "auto", "cpu", "cuda" or "mps".
    restart : bool
        Set the rounds that exist aside and start anew.
    watch : str
        Scan to predict now and then while the segmenter trains; empty for none.

    Raises
    ------
    UserError
        If nothing is painted, a stage or the watched scan is unknown, or settings do not fit
        what was trained.
    """
    started = time.monotonic()
    unknown = set(stages or ()) - set(STAGES)
    if unknown:
        raise UserError(f"Unknown stage {unknown.pop()!r}.", f"Stages are: {', '.join(STAGES)}.")
    chosen, changes = choose_device(device), dict(overrides or {})
    study.settings(effort, changes, seed)  # mistakes are said before anything is moved
    masks_by_hand(study)
    if watch:
        study.scan(watch)
    if restart and (kept := set_aside(study)):
        yield Note(f"The earlier rounds are kept in {kept.name}.")
    settings = settings_of_run(study, effort, changes, seed)
    remove_temporary_files(study)
    job = Job(study, settings, chosen, again=stages is not None, watch=watch)
    yield Started("", in_words(job.device), f"{study.name}, {settings.effort}")
    for text in remarks(device, chosen):
        yield Note(text, "warning")
    yield from _missing_scans(study)
    if stages is None:
        yield from _everything(job, settings.finetuning.rounds if rounds is None else rounds)
    else:
        yield from _chosen(job, stages)
    yield job.tally.finished(time.monotonic() - started)


def _missing_scans(study: Study) -> Iterator[Event]:
    """Say once which files are gone, as after a study was copied without its scans."""
    gone = [name for name in study.names if not study.scan_path(name).exists()]
    if gone:
        shown = ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
        where = study.scan_path(gone[0]).parent
        yield Note(
            f"{len(gone)} of {len(study.names)} scans are not where the study says: {shown}. "
            f"Copy them to {where}, beside the study as before."
        )


def _everything(job: Job, rounds: int) -> Iterator[Event]:
    yield from train_initial(job)
    for round_ in range(rounds + 1):
        if round_:
            yield from finetune(job, round_)
        yield from train_autoencoder(job, round_)
        yield from predict_pool(job, round_)
        yield from rank_pool(job, round_)


def _chosen(job: Job, stages: Sequence[str]) -> Iterator[Event]:
    """Stages in their natural order, whatever the order they were named in."""
    newest = job.study.current_round()
    if "train" in stages:
        yield from train_initial(job)
    if "finetune" in stages:
        left = unfinished_round(job.study)
        if left == "ranking" and "rank" in stages:  # a run of these same stages was stopped
            yield Note(f"Round {newest} was not ranked yet: it is finished first.")
            job = replace(job, again=False)
        else:
            newest = newest if left == "fine-tuning" else newest + 1
            yield from finetune(job, newest)
    if "autoencoder" in stages:
        yield from train_autoencoder(job, newest)
    if "predict" in stages:
        yield from predict_pool(job, newest)
    if "rank" in stages:
        yield from rank_pool(job, newest)


def train_initial(job: Job) -> Iterator[Event]:
    """Train the first segmenter on the masks made by hand."""
    folder = job.folder(0)
    if is_done(folder.segmenter, "segmenter"):
        return
    yield Started("train", in_words(job.device))
    folder.write_settings(job.settings, in_words(job.device))
    masks = masks_by_hand(job.study)
    write_training_set(folder.training_set, masks)
    yield from _train_segmenter(job, folder, masks, "train")


def train_autoencoder(job: Job, round_: int) -> Iterator[Event]:
    """Train the autoencoder on the masks made by hand, unless that of a round before knows them."""
    folder, masks = job.folder(round_), masks_by_hand(job.study)
    newest = autoencoder_path(job.study, round_)
    if newest == folder.autoencoder:
        return
    if newest is not None:
        again = job.settings.autoencoder.each_round
        if not again or knows(newest, job.study, masks):
            return
    yield Started("autoencoder", in_words(job.device))
    if folder.read_settings() is None:
        folder.write_settings(job.settings, in_words(job.device))
    data = yield from training_data(job, masks, n_maps=0)
    task = autoencoder_task(
        data.bank, data.geometry, job.settings, job.device, fingerprint(job.study, data.masks)
    )
    with metrics_log(folder) as log:
        yield from log.follow(train(task, folder.autoencoder, job.device))
    yield _wrote(job, folder.autoencoder, "autoencoder")


def finetune(job: Job, round_: int) -> Iterator[Event]:
    """Train on painted, corrected, accepted and selected masks, from the round before."""
    folder, before = job.folder(round_), job.folder(round_ - 1)
    if is_done(folder.segmenter, "segmenter"):
        return
    yield Started("finetune", in_words(job.device), f"round {round_}")
    initial = None
    if job.settings.finetuning.start == "before":
        initial = load_segmenter(before.segmenter, job.device).net.state_dict()
    masks = masks_of_round(job.study, round_, job.settings.finetuning)
    kinds = [mask.kind for mask in masks]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    yield Note(f"Round {round_} learns from {counts} mask{'s' * (len(masks) > 1)}.")
    if lacks_ranking(job.study, round_, job.settings.finetuning):
        yield Note(
            f"Round {round_ - 1} was not ranked, so that no mask of it is selected to be learned "
            "from. Run the stages predict and rank first, unless that is meant.",
            "warning",
        )
    folder.write_settings(job.settings, in_words(job.device))
    write_training_set(folder.training_set, masks)
    yield from _train_segmenter(job, folder, masks, "finetune", initial)


def predict_pool(job: Job, round_: int) -> Iterator[Event]:
    """Predict the masks of all scans that were not painted."""
    segmenter = load_segmenter(job.folder(round_).segmenter, job.device)
    painted, accepted = job.study.labelled().painted, _accepted_in(job, round_)
    wanted = [name for name in job.study.names if name not in painted]
    names = [
        name for name in wanted
        if name not in accepted  # what a person looked at stays as it was
        and not job.tally.is_hopeless("predict", name)
        and (job.again or not job.study.pseudo_label_path(round_, name).is_file())
    ]
    for name in set(wanted).difference(names):
        if job.study.pseudo_label_path(round_, name).is_file():
            job.tally.count("predict", name, None)
    if not names:
        return
    yield Started("predict", in_words(job.device), f"round {round_}")
    started = time.monotonic()
    for n, name in enumerate(names, 1):
        yield from _attempt(job, "predict", name, _predict_one(job, round_, segmenter, name))
        yield Progress("predict", n, len(names), {}, _left(started, n, len(names)))


def _accepted_in(job: Job, round_: int) -> set[str]:
    """Scans whose pseudo-label of this round was accepted, and is there."""
    return {
        name for name, decision in job.study.decisions().items()
        if decision.state == "accepted" and decision.round == round_
        and job.study.standing(decision) == "current"
    }


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
    ranker = _Ranker(job, round_, keeper, looks) if names else None
    started = time.monotonic()
    for n, name in enumerate(names, 1):
        assert ranker is not None
        yield from _attempt(job, "rank", name, ranker.score(name, rows))
        yield Progress("rank", n, len(names), {}, _left(started, n, len(names)))
    table = [rows[name] for name in keeper.names if name in rows]
    if job.settings.ranking.select == "varied":
        yield from _look_at_the_rest(job, round_, table, looks)
    keeper.save(ranked(table, job.settings.ranking, looks))
    yield _wrote(job, job.study.scores_path(round_), "scores")


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
            yield from _attempt(job, "rank", row.scan, look(row.scan))


class _Ranker:
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
        yield from _remarks(self.segmenter, name)
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
        yield _wrote(self.job, path, "reconstruction")

    def _consistency(self, scan: Scan, name: str) -> float:
        data = find_window(self.segmenter, scan.load()).view.data
        seed = [self.job.settings.seed, 5, *name.encode()]
        n = self.job.settings.ranking.n_augmentations
        return consistency(self.segmenter, data, n, np.random.default_rng(seed))


def _train_segmenter(
    job: Job,
    folder: RoundFolder,
    masks: Sequence[TrainingMask],
    stage: str,
    initial: Weights | None = None,
) -> Iterator[Event]:
    tuning = job.settings.finetuning
    first = stage == "train"
    config = job.settings.training
    if not first:
        config = config.model_copy(
            update={"steps": tuning.steps, "learning_rate": tuning.learning_rate}
        )
    step = step_of(folder.segmenter, "segmenter")
    data = yield from training_data(
        job, masks, None if first else tuning.label_maps, config.steps, step
    )
    if len(data.masks) < len(masks):
        write_training_set(folder.training_set, data.masks)  # not what was left out
    real_fraction = tuning.real_fraction
    if first:
        real_fraction = real_fraction_at_first(job.settings, len(data.masks))
    settings = _predicting(job.settings, real=real_fraction > 0)
    task = segmenter_task(
        data.bank, data.geometry, settings, job.device, stage=stage, initial=initial,
        config=config, real_fraction=real_fraction, watched=data.watched,
    )
    pictures = attempt(_save_previews, folder, data.bank, data.geometry, job.settings)
    if isinstance(pictures, Failure):  # they are to be looked at; training can do without
        yield pictures.note("", "The previews could not be drawn")
    else:
        yield _wrote(job, folder.previews / "synthetic.png", "preview")
    events = data.supply.follow(train(task, folder.segmenter, job.device), step)
    if job.watch:
        watched = PresentAnswer(job.study, job.watch, folder.previews, job.device)
        events = job.tally.watch("watch", watched.follow(events, folder.segmenter))
    with metrics_log(folder) as log:
        yield from log.follow(events)
    yield _wrote(job, folder.segmenter, "segmenter")


@dataclass(frozen=True)
class TrainingData:
    """Labelled scans, ready for training."""

    bank: LabelBank
    geometry: Geometry
    watched: list[Pair]
    supply: Supply  # of scans that take turns, where not all fit into memory

    @property
    def masks(self) -> list[TrainingMask]:
        """Those that are learned from."""
        return self.supply.used


def training_data(
    job: Job, masks: Sequence[TrainingMask], n_maps: int | None, n_steps: int = 1, step: int = 0
) -> Generator[Event, None, TrainingData]:
    """Load the labelled scans and make their label maps: those that are there at a step.

    A bad scan is left out; see `Supply`.
    """
    geometry = _geometry(job)

    def load(mask: TrainingMask) -> tuple[Example, Volume, npt.NDArray[np.bool_]]:
        return _load_example(job, mask, geometry)

    supply = Supply(masks, load, geometry, job.settings, n_maps, n_steps)
    yield from supply.fill(step)
    for name, failure in supply.failed.items():
        job.tally.count(LEARN, name, failure)
    job.tally.learned.update(mask.scan for mask in supply.used)
    return TrainingData(supply.bank(), geometry, supply.watched, supply)


def _load_example(
    job: Job, mask: TrainingMask, geometry: Geometry
) -> tuple[Example, Volume, npt.NDArray[np.bool_]]:
    scan = open_scan(job.study.scan_path(mask.scan))
    array = load_mask(job.study.folder / mask.path, like=scan)
    volume = scan.load()
    soft = None
    if job.settings.finetuning.soft_labels and mask.kind not in TRUSTED:
        soft = _probability(job, mask, volume)
    return make_example(mask.scan, volume, array, geometry, mask.weight, soft), volume, array


def _probability(job: Job, mask: TrainingMask, volume: Volume) -> Volume:
    """The probability that a pseudo-label was made from, with 0.5 where its surface was."""
    round_ = mask.round or 0
    prediction = predict(load_segmenter(job.folder(round_).segmenter, job.device), volume)
    settings = _predicting(job.settings, real=_has_seen_real(job, round_))
    p, threshold = prediction.probability, settings.prediction.threshold
    odds = p * (1 - threshold)
    soft = (odds / (odds + (1 - p) * threshold)).astype(np.float32)
    return Volume(soft, prediction.grid.affine)


def _geometry(job: Job) -> Geometry:
    """The training grid: from the first mask that was painted, the same in all rounds.

    From the next one, if the scan of the first cannot be read.
    """
    masks, folder = masks_by_hand(job.study), job.folder(0)
    first = describe_round(job.study, 0).scans[:1] if folder.segmenter.is_file() else ()
    masks.sort(key=lambda mask: mask.scan not in first)
    for mask in masks[:-1]:
        found = attempt(_geometry_of, job, mask)
        if isinstance(found, Geometry):
            return found
    return _geometry_of(job, masks[-1])


def _geometry_of(job: Job, mask: TrainingMask) -> Geometry:
    scan = open_scan(job.study.scan_path(mask.scan))
    array = load_mask(job.study.folder / mask.path, like=scan)
    return training_geometry(array, scan.grid, job.settings)


def _predict_one(job: Job, round_: int, segmenter: Segmenter, name: str) -> Iterator[Event]:
    scan = open_scan(job.study.scan_path(name))
    settings = _predicting(job.settings, real=_has_seen_real(job, round_))
    mask = to_mask(predict(segmenter, scan.load()), scan.grid, settings)
    yield from _remarks(segmenter, name)
    path = job.study.pseudo_label_path(round_, name)
    if not mask.any():
        path.unlink(missing_ok=True)  # an earlier answer is no longer the network's
        raise UserError(NO_BRAIN)
    save_mask(path, mask, like=scan)
    yield _wrote(job, path, "pseudo-label")


def _remarks(segmenter: Segmenter, name: str) -> Iterator[Note]:
    """What the segmenter has to say of the scan it just looked at."""
    for text in segmenter.told():
        yield Note(f"{name}: {text}", "warning", name)


def real_fraction_at_first(settings: Settings, n_painted: int) -> float:
    """Share of real scans in the first training: one scan alone would be learned by heart."""
    return settings.training.real_fraction if n_painted > 1 else 0.0


def _has_seen_real(job: Job, round_: int) -> bool:
    """Whether the network of a round learned from real scans when it was trained."""
    if round_:
        used = job.folder(round_).read_settings() or job.settings
        return used.finetuning.real_fraction > 0
    return real_fraction_at_first(job.settings, len(describe_round(job.study, 0).scans)) > 0


def _predicting(settings: Settings, *, real: bool) -> Settings:
    """Settings with which a network predicts: one that saw real scans is no longer generous."""
    if not real:
        return settings
    return override(settings, {"prediction.threshold": settings.finetuning.threshold})


def _attempt(job: Job, stage: str, name: str, work: Iterator[Event]) -> Iterator[Event]:
    """Do the work of one scan; a bad scan is reported and the rest goes on."""
    failure = yield from guarded(work)
    job.tally.count(stage, name, failure)
    if failure is not None:
        yield failure.note(name)


def _save_previews(
    folder: RoundFolder, bank: LabelBank, geometry: Geometry, settings: Settings
) -> None:
    maps = previews.label_pictures([m.numpy() for m in untiled(bank.labels[0])])
    previews.save_picture(folder.previews / "label_maps.png", previews.montage(maps, 2), 1)
    rng = np.random.default_rng([settings.seed, 7])
    heads = []
    for _ in range(PREVIEW_HEADS):
        params = sample_params(rng, bank, settings.synthesis)
        image, distance = render(bank, [params], geometry.shape)
        heads.append(previews.head_picture(image[0, 0].numpy(), distance[0, 0].numpy() < 0))
    previews.save_picture(folder.previews / "synthetic.png", previews.montage(heads, 3))


def _wrote(job: Job, path: Any, what: str) -> Wrote:
    return Wrote(path.relative_to(job.study.folder).as_posix(), what)


def _left(started: float, done: int, total: int) -> float:
    return (time.monotonic() - started) / done * (total - done)
