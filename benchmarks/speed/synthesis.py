"""One synthetic head on one CPU thread: ours, torchio's and cornucopia's, in turns.

    python benchmarks/speed/synthesis.py [--sides 96 128] [--labels 16] [--repeats 5] [--profile]

All draw every number again for every head. Peers that are not installed are skipped. The second
table says where our time goes, beside the time that memory bandwidth, measured by a copy in the
same run, sets for reading labels, distances and noise and writing an image and its distances.
"""

from __future__ import annotations

import argparse
import importlib.util
import warnings
from collections.abc import Callable

import numpy as np
import torch
from measuring import Table, copy_bandwidth, in_turns, judged, machine, parser, report, stopwatch

from napari_singlestrip.engine.heads import synthesis, synthesis_params
from napari_singlestrip.engine.heads.label_bank import BankBuilder, Geometry, make_example
from napari_singlestrip.engine.heads.label_map import LabelBank, untiled
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.sample_data import render_head

ASKED_MS = {96: 40.0}
ASKED_RATIO = {"torchio": 20, "cornucopia": 60}
# Bytes a voxel: label and distance (1 each) and two kinds of noise (4 each) read; image and
# distance (4 each) written.
BYTES_PER_VOXEL = 1 + 1 + 4 + 4 + 4 + 4
OWN_SETTINGS = "cornucopia, its own settings"
CALLS = 10  # of ours in each turn, since it is so much shorter
DRAWING, RENDERING = (
    f"napari_singlestrip.engine.heads.{module}" for module in ("synthesis_params", "synthesis")
)
STAGES = (
    (DRAWING, "sample_params", "drawing the numbers"),
    (RENDERING, "_gather_index", "affine and warp: where each voxel comes from"),
    (RENDERING, "_distance", "distances, looked up"),
    (RENDERING, "_paint", "labels, looked up and painted"),
    (RENDERING, "_fields", "smooth fields: blend, bias, shapes in the air"),
    (RENDERING, "_point_spread", "matrices of blur and thick slices"),
    (RENDERING, "apply_separable", "blur and thick slices"),
    (RENDERING, "_finish", "noise, scaling, gamma"),
    (RENDERING, "_cut", "smaller fields of view"),
    (RENDERING, "_noise", "windows into the stream of noise"),
)
DIFFERENCES = [
    "Same ranges where a package has them: affine, elastic warp, means, noise, bias field, blur, "
    "gamma. All get the same label map.",
    "Ours also returns the signed distance to the mask, looks labels up in maps of twice the "
    "resolution, integrates its warp, blends two contrasts, and simulates thick slices.",
    "torchio: affine and warp in one resampling of the labels, then RandomLabelsToImage; no thick "
    "slices. Its bias field is a polynomial of order 3.",
    "cornucopia: linear splines (order=1), warp not integrated, no smoothing within labels and no "
    "g-factor, all of which would take longer; thick slices as ours. Its own settings have them.",
]


def main() -> None:
    options = parse_arguments()
    load = machine()["load"]
    torch.set_num_threads(1)
    bandwidth = copy_bandwidth()
    peers = Table(
        f"One synthetic head, {options.labels} labels, one thread (CPU ms, medians)",
        ["grid", "generator", "ms", "times ours", "asked", "reached"], notes=list(DIFFERENCES),
    )
    stages = Table(
        f"Where the time of ours goes (copying: {bandwidth / 1e9:.1f} GB/s)",
        ["stage", *(f"{side}^3, ms" for side in options.sides)],
    )
    taken = {}
    for side in options.sides:
        bank = bank_of(side, options.labels)
        compare(side, bank, options.repeats, peers)
        taken[side] = time_of_stages(side, bank, CALLS * options.repeats)
        if options.profile:
            profile(ours(side, bank))
    for words in [*(stage[2] for stage in STAGES), "the rest"]:
        stages.add(words, *(taken[side][words] for side in options.sides))
    stages.add("together", *(sum(taken[side].values()) for side in options.sides))
    floors = [1e3 * BYTES_PER_VOXEL * side**3 / bandwidth for side in options.sides]
    stages.add("floor: the bytes in and out, once", *floors)
    report([peers, stages], options, load)


def parse_arguments() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--sides", type=int, nargs="*", default=[96, 128])
    arguments.add_argument("--labels", type=int, default=16)
    arguments.add_argument("--profile", action="store_true", help="operations that take longest")
    return arguments.parse_args()


def bank_of(side: int, n_labels: int) -> LabelBank:
    """Label maps of a sample head on a cube that is as fine as `side` asks for."""
    head = render_head(0, spacing_mm=2.0)
    bins = [[n_labels // 3, n_labels - n_labels // 3 - 1]]
    settings = settings_for("quick", {"label_map.n_bins": bins})
    geometry = Geometry(200 / side, (side, side, side), 2)
    volume = Volume(head.data.astype(np.float32), head.affine)
    example = make_example(head.name, volume, head.mask, geometry)
    builder = BankBuilder(geometry, settings, np.random.default_rng(0))
    builder.add(example)
    return builder.build()


def compare(side: int, bank: LabelBank, repeats: int, table: Table) -> None:
    """Let the generators take turns, and add their rows."""
    labels = cropped(untiled(bank.labels[0])[0], side)
    works = {"ours": ours(side, bank)}
    makers = {
        "torchio": torchio_head, "cornucopia": cornucopia_head, OWN_SETTINGS: cornucopia_itself
    }
    for name, make in makers.items():
        package = name.partition(",")[0]
        if importlib.util.find_spec(package) is None:
            table.notes.append(f"{side}^3: {name} is skipped, it is not installed.")
        else:
            works[name] = make(labels, bank.n_labels)
    timings = in_turns(works, repeats, {"ours": CALLS})
    mine = timings["ours"].cpu_ms
    for name, timing in timings.items():
        if name == "ours":
            limit = ASKED_MS.get(side)
            words = (f"{limit:.0f} ms", judged(mine, limit)) if limit else ("-", "-")
            table.add(f"{side}^3", name, mine, 1, *words)
        else:
            ratio, asked = timing.cpu_ms / mine, ASKED_RATIO.get(name)
            words = (f"{asked} times", "yes" if ratio >= asked else "no") if asked else ("-", "-")
            table.add(f"{side}^3", name, timing.cpu_ms, ratio, *words)


def cropped(labels: torch.Tensor, side: int) -> torch.Tensor:
    """The middle of our label maps, which show more than one head and are twice as fine."""
    coarse = labels[::2, ::2, ::2]
    first = [(n - side) // 2 for n in coarse.shape]
    return coarse[tuple(slice(start, start + side) for start in first)].contiguous()


def ours(side: int, bank: LabelBank) -> Callable[[], object]:
    """Our generator."""
    config = settings_for("quick").synthesis
    rng = np.random.default_rng(0)

    def head() -> object:
        params = synthesis_params.sample_params(rng, bank, config)  # by its module: it is timed
        return synthesis.render(bank, [params], (side, side, side))

    return head


def torchio_head(labels: torch.Tensor, n_labels: int) -> Callable[[], object]:
    """Its transforms, in the order of ours."""
    import torchio as tio

    ranges, side = settings_for("quick").synthesis, len(labels)
    sd_per_fwhm = 1 / np.sqrt(8 * np.log(2))
    pipeline = tio.Compose([
        tio.RandomAffineElasticDeformation(
            affine_kwargs={
                "scales": ranges.scaling, "degrees": ranges.rotation_deg,
                "translation": ranges.translation * side,
            },
            elastic_kwargs={
                "num_control_points": 7, "max_displacement": 2 * ranges.warp_std * side,
                "locked_borders": 0,
            },
        ),
        tio.RandomLabelsToImage(
            label_key="labels", used_labels=list(range(n_labels)), default_mean=(0.0, 1.0),
            default_std=(0.0, ranges.intensity_std),
        ),
        tio.RandomBiasField(coefficients=ranges.bias_std, order=3),
        tio.RandomBlur(std=(0, ranges.blur_fwhm * sd_per_fwhm)),
        tio.RandomNoise(std=(0, ranges.noise_std)),
        tio.RescaleIntensity((0, 1), percentiles=(1, 99.5)),
        tio.RandomGamma(log_gamma=ranges.gamma),
    ])
    subject = tio.Subject(labels=tio.LabelMap(tensor=labels[None].to(torch.uint8)))
    torch.manual_seed(0)

    def head() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pipeline(subject)["image_from_labels"].data

    return head


def cornucopia_head(labels: torch.Tensor, n_labels: int) -> Callable[[], object]:
    """Its transform for synthesis from labels, with what ours has none of switched off."""
    from cornucopia import SynthFromLabelTransform

    ranges = settings_for("quick").synthesis
    transform = SynthFromLabelTransform(
        order=1, translations=ranges.translation, rotation=ranges.rotation_deg,
        shears=ranges.shear, zooms=ranges.scaling, elastic=2 * ranges.warp_std,
        elastic_nodes=ranges.warp_grid[1], elastic_steps=0, gmm_fwhm=False,
        bias=ranges.bias_grid[1], bias_strength=ranges.bias_std, gamma=ranges.gamma,
        motion_fwhm=ranges.blur_fwhm, resolution=ranges.thick_slices, snr=1 / ranges.noise_std,
        gfactor=False,
    )
    return applied(transform, labels)


def cornucopia_itself(labels: torch.Tensor, n_labels: int) -> Callable[[], object]:
    """Its transform as it comes."""
    from cornucopia import SynthFromLabelTransform

    return applied(SynthFromLabelTransform(), labels)


def applied(transform: Callable[..., object], labels: torch.Tensor) -> Callable[[], object]:
    """Apply a transform of cornucopia again and again."""
    picture = labels[None].long()
    torch.manual_seed(0)

    def head() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return transform(picture)

    return head


def time_of_stages(side: int, bank: LabelBank, repeats: int) -> dict[str, float]:
    """Mean CPU ms of each stage, without the stages that it calls."""
    head = ours(side, bank)
    head()
    with stopwatch(STAGES, "the rest") as taken:
        for _ in range(repeats):
            head()
    return {words: 1e3 * seconds / repeats for words, seconds in taken.items()}


def profile(work: Callable[[], object]) -> None:
    """Print the operations that take longest."""
    with torch.profiler.profile() as profiler:
        for _ in range(5):
            work()
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=16))


if __name__ == "__main__":
    main()
