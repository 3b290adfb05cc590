"""Other tools on the scans of the accuracy experiment: BET (brainextractor) and deepbet.

    python benchmarks/accuracy/peers.py [DATA] [OUT] [--tools bet deepbet] [--minutes 60]

Run it in the environment of the extra `benchmark`. DATA holds scans/ and masks/ of the same names;
without it, or without a tool, that is said and skipped. Masks go to OUT/peers/TOOL/, figures to
OUT/peers/TOOL.json, in the format of the experiment's arms. Each scan is written at once: the same
command goes on where it was. A tool that fails on a scan, or finds nothing, gets Dice 0 and the
reason.
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

sys.path.append(str(Path(__file__).resolve().parents[1]))
from other_tools import COMMANDS, is_installed

from napari_singlestrip.engine.metrics import compare
from napari_singlestrip.engine.scan_names import scan_name
from napari_singlestrip.engine.volume import load_mask, open_scan
from napari_singlestrip.errors import UserError
from napari_singlestrip.files import write_json_atomic

ROOT = Path(__file__).resolve().parents[2]
TOOLS = {"bet": "brainextractor", "deepbet": "deepbet"}  # the packages that they come in
LEFT_OUT = ("mouse",)  # they know human heads only
TOO_LONG_SECONDS = 1800


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
    mask.parent.mkdir(parents=True, exist_ok=True)
    problem = failure([*COMMANDS[TOOLS[tool]], scan, mask])
    if problem or not mask.is_file():
        return {"dice": 0.0, "problem": problem or "It wrote no mask."}
    like = open_scan(scan)
    try:
        found = load_mask(mask, like=like, check=False)
    except UserError as error:
        return {"dice": 0.0, "problem": str(error)}
    if not found.any():
        return {"dice": 0.0, "problem": "It found no brain."}
    return asdict(compare(found, load_mask(reference, like=like), like.grid.spacing))


def failure(command: Sequence[str | Path]) -> str:
    """Run a command and return the last line of what it complained about; empty if it did well."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            timeout=TOO_LONG_SECONDS, check=False,
        )
    except subprocess.TimeoutExpired:
        return f"It was not done in {TOO_LONG_SECONDS} s."
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"It ended with code {done.returncode}."])[-1]


if __name__ == "__main__":
    main()
