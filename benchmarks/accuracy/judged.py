"""Whether the masks of other tools are ranked by how good they are: `singlestrip judge`.

    python benchmarks/accuracy/judged.py [DATA] [OUT] [--tools bet deepbet] [--effort quick]

After benchmarks/accuracy/peers.py, which writes the masks of BET and deepbet to OUT/peers/TOOL/.
One scan has its reference as the good mask; all other masks of a tool are ranked, once alone and
once with the other tool's for comparison. Only afterwards are they compared with the references.
Figures go to OUT/judged.json, studies to OUT/judged/.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from experiment import arguments, command, no_data

from napari_singlestrip.files.atomic import write_json_atomic
from napari_singlestrip.study.ranking_report import ranking_report
from napari_singlestrip.study.study import Study

TOOLS = ("bet", "deepbet")
LEFT_OUT = "mouse"  # the tools know human heads only
N_WORST = 4


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tools", nargs="*", default=list(TOOLS), choices=TOOLS)
    options = parser.parse_args()
    if no_data(options):
        return
    found: dict[str, Any] = {}
    for tool in options.tools:
        folders = [options.out / "peers" / name for name in (tool, *set(TOOLS) - {tool})]
        there = [folder for folder in folders if folder.is_dir()]
        if folders[0] not in there:
            print(f"skipped: {tool}, since there is no folder {folders[0]}: run peers.py first")
            continue
        study = made(options, there[0])
        for masks in (there[:1], there) if len(there) > 1 else (there,):
            words = " beside ".join(folder.name for folder in masks)
            found[words] = judged(study, masks)
            print(in_words(words, found[words]), flush=True)
            write_json_atomic(options.out / "judged.json", found)


def made(options: Any, masks: Path) -> Path:
    """A study of the scans that have a mask, with one good mask of its own."""
    study: Path = options.out / "judged" / masks.name
    references = options.data / "masks"
    scans = [
        path for path in sorted((options.data / "scans").iterdir())
        if LEFT_OUT not in path.name and (masks / path.name).is_file()
    ]
    good = options.painted
    changes = (word for change in options.changes for word in ("--set", change))
    command(
        "new", study, *scans, "--mask", f"{good}={references / (good + '.nii.gz')}", "--reference",
        references, "--effort", options.effort, *changes, unless=study,
    )
    return study


def judged(study: Path, masks: list[Path]) -> dict[str, Any]:
    """Rank the masks of the first folder; what the references say of the ranking."""
    command("judge", study, *(word for folder in masks for word in ("--masks", folder)))
    report = ranking_report(Study.open(study), 0)
    rows = [{"scan": row.score.scan, "dice": row.dice} for row in report.rows if row.score.rank]
    spearman = {name: c.spearman for name, c in report.correlations.items() if c.n > 1}
    return {"rows": rows, "spearman": {k: v for k, v in spearman.items() if math.isfinite(v)}}


def in_words(what: str, found: dict[str, Any]) -> str:
    """The correlations, and at which places of the ranking the worst masks are."""
    rows = found["rows"]
    lines = [f"{what}: {len(rows)} masks, Spearman {json.dumps(found['spearman'])}"]
    places = {row["scan"]: place for place, row in enumerate(rows, 1)}
    for row in sorted(rows, key=lambda row: row["dice"])[:N_WORST]:
        lines.append(f"  {row['scan']}: Dice {row['dice']:.3f}, place {places[row['scan']]}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
