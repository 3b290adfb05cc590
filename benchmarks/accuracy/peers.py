"""Other tools on the scans of the accuracy experiment: BET (brainextractor) and deepbet.

    python benchmarks/accuracy/peers.py [DATA] [OUT] [--tools bet deepbet] [--minutes 60]

Run it in the environment of the extra `benchmark`. DATA holds scans/ and masks/ of the same names;
without it, or without a tool, that is said and skipped. Masks go to OUT/peers/TOOL/, figures to
OUT/peers/TOOL.json, in the format of the experiment's arms. Each scan is written at once: the same
command continues where it was. A tool that fails on a scan, or finds nothing, gets Dice 0 and the
reason.

brainextractor counts in voxels and breaks off where these are not cubes. That is no property of the
method, so such scans are brought to 1 mm voxels for it, with room around them, and its masks back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))
from other_tools import COMMANDS, is_installed

from napari_singlestrip.engine.imaging.geometry import resample
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.scan import Scan
from napari_singlestrip.engine.imaging.scan_names import scan_name
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.engine.masks.metrics import compare
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import write_json_atomic
from napari_singlestrip.files.temporary import temporary_folder

ROOT = Path(__file__).resolve().parents[2]
TOOLS = {"bet": "brainextractor", "deepbet": "deepbet"}  # the packages that they come in
LEFT_OUT = ("mouse",)  # they know human heads only
TOO_LONG_SECONDS = 1800
ROOMS_MM = (15, 40)  # on each side; the second when a tool breaks off with the first


def main() -> None:
    options = parse_arguments()
    if not (options.data / "scans").is_dir():
        print(f"skipped: there are no scans in {options.data}")
        return
    scans = sorted(
        path for path in (options.data / "scans").iterdir()
        if not any(word in path.name for word in LEFT_OUT)
    )
    until = time.monotonic() + 60 * options.minutes
    for tool in options.tools:
        if not is_installed(TOOLS[tool]):
            print(f"skipped: {tool}, since {TOOLS[tool]} is not installed")
            continue
        run(tool, scans, options.data / "masks", options.out / "peers", until)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", default=ROOT.parent / "shared" / "data")
    default_out = ROOT / "benchmark_results" / "accuracy"
    parser.add_argument("out", type=Path, nargs="?", default=default_out)
    parser.add_argument("--tools", nargs="*", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--minutes", type=float, default=1e9)
    return parser.parse_args()


def run(tool: str, scans: Sequence[Path], references: Path, out: Path, until: float) -> None:
    """Run a tool on the scans that have no figures yet."""
    file = out / f"{tool}.json"
    rows = json.loads(file.read_text())["unseen"] if file.is_file() else []
    for scan in scans:
        name = scan_name(scan)
        if any(row["scan"] == name for row in rows):
            continue
        if time.monotonic() > until:
            print("The time is up; the same command goes on from here.")
            return
        mask = out / tool / f"{name}.nii.gz"
        row = {"scan": name, **figures(tool, scan, references / scan.name, mask)}
        rows.append(row)
        write_json_atomic(file, {"unseen": rows})
        print(f"{tool} {name}: {row['dice']:.4f} {row.get('problem', '')}", flush=True)


def figures(tool: str, scan: Path, reference: Path, mask: Path) -> dict[str, Any]:
    """Figures of one scan, or Dice 0 and what went wrong."""
    like = open_scan(scan)
    try:
        found = mask_of(tool, like, mask)
    except UserError as error:
        return {"dice": 0.0, "problem": error.what}
    if not found.any():
        return {"dice": 0.0, "problem": "It found no brain."}
    return asdict(compare(found, load_mask(reference, like=like), like.grid.spacing))


def mask_of(tool: str, scan: Scan, mask: Path) -> np.ndarray:
    """Run a tool and return its mask on the scan's grid.

    Raises
    ------
    UserError
        If it failed.
    """
    mask.parent.mkdir(parents=True, exist_ok=True)
    if tool != "bet" or max(scan.grid.spacing) < 1.02 * min(scan.grid.spacing):
        run_tool([*COMMANDS[TOOLS[tool]], scan.path, mask])
        return load_mask(mask, like=scan, check=False)
    try:
        found = mask_on_cubes(tool, scan, mask.parent, ROOMS_MM[0])
    except UserError:
        found = mask_on_cubes(tool, scan, mask.parent, ROOMS_MM[1])
    save_mask(mask, found, like=scan)
    return found


def mask_on_cubes(tool: str, scan: Scan, parent: Path, room_mm: float) -> np.ndarray:
    """Run a tool on 1 mm voxels and bring its mask back to the scan's grid."""
    with temporary_folder(parent) as folder:
        volume = scan.load()
        grid = cubes_around(scan.grid, room_mm)
        copy, mask = folder / "scan.nii.gz", folder / "mask.nii.gz"
        values = resample(volume, grid, fill=float(volume.data.min()))
        nib.save(nib.Nifti1Image(values, grid.affine), copy)
        run_tool([*COMMANDS[TOOLS[tool]], copy, mask])
        found = load_mask(mask, like=open_scan(copy), check=False)
    return resample(Volume(found.astype(np.float32), grid.affine), scan.grid) > 0.5


def cubes_around(grid: Grid, room_mm: float) -> Grid:
    """A grid of 1 mm voxels along the axes of another, with room around it."""
    spacing = np.array(grid.spacing)
    shape = np.ceil(np.array(grid.shape) * spacing + 2 * room_mm).astype(int)
    affine = grid.affine @ np.diag([*(1 / spacing), 1.0])
    middle = grid.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + grid.affine[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    i, j, k = (int(n) for n in shape)
    return Grid((i, j, k), affine)


def run_tool(command: Sequence[str | Path]) -> None:
    """Run a command that writes what its last word names.

    Raises
    ------
    UserError
        With what it complained about.
    """
    hint = "Run the tool by itself on this scan to see more."
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            timeout=TOO_LONG_SECONDS, check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"It was not done in {TOO_LONG_SECONDS} s.", hint) from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "Error" in line.split(":")[0]]
        raise UserError(errors[-1] if errors else f"It ended with code {done.returncode}.", hint)
    if not Path(command[-1]).is_file():
        raise UserError("It wrote no mask.", hint)


if __name__ == "__main__":
    main()
