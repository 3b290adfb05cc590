"""The guide in the window follows what is done, leads to where it is, and is never in the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from gui_fixtures import child, click, press_key, process_events, stroke, wait_until
from qtpy.QtCore import Qt

from napari_singlestrip.demo import guided_folder
from napari_singlestrip.demo.guide import STEPS
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.dock.main_widget import WIDTH, StripWidget
from napari_singlestrip.widgets.guide.strip import DRAWING, WAYS

pytest_plugins = ("gui_fixtures",)

MARGINS = 20  # of the dock beside the guide
KEYS = [step.key for step in STEPS]


@pytest.fixture
def folder(tmp_path: Path, ranked_source: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A demo whose finished study is there already: no job is needed."""
    made = tmp_path / "guided"
    guided_folder.GuidedFolder(made).keep_place(0)
    shutil.copytree(ranked_source, made / "finished")
    ranked = Study.open(made / "finished")
    first = ranked.scans.path(ranked.scans.names[0])
    monkeypatch.setattr(guided_folder, "unfold_first_head", lambda _folder: first)
    return made


@pytest.fixture
def guided(window: StripWidget, folder: Path) -> StripWidget:
    window.guide.begin(folder)
    process_events()
    return window


def reads(window: StripWidget) -> str:
    """Which sentence is read."""
    return KEYS[window.guide.shown]


def outline(window: StripWidget) -> None:
    """Go round with the lasso, on the slice shown."""
    shape = window.session.layers.showing.now.mask.shape  # type: ignore[union-attr]
    at = int(window.viewer.dims.current_step[window.viewer.dims.order[0]])
    low, high = (0.4, 0.6)
    ring = [(low, low), (low, high), (high, high), (high, low), (low, low)]
    axis = window.viewer.dims.order[0]
    others = [a for a in range(3) if a != axis]
    points = []
    for part in ring:
        point = [0, 0, 0]
        point[axis] = at
        for a, share in zip(others, part, strict=True):
            point[a] = round(share * shape[a])
        points.append(tuple(point))
    stroke(window.viewer, points)


def test_nobody_sees_it_without_a_demo(window: StripWidget, ranked_study: Study) -> None:
    window.session.take_study(ranked_study)
    process_events()
    assert not window.guide.isVisible()


def test_it_begins_with_a_head_to_paint(guided: StripWidget) -> None:
    assert guided.guide.isVisible() and reads(guided) == "outline"
    assert guided.session.step == "paint" and guided.session.scan
    assert guided.session.layers.brush.mode == "lasso"


def test_the_instruction_stands_once_and_no_other_scan_is_suggested(
    guided: StripWidget, folder: Path
) -> None:
    panel = guided.panels["paint"]
    study = Study.open(folder / "finished")
    guided.session.need_study().scans.add([study.scans.path(n) for n in study.scans.names[1:3]])
    wait_until(lambda: panel.choice.suggested, "the suggested scan")  # type: ignore[attr-defined]
    panel.refresh()
    assert not child(panel, "paint_how").isVisible()
    assert not child(panel, "suggested_hint").isVisible()
    for _ in range(KEYS.index("train")):
        click(guided.guide.forward)
    guided.session.step_requested.emit("paint")
    assert child(panel, "paint_how").isVisible()  # the guide is about another step
    for _ in range(KEYS.index("train")):
        click(guided.guide.back)
    assert not child(panel, "paint_how").isVisible()
    click(guided.guide.leave)
    process_events()
    assert child(panel, "paint_how").isVisible()
    assert child(panel, "suggested_hint").isVisible()


def test_it_follows_the_hand(guided: StripWidget) -> None:
    viewer, axis = guided.viewer, guided.viewer.dims.order[0]
    middle = int(viewer.dims.current_step[axis])
    for n in (-4, 0, 4):
        viewer.dims.set_current_step(axis, middle + n)
        outline(guided)
    wait_until(lambda: reads(guided) == "interpolate", "three outlines are seen")
    press_key(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert reads(guided) == "interpolate"  # what is undone is not asked for again
    guided.panel.finish()  # type: ignore[attr-defined]
    wait_until(lambda: reads(guided) == "train", "the kept mask is seen")


def test_back_and_skip_and_end(guided: StripWidget) -> None:
    guide = guided.guide
    click(child(guide, "guide_next"))
    assert reads(guided) == "interpolate"
    click(child(guide, "guide_back"))
    assert reads(guided) == "outline" and not guide.back.isEnabled()
    assert guide.forward.text() == "Next"  # it was skipped
    click(guide.forward)
    assert guide.forward.text() == "Skip"
    click(guide.leave)
    assert not guide.isVisible()
    guided.session.step_requested.emit("scans")  # it does not come back by itself


def test_it_goes_on_where_it_was(guided: StripWidget, folder: Path) -> None:
    guided.guide.forward.click()
    guided.guide.leave.click()
    guided.guide.begin(folder)
    assert reads(guided) == "interpolate"


def test_the_wait_is_bridged_by_the_finished_study(guided: StripWidget, folder: Path) -> None:
    for _ in range(KEYS.index("jump")):
        click(guided.guide.forward)
    assert guided.guide.way.text() == "Open the finished study"
    click(guided.guide.way)
    assert guided.session.need_study().folder == folder / "finished"
    assert guided.session.step == "review" and reads(guided) == "places"


def test_training_waits_for_the_heads_in_words(guided: StripWidget) -> None:
    from napari_singlestrip.widgets.session.job_process import JobStatus

    for _ in range(KEYS.index("train")):
        click(guided.guide.forward)
    guided.session.job._set(JobStatus("running", "samples"))
    guided.guide.refresh()
    assert "still being generated" in guided.guide.says.text()
    guided.session.job._set(JobStatus())
    assert "synthetic images" in guided.guide.says.text()


def test_places_and_decisions_count(guided: StripWidget) -> None:
    for _ in range(KEYS.index("jump")):
        guided.guide.forward.click()
    guided.guide.way.click()
    guided.guide.saw_place()
    assert reads(guided) == "follow"
    guided.guide.forward.click()
    guided.session.decide(guided.session.need_study().scans.names[1], "accepted")
    assert reads(guided) == "apply"
    assert guided.guide.way.text() == "Go to 5 Apply"
    guided.guide.way.click()
    assert guided.session.step == "apply" and not guided.guide.way.isVisible()


def test_going_back_to_the_painted_head(guided: StripWidget, folder: Path) -> None:
    for _ in range(KEYS.index("jump")):
        guided.guide.forward.click()
    guided.guide.way.click()
    for _ in range(3):
        guided.guide.back.click()
    assert guided.guide.way.text() == "Open the painted study"
    guided.guide.way.click()
    assert guided.session.need_study().folder == folder / "study"


def test_the_last_sentence_stays(guided: StripWidget, folder: Path) -> None:
    shutil.copytree(folder / "finished", folder / "finetuned")
    for _ in STEPS:
        guided.guide._go_on()
    assert reads(guided) == "compare" and not guided.guide.forward.isVisible()
    assert guided.guide.way.text() == "Open the fine-tuned study"
    click(guided.guide.way)
    assert guided.session.need_study().folder == folder / "finetuned"
    assert guided.session.step == "review" and not guided.guide.way.isVisible()


def test_while_fine_tuning_takes_its_minutes_the_prepared_study_is_offered(
    guided: StripWidget, folder: Path
) -> None:
    shutil.copytree(folder / "finished", folder / "finetuned")
    for _ in STEPS:
        guided.guide._go_on()
    assert "Hold" not in guided.guide.says.text()  # there is no previous round here yet
    assert "minutes" in guided.guide.says.text()
    click(guided.guide.way)
    assert guided.guide.says.text().startswith("Hold <b>Q</b>")


def test_a_study_that_opens_while_review_is_open_shows_its_best_mask(
    guided: StripWidget, folder: Path
) -> None:
    """It asks to hold Q, which needs a mask on screen."""
    shutil.copytree(folder / "finished", folder / "finetuned")
    for _ in STEPS:
        guided.guide._go_on()
    guided.session.step_requested.emit("review")
    click(guided.guide.way)
    study = guided.session.need_study()
    assert study.folder == folder / "finetuned"
    best = min(study.rounds.scores(0), key=lambda row: row.rank).scan
    assert guided.session.scan == best and child(guided, "accept").isEnabled()


def test_other_files_are_told(window: StripWidget, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    window.guide.begin(tmp_path)
    assert "other files" in window.job_bar.message.text() and not window.guide.isVisible()


def test_all_is_within_the_folder(guided: StripWidget, folder: Path, tmp_path: Path) -> None:
    guided.guide.forward.click()
    assert {p.name for p in folder.iterdir()} == {"finished", "study", "guide.json"}


def test_no_sentence_is_cut_and_none_moves_what_is_below(guided: StripWidget) -> None:
    guide, heights = guided.guide, set()
    for guide.shown in range(len(STEPS)):
        guide.at = guide.shown + 1  # with a tick before it
        guide.refresh()
        process_events()
        assert guide.says.heightForWidth(guide.says.width()) <= guide.says.height()
        for made in (guide.way, guide.back, guide.forward, guide.leave):
            assert made.isHidden() or made.width() >= made.sizeHint().width()
        heights.add(guide.height())
        wide = guide.minimumSizeHint().width()
        for text in (*WAYS.values(), DRAWING):
            guide.way.setText(text)
            guide.way.show()
            process_events()
            heights.add(guide.height())
            assert guide.minimumSizeHint().width() <= max(wide, WIDTH - MARGINS)
        guide.way.setText("W" * 20)  # as where a font is wide
        process_events()
        heights.add(guide.heightForWidth(WIDTH - MARGINS))
    assert len(heights) == 1 and heights.pop() < 80
