"""Masks that another program made: judged from step 1, reviewed in step 4, trained from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import TINY, make_other_masks
from gui_fixtures import child, click, wait_until
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_singlestrip.files.atomic import write_json_atomic
from napari_singlestrip.study.other_masks import programs_of
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.review.table_model import COLUMNS
from napari_singlestrip.widgets.viewer.own_layers import OTHERS

if TYPE_CHECKING:
    from conftest import Heads

pytest_plugins = ("gui_fixtures",)

Window = Any


@pytest.fixture
def unpainted(tmp_path: Path, heads: Heads) -> Study:
    return Study.create(tmp_path / "study", heads.scans, overrides=TINY)


@pytest.fixture
def bet(tmp_path: Path, heads: Heads) -> Path:
    folder = make_other_masks(tmp_path / "bet", heads)
    shutil.copyfile(heads.masks[0], folder / "stranger_mask.nii.gz")
    return folder


def judged(study: Study, *programs: str) -> Study:
    """Let the masks of a ranked study be those of other programs."""
    names = [row.scan for row in study.rounds.scores(0)]
    origins = {
        name: {"program": programs[n % len(programs)], "file": f"/masks/{name}.nii.gz"}
        for n, name in enumerate(names)
    }
    write_json_atomic(study.rounds.folder(0) / "origins.json", origins)
    return study


def choose(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))


def test_masks_are_judged_and_reviewed(
    window: Window, unpainted: Study, bet: Path, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not child(window, "have_masks").isVisible()
    window.session.take_study(unpainted)
    choose(monkeypatch, bet)
    click(child(window, "have_masks"))
    ok, good = child(window, "masks_judge"), child(window, "masks_good")
    wait_until(lambda: good.count() == len(heads.names), "the masks that were found")
    assert "4 of 4 scans have a mask" in child(window, "masks_say").text()
    assert "stranger_mask.nii.gz" in child(window, "masks_say").text()
    assert not ok.isEnabled() and "good first" in ok.toolTip()
    typed = child(window, "masks_good_name")
    assert ok.text() == "Judge 4 masks" and typed.text() == ""  # typing needs nothing deleted
    QTest.keyClicks(typed, heads.names[0])
    QTest.keyClick(typed, Qt.Key.Key_Return)
    assert window.session.scan == heads.names[0]
    wait_until(lambda: window.session.layers.overlays.has(OTHERS), "its mask")
    assert ok.text() == "Judge 3 masks" and ok.isEnabled()  # the good one is not judged
    click(ok)
    assert not child(window, "masks_box").isVisible()
    wait_until(lambda: unpainted.rounds.scores(0), "the ranking", 300)
    wait_until(lambda: window.session.step == "review", "step 4", 60)
    assert programs_of(unpainted) == ("bet",)
    assert unpainted.masks.records()[heads.names[0]].kind == "painted"
    assert "Masks of bet" in child(window, "review_summary").text()


def test_letters_act_after_a_name_was_typed(
    window: Window, unpainted: Study, bet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of step 4, which opens by itself, without a click on the image."""
    window.viewer.window._qt_window.activateWindow()
    window.session.take_study(unpainted)
    choose(monkeypatch, bet)
    click(child(window, "have_masks"))
    typed = child(window, "masks_good_name")
    wait_until(typed.isVisible)
    typed.setFocus()
    wait_until(lambda: not window.key_guard.may_act(decides=True), "the focus")
    click(child(window, "masks_cancel"))
    wait_until(lambda: window.key_guard.may_act(decides=True), "the focus on the image")


def test_a_folder_without_masks_is_told(
    window: Window, unpainted: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    window.session.told.connect(lambda text, _level: told.append(text))
    window.session.take_study(unpainted)
    (tmp_path / "empty").mkdir()
    choose(monkeypatch, tmp_path / "empty")
    click(child(window, "have_masks"))
    wait_until(lambda: told, "a sentence")
    assert "empty" in told[-1]
    assert not child(window, "masks_judge").isEnabled()
    click(child(window, "masks_cancel"))
    assert child(window, "have_masks").isVisible()


def test_a_study_with_its_own_network_says_why_not(window: Window, trained_copy: Study) -> None:
    window.session.take_study(trained_copy)
    window.session.step_requested.emit("scans")
    assert not child(window, "have_masks").isEnabled()
    assert "its own network" in child(window, "have_masks").toolTip()


def test_painted_masks_are_what_others_are_compared_with(
    window: Window, study: Study, bet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.session.take_study(study)
    choose(monkeypatch, bet)
    click(child(window, "have_masks"))
    ok = child(window, "masks_judge")
    wait_until(ok.isEnabled)
    assert ok.text() == "Judge 3 masks"
    assert "1 mask made by hand" in child(window, "masks_compared").text()
    assert not child(window, "masks_ask_good").isVisible()
    click(child(window, "masks_leave_out"))
    assert not ok.isEnabled()


def test_a_judged_study_claims_no_network(window: Window, ranked_study: Study) -> None:
    window.session.take_study(judged(ranked_study, "bet"))
    window.session.step_requested.emit("scans")
    assert "3 imported" in child(window, "summary").text()
    window.session.step_requested.emit("train")
    panel = window.panels["train"]
    assert "no network is trained yet" in panel.learns.text()
    assert "bet" in panel.learns.text()
    assert panel.facts.stages[0].state == "to do"
    assert panel.train.text() == "Train" and not panel.anew.isVisible()
    window.session.step_requested.emit("review")
    assert child(window, "finetune").text().startswith("Train with 1 painted")
    assert window.session.study.rounds.numbers() == [0]
    window.session.step_requested.emit("apply")


def test_columns_and_plots_are_of_what_was_measured(window: Window, ranked_study: Study) -> None:
    from dataclasses import replace

    rows = ranked_study.rounds.scores(0)
    ranked_study.rounds.save_scores(0, [replace(row, consistency=float("nan")) for row in rows])
    window.session.take_study(judged(ranked_study, "bet"))
    window.session.step_requested.emit("review")
    panel = window.panels["review"]
    key = [column.key for column in COLUMNS].index("consistency")
    assert panel.table.isColumnHidden(key)
    assert not panel.head._actions["consistency"].isVisible()
    assert panel.plot.mode.count() == 1
    ranked_study.rounds.save_scores(0, rows)
    window.session.take_study(Study.open(ranked_study.folder))
    window.session.step_requested.emit("review")
    assert not panel.table.isColumnHidden(key)
    assert panel.plot.mode.count() == 2
