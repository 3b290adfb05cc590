"""Documents stay true: paths, links, make targets, commands and the settings page exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from napari_singlestrip.cli import bids_app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("napari_singlestrip/", "tests/", "docs/", "tools/", "examples/", "benchmarks/", ".ci/")
ROOT_FILES = re.compile(
    r"setup\.cfg|pyproject\.toml|constraints\.txt|napari\.yaml|Makefile|[A-Z]+\.md|LICENSE"
)


def _named_paths(document: Path) -> set[Path]:
    """Paths a document names in links and in code spans that begin with one of our folders."""
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    paths = {document.parent / link for link in links if "://" not in link}
    for span in re.findall(r"`([^`\n]+)`", text):
        for word in span.split():
            if word.startswith(FOLDERS) or ROOT_FILES.fullmatch(word):
                paths.add(ROOT / word)
    return paths


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_paths_exist(document: Path) -> None:
    assert not [path for path in _named_paths(document) if not path.exists()]


def test_named_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"`make ([a-z]+)", document.read_text(encoding="utf-8"))
    }
    explained = set(re.findall(r'echo "make ([a-z]+)', makefile))
    assert named <= targets
    assert explained == targets - {"help"}


def test_named_commands_exist() -> None:
    """Every `singlestrip COMMAND` in the documents is one."""
    commands = _options_of_commands()
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for command in re.findall(r"(?<!napari[_-])singlestrip ([a-z]+)\b", text):
            assert command in commands, document.name


def test_command_line_page_names_every_option() -> None:
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    explained = {
        section.split("\n")[0].removeprefix("singlestrip "): set(
            re.findall(r"--[a-z-]+", section.split("```")[1])
        )
        for section in page.split("\n## ")[1:]
    }
    shared = {"--help", "--quiet"}  # told once for all
    options = {**_options_of_commands(), "singlestrip-bids": _options_of(bids_app.app)}
    assert explained == {name: opts - shared for name, opts in options.items()}


def _options_of_commands() -> dict[str, set[str]]:
    """Long options of each command of the command line."""
    import typer

    from napari_singlestrip.cli.app import app

    group = typer.main.get_command(app)
    return {name: _long(command) for name, command in getattr(group, "commands", {}).items()}


def _options_of(program: Any) -> set[str]:
    """Long options of a program without commands."""
    import typer

    return _long(typer.main.get_command(program))


def _long(command: Any) -> set[str]:
    return {opt for one in command.params for opt in one.opts if opt.startswith("--")}


def test_settings_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == _make_settings().settings_page(), "run `make docs`"


def test_settings_page_names_every_setting() -> None:
    from napari_singlestrip.engine.overrides import setting_names

    page = _make_settings().settings_page()
    assert not [name for name in setting_names() if f"| `{name}` |" not in page]


def test_glossary_is_up_to_date() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert page == _module("make_glossary").glossary_page(), "run `make docs`"


def _make_settings() -> ModuleType:
    return _module("make_settings")


def _module(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    path = ROOT / "docs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert "make test" in "\n".join(lines)
