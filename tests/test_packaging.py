"""What a person gets who installs the package: the wheel's contents and its metadata."""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from napari_singlestrip import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "napari_singlestrip"
BUILT_FROM = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
# Extras of the package that it does without, or says in a sentence what is missing.
OPTIONAL = ("cluster", "dicom", "fast", "nrrd", "onnx")
# Modules whose distribution has another name.
NAMES = {
    "PIL": "pillow", "nrrd": "pynrrd", "pytestqt": "pytest-qt", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "yaml": "pyyaml",
}
SCRIPTS = (ROOT / ".ci" / "run", *sorted((ROOT / "tools").glob("*.sh")))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy so that the checkout stays clean, without any download."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, source / PACKAGE.name, ignore=ignore)
    program = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    (source / "dist").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def _metadata(wheel: zipfile.ZipFile) -> Message:
    folder = f"napari_singlestrip-{__version__}.dist-info"
    return Parser().parsestr(wheel.read(f"{folder}/METADATA").decode())


def _entry_points(wheel: zipfile.ZipFile) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(delimiters="=")
    folder = f"napari_singlestrip-{__version__}.dist-info"
    parser.read_string(wheel.read(f"{folder}/entry_points.txt").decode())
    return parser


def test_wheel_holds_every_module_and_the_manifest(wheel: zipfile.ZipFile) -> None:
    expected = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    others = (
        "napari.yaml", "py.typed", "engine/judging/expected_dice.json",
        "engine/learning/first_network.safetensors", "sample_data/finetuned.zip",
        "sample_data/finished.zip", "sample_data/first_head.zip",
    )
    expected |= {f"napari_singlestrip/{name}" for name in others}
    packed = {name for name in wheel.namelist() if name.startswith("napari_singlestrip/")}
    assert packed == expected


def test_entry_points(wheel: zipfile.ZipFile) -> None:
    entry_points = _entry_points(wheel)
    assert entry_points["console_scripts"]["singlestrip"] == "napari_singlestrip.cli.app:main"
    # npe2 wants the manifest's name to be that of the distribution, and no slash in the value.
    manifest = entry_points["napari.manifest"]["napari-singlestrip"]
    assert manifest == "napari_singlestrip:napari.yaml"
    assert _metadata(wheel)["Name"] == "napari-singlestrip"


def test_core_needs_no_window(wheel: zipfile.ZipFile) -> None:
    requirements = _metadata(wheel).get_all("Requires-Dist") or []
    core = [text.lower() for text in requirements if "extra ==" not in text]
    assert any(text.startswith("torch") for text in core)
    assert not [text for text in core if text.startswith(("napari", "pyqt", "pyside", "qtpy"))]


def test_manifest_at_the_root_is_the_one_in_the_package() -> None:
    """It is a link; where a checkout has no links (Windows), it holds the path."""
    link = (ROOT / "napari.yaml").read_bytes()
    assert link in (b"napari_singlestrip/napari.yaml", (PACKAGE / "napari.yaml").read_bytes())


def test_npe2_finds_the_manifest_valid() -> None:
    command = [sys.executable, "-m", "npe2", "validate", "napari_singlestrip/napari.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_manifest_commands_exist() -> None:
    import importlib

    import yaml

    manifest = yaml.safe_load((PACKAGE / "napari.yaml").read_text(encoding="utf-8"))
    for command in manifest["contributions"]["commands"]:
        module, name = command["python_name"].split(":")
        assert callable(getattr(importlib.import_module(module), name)), command


def test_imports_are_declared_and_requirements_used() -> None:
    """The core needs what the package imports outside its widgets, no more and no less."""
    sources = [path for path in PACKAGE.rglob("*.py") if "widgets" not in path.parts]
    # Extras; done without, or told in a sentence, where they are missing.
    assert _distributions(sources) - _declared(*OPTIONAL) == _core_requirements()


@pytest.mark.parametrize("extra", ("all", "pyside6"))
def test_imports_of_the_widgets_are_declared(extra: str) -> None:
    """The window needs what its widgets import, with either binding of Qt, and nothing else."""
    imported = _distributions((PACKAGE / "widgets").rglob("*.py"))
    declared = _declared(extra) - {"pyside6-essentials"}
    assert imported - _core_requirements() == declared - _core_requirements()


def test_imports_of_tests_and_tools_are_declared() -> None:
    """Nothing is used only because something else happens to bring it along."""
    folders = ("benchmarks", "docs", "examples", "tests", "tools")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    ours = {path.stem for path in sources}
    extras = ("all", "benchmark", "test-core", *OPTIONAL)
    assert _distributions(sources, ours) <= _core_requirements() | _declared(*extras)


def _distributions(sources: Iterable[Path], ours: Iterable[str] = ()) -> set[str]:
    """The distributions whose modules are imported."""
    imported = set().union(*map(_third_parties, sources)) - set(ours)
    return {NAMES.get(module, module.replace("_", "-")) for module in imported}


def _third_parties(path: Path) -> set[str]:
    """Top-level modules a file imports that are neither Python's own nor ours."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found - sys.stdlib_module_names - {"napari_singlestrip"}


def _declared(*extras: str) -> set[str]:
    """What extras bring, in lower case and without extras of their own."""
    return set().union(*(_requirements("options.extras_require", extra) for extra in extras))


def _core_requirements() -> set[str]:
    return _requirements("options", "install_requires")


def _requirements(section: str, option: str) -> set[str]:
    settings = configparser.RawConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = settings[section][option].split("\n")
    return {
        line.split()[0].split("[")[0].lower() for line in lines if line.strip() and line[0] != "#"
    }


def test_constraints_pin_every_requirement_of_the_core() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {line.split("==")[0].lower() for line in text.splitlines() if "==" in line}
    window = _declared("all", "pyside6", "test-core", *OPTIONAL)
    assert _core_requirements() | {n.replace("_", "-") for n in window} <= pinned


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_can_be_run(script: Path) -> None:
    assert os.access(script, os.X_OK)
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_system_packages_says_what_it_knows() -> None:
    script = ROOT / "tools" / "system_packages.sh"
    done = subprocess.run([str(script), "?"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "python|make|window" in done.stderr


def test_a_tag_of_this_commit_is_the_version() -> None:
    """A clone without tags, or no clone at all, says nothing."""
    told = ["git", "tag", "--points-at", "HEAD", "--list", "v[0-9]*"]
    done = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) <= {f"v{__version__}"}
