"""What leaves a study: its masks, a model with its card, a report."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QFileDialog, QGridLayout, QGroupBox

from napari_singlestrip.errors import UserError
from napari_singlestrip.widgets.apply.model_list import ModelsList
from napari_singlestrip.widgets.common.controls import button
from napari_singlestrip.widgets.session.session import Session

REPORT = "report.html"


def open_outside(path: Path) -> None:
    """Show a file or folder with the program that the system has for it."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


class ExportBox(QGroupBox):
    """Buttons that write files for others.

    Parameters
    ----------
    session : Session
    models : ModelsList
        Says which model is written.
    """

    def __init__(self, session: Session, models: ModelsList) -> None:
        super().__init__("Export")
        self.session, self.models = session, models
        self.setObjectName("export_box")
        self.masks = button(
            "Masks of this study...",
            "Write the newest mask of each scan on its own grid, and a table that says which was "
            "painted, corrected, accepted or predicted. Rejected masks are left out.",
            self._ask_masks, "export_masks",
        )
        self.model = button(
            "Model file...",
            "Write the model chosen above as one file, with a card that says where it comes from",
            self._ask_model, "export_model",
        )
        self.report = button(
            "Write report", "One HTML file with pictures of what happened in this study",
            self.write_report, "write_report",
        )
        self.open_report = button(
            "Open report", "Show the report in the web browser", self._open_report, "open_report"
        )
        self.brain = QCheckBox("Masks with brain-only images")
        self.brain.setObjectName("export_brain")
        self.brain.setToolTip("Beside each mask of this study also the scan without skull")
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 4, 6, 6)
        for n, one in enumerate((self.masks, self.model, self.report, self.open_report)):
            grid.addWidget(one, n // 2, n % 2)
        grid.addWidget(self.brain, 2, 0, 1, 2)

    def refresh(self, busy: bool) -> None:
        """Enable what can be done now."""
        study, model = self.session.study, self.models.value()
        some = study is not None and bool(study.masked_scans() or study.rounds())
        self.masks.setEnabled(some and not busy)
        self.brain.setEnabled(some and not busy)
        self.model.setEnabled(not busy and model is not None and model.round is not None)
        self.report.setEnabled(study is not None and not busy)
        self.open_report.setEnabled(study is not None and (study.folder / REPORT).is_file())

    def export_masks(self, folder: Path) -> None:
        """Write the masks of the study into a folder."""
        with self.session.guarded():
            study = self.session.need_study()
            unfinished = self.session.unfinished()
            if unfinished:
                self.session.tell(
                    f"Unfinished changes of {', '.join(unfinished)} are not among the masks: keep "
                    "them in step 2 or 4 first.", "warning",
                )
            brain = ["--brain"] * self.brain.isChecked()
            self.session.start_job(
                ["masks", str(study.folder), "--out", str(folder.absolute()), *brain], "masks"
            )

    def export_model(self, file: Path) -> None:
        """Write the chosen model of the study to a file."""
        with self.session.guarded():
            study, model = self.session.need_study(), self.models.value()
            if model is None or model.round is None:
                raise UserError("No model of this study is chosen.", "Choose a round above.")
            path = file if file.suffix else file.with_suffix(".pt")
            self.session.start_job(
                ["export", str(study.folder), str(path.absolute()), *model.options], "export"
            )

    def write_report(self) -> None:
        """Write the report of the study, into the study."""
        with self.session.guarded():
            study = self.session.need_study()
            out = study.folder / REPORT
            self.session.start_job(["report", str(study.folder), "--out", str(out)], "report")

    def _ask_masks(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder for the masks")
        if found:
            self.export_masks(Path(found))

    def _ask_model(self) -> None:
        study, model = self.session.study, self.models.value()
        if study is None or model is None:
            return
        name = f"{study.name}_{model.short}.pt"
        found, _ = QFileDialog.getSaveFileName(self, "Model file", name, "Models (*.pt)")
        if found:
            self.export_model(Path(found))

    def _open_report(self) -> None:
        if self.session.study is not None:
            open_outside(self.session.study.folder / REPORT)
