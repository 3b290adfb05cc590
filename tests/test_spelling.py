"""Prose is spelled correctly, in British English, and in the standard terms of brain imaging."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("napari_singlestrip", "docs", "tests", "benchmarks", "examples", "tools")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
PACKAGE = [path for path in SOURCES if path.is_relative_to(ROOT / "napari_singlestrip")]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
# Abbreviations, and misspellings that tests need.
CORRECT = "als,summar,trainig"
# American spellings. Identifiers keep those of numpy, Qt and matplotlib; quotations are exempt.
AMERICAN = (
    r"analyz(?:ed|es|ing|ers?)|artifacts?|behaviors?|cancel(?:ed|ing)|centers?|centered|colors?|colored|favors?|"
    r"fibers?|grays?|labeled|labeling|meters?|model(?:ed|ing)|neighbors?|tumors?|"
    r"(?:general|initial|local|maxim|minim|normal|optim|organ|random|recogn|serial|standard|summar|"
    r"synchron|synthes|visual)iz(?:e[ds]?|ing|ation)"
)
QUOTATIONS = ("labeled example", "single labeled")
# Words that readers stumbled over, and the standard terms for them.
HOME_MADE = {
    r"by heart": "overfit",
    r"made-up heads?|people who do not exist": "simulated heads",
    r"mend(?:s|ed|ing)?": "correct, repair",
    r"passed over": "skipped",
    r"poison\w*": "harmful",
    r"present answers?": "current prediction",
    r"redrew|redraws? (?:a |the )?masks?": "reconstruct",
    r"the one dial": "effort",
    r"in (?:a|the) person's hand|tool in hand": "selected tool",
    r"(?:pictures?) of (?:a )?heads?|synthetic pictures?": "image, scan",
    r"look(?:s|ed)? through \w+ eyes": "plain words",
    r"the rival ranking": "agreement under augmentation",
    r"what (?:the|each) scores? (?:are|is) worth": "correlation with the true Dice",
}


@cache
def prose_of(path: Path) -> tuple[tuple[int, str], ...]:
    """Lines of comments and docstrings, or of a page without code, with their numbers."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        code = re.compile(r"```.*?```", re.DOTALL)
        text = code.sub(lambda block: "\n" * block[0].count("\n"), text)
        return tuple((n, _plain(line)) for n, line in enumerate(text.splitlines(), 1))
    comments = [
        (token.start[0], _plain(token.string))
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]
    return (*comments, *_docstrings(text))


def _docstrings(text: str) -> Iterator[tuple[int, str]]:
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            first, last = node.body[0].lineno, node.body[0].end_lineno or 0
            yield from ((n, _plain(lines[n - 1])) for n in range(first, last + 1))


def _plain(line: str) -> str:
    """Remove code, addresses and links."""
    return re.sub(r"``.*?``|`[^`]*`|\]\([^)]*\)|https?://\S+|#:~:\S+", "", line)


def found(pattern: str, paths: list[Path]) -> list[str]:
    """Places where the prose of files has a pattern, as whole words."""
    words = re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)
    return [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in paths for number, line in prose_of(path)
        for match in words.finditer(line)
        if not any(quotation in line for quotation in QUOTATIONS)
    ]  # fmt: skip


def test_no_word_is_misspelled() -> None:
    command = [sys.executable, "-m", "codespell_lib", "--ignore-words-list", CORRECT]
    paths = [*PAGES, *SOURCES, ROOT / "napari_singlestrip" / "napari.yaml"]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_spelling_is_british() -> None:
    assert found(AMERICAN, [*PAGES, *SOURCES]) == []


def test_home_made_words_do_not_come_back() -> None:
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]  # history is not rewritten
    again = {found_at: term for pattern, term in HOME_MADE.items()
             for found_at in found(pattern, [*pages, *PACKAGE])}  # fmt: skip
    assert again == {}


@pytest.mark.parametrize(("line", "pattern"), [
    ("# The color of a mask.", AMERICAN),
    ("# Normalized and centered.", AMERICAN),
    ("# The network learned it by heart.", "|".join(HOME_MADE)),
    ("# Mend the mask.", "|".join(HOME_MADE)),
])  # fmt: skip
def test_these_are_found(
    line: str, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(f"{line}\n", encoding="utf-8")
    assert found(pattern, [tmp_path / "a.py"])


def test_code_is_not_prose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.py").write_text("color = 1  # see `color`\n", encoding="utf-8")
    (tmp_path / "a.md").write_text("```\ncolor\n```\nA `color` of [ours](color.md).\n", "utf-8")
    assert found(AMERICAN, [tmp_path / "a.py", tmp_path / "a.md"]) == []
