"""Masks that other programs made: their folders, one that is good, and having them judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QCompleter,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QListWidget,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished
from napari_singlestrip.study.other_masks import (
    OtherMasks,
    find_other_masks,
    has_network,
    in_words,
    other_mask,
)
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import counted, printable
from napari_singlestrip.vocabulary import JUDGE_STAGES
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.napari_private import canvas_of
from napari_singlestrip.widgets.viewer.own_layers import OTHERS

JOB = "judge"
WHAT = (
    "Masks of other programs are ranked by one that is good, to review the worst first in step 4. "
    "Choose one folder per program: the first is judged, others are compared with it."
)
CHOOSE = "choose a scan"
RANK_THEM = "Take them into the study and rank them; your files stay"


class MasksBox(QFrame):
    """Asks for folders of masks, and for one mask that is good.

    Parameters
    ----------
    session : Session

    Signals
    -------
    closed()
        Nothing is asked any more.
    """

    closed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("masks_box")
        self.sources: list[OtherMasks] = []
        self._study: Study | None = None
        self._is_ours = False  # the job that is under way
        self._background = Background("other-masks", self)
        self._background.failed.connect(lambda text: session.tell(text, "warning"))
        self._make_controls()
        self._lay_out()
        session.job_event.connect(self._on_job)
        self.hide()

    # --- what a person does

    def open(self) -> None:
        """Ask; folders that were chosen before are still there."""
        self._follow_study()
        self.show()
        self.refresh()
        if not self.sources:
            self.choose_folder()

    def choose_folder(self) -> None:
        """Let a folder be chosen."""
        near = self.sources[-1].folder.parent if self.sources else self._near()
        chosen = QFileDialog.getExistingDirectory(self, "Folder of masks", str(near))
        if chosen:
            self.add_folder(Path(chosen))

    def add_folder(self, folder: Path) -> None:
        """Look for the masks of the study's scans in a folder, in the background."""
        study = self.session.need_study()
        self._follow_study()
        if folder in [source.folder for source in self.sources]:
            self.session.tell(f"{folder} is in the list already.")
            return
        scans = {name: study.scans.path(name) for name in study.scans.names}
        self.says.setText(f"Looking through {folder} for masks...")
        self._background.run(
            lambda: find_other_masks(folder, scans), self._take, self._cannot_take
        )

    def judge(self) -> None:
        """Take the masks in, and rank them."""
        study, good = self.session.need_study(), self.good.currentData()
        arguments = [JOB, str(study.folder)]
        for source in self.sources:
            arguments += ["--masks", str(source.folder.absolute())]
        if good and not study.masks.names():
            arguments += ["--good", str(good)]
        with self.session.guarded():
            self.session.start_job(arguments, JOB, JUDGE_STAGES, here=True)
            self._is_ours = True
            self.close_question()

    def close_question(self) -> None:
        """Ask nothing any more."""
        self._background.forget()
        self._hide_mask()
        canvas, focus = canvas_of(self.session.viewer), QApplication.focusWidget()
        if canvas is not None and focus is not None and self.isAncestorOf(focus):
            canvas.setFocus()  # a name was typed: letters act again
        self.hide()
        self.closed.emit()

    def close_all(self) -> None:
        """End the thread: the window closes."""
        self._background.close_all()

    # --- what is true now

    def why_not(self) -> str:
        """Why no masks can be judged now; empty when they can."""
        study = self.session.study
        if study is None:
            return "Add the scans first"
        if self.session.job.status.blocks:
            return "A job is under way: see below"
        if has_network(study):
            return ("The study has masks of its own network: make a new study of the same scans to "
                    "judge masks of other programs")
        return ""

    def refresh(self) -> None:
        """Show what can be done now."""
        study = self.session.study
        if self.isHidden() or study is None:
            return
        painted, masked = study.masks.names(), self._masked()
        n = len(set(masked) - set(painted or [self.good.currentData()]))
        with_mask = in_words(self.sources, len(study.scans.names)) if self.sources else ""
        notes = [note for source in self.sources for note in source.notes]
        self.says.setText(" ".join(filter(None, (with_mask, *notes))))
        self.says.setVisible(bool(self.says.text()))
        self.compared.setText(
            f"They are compared with the {counted(len(painted), 'mask')} made by hand here."
        )
        self.compared.setVisible(bool(painted))
        self.ask_good.setVisible(not painted and bool(masked))
        self.remove.setEnabled(bool(self.sources))
        reason = self.why_not() or ("" if n else "Choose a folder of masks first") or (
            "" if painted or self.good.currentData() else "Choose a mask that is good first"
        )
        self.ok.setText(f"Judge {counted(n, 'mask')}" if n else "Judge")
        self.ok.setEnabled(not reason)
        self.ok.setToolTip(reason or RANK_THEM)

    # --- inside

    def _make_controls(self) -> None:
        self.list = QListWidget()
        self.list.setObjectName("masks_folders")
        self.list.setToolTip("Folders of masks, one for each program")
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setFixedHeight(2 * self.list.fontMetrics().lineSpacing() + 12)
        self.more = button("Add masks...", "Choose a folder of masks of one program",
                           self.choose_folder, "masks_add")
        self.remove = button("Leave out", "Take the chosen folder off this list; no file is "
                             "deleted", self._leave_out, "masks_leave_out")
        self.says = words(name="masks_say")
        self.compared = words(name="masks_compared")
        self.good = QComboBox()
        self.good.setObjectName("masks_good")
        self.good.setToolTip("One mask that you know to be right: all others are compared with it, "
                             "and it counts as painted. It is shown when you choose it")
        self.good.setEditable(True)  # thousands of names are found by typing
        self.good.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.good.setMinimumContentsLength(18)
        self.good.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        typed = self.good.lineEdit()
        if typed is not None:
            typed.setObjectName("masks_good_name")
            typed.setPlaceholderText(CHOOSE)
            typed.setToolTip(self.good.toolTip())
        completer = self.good.completer()
        if completer is not None:
            completer.setFilterMode(Qt.MatchFlag.MatchContains)
            completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        self.good.currentIndexChanged.connect(self._look)
        self.cancel = button("Cancel", "Leave everything as it was", self.close_question,
                             "masks_cancel")
        self.ok = button("Judge", RANK_THEM, self.judge, "masks_judge")

    def _lay_out(self) -> None:
        self.ask_good = QWidget()
        self.ask_good.setObjectName("masks_ask_good")
        asked = QHBoxLayout(self.ask_good)
        asked.setContentsMargins(0, 0, 0, 0)
        asked.addWidget(words("One that is good:"))
        asked.addWidget(self.good, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.addWidget(words(WHAT))
        column.addWidget(self.list)
        column.addLayout(_row(self.more, self.remove))
        for widget in (self.says, self.compared, self.ask_good):
            column.addWidget(widget)
        column.addLayout(_row(self.cancel, self.ok))

    def _follow_study(self) -> None:
        """Folders are looked through for the scans of one study."""
        study = self.session.study
        if study is not self._study:
            self._study = study
            self._set_sources([])

    def _near(self) -> Path:
        study = self.session.need_study()
        return study.scans.path(study.scans.names[0]).parent if study.scans.names else study.folder

    def _take(self, found: OtherMasks) -> None:
        if self.session.study is self._study:
            self._set_sources([*self.sources, found])

    def _cannot_take(self, error: Exception) -> None:
        self.refresh()
        if not isinstance(error, UserError):
            raise error
        self.session.tell(str(error), "warning")

    def _leave_out(self) -> None:
        row = max(self.list.currentRow(), 0)
        self._set_sources([source for n, source in enumerate(self.sources) if n != row])

    def _set_sources(self, sources: Sequence[OtherMasks]) -> None:
        self.sources = list(sources)
        self.list.clear()
        for source in self.sources:
            self.list.addItem(f"{len(source.masked)} masks in {printable(str(source.folder))}")
        chosen, names = self.good.currentData(), self._masked()
        self.good.blockSignals(True)
        self.good.clear()
        for name in names:
            self.good.addItem(printable(name), name)
        self.good.setCurrentIndex(names.index(chosen) if chosen in names else -1)
        self.good.blockSignals(False)
        self.refresh()

    def _masked(self) -> list[str]:
        return list(dict.fromkeys(name for source in self.sources for name in source.masked))

    def _look(self, _n: int = 0) -> None:
        """Show the scan, with its mask as an outline: nobody calls good what they have not seen."""
        name = str(self.good.currentData() or "")
        self.refresh()
        self._hide_mask()
        if not name:
            return
        self.session.show_scan(name)
        now = self.session.layers.showing.now
        found = other_mask(name, self.sources)
        if now is None or now.name != name or found is None:
            return

        def show(mask: npt.NDArray[np.bool_]) -> None:
            if self.session.scan == name and not self.isHidden():
                self.session.layers.overlays.show(OTHERS, mask)

        self._background.run(lambda: load_mask(found.file, like=now.scan), show)

    def _hide_mask(self) -> None:
        self.session.layers.overlays.show(OTHERS, None)

    def _on_job(self, event: Event) -> None:
        self.refresh()
        if self._is_ours and not self.session.job.status.busy:
            self._is_ours = False
            if isinstance(event, Finished) and event.n_done:
                self.session.step_requested.emit("review")


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    row.addStretch(1)
    for one in buttons:
        row.addWidget(one)
    return row

