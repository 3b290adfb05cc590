"""Write the tables of docs/performance.md from what the benchmarks found.

    python benchmarks/speed/write_page.py FOLDER [--page docs/performance.md]

FOLDER holds one JSON file of each script, from its option --json. The page is written by hand but
for what stands between <!-- NAME.py --> and <!-- end -->; sections without a file stay as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from measuring import ROOT

sys.path.append(str(ROOT / "benchmarks"))
from page_sections import table as table_lines
from page_sections import with_section


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    options = parser.parse_args()
    page = options.page.read_text(encoding="utf-8")
    for path in sorted(options.folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        page = with_section(page, found["script"], section(found))
    options.page.write_text(page, encoding="utf-8")
    print(f"Wrote {options.page}")


def section(found: dict[str, Any]) -> str:
    """What one script found, with the machine it ran on."""
    facts = found["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    threads = facts["threads"]
    if threads.isdigit():
        threads += " thread" if threads == "1" else " threads"
    else:
        threads = f"threads {threads}"
    lines = [
        f"Commit {facts['commit']}; {facts['processor']}, {facts['memory']}; {facts['system']}; "
        f"{threads}; load at the start {facts['load']}; {packages}.",
        "",
    ]
    for table in found["tables"]:
        lines += [f"**{table['title']}**", ""]
        if table["rows"]:
            lines += [*table_lines(table["columns"], table["rows"]), ""]
        lines += [*(f"- {note}" for note in table["notes"]), ""] if table["notes"] else []
    return "\n".join(lines)


if __name__ == "__main__":
    main()
