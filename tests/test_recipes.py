"""Commands in pages and scripts that people copy are taken by the programs, option by option."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from recipes import Recipe, recipes

from napari_singlestrip import __version__
from napari_singlestrip.cli import bids_app
from napari_singlestrip.errors import BUG, CANCELLED, NOTHING_DONE, SOME_FAILED, USER_MISTAKE

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "examples" / "cluster"
SCRIPTS = sorted(path for path in CLUSTER.iterdir() if path.is_file())
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
CONTAINER = ROOT / "container"
TEXT = {"type": "string", "minLength": 1}
ONE_WORD = {"type": "string", "pattern": "^[0-9_a-zA-Z]+$"}

# What a descriptor of Boutiques 0.5 has to be, as far as ours goes.
INPUT = {
    "type": "object",
    "required": ["id", "name", "type", "value-key"],
    "additionalProperties": False,
    "properties": {
        "id": ONE_WORD, "name": TEXT, "description": TEXT, "value-key": TEXT,
        "type": {"enum": ["String", "File", "Flag", "Number"]},
        "optional": {"type": "boolean"}, "list": {"type": "boolean"},
        "command-line-flag": TEXT, "value-choices": {"type": "array", "items": TEXT},
    },
}
DESCRIPTOR = {
    "type": "object",
    "required": ["name", "description", "command-line", "schema-version", "inputs", "tool-version"],
    "additionalProperties": False,
    "properties": {
        "name": TEXT, "description": TEXT, "author": TEXT, "tool-version": TEXT,
        "command-line": TEXT, "schema-version": {"const": "0.5"},
        "inputs": {"type": "array", "items": INPUT, "minItems": 1, "uniqueItems": True},
        "output-files": {
            "type": "array",
            "items": {
                "type": "object", "required": ["id", "name", "path-template"],
                "properties": {"id": ONE_WORD, "name": TEXT, "path-template": TEXT},
            },
        },
        "error-codes": {
            "type": "array",
            "items": {
                "type": "object", "required": ["code", "description"],
                "properties": {"code": {"type": "integer"}, "description": TEXT},
            },
        },
        "tags": {"type": "object"},
    },
}  # fmt: skip


@pytest.mark.parametrize("path", [*SCRIPTS, *PAGES], ids=lambda path: path.name)
def test_commands_are_taken_as_they_stand(path: Path) -> None:
    for recipe in recipes(path):
        recipe.check()


def test_recipes_are_found_and_can_be_wrong() -> None:
    found = {path.name: len(recipes(path)) for path in [*SCRIPTS, *PAGES]}
    assert all(found[path.name] for path in SCRIPTS), found
    assert found["how_to.md"] > 8
    for words in (("apply", "a", "b", "--out", "c", "--no-such"), ("applye", "a")):
        with pytest.raises(ValueError, match="Recipe"):
            Recipe("singlestrip", words).check()
    with pytest.raises(ValueError, match="Recipe"):
        Recipe("singlestrip-bids", ("in", "out", "everybody")).check()


@pytest.mark.parametrize(
    "path", [p for p in SCRIPTS if p.name != "Snakefile"], ids=lambda path: path.name
)
def test_scripts_are_sound(path: Path) -> None:
    assert os.access(path, os.X_OK)
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")


def test_the_task_of_an_array_takes_its_participant(tmp_path: Path) -> None:
    for name in ("sub-01", "sub-07"):
        (tmp_path / "bids" / name).mkdir(parents=True)
    (tmp_path / "model.safetensors").touch()
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "2",
    }
    command = ["bash", str(CLUSTER / "participants.sbatch"), "bids", "out", "model.safetensors"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    words = shlex.split(done.stdout)
    assert words[words.index("--participant-label") + 1] == "sub-07"
    Recipe("singlestrip-bids", tuple(words[words.index("singlestrip.sif") + 1 :])).check()
    assert (tmp_path / "out").is_dir()


def test_the_snakefile_is_python_beside_its_rules() -> None:
    text = (CLUSTER / "Snakefile").read_text(encoding="utf-8")
    ast.parse(text.split("\nrule ")[0])
    assert {"all", "participant", "group"} == set(re.findall(r"^rule (\w+):", text, re.MULTILINE))


# --- the container


def _instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile, such as ("RUN", "python -m venv /opt/singlestrip")."""
    text = (CONTAINER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def _build(place: Path, environment: dict[str, str]) -> Path:
    """Do what the first stage of the Dockerfile says, below a folder in the place of /."""
    for what, words in _instructions()[1:]:
        if what == "FROM":
            break
        moved = re.sub(r"(?<![\w:/])/(src|opt)\b", rf"{place}/\1", words)
        if what == "WORKDIR":
            Path(moved).mkdir(parents=True, exist_ok=True)
        elif what == "COPY":
            *sources, target = moved.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(
                        ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__")
                    )
                else:
                    shutil.copy(ROOT / source, target)
        elif what == "RUN":
            done = subprocess.run(
                ["bash", "-c", moved], cwd=place, env=environment, capture_output=True, text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return place / "opt" / "singlestrip" / "bin"


def _says_version(program: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [program, "--version"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"singlestrip-bids {__version__}\n"


def test_what_the_dockerfile_runs_makes_the_program(tmp_path: Path) -> None:
    """Its very commands, with what is needed taken from here instead of the network."""
    here = str(Path(typer.__file__).parents[1])
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0",
        "PYTHONPATH": here,
    }  # fmt: skip
    programs = _build(tmp_path, environment)
    entry = json.loads(dict(_instructions())["ENTRYPOINT"])
    _says_version(programs / entry[0], environment)
    assert (programs / "singlestrip").is_file()


@pytest.mark.soak
def test_what_the_dockerfile_runs_works_in_a_fresh_environment(tmp_path: Path) -> None:
    """Its very commands; hundreds of MB from the network."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP"))}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    programs = _build(tmp_path, environment)
    _says_version(programs / "singlestrip-bids", environment)
    doctor = [str(programs / "singlestrip"), "doctor"]
    subprocess.run(doctor, env=environment, check=True, capture_output=True)


def test_the_container_runs_as_nobody_special_and_is_pinned() -> None:
    instructions = _instructions()
    assert [words for what, words in instructions if what == "USER"] == ["singlestrip"]
    bases = {words.split()[0] for what, words in instructions if what == "FROM"}
    assert len(bases) == 1 and ":" in min(bases)
    (install,) = (words for what, words in instructions if what == "RUN" and "install" in words)
    assert "-c /src/constraints.txt" in install


def test_both_recipes_of_a_container_are_one() -> None:
    """The definition of Apptainer copies, installs and starts what the Dockerfile does."""
    text = (CONTAINER / "singlestrip.def").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = {" ".join(line.split()) for line in text.splitlines()}
    instructions = _instructions()
    for what, words in instructions:
        if what == "RUN" and "useradd" not in words:
            assert words in commands
        if what == "COPY" and not words.startswith("--from"):
            for source in words.split()[:-1]:
                assert f"{source} /src/{source}" in commands
    base = dict(instructions)["FROM"].split()[0]
    assert f"From: {base}" in commands
    assert 'exec singlestrip-bids "$@"' in commands


# --- the descriptor


@pytest.fixture
def descriptor() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CONTAINER / "boutiques.json").read_text(encoding="utf-8"))
    return found


def test_the_descriptor_is_of_boutiques(descriptor: dict[str, Any]) -> None:
    jsonschema.validate(descriptor, DESCRIPTOR)
    ids = [one["id"] for one in descriptor["inputs"] + descriptor["output-files"]]
    assert len(ids) == len(set(ids))
    keys = [one["value-key"] for one in descriptor["inputs"]]
    assert descriptor["command-line"].split() == [bids_app.NAME, *keys]
    assert descriptor["tool-version"] == __version__
    codes = {one["code"] for one in descriptor["error-codes"]}
    assert codes == {BUG, USER_MISTAKE, SOME_FAILED, NOTHING_DONE, CANCELLED}


def test_the_descriptor_has_the_options_of_the_program(descriptor: dict[str, Any]) -> None:
    command: Any = typer.main.get_command(bids_app.app)
    flags = {one["command-line-flag"] for one in descriptor["inputs"] if "command-line-flag" in one}
    options = {
        opt for parameter in command.params if parameter.param_type_name == "option"
        for opt in parameter.opts if opt.startswith("--")
    }
    assert flags == options - {"--quiet", "--version", "--help"}
    examples = {"level": "participant", "device": "cpu", "participant_label": "01 02"}
    line = descriptor["command-line"]
    for one in descriptor["inputs"]:
        value = "" if one["type"] == "Flag" else examples.get(one["id"], one["id"])
        line = line.replace(one["value-key"], f"{one.get('command-line-flag', '')} {value}")
    Recipe(bids_app.NAME, tuple(shlex.split(line)[1:])).check()


def test_bosh_finds_the_descriptor_valid() -> None:
    bosh = shutil.which("bosh", path=str(Path(sys.executable).parent))
    if bosh is None:
        pytest.skip("the package boutiques is not installed")
    subprocess.run([bosh, "validate", str(CONTAINER / "boutiques.json")], check=True)
