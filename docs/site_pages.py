"""What mkdocs is told beyond mkdocs.yml: pages at the root of the repository, links out of docs/.

README, CONTRIBUTING and CHANGELOG lie where people look for them in a repository, and are pages of
the site, too. Links to other files of the repository, which are no pages, become their names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
AT_THE_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md",
               "CHANGELOG.md": "CHANGELOG.md"}
LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages at the root, with links as they are from docs/."""
    for name, page in AT_THE_ROOT.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=LINK.sub(_from_the_root, text)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Resolve links that lead out of docs/."""
    return LINK.sub(_out_of_docs, markdown)


def _from_the_root(link: re.Match[str]) -> str:
    words, target, anchor = link[1], link[2], link[3] or ""
    if target.startswith("docs/"):
        return f"[{words}]({target.removeprefix('docs/')}{anchor})"
    return f"[{words}]({AT_THE_ROOT[target]}{anchor})" if target in AT_THE_ROOT else words


def _out_of_docs(link: re.Match[str]) -> str:
    words, target, anchor = link[1], link[2], link[3] or ""
    if not target.startswith("../"):
        return link[0]
    page = AT_THE_ROOT.get(target.removeprefix("../"))
    return f"[{words}]({page}{anchor})" if page else words
