"""Milliseconds of one CPU thread for one synthetic head, and where they go.

    python benchmarks/synthesis.py [--sides 96 128] [--labels 16] [--repeats 30] [--profile]

Medians over heads with all numbers drawn anew. Beside them, in the same run, the floor that memory
bandwidth sets for one pass over the picture (a copy), since the machine's speed changes from run
to run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from napari_singlestrip.engine.config import settings_for
from napari_singlestrip.engine.examples import Geometry, build_bank, make_example
from napari_singlestrip.engine.grid import Volume
from napari_singlestrip.engine.label_map import LabelBank
from napari_singlestrip.engine.synthesis import render, sample_params
from napari_singlestrip.sample_data import render_head


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(1)
    settings = settings_for("quick")
    for side in options.sides:
        bank = bank_of(side, options.labels)
        rng = np.random.default_rng(0)

        def one(side: int = side, bank: LabelBank = bank) -> None:
            params = sample_params(rng, bank, settings.synthesis)  # noqa: B023
            render(bank, [params], (side, side, side))

        picture = torch.rand(side, side, side)
        copy = median_ms(lambda x=picture: x.clone(), options.repeats)
        taken = median_ms(one, options.repeats)
        print(f"{side}^3, {bank.n_labels} labels: {taken:.1f} ms a head, "
              f"{taken / copy:.0f} times a copy of the picture ({copy:.2f} ms)")
        if options.profile:
            profile(one)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=[96, 128])
    parser.add_argument("--labels", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--profile", action="store_true")
    return parser.parse_args()


def bank_of(side: int, n_labels: int) -> LabelBank:
    """Label maps of a sample head on a cube that is as fine as `side` asks for."""
    head = render_head(0, spacing_mm=2.0)
    bins = [[n_labels // 3, n_labels - n_labels // 3 - 1]]
    settings = settings_for("quick", {"label_map.n_bins": bins})
    geometry = Geometry(200 / side, (side, side, side), 2)
    volume = Volume(head.data.astype(np.float32), head.affine)
    example = make_example(head.name, volume, head.mask, geometry)
    return build_bank([example], [1.0], geometry, settings, np.random.default_rng(0))


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median CPU milliseconds of `work`, after three calls to warm up."""
    for _ in range(3):
        work()
    taken = []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        taken.append(1e3 * (time.thread_time() - start))
    return float(np.median(taken))


def profile(work: Callable[[], object]) -> None:
    """Print the operations that take longest."""
    with torch.profiler.profile() as profiler:
        for _ in range(5):
            work()
    table = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=16)
    print(table)


if __name__ == "__main__":
    main()
