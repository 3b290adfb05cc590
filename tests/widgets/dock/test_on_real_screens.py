"""Nothing is cut: napari as people start it, on the screens they have, in every step and state."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Heads
from real_window import RealScreen, needs_window_manager, needs_xdotool
from real_window_tour import PRIMARY

from napari_singlestrip.demo.guide import STEPS
from napari_singlestrip.demo.guided_folder import GuidedFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.dock.keys import KEYS

pytest_plugins = ("gui_fixtures",)
pytestmark = needs_window_manager

MAKE_NAPARI = ("--plugin", "napari-singlestrip", "singlestrip://sample/heads")
WIDGET = ("-w", "napari-singlestrip")
TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorial.md"
NAMED = {"?": "question", ".": "period", ",": "comma"}  # as X11 calls them
SCREENS = {
    "small": ((1280, 720), 1), "laptop": ((1366, 768), 1), "desk": ((1920, 1080), 1),
    "dense": ((2560, 1600), 2),
}  # fmt: skip


@pytest.fixture
def studies(tmp_path: Path, ranked_source: Path, heads: Heads) -> dict[str, Path]:
    """Studies as they are left on the way: painted, ranked, decided and applied, fine-tuned."""
    from conftest import make_study

    make_study(tmp_path / "painted", heads)
    for name in ("ranked", "reviewed"):
        shutil.copytree(ranked_source, tmp_path / name)
    reviewed = Study.open(tmp_path / "reviewed")
    names, note = reviewed.scans.names, "A rather long note about the cerebellum"
    reviewed.decisions.decide(names[-1], "accepted", note)
    reviewed.decisions.decide(names[2], "rejected")
    _apply(reviewed)
    _expect(reviewed)
    _tune(Study.open(shutil.copytree(ranked_source, tmp_path / "tuned")))
    _guide(tmp_path / "demo", ranked_source, tmp_path / "tuned")
    return {name: tmp_path / name for name in ("painted", "ranked", "reviewed", "tuned", "demo")}


def _guide(folder: Path, finished: Path, tuned: Path) -> None:
    """Leave a guided demo at its last step."""
    guided = GuidedFolder(folder)
    guided.keep_place(len(STEPS) - 1)
    shutil.copytree(finished, guided.finished)
    shutil.copytree(tuned, guided.tuned)
    study = Study.open(guided.tuned)
    _apply(study)
    # As much is said below the table as at the end of the real demo.
    study.decisions.decide(study.scans.names[1], "accepted")
    study.decisions.decide(study.scans.names[2], "rejected")


def _expect(study: Study) -> None:
    """Leave what a real training lets expect of its masks."""
    study.rounds.save_scores(0, [
        replace(row, expected_dice=0.951, expected_dice_low=0.926, expected_dice_high=0.968)
        for row in study.rounds.scores(0)
    ])  # fmt: skip


def _tune(study: Study) -> None:
    """Leave the smaller masks of another round."""
    from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask

    shutil.copytree(study.rounds.folder(0) / "heat_maps", study.rounds.folder(1) / "heat_maps")
    before, after = (study.rounds.folder(n) / "pseudo_labels" for n in (0, 1))
    after.mkdir(parents=True)
    for file in before.glob("*.nii.gz"):
        scan = open_scan(study.scans.path(file.name.removesuffix(".nii.gz")))
        mask = load_mask(file, like=scan)
        mask[:, :, mask.shape[2] // 2] = False
        save_mask(after / file.name, mask, like=scan)
    _expect(study)
    study.rounds.save_scores(1, study.rounds.scores(0))


def _apply(study: Study) -> None:
    """Leave results as a model leaves them."""
    from napari_singlestrip.study.volumes_table import TABLE, AppliedRow, add_rows

    folder = study.folder / "applied" / "2026-01-02_round-00"
    folder.mkdir(parents=True)
    add_rows(folder / TABLE, [
        AppliedRow(name, 1234.5, 0.012, "volume unusually large", f"{name}.nii.gz",
                   str(study.scans.path(name)))
        for name in study.scans.names
    ])  # fmt: skip


def visits(studies: dict[str, Path]) -> list[dict[str, Any]]:
    """Every state that a dock can be in; jobs are told, not run."""
    painted, ranked = str(studies["painted"]), str(studies["ranked"])
    names = Study.open(studies["painted"]).scans.names
    scan, worst = names[1], names[-1]  # the worst has places to check
    return [
        {"state": "empty"},
        {"state": "painted", "study": painted, "scan": scan},
        {"state": "running", "study": ranked, "scan": scan},
        {"state": "failed", "study": ranked, "scan": scan},
        {"state": "reviewed", "study": str(studies["reviewed"]), "scan": worst},
        {"state": "tuned", "study": str(studies["tuned"]), "scan": worst},
        {"state": "guided", "demo": str(studies["demo"]), "scan": worst},
    ]


def test_nothing_is_cut_on_a_laptop(tmp_path: Path, studies: dict[str, Path]) -> None:
    screen = RealScreen((1366, 768), tmp_path / "home")
    found = screen.tour(*MAKE_NAPARI, visits=visits(studies), above_fold=True, expected=True,
                        then=["behind_another", "unfold_and_turn", "close_and_open_again"])
    assert found.cut == []
    assert len(found.facts["widths"]) >= 26  # five steps in five states, and more
    primary = {f"{step}, {name}" for step, names in PRIMARY.items() for name in names}
    assert set(found.facts["above"]) == primary
    assert max(found.facts["widths"].values()) <= 480  # the image has the rest
    rows = found.facts["rows"]
    assert rows["reviewed, review"] >= 6 and rows["tuned, review"] >= 5
    assert rows["guided, review"] >= 3  # with the strip of the demo above it
    assert found.facts["hidden"]
    assert np.divide(found.facts["window"][2:], screen.size).min() > 0.88  # at the first start


@needs_xdotool
def test_every_key_of_the_help_does_something(tmp_path: Path, studies: dict[str, Path]) -> None:
    screen = RealScreen((1366, 768), tmp_path / "home")
    found = screen.tour(*WIDGET, studies={name: str(path) for name, path in studies.items()},
                        then=["press_all_keys"])  # fmt: skip
    assert found.cut == []
    keys = {key.key.replace("-", "+").lower() for key in KEYS} - set(NAMED)
    assert keys | set(NAMED.values()) <= set(found.facts["pressed"])


@needs_xdotool
def test_a_newcomer_comes_to_ranked_masks(
    tmp_path: Path, studies: dict[str, Path], heads: Heads
) -> None:
    """The tutorial names each click; the window needs no more."""
    folder = tmp_path / "mri"
    folder.mkdir()
    for scan in heads.scans:
        shutil.copy(scan, folder)
    screen = RealScreen((1366, 768), tmp_path / "home")
    found = screen.tour(*WIDGET, folder=str(folder), ranked=str(studies["ranked"]),
                        then=["as_a_newcomer"])  # fmt: skip
    assert found.cut == [] and found.facts["ranked"] == len(heads.scans) - 1
    clicks = [text.split("\u25b6")[0].strip() for text in found.facts["clicks"]]
    assert len(clicks) <= 12
    said = " ".join(TUTORIAL.read_text(encoding="utf-8").split())
    assert [text for text in clicks if text[0].isupper() and f"*{text}*" not in said] == []


@pytest.mark.screens
@pytest.mark.parametrize("way", ["make napari", "-w", "menu", "restored"])
@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_is_cut_on_any_screen(
    tmp_path: Path, studies: dict[str, Path], screen: str, way: str
) -> None:
    size, scale = SCREENS[screen]
    real = RealScreen(size, tmp_path / "home", scale)
    if way == "restored":
        real.tour(*WIDGET, keep_state=True)
    arguments = {"make napari": MAKE_NAPARI, "menu": ()}.get(way, WIDGET)
    found = real.tour(*arguments, way=way, menu=way == "menu", visits=visits(studies),
                      expected=True)
    assert found.cut == []
    assert not found.facts["napari_panels"]  # one of each control, also in a layout that was kept
