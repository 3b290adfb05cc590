"""Write docs/glossary.md from the terms in napari_singlestrip/glossary.py.

``python docs/make_glossary.py`` writes the page.
"""

from __future__ import annotations

from pathlib import Path

from napari_singlestrip.glossary import TERMS

PAGE = Path(__file__).with_name("glossary.md")

INTRODUCTION = """\
# Glossary

The terms used in the window, in the report and on the command line; they are also in the window's
help (`?`). This page is written by `docs/make_glossary.py` from
`napari_singlestrip/glossary.py`; change it there and run `make docs`. How places to check are
found, and how often they are right: [places_to_check.md](places_to_check.md).
"""


def glossary_page() -> str:
    """Return the whole page as Markdown."""
    rows = [f"| {term.word} | {term.meaning} |" for term in TERMS]
    return "\n".join([INTRODUCTION, "| term | meaning |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(glossary_page(), encoding="utf-8")
