#!/usr/bin/env python3
"""Make napari_singlestrip/engine/learning/first_network.safetensors: what *First suggestion* asks.

    python tools/make_first_network.py train WORK [--steps 10000]
    python tools/make_first_network.py pack WORK

The network has seen no scan of anybody. Its label maps come from heads that the program draws
itself, of several invented people in several contrasts, and it learns from them as from painted
scans at effort quick, with wider ranges where real scans are unkind. WORK holds the checkpoint:
stopped and started again, training goes on. `pack` keeps the averaged weights in half precision.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from napari_singlestrip import __version__
from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.heads.label_bank import (
    BankBuilder,
    Geometry,
    make_example,
    training_geometry,
)
from napari_singlestrip.engine.heads.label_map import LabelBank
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.learning.first_network import PATH
from napari_singlestrip.engine.learning.model_card import ModelCard, card_to_json
from napari_singlestrip.engine.learning.segmenter_training import segmenter_task
from napari_singlestrip.engine.learning.training import train
from napari_singlestrip.engine.overrides import override, settings_for
from napari_singlestrip.engine.stored_settings import settings_from, settings_text
from napari_singlestrip.sample_data.contrast import CONTRASTS, TISSUES
from napari_singlestrip.sample_data.heads import SampleHead, render_head

N_HEADS = 15
FIRST_PERSON = 5000  # not those of the sample studies
SPACING_MM = 2.0
KINDS = (*CONTRASTS, "none")  # "none": every tissue gets a brightness of its own, drawn anew
CHANGES = {
    "label_map.n_bins": ((2, 4), (3, 3), (3, 6)),
    "synthesis.bias_std": 0.7,
    "synthesis.warp_std": 0.045,
    "synthesis.scaling": 0.25,
    "training.validate_every": 1000,
}
# Chosen on half of the people of docs/effort.md.
PREDICTION = {"prediction.threshold": 0.5}
log = logging.getLogger("make_first_network")


def main() -> None:
    """Train, or pack what was trained."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("train", "pack"))
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.what == "train":
        settings = override(settings_for("quick"), {
            **CHANGES, "training.steps": options.steps, "seed": options.seed,
        })
        learn(settings, options.work / "segmenter.pt")
    else:
        pack(options.work / "segmenter.pt", PATH)


def learn(settings: Settings, path: Path) -> None:
    """Train on drawn heads, or go on where `path` left off."""
    bank, geometry = drawn_bank(settings)
    task = segmenter_task(bank, geometry, settings, torch.device("cpu"))
    began = time.monotonic()
    for event in train(task, path, torch.device("cpu")):
        if event.step % 100 == 0:
            log.info("step %d of %d, %s, %.0f s", event.step, event.n_steps,
                     {k: round(v, 4) for k, v in event.metrics.items()}, time.monotonic() - began)


def pack(segmenter: Path, path: Path) -> None:
    """Write what applying needs, with how the network is asked, in half precision."""
    saved = load_checkpoint(segmenter, "segmenter")
    settings = settings_from(json.loads(saved["settings"]))
    kept = {name: saved[name] for name in ("spacing_mm", "shape", "offset")}
    kept["average"] = {name: value.half() for name, value in saved["average"].items()}
    kept["settings"] = settings_text(override(settings, PREDICTION))
    names = tuple(name_of(n) for n in range(N_HEADS))
    card = ModelCard("drawn heads", version=__version__, training_scans=names, effort="quick")
    save_checkpoint(path, "model", {
        "segmenter": kept, "autoencoder": {}, "card": card_to_json(card),
    })
    log.info("%s: %.2f MB, step %d", path, path.stat().st_size / 1e6, saved["step"])


def drawn_bank(settings: Settings) -> tuple[LabelBank, Geometry]:
    """Make the label maps of all drawn heads."""
    builder, geometry = None, None
    rng = np.random.default_rng([settings.seed, 6])
    for head in drawn_heads():
        volume = Volume(head.data.astype(np.float32), head.affine)
        geometry = geometry or geometry_of(head, settings)
        builder = builder or BankBuilder(geometry, settings, rng)
        builder.add(make_example(head.name, volume, head.mask, geometry))
        log.info("%s", head.name)
    assert builder is not None and geometry is not None
    return builder.build(), geometry


def geometry_of(head: SampleHead, settings: Settings) -> Geometry:
    """The training grid, from the first head."""
    return training_geometry(head.mask, Grid(head.mask.shape, head.affine), settings)


def drawn_heads() -> Iterator[SampleHead]:
    """Draw people, each in one contrast, or in none that there is."""
    for n in range(N_HEADS):
        kind = KINDS[n % len(KINDS)]
        contrast = "T1w" if kind == "none" else kind
        head = render_head(FIRST_PERSON + n, contrast, SPACING_MM, noise=0.012)
        data = recoloured(head, n) if kind == "none" else head.data
        yield replace(head, name=name_of(n), data=data)


def name_of(n: int) -> str:
    """Name of a drawn head."""
    return f"drawn-{FIRST_PERSON + n}_{KINDS[n % len(KINDS)]}"


def recoloured(head: SampleHead, seed: int) -> NDArray[np.float32]:
    """Give every tissue a brightness of its own: what looks alike is then another thing."""
    rng = np.random.default_rng([seed, 9])
    levels = rng.uniform(0.05, 1, len(TISSUES)).astype(np.float32)
    levels[TISSUES["air"]] = 0
    data = scipy.ndimage.gaussian_filter(levels[head.labels], 0.4)
    noisy: NDArray[np.float32] = data + 0.01 * rng.standard_normal(data.shape, dtype=np.float32)
    return noisy


if __name__ == "__main__":
    main()
