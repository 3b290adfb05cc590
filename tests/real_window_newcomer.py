"""From an empty window to ranked masks, click by click; part of `real_window_tour`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QTableView, QWidget
from real_window_tour import wait_until

from napari_singlestrip.vocabulary import StudyPart

if TYPE_CHECKING:
    from real_window_tour import Tour


class Newcomer:
    """Clicks what is in sight, and notes it.

    Parameters
    ----------
    tour : Tour
        With a "folder" of scans, and the folder of a "ranked" study of them, in its plan.
    """

    def __init__(self, tour: Tour) -> None:
        self.tour, self.session = tour, tour.dock.session
        self.clicks: list[str] = []

    def walk(self) -> None:
        """Go the whole way; the round that a job would take minutes for is put in place."""
        self._choose(self.tour.plan["folder"])
        self._click("my_scans")
        self._click("place_ok")
        wait_until(lambda: self.session.study is not None, "the new study")
        self._click("scan_table")
        self._click("paint_this_one")
        self._click("suggest")
        wait_until(lambda: self.session.layers.editing.mask_on_scan().any(), "a suggestion",
                   seconds=240)  # a process starts, imports torch and runs a network
        self._click("paint_done")
        self._click("train")
        wait_until(lambda: self.session.job.status.busy, "the job")
        self._finish_job()
        self._click("review")
        wait_until(lambda: self.session.step == "review", "the step")
        rows = self.tour.dock.panels["review"].review.rows
        self.tour.facts |= {"clicks": self.clicks, "ranked": len(rows)}

    def _choose(self, folder: str) -> None:
        """Answer for napari's file dialog."""
        dialog: Any = QFileDialog
        dialog.getExistingDirectory = staticmethod(lambda *_args, **_more: folder)

    def _click(self, name: str) -> None:
        wait_until(lambda: self._in_sight(name), name)
        widget = self._in_sight(name)
        assert widget is not None
        self._rest(widget)
        place = widget.rect().center()
        seen: QWidget | None = widget
        if isinstance(widget, QTableView):
            seen, place = widget.viewport(), QPoint(60, 20)
        elif not widget.visibleRegion().contains(place):
            self.tour.found.append(f"{name} is not in sight")
        assert seen is not None
        at = seen.mapToGlobal(place)
        subprocess.run(["xdotool", "mousemove", str(at.x()), str(at.y()), "click", "1"], check=True)
        self.clicks.append(getattr(widget, "text", str)() or name)
        QTest.qWait(300)
        self.tour.picture(f"newcomer_{len(self.clicks):02d}_{name}")

    def _rest(self, widget: QWidget) -> None:
        """Wait until it stays where it is, as a person looks first: messages come and go."""
        seen: list[QPoint] = []
        page = self.tour.dock.stack.currentWidget()
        while len(seen) < 3 or seen[-1] != seen[-2]:
            QTest.qWait(500)
            page.ensureWidgetVisible(widget)  # they scroll, where the checks push it down
            seen.append(widget.mapToGlobal(QPoint()))

    def _in_sight(self, name: str) -> QWidget | None:
        widget = self.tour.dock.panels[self.session.step].findChild(QWidget, name)
        if widget is None or not widget.isEnabled() or not widget.isVisible():
            return None
        return widget

    def _finish_job(self) -> None:
        session, study = self.session, self.session.need_study()
        session.job.close()
        rounds = study.folder / "rounds" / "00"
        shutil.rmtree(rounds, ignore_errors=True)
        shutil.copytree(Path(self.tour.plan["ranked"]) / "rounds" / "00", rounds)
        session.study_changed.emit(StudyPart.ROUNDS)
