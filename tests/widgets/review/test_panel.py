"""The review step in a real window: by keyboard, by mouse, and back again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cut_controls import cut_text
from gui_fixtures import canvas_of, child, click, press_key, process_events, stroke, wait_until
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.events import Wrote
from napari_singlestrip.study.drafts import drafted, load_draft
from napari_singlestrip.study.review import review
from napari_singlestrip.study.study import Study
from napari_singlestrip.vocabulary import StudyPart
from napari_singlestrip.widgets.review import facts_reader
from napari_singlestrip.widgets.review import panel as panel_module
from napari_singlestrip.widgets.review.table_model import KEYS
from napari_singlestrip.widgets.review.view import ReviewView, review_view
from napari_singlestrip.widgets.viewer.own_layers import BEFORE, DOUBTS, PSEUDO_LABEL

if TYPE_CHECKING:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget
    from napari_singlestrip.widgets.review.panel import ReviewPanel

pytest_plugins = ("gui_fixtures",)
KEY = Qt.Key


@pytest.fixture
def told(window: StripWidget) -> list[str]:
    """What the window says."""
    said: list[str] = []
    window.session.told.connect(lambda text, _level: said.append(text))
    return said


@pytest.fixture
def panel(window: StripWidget, ranked_study: Study) -> ReviewPanel:
    """The review step of a study with three ranked masks."""
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("review")
    process_events()
    found = window.panels["review"]
    assert found.isVisible()
    return found  # type: ignore[return-value]


def ranked_names(panel: ReviewPanel) -> list[str]:
    """Scans from the top of the table to its end."""
    return panel.table.filter.names()


def states(study: Study) -> dict[str, str]:
    """What stands in decisions.csv, read again."""
    opened = Study.open(study.folder)
    return {name: d.state for name, d in opened.decisions.all().items() if d.state != "painted"}


def key(panel: ReviewPanel, *keys: Qt.Key) -> None:
    """Press keys over the image."""
    for one in keys:
        press_key(panel.session.viewer, one)


def paint(panel: ReviewPanel) -> None:
    """Draw a short stroke where there is no mask yet."""
    QTest.qWait(50)  # the image follows the scan when it is drawn
    layers = panel.session.layers
    layers.brush.set_mode("paint")
    mask = layers.editing.mask_on_display()
    assert mask is not None
    level = layers.viewpoint.point[0]
    row = next(r for r in range(2, mask.shape[1]) if not mask[level, r].any())
    middle = mask.shape[2] // 2
    stroke(panel.session.viewer, [(level, row, middle - 2), (level, row, middle + 2)])
    layers.brush.set_mode("pan_zoom")
    panel.session.unsaved.flush()


# --- empty states


def test_from_nothing_to_the_first_ranking(window: StripWidget, ranked_study: Study) -> None:
    from napari_singlestrip.events import Wrote

    scores = ranked_study.rounds.scores(0)
    ranked_study.rounds.scores_path(0).unlink()
    window.session.step_requested.emit("review")
    process_events()
    panel: Any = window.panel
    assert "open a study" in child(panel, "review_empty").text()
    assert not panel.content.isVisible()
    window.session.take_study(ranked_study)
    assert "Train first" in child(panel, "review_empty").text()
    ranked_study.rounds.save_scores(0, scores)
    window.session.job.happened.emit(Wrote("rounds/00/scores.csv", "scores"))
    assert panel.content.isVisible()
    assert panel.table.rows.rowCount() == 3
    ranked_study.rounds.scores_path(0).unlink()
    panel.refresh()
    click(child(panel, "review_go_on"))
    assert window.session.step == "train"


# --- the table


def test_table_by_mouse(panel: ReviewPanel) -> None:
    scores = panel.session.need_study().rounds.scores(0)
    worst = max(scores, key=lambda row: row.autoencoder_error).scan
    names = ranked_names(panel)
    assert names[-1] == worst  # where the mask was broken on purpose
    assert panel.session.scan == names[0]  # the best one is shown first
    click(child(panel, "worst_first"))
    assert ranked_names(panel)[0] == worst
    click(child(panel, "worst_first"))
    assert ranked_names(panel) == names
    viewport = panel.table.viewport()
    assert viewport is not None
    place = panel.table.visualRect(panel.table.filter.index(2, 2)).center()
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=place)
    wait_until(lambda: panel.session.scan == names[2], "the scan of the row")
    assert panel.session.layers.editing.mask_on_scan() is not None
    wait_until(lambda: "#00d8f0" in colours(panel, names[0]), "the picture with the outline")


def colours(panel: ReviewPanel, name: str) -> set[str]:
    """Colours in the small image of a scan."""
    image = panel.pictures.row(name).toImage()
    return {
        image.pixelColor(x, y).name()
        for x in range(image.width()) for y in range(image.height())
    }


def test_table_by_keys_and_filters(panel: ReviewPanel) -> None:
    names, study = ranked_names(panel), panel.session.need_study()
    panel.table.setFocus()
    QTest.keyClick(panel.table, KEY.Key_Down)
    QTest.keyClick(panel.table, KEY.Key_Down)
    # Letters continue to napari; the row that was reached is decided about, not the one before.
    QTest.keyClick(panel.table, KEY.Key_A)
    process_events()
    assert states(study) == {names[2]: "accepted"}
    assert panel.session.scan == names[0]
    panel.head.states.setCurrentText("accepted")
    assert ranked_names(panel) == [names[2]]
    panel.head.states.setCurrentText("still to review")
    assert ranked_names(panel) == names[:2]
    panel.head.states.setCurrentText("all states")
    QTest.keyClicks(panel.head.search, names[2])
    process_events()
    assert ranked_names(panel) == [names[2]]
    assert panel.session.scan == names[0]  # filtering shows no other scan
    assert states(study) == {names[2]: "accepted"}


# --- decisions


def test_review_by_keyboard_only(
    window: StripWidget, panel: ReviewPanel, told: list[str]
) -> None:
    first, second, third = ranked_names(panel)
    study, viewer = panel.session.need_study(), panel.session.viewer
    key(panel, KEY.Key_A)
    assert panel.session.scan == second
    paint(panel)
    assert drafted(study.folder) == (second,)
    shown = panel.session.layers.editing.mask_on_scan()
    key(panel, KEY.Key_S)
    kept = load_mask(study.masks.path(second), like=open_scan(study.scans.path(second)))
    assert shown is not None and np.array_equal(kept, shown)
    assert panel.session.scan == third
    key(panel, KEY.Key_R)
    decided = {first: "accepted", second: "corrected", third: "rejected"}
    assert states(study) == decided
    assert drafted(study.folder) == ()
    assert "All ranked masks are decided" in told[-1]
    press_key(viewer, KEY.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert panel.session.scan == second
    key(panel, KEY.Key_N)
    assert panel.session.scan == third
    paint(panel)
    window.session.close_study()
    assert not panel.content.isVisible()
    window.session.open_study(study.folder)  # tomorrow
    process_events()
    assert {row.name: row.state for row in panel.review.rows} == {
        **decided, third: "unsaved changes"
    }
    assert panel.session.scan == third


def test_the_last_one_of_a_filter_says_what_is_left_outside(
    panel: ReviewPanel, told: list[str]
) -> None:
    names = ranked_names(panel)
    for name in names[:2]:
        panel.head.search.setText(name)
        panel.session.show_scan(name)
        process_events()
        key(panel, KEY.Key_A)
    assert [said for said in told if "in this filter" in said] == [
        f"Nothing is left to review in this filter; outside it {left}."
        for left in ("2 scans", "1 scan")
    ]


def test_unchanged_mask_is_accepted_not_corrected(panel: ReviewPanel, told: list[str]) -> None:
    name, study = panel.session.scan, panel.session.need_study()
    key(panel, KEY.Key_S)
    assert states(study) == {} and panel.session.scan == name
    assert "press A to accept" in told[-1]
    paint(panel)
    panel.session.layers.editing.undo()
    wait_until(lambda: panel.layers.n_changed == 0, "the count of changed voxels")
    key(panel, KEY.Key_A)  # what was undone is no change
    assert states(study) == {name: "accepted"} and drafted(study.folder) == ()


def test_of_many_masks_what_follows_from_a_decision_is_shown_at_rest(
    panel: ReviewPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_reader, "MANY", 1)
    rest = panel.facts._at_rest
    rest.setInterval(60_000)  # no key is so slow
    name, text = panel.session.scan, child(panel, "finetune").text()
    key(panel, KEY.Key_A)
    row = next(row for row in panel.review.rows if row.name == name)
    assert row.state == "accepted" and child(panel, "finetune").text() == text
    read: list[str] = []

    def count(study: Study) -> Any:
        read.append(study.name)
        return review(study)

    monkeypatch.setattr(facts_reader, "review", count)
    rest.start(0)
    wait_until(lambda: child(panel, "finetune").text() != text, "what is learned from now")
    assert not read  # the table knows the decision already
    paint(panel)
    key(panel, KEY.Key_S)
    rest.start(0)
    wait_until(lambda: bool(read), "what a correction changes: what to expect of the others")


def test_changes_are_never_passed_over(panel: ReviewPanel) -> None:
    name, study = panel.session.scan, panel.session.need_study()
    paint(panel)
    changed = load_draft(study.folder, name)
    question = child(panel, "question")
    for letter, decision in ((KEY.Key_A, "accepted"), (KEY.Key_R, "rejected")):
        key(panel, letter)
        assert question.isVisible() and panel.session.scan == name
        assert states(study) == {} and drafted(study.folder) == (name,)
        click(child(panel, "discard_and"))
        assert states(study) == {name: decision}
        assert drafted(study.folder) == () and not question.isVisible()
        click(child(panel, "undo_decision"))  # also brings the changes back
        back = load_draft(study.folder, name)
        assert states(study) == {} and panel.session.scan == name
        assert back is not None and changed is not None and np.array_equal(back, changed)
    key(panel, KEY.Key_A)
    click(child(panel, "keep_changes"))
    assert states(study) == {name: "corrected"}


def test_discarded_changes_and_corrections_come_back(panel: ReviewPanel) -> None:
    name, study, layers = panel.session.scan, panel.session.need_study(), panel.session.layers
    before = layers.editing.mask_on_scan()
    paint(panel)
    changed = layers.editing.mask_on_scan()
    assert before is not None and changed is not None
    click(child(panel, "discard"))
    assert drafted(study.folder) == ()
    assert np.array_equal(layers.editing.mask_on_scan(), before)  # type: ignore[arg-type]
    click(child(panel, "undo_decision"))
    assert np.array_equal(layers.editing.mask_on_scan(), changed)  # type: ignore[arg-type]
    key(panel, KEY.Key_S)
    click(child(panel, "undo_decision"))
    assert states(study) == {} and not study.masks.path(name).exists()
    assert panel.session.scan == name and drafted(study.folder) == (name,)
    assert np.array_equal(layers.editing.mask_on_scan(), changed)  # type: ignore[arg-type]


def test_nobody_decides_about_a_mask_that_was_not_seen(
    panel: ReviewPanel, told: list[str]
) -> None:
    name, study = panel.session.scan, panel.session.need_study()
    predict(study, 1, [name])
    key(panel, KEY.Key_A)
    assert states(study) == {} and "newer mask" in told[-1]
    key(panel, KEY.Key_A)
    assert study.decisions.all()[name].round == 1


def test_accept_the_rest_is_one_step(panel: ReviewPanel) -> None:
    first, second, third = ranked_names(panel)
    study = panel.session.need_study()
    key(panel, KEY.Key_R)
    child(panel, "rest_rank").setValue(2)
    rest = child(panel, "accept_rest")
    assert rest.text() == "Accept 1"
    child(panel, "rest_rank").setValue(3)
    assert rest.text() == "Accept 2"
    click(child(panel, "toggle_fine-tuning"))
    click(rest)
    assert states(study) == {first: "rejected", second: "accepted", third: "accepted"}
    assert rest.text() == "Accept 0" and not rest.isEnabled()
    click(child(panel, "undo_decision"))
    assert states(study) == {first: "rejected"}
    click(child(panel, "undo_decision"))
    assert states(study) == {}
    assert not child(panel, "undo_decision").isEnabled()


# --- notes


def test_notes(panel: ReviewPanel) -> None:
    first, second, _ = ranked_names(panel)
    study, note = panel.session.need_study(), child(panel, "note")
    note.setFocus()
    QTest.keyClicks(note, "artNS")  # letters in the note decide nothing
    process_events()
    assert note.text() == "artNS"
    assert states(study) == {} and panel.session.scan == first
    QTest.keyClick(note, KEY.Key_Return)
    key(panel, KEY.Key_N)
    assert panel.session.scan == second and note.text() == ""
    press_key(panel.session.viewer, KEY.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert note.text() == "artNS"  # waits for the decision
    key(panel, KEY.Key_R)
    before = study.decisions.all()[first]
    assert before.note == "artNS"
    assert not panel.session.remembered().get("notes")
    panel.session.show_scan(first)
    note.clear()
    QTest.keyClicks(note, "neck")
    QTest.keyClick(note, KEY.Key_Return)
    after = study.decisions.all()[first]
    assert after.note == "neck"
    assert (after.state, after.round, after.time) == (before.state, before.round, before.time)


# --- overlays


def test_doubts_while_h_is_held(window: StripWidget, panel: ReviewPanel) -> None:
    layers, canvas = panel.session.layers, canvas_of(panel.session.viewer)
    assert not layers.overlays.has(DOUBTS)
    QTest.keyPress(canvas, KEY.Key_H)
    wait_until(lambda: layers.overlays.has(DOUBTS), "the marks")
    assert panel.session.viewer.layers.selection.active is layers.editing.layer
    QTest.keyRelease(canvas, KEY.Key_H)
    process_events()
    assert not layers.overlays.has(DOUBTS)
    panel.layers.doubt.click()
    assert layers.overlays.has(DOUBTS)
    key(panel, KEY.Key_N)
    wait_until(lambda: layers.overlays.has(DOUBTS), "the marks of the next scan")
    window.session.step_requested.emit("scans")
    process_events()
    assert not layers.overlays.has(DOUBTS)  # other steps have a clean screen


def test_untouched_pseudo_label_while_u_is_held(panel: ReviewPanel) -> None:
    layers, canvas = panel.session.layers, canvas_of(panel.session.viewer)
    before = layers.editing.mask_on_display()
    paint(panel)
    wait_until(lambda: panel.layers.n_changed, "the count of changed voxels")
    painted = layers.editing.mask_on_display()
    assert before is not None and painted is not None
    assert panel.layers.n_changed == int(np.count_nonzero(before != painted))
    wait_until(lambda: f"{panel.layers.n_changed:,} voxels" in panel.layers.words.toolTip())
    assert panel.layers.words.text().endswith("L edited")
    QTest.keyPress(canvas, KEY.Key_U)
    wait_until(lambda: layers.overlays.has(PSEUDO_LABEL), "the untouched pseudo-label")
    shown = np.asarray(panel.session.viewer.layers[PSEUDO_LABEL].data) != 0
    assert np.array_equal(shown, before)
    assert layers.editing.layer is not None and not layers.editing.layer.visible
    QTest.keyRelease(canvas, KEY.Key_U)
    process_events()
    assert not layers.overlays.has(PSEUDO_LABEL) and layers.editing.layer.visible
    assert np.array_equal(layers.editing.mask_on_display(), painted)  # type: ignore[arg-type]
    assert layers.editing.layer.contour == 1 and panel.layers.outline.isChecked()
    key(panel, KEY.Key_O)
    assert layers.editing.layer.contour == 0 and not panel.layers.outline.isChecked()
    key(panel, KEY.Key_O, KEY.Key_D)
    assert layers.editing.layer.contour == 0 and panel.layers.outline.isChecked()  # flat only
    assert panel.session.viewer.dims.ndisplay == 3
    key(panel, KEY.Key_D)
    assert layers.editing.layer.contour == 1
    assert panel.session.viewer.dims.ndisplay == 2 and not panel.layers.in_3d.isChecked()


def predict(study: Study, round_: int, names: Sequence[str]) -> None:
    """Write pseudo-labels that lack the first row of those of round 0."""
    for name in names:
        scan = open_scan(study.scans.path(name))
        mask = load_mask(study.rounds.pseudo_label_path(0, name), like=scan)
        mask[np.flatnonzero(mask.any(axis=(1, 2)))[0]] = False
        save_mask(study.rounds.pseudo_label_path(round_, name), mask, like=scan)


def before_and_after(panel: ReviewPanel, old: Any) -> None:
    """Drag the slider to the left, half back, and paint."""
    editing, overlays = panel.session.layers.editing, panel.session.layers.overlays
    slider, layer = panel.layers.before.slider, editing.layer
    assert slider.isVisible() and layer is not None
    opacity = layer.opacity
    slider.setValue(0)
    wait_until(lambda: overlays.has(BEFORE), "the mask of the previous round")
    shown = panel.session.viewer.layers[BEFORE]
    assert np.array_equal(shown.data != 0, old) and shown.opacity == 1
    assert [editing.is_seen] == [False]
    wait_until(lambda: "; overlap 0." in panel.layers.before.says.text())
    slider.setValue(25)
    assert layer.visible and layer.opacity == opacity / 2 and overlays.has(BEFORE)
    assert [editing.is_seen] == [False]  # not well enough to decide about it
    slider.setValue(75)
    assert layer.opacity == opacity and shown.opacity == 0.5
    slider.setValue(0)
    panel.accept()  # not of a mask that is not seen
    assert slider.value() == 100 and editing.is_seen and layer.opacity == opacity
    assert not overlays.has(BEFORE)
    assert panel.session.need_study().decisions.all().get(panel.session.scan) is None
    slider.setValue(25)
    paint(panel)
    assert slider.value() == 100 and layer.opacity == opacity
    editing.undo()


def test_next_round_with_before_and_after(panel: ReviewPanel) -> None:
    study, session = panel.session.need_study(), panel.session
    name = session.scan
    assert not panel.layers.before.isVisible()
    old = session.layers.editing.mask_on_display()
    predict(study, 1, ranked_names(panel))
    study.rounds.save_scores(1, study.rounds.scores(0)[::-1])
    session.study_changed.emit(StudyPart.ROUNDS)
    assert "Fine-tuning 1" in child(panel, "review_summary").text()
    new = session.layers.editing.mask_on_display()
    assert old is not None and new is not None and new.sum() < old.sum()  # the newer one is shown
    before_and_after(panel, old)
    voxel_ml = session.layers.showing.now.scan.grid.voxel_ml  # type: ignore[union-attr]
    lost = (int(old.sum()) - int(new.sum())) * voxel_ml
    said = panel.layers.before.says
    wait_until(lambda: f"\u2212{lost:.0f} mL (" in said.text(), "what changed")
    summary = child(panel, "review_summary")
    wait_until(lambda: summary.text().endswith(" changed much"), "all masks are compared")
    process_events()
    assert summary.height() >= summary.heightForWidth(summary.width())
    assert not panel.table.isColumnHidden(KEYS.index("change"))
    names = panel.table.filter.names()
    cell = panel.table.filter.index(names.index(name), KEYS.index("change"))
    assert cell.data() == f"{1 - panel.table.rows.changes[name].overlap:.1%}"
    assert "removed" in cell.data(Qt.ItemDataRole.ToolTipRole)
    assert session.scan == name


# --- fine-tuning


@pytest.fixture
def started(window: StripWidget, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Arguments of the jobs that would have been started."""
    jobs: list[list[str]] = []
    monkeypatch.setattr(
        window.session.job, "start", lambda arguments, *_more: jobs.append([*arguments])
    )
    return jobs


def test_fine_tuning_says_and_does_the_same(
    panel: ReviewPanel, started: list[list[str]]
) -> None:
    study, button = panel.session.need_study(), child(panel, "finetune")
    assert button.text() == "Fine-tune with 1 painted + 1 top-ranked" and button.isEnabled()
    panel.finetune.top_ranked.click()  # ticked while little is decided
    assert button.text() == "Fine-tune with 1 painted" and not button.isEnabled()
    assert "accept or correct" in child(panel, "finetune_hint").text()
    key(panel, KEY.Key_A)
    paint(panel)
    assert "1 scan has unsaved changes" in child(panel, "finetune_hint").text()
    key(panel, KEY.Key_S, KEY.Key_R)
    assert button.text() == "Fine-tune with 1 painted + 1 corrected + 1 accepted"
    click(button)
    assert started == [[
        "run", str(study.folder), "--stages", "finetune,autoencoder,predict,rank",
        "--set", "finetuning.pseudo_labels=decided",
    ]]


def test_other_ways_to_fine_tune(panel: ReviewPanel, started: list[list[str]]) -> None:
    button = child(panel, "finetune")
    assert panel.finetune.top_ranked.isChecked()
    assert button.text() == "Fine-tune with 1 painted + 1 top-ranked"
    click(button)
    assert started[0][-1] == "finetuning.pseudo_labels=selected"
    predict(panel.session.need_study(), 1, ranked_names(panel)[:1])  # stopped while predicting
    panel.session.study_changed.emit(StudyPart.ROUNDS)
    assert button.text() == "Finish predicting and ranking"
    click(button)
    folder = str(panel.session.need_study().folder)
    assert started[1] == ["run", folder, "--stages", "autoencoder,predict,rank"]


def test_the_start_of_fine_tuning_is_in_sight_and_leaves_the_keys_to_the_image(
    window: StripWidget, panel: ReviewPanel, started: list[list[str]]
) -> None:
    page: Any = window.stack.currentWidget()
    button, bar = child(panel, "finetune"), page.verticalScrollBar()
    panel.painting.expand(animate=False)
    panel.plotting.expand(animate=False)
    wait_until(lambda: bar.maximum() > 0, "more than there is room for")
    for place in (0, bar.maximum()):
        bar.setValue(place)
        process_events()
        assert page.rect().contains(button.rect().translated(button.mapTo(page, QPoint())))
    window.viewer.window._qt_window.activateWindow()
    wait_until(lambda: QApplication.activeWindow() is not None, "the active window")
    panel.head.search.setFocus()
    click(button)
    assert started and QApplication.focusWidget() is canvas_of(panel.session.viewer)
    panel.session.close_study()
    process_events()
    assert not button.isVisible()


def test_all_masks_to_learn_from_can_be_read(panel: ReviewPanel) -> None:
    kinds = "1 painted + 12 corrected + 130 accepted + 28 top-ranked"
    bar = panel.finetune
    assert bar.view is not None
    bar.draw(replace(bar.view, text=f"Go on fine-tuning with {kinds}"))
    process_events()
    assert bar.finetune.sizeHint().width() <= bar.finetune.width() <= panel.width()
    assert bar.finetune.height() >= bar.finetune.sizeHint().height()


# --- small screens, many scans


def test_nothing_is_cut_off_on_a_small_screen(window: StripWidget, panel: ReviewPanel) -> None:
    panel.painting.expand(animate=False)
    panel.plotting.expand(animate=False)
    for theme in ("light", "dark"):
        panel.session.viewer.theme = theme
        process_events()
        area = window.stack.currentWidget()
        assert isinstance(area, QScrollArea)
        room = area.viewport()
        assert room is not None and panel.minimumSizeHint().width() <= room.width()


def test_what_a_stroke_changes_does_not_widen_the_dock(
    window: StripWidget, panel: ReviewPanel
) -> None:
    """The image would move below the hand."""
    before = window.minimumSizeHint().width()
    panel.layers.words.setText("1,234 mL edited, and more")
    process_events()
    assert window.minimumSizeHint().width() == before


def test_paint_tools_that_are_opened_are_in_sight(window: StripWidget, panel: ReviewPanel) -> None:
    page: Any = window.stack.currentWidget()
    page.setFixedHeight(430)
    process_events()
    last, port, bar = child(panel.tools, "undo"), page.viewport(), page.verticalScrollBar()
    room = port.height() - panel.footer.height()  # type: ignore[union-attr]

    def bottom() -> int:
        return int(last.mapTo(port, last.rect().bottomLeft()).y())

    titles = child(panel, "toggle_paint_tools")
    page.ensureWidgetVisible(titles)
    process_events()
    before = bar.value()
    click(titles)
    wait_until(lambda: last.isVisible() and bottom() < room, "the tools in sight")
    assert bottom() + bar.value() - before >= room  # not where they were without scrolling
    assert titles.mapTo(port, titles.rect().topLeft()).y() >= 0  # to close them again
    for name in ("accept", "corrected", "reject", "next", "note"):
        decides = child(panel, name)
        assert decides.visibleRegion().boundingRect() == decides.rect(), name


def test_a_question_before_changes_are_dropped_is_in_sight_over_unfolded_tools(
    window: StripWidget, panel: ReviewPanel
) -> None:
    page: Any = window.stack.currentWidget()
    page.setFixedHeight(430)
    click(child(panel, "toggle_paint_tools"))
    process_events()
    for text in ("Short?", "The changes of sample-12_PDw would be dropped. " * 4):
        panel.decisions.question_words.setText(text)
        panel.decisions.question.show()
        process_events()
        cancel = child(panel, "cancel")
        assert cancel.visibleRegion().boundingRect() == cancel.rect()
        assert list(cut_text(panel.decisions.question_words)) == []
    panel.decisions.question.hide()
    process_events()
    page.verticalScrollBar().setValue(0)
    process_events()
    bottom = panel.decisions.mapTo(panel, QPoint(0, panel.decisions.height())).y()
    assert bottom <= panel.table.mapTo(panel, QPoint()).y()  # it covers nothing


def test_review_begins_with_the_top_of_a_ranking_made_while_another_scan_was_watched(
    window: StripWidget, ranked_study: Study
) -> None:
    names = [score.scan for score in ranked_study.rounds.scores(0)]
    rounds, aside = ranked_study.folder / "rounds", ranked_study.folder / "aside"
    rounds.rename(aside)
    window.session.take_study(Study.open(ranked_study.folder))
    window.session.step_requested.emit("train")
    window.session.show_scan(names[-1])
    assert not window.session.layers.editing.mask_on_scan().any()  # type: ignore[union-attr]

    aside.rename(rounds)  # the worker is done
    window.session.job.happened.emit(Wrote("rounds/00/scores.csv", "scores"))
    click(window.step_buttons["review"])
    assert window.session.scan == names[0]

    click(window.step_buttons["train"])
    window.session.show_scan(names[-1])
    click(window.step_buttons["review"])  # no new ranking: it stays with the scan
    assert window.session.scan == names[-1]


def test_a_scan_that_got_its_first_mask_meanwhile_is_shown_with_it(
    window: StripWidget, ranked_study: Study
) -> None:
    name = ranked_study.rounds.scores(0)[-1].scan
    rounds, aside = ranked_study.folder / "rounds", ranked_study.folder / "aside"
    rounds.rename(aside)
    window.session.take_study(Study.open(ranked_study.folder))
    window.session.step_requested.emit("paint")
    window.session.show_scan(name)
    aside.rename(rounds)

    click(window.step_buttons["review"])

    now = window.session.layers.showing.now
    untouched = ranked_study.rounds.newest_pseudo_label(name)
    assert now is not None and now.name == name and untouched is not None
    np.testing.assert_array_equal(now.mask != 0, load_mask(untouched[1], like=now.scan))


def test_a_key_works_out_once_what_follows_from_a_decision(
    panel: ReviewPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for the decision, and nothing again for the scan that comes on screen."""
    made: list[object] = []

    def counting(*facts: Any) -> ReviewView:
        made.append(facts)
        return review_view(*facts)

    monkeypatch.setattr(panel_module, "review_view", counting)
    names = ranked_names(panel)
    key(panel, KEY.Key_N)
    assert panel.session.scan == names[1] and not made
    assert panel.view.scan == names[1] and panel.decisions.row is panel.view.decision.row
    key(panel, KEY.Key_A)
    assert panel.session.scan == names[2] and len(made) == 1
