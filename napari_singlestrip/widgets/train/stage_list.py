"""The stages up to the first ranking, with their progress."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_singlestrip.texts import duration
from napari_singlestrip.vocabulary import STAGE_WORDS
from napari_singlestrip.widgets.session.job_process import JobStatus
from napari_singlestrip.widgets.train.facts import Stage

MARKS = {"to do": "○", "begun": "◐", "done": "✓", "running": "▶", "paused": "⏸"}
UNITS = {"predict": "scans", "rank": "scans"}
TIPS = {
    "train": "Learns to segment the brain in synthetic images made from your painted mask",
    "autoencoder": "Learns the shape of brain masks, to tell good masks from bad ones",
    "predict": "Predicts the masks of all other scans",
    "rank": "Scores the predicted masks: which to trust, and which to inspect",
    "finetune": "Continues training, also on masks you accepted or corrected",
}


class StageList(QWidget):
    """One line for each stage: mark, name, progress."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("stages")
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        self._rows: list[tuple[QLabel, QLabel, QLabel]] = []

    def show_stages(self, stages: Sequence[Stage], status: JobStatus) -> None:
        """Show the state of each stage, and the running one."""
        self._make_rows(len(stages))
        for row, stage in zip(self._rows, stages, strict=False):
            running = status.busy and status.stage == stage.name
            state = ("paused" if status.state == "paused" else "running") if running else (
                stage.state
            )
            self._fill(row, stage, state, _far(stage, status if running else None))

    def texts(self) -> list[str]:
        """Text of the visible lines."""
        return [
            " ".join(label.text() for label in row) for row in self._rows if row[0].isVisible()
        ]

    def _make_rows(self, n: int) -> None:
        while len(self._rows) < n:
            labels = QLabel(), QLabel(), QLabel()
            for column, label in enumerate(labels):
                label.setTextFormat(Qt.TextFormat.PlainText)
                self._grid.addWidget(label, len(self._rows), column)
            labels[2].setAlignment(Qt.AlignmentFlag.AlignRight)
            self._rows.append(labels)
        for k, row in enumerate(self._rows):
            for label in row:
                label.setVisible(k < n)

    def _fill(
        self, row: tuple[QLabel, QLabel, QLabel], stage: Stage, state: str, far: str
    ) -> None:
        mark, name, right = row
        mark.setText(MARKS[state])
        name.setText(STAGE_WORDS.get(stage.name, stage.name))
        right.setText(far)
        for label in row:
            label.setToolTip(TIPS.get(stage.name, ""))
            label.setEnabled(state != "to do")


def _far(stage: Stage, running: JobStatus | None) -> str:
    """Progress of a stage."""
    step, n_steps = stage.step, stage.n_steps
    if running is not None and running.n_steps:
        step, n_steps = running.step, running.n_steps
    unit = UNITS.get(stage.name, "steps")
    if running is not None:
        if not running.n_steps:
            return "beginning"
        left = running.seconds_left
        more = "" if left is None else f", {duration(left)} left"
        return f"{100 * step // max(1, n_steps)} %{more}"
    if stage.state == "done":
        return f"{n_steps} {unit}"
    return "" if stage.state == "to do" else f"{step} of {n_steps} {unit}"
