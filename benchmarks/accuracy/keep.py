"""Keep the result files of the accuracy experiment in the project.

    python benchmarks/accuracy/keep.py OUT NAME

They are copied from OUT to benchmarks/accuracy/measured/NAME, numbers rounded. Studies and masks
stay where they are. tables.py writes the page from there on any machine, and an experiment goes on
elsewhere from a copy of that folder as its OUT.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

MEASURED = Path(__file__).parent / "measured"
RESULT_FILES = (
    "about.json", "fold-*_seed-*/*.json", "peers/*.json", "choices/*/*.json", "beyond/beyond.json",
    "hard_looks/*.json",
)
DIGITS = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    options = parser.parse_args()
    print(f"{keep(options.out, MEASURED / options.name)} result files in measured/{options.name}")


def keep(out: Path, folder: Path) -> int:
    """Copy all result files, and say how many there were."""
    files = [file for pattern in RESULT_FILES for file in sorted(out.glob(pattern))]
    if not files:
        raise SystemExit(f"There are no result files in {out}.")
    for file in files:
        kept = folder / file.relative_to(out)
        kept.parent.mkdir(parents=True, exist_ok=True)
        content = rounded(json.loads(file.read_text(encoding="utf-8")))
        kept.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return len(files)


def rounded(content: object) -> object:
    """The same content with fewer digits."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [rounded(value) for value in content]
    return round(content, DIGITS) if isinstance(content, float) else content


if __name__ == "__main__":
    main()
