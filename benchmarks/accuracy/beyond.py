"""Beyond adult T1w: an EPI with a cut field of view, and a mouse.

    python benchmarks/accuracy/beyond.py [DATA] [OUT] [--study STUDY]

STUDY is one that learned from an adult's T1w (benchmarks/speed/method.py keeps such); its rounds
are applied to the EPI, whose person, sequence and resolution it has never seen. Without it a first
network is trained.

Of the mouse there is one scan. Its mask is the painted one, and the pool is the same mouse as other
scanners might have seen it: turned, shifted, its axes in another order, its contrast inverted, with
noise and thicker slices. The first network has seen none of its intensities, only label maps.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from experiment import PAINTED, arguments, command, evaluated, no_data, run_options, stem
from scipy import ndimage

from napari_singlestrip.study.ranking_report import ranking_report
from napari_singlestrip.study.study import Study


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--study", type=Path, metavar="DIR", help="trained on an adult's T1w")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if no_data(options):
        return
    out = options.out / "beyond"
    out.mkdir(parents=True, exist_ok=True)
    found = {"EPI": epi(options, out), "mouse": mouse(options, out)}
    (out / "beyond.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for what, rounds in found.items():
        for round_, rows in rounds.items():
            for row in rows:
                print(f"{what}, {round_}, {row['scan']}: Dice {row['dice']:.3f}")


def epi(options: argparse.Namespace, out: Path) -> dict[str, list[dict[str, object]]]:
    """What a network that learned from a T1w finds in an EPI, round by round."""
    scans = [path for path in (options.data / "scans").iterdir() if "EPI" in path.name]
    masks = options.data / "masks"
    folder = options.study
    if folder is None:
        folder = out / "adult"
        if not folder.exists():
            (painted,) = (options.data / "scans").glob(f"{PAINTED}*")
            command("new", folder, painted, f"--mask={stem(painted)}={masks / painted.name}",
                    "--effort", options.effort)
        command("run", folder, "--stages", "train", *run_options(options.seed, options.changes))
    found = {}
    for round_ in Study.open(folder).rounds.numbers():
        applied = out / f"epi_{round_:02d}"
        command("apply", folder, *scans, "--out", applied, "--round", round_)
        found[f"round {round_}"] = evaluated(applied, masks)
    return found


def mouse(options: argparse.Namespace, out: Path) -> dict[str, list[dict[str, object]]]:
    """One painted mouse, and the same one as others might have scanned it."""
    (scan,) = (path for path in (options.data / "scans").iterdir() if "mouse" in path.name)
    heads, folder = out / "mouse", out / "mouse_study"
    write_mice(scan, options.data / "masks" / scan.name, heads, options.seed)
    shutil.rmtree(folder, ignore_errors=True)
    command("new", folder, heads / "scans", f"--mask=mouse_0={heads / 'masks' / 'mouse_0.nii.gz'}",
            "--reference", heads / "masks", "--effort", options.effort)
    command("run", folder, "--rounds", "1", *run_options(options.seed, options.changes))
    study, found = Study.open(folder), {}
    for round_ in study.rounds.numbers():
        rows = ranking_report(study, round_).rows
        found[f"round {round_}"] = [{"scan": r.score.scan, "dice": r.dice} for r in rows]
    return found


def write_mice(scan: Path, mask: Path, out: Path, seed: int) -> None:
    """The mouse itself, and six variants of it, as scans/ and masks/."""
    rng = np.random.default_rng(seed)
    image, label = nib.load(scan), nib.load(mask)
    data, brain = np.asarray(image.dataobj, np.float32), np.asarray(label.dataobj) > 0
    low, high = np.percentile(data, (1, 99.5))
    data = np.clip((data - low) / (high - low), 0, 1)
    spread = 0.05
    variants = {
        0: (data, brain, image.affine),
        1: (1 - data, brain, image.affine),
        2: (data + 2 * spread * rng.standard_normal(data.shape), brain, image.affine),
        3: (data**2, *_turned(brain, image.affine, 20)),
        4: (np.sqrt(data), *_turned(brain, image.affine, -15)),
        5: _other_axes(data + spread * rng.standard_normal(data.shape), brain, image.affine),
        6: _thick(data, brain, image.affine),
    }
    for n, (values, inside, affine) in variants.items():
        for kind, array in (("scans", np.round(1000 * values)), ("masks", inside)):
            path = out / kind / f"mouse_{n}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            dtype = np.int16 if kind == "scans" else np.uint8
            nib.save(nib.Nifti1Image(array.astype(dtype), affine), path)


def _turned(
    brain: np.ndarray, affine: np.ndarray, degrees: float
) -> tuple[np.ndarray, np.ndarray]:
    """The animal lies otherwise: turned about its first axis, and a little off."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.eye(4)
    turn[1:3, 1:3] = (c, -s), (s, c)
    turn[:3, 3] = 2, -1, 3
    return brain, turn @ affine


def _other_axes(
    data: np.ndarray, brain: np.ndarray, affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes in another order, the first one reversed: the same mouse in the same place."""
    order = [2, 0, 1]
    moved = affine.copy()
    moved[:, :3] = affine[:, order]
    moved[:, 3] += moved[:, 0] * (data.shape[order[0]] - 1)
    moved[:, 0] *= -1
    return data.transpose(order)[::-1], brain.transpose(order)[::-1], moved


def _thick(
    data: np.ndarray, brain: np.ndarray, affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half as many voxels in the plane of the slices, twice as large."""
    grown = affine.copy()
    grown[:3, :2] *= 2
    grown[:3, 3] += (affine[:3, 0] + affine[:3, 1]) / 2
    means = [ndimage.uniform_filter(x.astype(np.float32), (2, 2, 1), origin=(-1, -1, 0))
             for x in (data, brain)]
    return means[0][:-1:2, :-1:2], means[1][:-1:2, :-1:2] >= 0.5, grown


if __name__ == "__main__":
    main()
