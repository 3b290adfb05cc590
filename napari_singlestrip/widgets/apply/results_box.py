"""Results of applying a model: table, summary and actions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.drafts import save_draft
from napari_singlestrip.study.volumes_table import TABLE, AppliedRow, read_table
from napari_singlestrip.vocabulary import StudyPart
from napari_singlestrip.widgets.apply.export_box import open_outside
from napari_singlestrip.widgets.apply.result_table import ResultTable
from napari_singlestrip.widgets.apply.view import NO_RESULTS, ResultsFacts, ResultsView
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.session.session import Session


class ResultsBox(QWidget):
    """Shows a folder of results.

    Parameters
    ----------
    session : Session

    Signals
    -------
    changed()
        Other results, or another one is selected or on screen.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.folder: Path | None = None
        self._rows: tuple[AppliedRow, ...] = ()
        self._n_asked = 0
        self._was_read = False
        self._scan_before = ""
        self.earlier = QComboBox()
        self.earlier.setObjectName("earlier")
        self.earlier.setToolTip("Results in this study, the latest first")
        self.earlier.activated.connect(lambda n: self.show_folder(self.earlier.itemData(n)))
        self.summary = words(NO_RESULTS, "results_summary")
        self.only = QCheckBox("Only those to inspect")
        self.only.setObjectName("only_flagged")
        self.only.setToolTip("Leave out scans whose volume and error are usual")
        self.table = ResultTable()
        self.only.toggled.connect(self.table.show_only_flagged)
        self.table.opened.connect(self.open)
        self.table.selected_changed.connect(self.changed)
        self._make_buttons()
        self._lay_out()
        session.step_requested.connect(self._on_step)

    # --- what is shown

    def expect(self, folder: Path, names: Sequence[str]) -> None:
        """Show a job that starts, without results yet."""
        self.table.set_rows((), names, running=True)
        self.only.setChecked(False)
        self._keep(folder, (), len(names), was_read=False)

    def show_folder(self, folder: Path, to_come: Sequence[str] = (), running: bool = False) -> None:
        """Show the present content of a folder of results."""
        with self.session.guarded():
            rows = read_table(folder / TABLE)
            if running:  # otherwise these are rows of an earlier job
                expected = set(to_come)
                rows = tuple(row for row in rows if row.scan in expected)
            self.table.set_rows(rows, to_come, running)
            self._keep(folder, rows, len(to_come))
            if not running:
                self.list_earlier(show=False)

    def list_earlier(self, show: bool = True) -> None:
        """List the results in the study, and show the latest."""
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
            self.table.set_rows(())
            self._keep(None)
        elif self.folder is not None:
            self.earlier.setCurrentIndex(folders.index(self.folder))
        self.changed.emit()

    def facts(self) -> ResultsFacts:
        """What is there by now."""
        return ResultsFacts(
            self.folder, self._rows, self._n_asked, self._was_read, self.earlier.count(),
            self.table.selected(), bool(self.session.layers.result.name),
        )

    def draw(self, view: ResultsView) -> None:
        """Show it; the table has its rows already."""
        self.summary.setText(view.summary)
        self.earlier.setVisible(view.earlier_visible)
        self.earlier.setEnabled(view.earlier_enabled)
        for widget in (self.table, self.only, self.show_files, self.view_3d, self.see, self.mend):
            widget.setVisible(view.table_visible)
        self._filler.setVisible(not view.table_visible)
        self.see.setEnabled(view.see_enabled)
        self.view_3d.setEnabled(view.in_3d_enabled)
        self.mend.setEnabled(view.correct_enabled)

    # --- actions

    def open(self, row: AppliedRow) -> None:
        """Show a scan with its predicted mask."""
        with self.session.guarded():
            if self.folder is None or not row.file:
                raise UserError(f"{row.scan} is not done yet.", "Wait for the job.")
            before = self.session.scan
            mask = self.folder / row.mask if row.mask else None
            self.session.layers.show_result(row.scan, Path(row.file), mask)
            self._scan_before = before or self._scan_before
            self.changed.emit()

    def toggle_3d(self) -> None:
        """Show the brain by itself in 3D, or slices again."""
        result = self.session.layers.result
        if not result.name:
            self.table.open_selected()
        if result.name:
            result.set_3d(self.session.viewer.dims.ndisplay == 2)

    def correct(self) -> None:
        """Add the selected scan to the study, with its mask to be corrected by hand."""
        row = self.table.selected()
        with self.session.guarded():
            study = self.session.need_study()
            if row is None or self.folder is None or not row.mask:
                raise UserError("No scan with a mask is selected.", "Select one in the table.")
            name = study.scans.name_of(Path(row.file)) or study.scans.add([row.file])[0]
            if name not in (*study.masks.names(), *self.session.unfinished()):
                scan = open_scan(Path(row.file))
                mask = load_mask(self.folder / row.mask, like=scan, check=False)
                save_draft(study.folder, name, mask)
                self.session.study_changed.emit(StudyPart.DRAFTS)
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
            "Correct in study", "Add the selected scan to the study and correct its mask by "
            "hand in step 2, for training in the next round", self.correct, "correct_result",
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
        self._filler = QWidget()  # keeps the summary at the top while there is no table
        column.addWidget(self._filler, 1)

    def _keep(
        self, folder: Path | None, rows: tuple[AppliedRow, ...] = (), n_asked: int = 0,
        was_read: bool = True,
    ) -> None:
        """Note what is shown now, and tell it."""
        self.folder, self._rows, self._n_asked = folder, rows, n_asked
        self._was_read = was_read
        self.changed.emit()

    def _on_step(self, step: str) -> None:
        """Restore the study's scan when another step is opened."""
        if step == "apply" or not self.session.layers.result.name:
            return
        before, self._scan_before = self._scan_before, ""
        self.session.layers.result.set_3d(False)
        study = self.session.study
        if study is not None and before in study.scans.names:
            self.session.show_scan(before)
        else:
            self.session.layers.result.clear()

    def _open_folder(self) -> None:
        if self.folder is not None:
            open_outside(self.folder)


def _written(path: Path) -> float:
    return path.stat().st_mtime
