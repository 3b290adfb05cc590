"""tests/ mirrors the package: the tests of a module are found by its name."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
NAME = "napari_singlestrip"
TESTS = ROOT / "tests"

# Modules without a test file of their own are tested through others of their folder, or of another.
THROUGH = {
    "": ("test_one_bad_scan", "napari_io/test_readers"),  # as it is told what goes wrong
    "cli": ("cli/test_app",),  # commands, as they are typed
    "demo": ("demo/test_run", "demo/test_guide"),
    "dicom": ("dicom/test_convert",),
    "engine": ("cli/test_app", "study/test_study"),  # settings, as they are given and stored
    "engine/devices": ("engine/learning/test_device", "test_stand_in"),
    "engine/heads": ("engine/heads/test_synthesis", "engine/heads/test_label_map"),
    "engine/imaging": ("engine/imaging/test_scan", "engine/imaging/test_volume"),
    "engine/learning": ("engine/learning/test_training", "pipeline/test_stripper"),
    "engine/masks": ("engine/masks/test_spreading",),
    "files": ("files/test_atomic", "pipeline/test_estimate"),
    "pipeline": ("pipeline/test_stages", "pipeline/test_worker"),  # stages, as a job runs them
    "report": ("report/test_writing",),  # sections, as they stand in a report
    "sample_data": ("sample_data/test_heads",),  # parts of a head, as it is rendered
    "study": ("study/test_study",),  # its parts, as a study offers them
    # Parts of the window, as a person uses the step that they belong to.
    "widgets/apply": ("widgets/apply/test_panel",),
    "widgets/common": ("widgets/review/test_panel", "widgets/scans/test_panel"),
    "widgets/dock": ("widgets/dock/test_main_widget", "test_manifest"),
    "widgets/paint": ("widgets/paint/test_panel",),
    "widgets/panes": ("widgets/panes/test_four_panes", "widgets/panes/test_surface_pane"),
    "widgets/review": ("widgets/review/test_panel", "widgets/review/test_places"),
    "widgets/scans": ("widgets/scans/test_panel",),
    "widgets/session": ("widgets/session/test_session",),
    "widgets/train": ("widgets/train/test_panel",),
    "widgets/viewer": ("widgets/viewer/test_study_layers", "widgets/paint/test_panel"),
}
# Test files that are named for a matter of several modules. All at the top of tests/ are.
MATTERS = {
    "accelerators/test_on_a_card",  # all that runs on a graphics card
    "cli/test_bids_options",
    "cli/test_way_of_a_pseudo_label",  # modules from the command to the file
    "cluster/test_slurm",
    "pipeline/test_bids_results",
    "pipeline/test_shares",  # a stage that is shared out
    "widgets/dock/test_on_real_screens",
    "widgets/review/test_following",  # what follows the scan on screen
    "widgets/review/test_places",  # places to check, from the heat map to the key
    "widgets/review/test_way_of_a_decision",  # modules from the click to the row on disk
    "widgets/session/test_follow_submission",
}
FIXTURES = ("conftest", "gui_fixtures")


def _folder(module: Path) -> str:
    folder = module.parent.as_posix()
    return "" if folder == "." else folder


MODULES = sorted(
    path.relative_to(ROOT / NAME)
    for path in (ROOT / NAME).rglob("*.py") if not path.name.startswith("__")
)
WITHOUT = [m for m in MODULES if not (TESTS / m.parent / f"test_{m.name}").is_file()]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(NAME)


def _imported(test: str) -> set[str]:
    """Modules of the package that a test file imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse((TESTS / f"{test}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("folder", sorted({_folder(module) for module in WITHOUT}))
def test_modules_without_a_test_file_are_reached_by_others(
    folder: str, graph: grimp.ImportGraph
) -> None:
    assert folder in THROUGH, "write a test file, or say here through which the modules are tested"
    known = set(graph.modules)
    begun = set().union(*map(_imported, (*THROUGH[folder], *FIXTURES))) & known
    reached = begun.union(*(graph.find_upstream_modules(module) for module in begun))
    modules = (m.with_suffix("").as_posix() for m in WITHOUT if _folder(m) == folder)
    dotted = {f"{NAME}.{module.replace('/', '.')}" for module in modules}
    assert dotted <= reached, dotted - reached


def test_every_folder_that_is_named_is_there() -> None:
    assert set(THROUGH) <= {_folder(module) for module in MODULES}


def test_test_files_are_named_for_a_module() -> None:
    files = {p.relative_to(TESTS).with_suffix("").as_posix() for p in TESTS.rglob("*/test_*.py")}
    modules = {(m.parent / f"test_{m.stem}").as_posix() for m in MODULES}
    assert files - modules == MATTERS, "name them for a module, or say here what they are about"
