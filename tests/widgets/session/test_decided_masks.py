"""Many decided masks are compared with what was reviewed in a thread: no step waits for it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gui_fixtures import process_events, wait_until

from napari_singlestrip.files.atomic import file_digest
from napari_singlestrip.study import folder as folder_module
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.session import decided_masks

if TYPE_CHECKING:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Masks are read in the thread only, and once the event is set."""
    monkeypatch.setattr(decided_masks, "READ_AT_ONCE", 1)
    may_read = threading.Event()

    def reading(path: Path) -> str:
        assert threading.current_thread() is not threading.main_thread(), path
        assert may_read.wait(60)
        return file_digest(path)

    monkeypatch.setattr(folder_module, "file_digest", reading)
    yield may_read
    may_read.set()


@pytest.fixture
def replaced(ranked_study: Study) -> Study:
    """A study with three accepted masks, the second of which was replaced; nothing is read yet."""
    _, b, c, d = ranked_study.scans.names
    ranked_study.decisions.decide_all([b, c, d], "accepted")
    shutil.copy(
        ranked_study.rounds.pseudo_label_path(0, b), ranked_study.rounds.pseudo_label_path(0, c)
    )
    return Study.open(ranked_study.folder)


def states(window: StripWidget, step: str) -> list[str]:
    """States of the scans b, c and d in the table of a step."""
    panel: Any = window.panels[step]
    rows = panel.table.rows if step == "scans" else panel.review.rows
    return [row.state for row in sorted(rows, key=lambda row: str(row.name))][-3:]


def test_no_step_waits_for_masks_to_be_read(
    window: StripWidget, replaced: Study, slow_disk: threading.Event
) -> None:
    window.session.take_study(replaced)
    decided: Any = window.session.decided
    assert decided.reading
    assert states(window, "scans") == 3 * ["accepted"]
    for step in ("train", "review", "apply", "review"):
        window.session.step_requested.emit(step)
        process_events()
    assert states(window, "review") == 3 * ["accepted"]
    panel: Any = window.panels["review"]
    assert panel.view.facts.plan.counts["accepted"] == 3
    slow_disk.set()
    wait_until(lambda: states(window, "review")[1] == "to review", "the replaced mask")
    assert not decided.reading
    assert states(window, "review")[::2] == 2 * ["accepted"]
    assert panel.view.facts.plan.counts["accepted"] == 2
    window.session.step_requested.emit("scans")
    process_events()
    assert states(window, "scans") == ["accepted", "predicted", "accepted"]


def test_a_mask_that_changes_meanwhile_is_not_presumed(replaced: Study) -> None:
    unread = replaced.decisions.unread()
    replaced.decisions.presume(unread)
    _, b, c, d = replaced.scans.names
    decisions = replaced.decisions.all()
    assert [replaced.decisions.standing(decisions[n]) for n in (b, c)] == 2 * ["current"]
    shutil.copy(
        replaced.rounds.pseudo_label_path(0, d), replaced.rounds.pseudo_label_path(0, b)
    )
    assert replaced.decisions.standing(decisions[b]) == "older"
    replaced.decisions.presume(())
    assert replaced.decisions.standing(decisions[c]) == "older"


def test_what_is_decided_meanwhile_is_about_the_file(replaced: Study) -> None:
    """A presumed digest is never written down."""
    c = replaced.scans.names[2]
    before = replaced.decisions.all()[c]
    replaced.decisions.presume(replaced.decisions.unread())
    assert replaced.decisions.decide(c, "accepted").mask != before.mask
    assert replaced.decisions.standing(replaced.decisions.all()[c]) == "current"


def test_no_mask_is_read_for_a_study_that_is_closed(replaced: Study) -> None:
    unread = replaced.decisions.unread()
    assert decided_masks._all_right(replaced, unread, lambda: False)
    assert replaced.decisions.unread() == unread != []
    assert not decided_masks._all_right(replaced, unread, lambda: True)
    assert not replaced.decisions.unread()


def test_a_closed_study_is_no_longer_read(
    window: StripWidget, replaced: Study, slow_disk: threading.Event
) -> None:
    window.session.take_study(replaced)
    window.session.close_study()
    assert not window.session.decided.reading
    slow_disk.set()
