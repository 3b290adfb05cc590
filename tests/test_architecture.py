"""The rules of docs/architecture.md, checked on the source and in fresh interpreters."""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "napari_singlestrip"
SOURCES = sorted(PACKAGE.rglob("*.py"))

QT = {"PyQt5", "PyQt6", "PySide6", "magicgui", "napari", "qtpy", "superqt", "vispy"}
TORCH = {"monai", "torch"}
HEAVY = QT | TORCH | {"matplotlib", "nibabel", "numpy", "pydantic", "scipy", "skimage"}

# What must not be loaded once a module was imported, in a fresh interpreter.
LIGHT_IMPORTS = {
    "napari_singlestrip": HEAVY | {"psygnal", "rich", "typer"},
    "napari_singlestrip.cli.app": HEAVY,
    "napari_singlestrip.engine.config": HEAVY - {"pydantic"},
    "napari_singlestrip.engine.imaging.geometry": QT | TORCH | {"matplotlib"},
    "napari_singlestrip.engine.masks.metrics": QT | TORCH | {"matplotlib"},
    "napari_singlestrip.engine.imaging.volume": QT | TORCH | {"matplotlib"},
    "napari_singlestrip.napari_io.samples": QT | TORCH | {"nibabel", "numpy"},
    "napari_singlestrip.study.study": QT | TORCH | {"matplotlib"},
    "napari_singlestrip.widgets.dock.main_widget": TORCH | {"matplotlib"},
    # Snapshots of what steps show.
    "napari_singlestrip.widgets.apply.view": QT | TORCH,
    "napari_singlestrip.widgets.review.view": QT | TORCH,
    "napari_singlestrip.widgets.train.view": QT | TORCH,
}

# Static imports, whether at the top of a file or within a function: who may not import what, beside
# the contracts of setup.cfg.
FORBIDDEN = {
    "napari_singlestrip.engine": {"rich", "typer"},
    "napari_singlestrip.pipeline": {"rich", "typer"},
    "napari_singlestrip.widgets": {"napari_singlestrip.pipeline.stages"},
}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, `from a import b` as both `a` and `a.b`."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _path(module: str) -> Path:
    """The file or folder of a module, whether it exists or not."""
    path = ROOT / module.replace(".", "/")
    return path if path.is_dir() else path.with_suffix(".py")


def _files(module: str) -> list[Path]:
    path = _path(module)
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, ast.Call))


def _loaded_after_import(module: str) -> tuple[set[str], float]:
    """Top-level modules in `sys.modules`, and the seconds of a processor that the import took."""
    program = (
        "import json, sys, time; start = time.process_time(); "
        f"import {module}; seconds = time.process_time() - start; "
        "print(json.dumps([sorted({m.split('.')[0] for m in sys.modules}), seconds]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules, seconds = json.loads(done.stdout)
    return set(modules), seconds


def _as_written(names: Iterable[str]) -> list[Any]:
    """Names as parameters; those of files to come are skipped, and listed as such."""
    marked = []
    for name in names:
        to_come = pytest.mark.skip(reason=f"{name} is not written yet")
        marks = () if _path(name).exists() else (to_come,)
        marked.append(pytest.param(name, marks=marks))
    return marked


@pytest.mark.parametrize("module", _as_written(LIGHT_IMPORTS))
def test_import_stays_light(module: str) -> None:
    loaded, _ = _loaded_after_import(module)
    assert not loaded & LIGHT_IMPORTS[module]


def test_package_imports_in_no_time() -> None:
    fastest = min(_loaded_after_import("napari_singlestrip")[1] for _ in range(3))
    assert fastest < 0.1


@pytest.mark.parametrize(
    "module", ["napari_singlestrip.widgets.dock.main_widget", "napari_singlestrip.study.study"]
)
def test_parts_of_scipy_are_imported_when_needed(module: str) -> None:
    """Reached as `scipy.ndimage...`: half of what the dock's import would take otherwise."""
    program = (
        f"import sys, {module}; "
        "print(*(m for m in sys.modules if m.count('.') == 1 and m.startswith('scipy.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    slow = {f"scipy.{part}" for part in ("fft", "ndimage", "sparse", "spatial", "special", "stats")}
    assert not slow & set(done.stdout.split())


@pytest.mark.parametrize("module", ["pipeline.stages", "pipeline.apply"])
def test_jobs_import_parts_of_scipy_at_once(module: str) -> None:
    """Not when memory has run out, which OpenBLAS would wait for without end."""
    program = f"import sys, napari_singlestrip.{module}; assert 'scipy.ndimage' in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_scipy_is_imported_whole(path: Path) -> None:
    if path == PACKAGE / "engine" / "learning" / "segmenter.py":
        return  # where jobs do
    assert not [name for name in _imports(path) if name.startswith("scipy.")]


@pytest.mark.parametrize("module", _as_written(FORBIDDEN))
def test_module_does_not_import(module: str) -> None:
    for path in _files(module):
        for name in _imports(path):
            for forbidden in FORBIDDEN[module]:
                assert name != forbidden and not name.startswith(f"{forbidden}."), path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_package_itself_is_for_scripts(path: Path) -> None:
    """What it offers comes from above: within the package only the version is taken from it."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "napari_singlestrip":
            names = {alias.name for alias in node.names}
            assert {name for name in names if not _path(f"{node.module}.{name}").exists()} <= {
                "__version__"
            }


def test_imports_point_down() -> None:
    """The contracts of setup.cfg, checked by import-linter."""
    program = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--config", "setup.cfg"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_calls_that_are_not_ours(path: Path) -> None:
    """No print, no unsafe loading, no global random state."""
    scoped = _lines_within_fork_rng(path)
    for call in _calls(path):
        name = ast.unparse(call.func)
        where = f"{path.name}:{call.lineno}: {name}"
        assert name != "print", where
        assert name not in ("pickle.load", "pickle.loads", "eval", "exec"), where
        assert not (name == "torch.load" and not _loads_weights_only(call)), where
        assert not _is_global_random(name) or call.lineno in scoped, where


def _loads_weights_only(call: ast.Call) -> bool:
    return any(
        keyword.arg == "weights_only"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is True
        for keyword in call.keywords
    )


def _is_global_random(name: str) -> bool:
    """Whether a call draws from, or seeds, state that all code shares."""
    own_state = ("default_rng", "Generator", "SeedSequence", "PCG64", "BitGenerator")
    if name.startswith(("np.random.", "numpy.random.")):
        return not name.split(".", 2)[2].startswith(own_state)
    return name.startswith("random.") or name in ("torch.manual_seed", "torch.cuda.manual_seed_all")


def _lines_within_fork_rng(path: Path) -> set[int]:
    """Lines where torch's global generator is borrowed and given back (to initialise weights)."""
    return {
        line
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.With)
        and any("fork_rng" in ast.unparse(item.context_expr) for item in node.items)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def _functions() -> dict[str, int]:
    """Lines of each function's body, without its docstring."""
    lengths = {}
    for path in SOURCES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                n_lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                lengths[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = n_lines
    return lengths


def test_functions_are_short() -> None:
    lengths = _functions()
    longest = sorted(lengths.items(), key=lambda item: -item[1])[:5]
    assert max(lengths.values()) <= 60, longest
    assert statistics.quantiles(lengths.values(), n=10)[-1] < 25, longest


def test_the_picture_names_every_part() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[a-z_]+", page.split("```")[1]))
    parts = {
        path.stem for folder in (PACKAGE, PACKAGE / "engine", PACKAGE / "widgets")
        for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    } - {"__init__", "__main__", "napari_readers"}  # the last is another name of napari_io.readers
    assert parts <= named, parts - named


def test_the_root_is_seen_at_a_glance() -> None:
    """What all packages share; everything else has a package."""
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert len(modules) <= 8, modules


def test_files_fit_in_mind() -> None:
    too_long = {
        str(path.relative_to(PACKAGE)): n_lines
        for path in SOURCES
        if (n_lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not too_long
