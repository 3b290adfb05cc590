"""Scoring one mask by the autoencoder, against eightfold test-time augmentation.

    python benchmarks/speed/ranking.py [--data DIR] [--repeats 5]

Both scores are those of the ranking stage, of a mask on 256^3 voxels of 1 mm, on one thread, in
turns. The autoencoder sees the mask from eight views on a coarse grid, whatever the effort, and
from one view for each pitch that is tried first; augmentation costs eight passes of the segmenter
over the scan, so that its price grows with the effort, and eight masks are refined. The networks
are not trained, which takes no part in what they cost.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from inference import REFERENCE, make_scan
from measuring import Table, in_turns, machine, parser, report, stopwatch

from napari_singlestrip.engine.config import EFFORTS, Effort
from napari_singlestrip.engine.heads.label_bank import Geometry, brain_box, training_geometry
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.resampling import resample
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.judging.consistency import (
    agreement,
    predict_augmented,
    sample_augmentation,
)
from napari_singlestrip.engine.learning.autoencoder import Autoencoder, MaskAutoencoder, mask_frame
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.prediction import similar_masks
from napari_singlestrip.engine.learning.reconstruction_error import autoencoder_error, best_views
from napari_singlestrip.engine.learning.segmenter import Segmenter
from napari_singlestrip.engine.overrides import settings_for

ASKED = 100
FOLDS = 8
ONCE = "thorough"  # minutes of augmentation: one fold, once, times eight
AUTOENCODER = "napari_singlestrip.engine.learning.autoencoder"
STAGES = (
    (AUTOENCODER, "frame_grid", "centre of mass"),
    (AUTOENCODER, "_cut_out", "cutting the mask out"),
    (AUTOENCODER, "resample", "views of it"),
    (AUTOENCODER, "_reconstruct", "network (floor)"),
)


class Scores:
    """The two scores of one mask at one effort, in turns (CPU ms)."""

    def __init__(self, scan: Path, mask: Path, effort: Effort, repeats: int) -> None:
        opened = open_scan(scan)
        self.grid = opened.grid
        self.mask = load_mask(mask, like=opened)
        settings = settings_for(effort)
        geometry = training_geometry(self.mask, self.grid, settings)
        self.config = settings.ranking
        config, frame = settings.autoencoder, mask_frame(geometry, settings.autoencoder)
        drawn = MaskAutoencoder(frame.shape, config.channels, config.latent).eval()
        self.autoencoder = Autoencoder(drawn, frame)
        net = build_segmenter(settings.network).eval()
        self.segmenter = Segmenter(net, settings, geometry.spacing_mm, geometry.shape)
        self.seen = np.random.default_rng(0).random(geometry.shape, np.float32)
        self.volume = opened.load()
        self.view = window_around(self.mask, self.grid, geometry)
        inside = Volume(self.mask.astype(np.float32), self.grid.affine)
        self.brain = resample(inside, self.view)
        self.folds = 1 if effort == ONCE else FOLDS
        once = effort == ONCE
        works = {"score": self.score, "augment": self.augment}
        taken = in_turns(
            works, 1 if once else repeats, {"score": repeats} if once else None, int(not once)
        )
        self.score_ms = taken["score"].cpu_ms
        self.augment_ms = FOLDS / self.folds * taken["augment"].cpu_ms
        with stopwatch(STAGES, "the rest") as parts:
            for _ in range(repeats):
                self.score()
        self.parts = {words: 1e3 * seconds / repeats for words, seconds in parts.items()}

    def score(self) -> None:
        """By the autoencoder."""
        views = best_views(self.autoencoder, self.mask, self.grid, self.config)
        autoencoder_error(views, self.config.error)

    def augment(self) -> None:
        """By augmentation of what the segmenter sees of the scan, and refined borders."""
        rng = np.random.default_rng(0)
        augmentations = [sample_augmentation(rng) for _ in range(self.folds)]
        predict_augmented(self.segmenter, self.seen, augmentations)
        found = [self.brain for _ in augmentations]  # an untrained network finds none
        agreement(similar_masks(
            found, self.view, self.mask, self.volume, self.segmenter.settings, self.autoencoder
        ))


def window_around(mask: np.ndarray, grid: Grid, geometry: Geometry) -> Grid:
    """What the segmenter sees of a scan: its training grid around the brain."""
    middle = sum(brain_box(mask, grid)) / 2
    affine = np.diag([*3 * [geometry.spacing_mm], 1.0])
    affine[:3, 3] = middle - geometry.spacing_mm * (np.array(geometry.shape) - 1) / 2
    return Grid(geometry.shape, affine)


def main() -> None:
    options = parser(__doc__).parse_args()
    load = machine()["load"]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="singlestrip-") as name:
        scan, mask = make_scan(options.data, Path(name)), Path(name) / REFERENCE
        found = {effort: Scores(scan, mask, effort, options.repeats) for effort in EFFORTS}
    table = Table(
        "Scoring one mask of 256^3 voxels, one thread (CPU ms, medians)",
        ["effort", "grid of the segmenter", "autoencoder", "augmentation", "times", "asked",
         "reached", "1,000 masks, minutes"],
    )
    for effort, scores in found.items():
        ratio = scores.augment_ms / scores.score_ms
        table.add(
            effort, " x ".join(map(str, scores.segmenter.shape)), scores.score_ms,
            scores.augment_ms, ratio, f"{ASKED} times", "yes" if ratio >= ASKED else "no",
            scores.score_ms / 60,
        )
    table.notes.append(f"{ONCE}: one augmentation, times eight.")
    table.notes.append("Reading the mask and writing its pictures come on top, for both scores.")
    where = Table("Where the autoencoder's time goes (CPU ms)", ["stage", *found])
    for words in [*(stage[2] for stage in STAGES), "the rest"]:
        where.add(words, *(scores.parts[words] for scores in found.values()))
    report([table, where], options, load)


if __name__ == "__main__":
    main()
