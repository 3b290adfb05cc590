"""Results of applying a model: the table, what they say in a sentence, and what to do with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.drafts import save_draft
from napari_singlestrip.study.volumes_table import TABLE, AppliedRow, read_table
from napari_singlestrip.widgets.apply.export_box import open_outside
from napari_singlestrip.widgets.apply.result_table import ResultTable, needs_a_look
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.session.session import Session

EMPTY = "Results appear here, one scan after the other, with a flag on those to look at."


class ResultsBox(QWidget):
    """Shows a folder of results.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.folder: Path | None = None
        self._scan_before = ""
        self.earlier = QComboBox()
        self.earlier.setObjectName("earlier")
        self.earlier.setToolTip("Results in this study, the newest first")
        self.earlier.activated.connect(lambda n: self.show_folder(self.earlier.itemData(n)))
        self.summary = words(EMPTY, "results_summary")
        self.only = QCheckBox("Only those to look at")
        self.only.setObjectName("only_flagged")
        self.only.setToolTip("Leave out scans whose volume and error are usual")
        self.table = ResultTable()
        self.only.toggled.connect(self.table.show_only_flagged)
        self.table.opened.connect(self.open)
        self.table.selected_changed.connect(self._enable)
        self._make_buttons()
        self._lay_out()
        session.step_requested.connect(self._on_step)

    # --- what is shown

    def expect(self, folder: Path, names: Sequence[str]) -> None:
        """Show a job that begins: nothing is there yet."""
        self.folder = folder
        self.table.set_rows((), names, running=True)
        self.only.setChecked(False)
        self.summary.setText(f"Results go to {folder}")

    def show_folder(self, folder: Path, to_come: Sequence[str] = (), running: bool = False) -> None:
        """Show what is in a folder of results by now."""
        with self.session.guarded():
            rows = read_table(folder / TABLE)
            self.folder = folder
            if running:  # else rows of an earlier job in this folder
                expected = set(to_come)
                rows = tuple(row for row in rows if row.scan in expected)
            self.table.set_rows(rows, to_come, running)
            self.summary.setText(_in_words(rows, folder, len(to_come) or len(rows)))
            if not running:
                self.list_earlier(show=False)
            self._enable()

    def list_earlier(self, show: bool = True) -> None:
        """List the results that the study holds, and show the newest."""
        study = self.session.study
        tables = sorted(study.folder.glob(f"applied/*/{TABLE}") if study else (), key=_written)
        folders = [path.parent for path in reversed(tables)]
        if self.folder is not None and self.folder not in folders and not show:
            folders.insert(0, self.folder)
        self.earlier.clear()
        for folder in folders:
            self.earlier.addItem(folder.name, folder)
        if show and folders:
            self.show_folder(folders[0])
        elif show:
            self.folder = None
            self.table.set_rows(())
            self.summary.setText(EMPTY)
        elif self.folder is not None:
            self.earlier.setCurrentIndex(folders.index(self.folder))
        self.refresh(busy=False)

    def refresh(self, busy: bool) -> None:
        """Enable what can be done now."""
        self.earlier.setVisible(self.earlier.count() > 1)
        self.earlier.setEnabled(not busy)
        some = bool(self.table.results.rows)
        for widget in (self.table, self.only, self.show_files, self.view_3d, self.see, self.mend):
            widget.setVisible(some)
        self._filler.setVisible(not some)
        self._enable()

    # --- what one can do

    def open(self, row: AppliedRow) -> None:
        """Show a scan with the mask that was found in it."""
        with self.session.guarded():
            if self.folder is None or not row.file:
                raise UserError(f"{row.scan} is not done yet.", "Wait for the job.")
            before = self.session.scan
            mask = self.folder / row.mask if row.mask else None
            self.session.layers.show_result(row.scan, Path(row.file), mask)
            self._scan_before = before or self._scan_before
            self._enable()

    def toggle_3d(self) -> None:
        """Show the brain by itself in 3D, or slices again."""
        result = self.session.layers.result
        if not result.name:
            self.table.open_selected()
        if result.name:
            result.set_3d(self.session.viewer.dims.ndisplay == 2)

    def correct(self) -> None:
        """Take the selected scan into the study, with its mask to be corrected by hand."""
        row = self.table.selected()
        with self.session.guarded():
            study = self.session.need_study()
            if row is None or self.folder is None or not row.mask:
                raise UserError("No scan with a mask is selected.", "Select one in the table.")
            name = study.name_of(Path(row.file)) or study.add_scans([row.file])[0]
            if name not in (*study.masked_scans(), *self.session.unfinished()):
                scan = open_scan(Path(row.file))
                mask = load_mask(self.folder / row.mask, like=scan, check=False)
                save_draft(study.folder, name, mask)
                self.session.study_changed.emit("drafts")
            self._scan_before = ""
            self.session.step_requested.emit("paint")
            self.session.show_scan(name)

    # --- inside

    def _make_buttons(self) -> None:
        self.see = button(
            "Show", "Show the selected scan with its mask (or double click it). N and Shift+N "
            "show the next and the previous one", self.table.open_selected, "show_result",
        )
        self.view_3d = button(
            "3D  D", "Show the brain by itself in 3D; once more for slices",
            self.toggle_3d, "result_3d",
        )
        self.mend = button(
            "Correct in study", "Take the selected scan into the study and correct its mask by "
            "hand in step 2: the next round can learn from it", self.correct, "correct_result",
        )
        self.show_files = button(
            "Folder", "Show the files", self._open_folder, "open_folder"
        )

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(words("<b>Results</b>"), 1)
        top.addWidget(self.earlier)
        top.addWidget(self.only)
        bottom = QHBoxLayout()
        for one in (self.see, self.view_3d, self.mend, self.show_files):
            bottom.addWidget(one)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(top)
        column.addWidget(self.summary)
        column.addWidget(self.table, 1)
        column.addLayout(bottom)
        self._filler = QWidget()  # keeps the sentence at the top while there is no table
        column.addWidget(self._filler, 1)

    def _enable(self) -> None:
        row = self.table.selected()
        there = row is not None and bool(row.file)
        self.see.setEnabled(there)
        self.view_3d.setEnabled(bool(self.session.layers.result.name) or there)
        self.mend.setEnabled(
            row is not None and bool(row.mask) and self.session.study is not None
        )

    def _on_step(self, step: str) -> None:
        """Bring the study's scan back when a person goes on with it elsewhere."""
        if step == "apply" or not self.session.layers.result.name:
            return
        before, self._scan_before = self._scan_before, ""
        self.session.layers.result.set_3d(False)
        study = self.session.study
        if study is not None and before in study.names:
            self.session.show_scan(before)
        else:
            self.session.layers.result.clear()

    def _open_folder(self) -> None:
        if self.folder is not None:
            open_outside(self.folder)


def _in_words(rows: Sequence[AppliedRow], folder: Path, n_asked: int) -> str:
    done = sum(bool(row.mask) for row in rows)
    look = sum(bool(row.mask) and needs_a_look(row) for row in rows)
    failed = sum(not row.mask for row in rows)
    parts = [f"{done} of {n_asked} masks in {folder.parent.name}/{folder.name}"]
    if look:
        parts.append(f"{look} to look at")
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts) + "."


def _written(path: Path) -> float:
    return path.stat().st_mtime
