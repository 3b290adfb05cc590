"""The words between the parts of the program are spelt in one place."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

import napari_singlestrip
from napari_singlestrip.vocabulary import (
    FIRST_STAGES,
    LATER_STAGES,
    LEARNING_STAGES,
    STAGE_WORDS,
    STAGES,
    StageName,
    StudyPart,
)

PACKAGE = Path(napari_singlestrip.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_every_stage_has_words() -> None:
    assert set(STAGE_WORDS) == set(get_args(StageName))


def test_stages_are_listed_once_only() -> None:
    assert set(FIRST_STAGES) | set(LATER_STAGES) == set(STAGES)
    assert set(LEARNING_STAGES) < set(STAGES)
    lists = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py")) if path.name != "vocabulary.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Tuple, ast.List, ast.Set))
        and len(words := [e.value for e in node.elts if isinstance(e, ast.Constant)]) > 1
        and set(words) <= set(STAGES)
    ]
    assert not lists


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_changed_in_a_study_is_said_as_a_part_of_it(path: Path) -> None:
    """A word in quotes would be a string to whoever listens, and its spelling nobody's matter."""
    said = {"changed.emit", "study_changed.emit", "_folder.saw", "_folder.watch", "folder.watch"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(tuple(said)):
            words = [a.value for a in node.args if isinstance(a, ast.Constant)]
            assert not set(words) & {str(part) for part in StudyPart}, f"line {node.lineno}"
