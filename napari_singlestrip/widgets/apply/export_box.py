"""Exporting from a study: masks, a model with its card, a report."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QFileDialog, QGridLayout, QGroupBox

from napari_singlestrip.errors import UserError
from napari_singlestrip.widgets.apply.model_list import MODEL_ENDINGS, MODEL_FILTER, ModelsList
from napari_singlestrip.widgets.apply.view import ExportView
from napari_singlestrip.widgets.common.controls import button
from napari_singlestrip.widgets.session.session import Session

REPORT = "report.html"


def open_outside(path: Path) -> None:
    """Open a file or folder with the system's default program."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


class ExportBox(QGroupBox):
    """Buttons that export files.

    Parameters
    ----------
    session : Session
    models : ModelsList
        Determines which model is exported.
    """

    def __init__(self, session: Session, models: ModelsList) -> None:
        super().__init__("Export")
        self.session, self.models = session, models
        self.setObjectName("export_box")
        self.masks = button(
            "Masks of this study...",
            "Write the latest mask of each scan on its own grid, and a table of which was "
            "painted, corrected, accepted, predicted or imported. Rejected masks are left out.",
            self._ask_masks, "export_masks",
        )
        self.model = button(
            "Model file...",
            "Write the model chosen above to one file, with a card that describes its provenance",
            self._ask_model, "export_model",
        )
        self.report = button(
            "Write report", "One HTML file with the results and images of this study",
            self.write_report, "write_report",
        )
        self.open_report = button(
            "Open report", "Show the report in the web browser", self._open_report, "open_report"
        )
        self.brain = QCheckBox("with brain-only images")
        self.brain.setObjectName("export_brain")
        self.brain.setToolTip("Also write the skull-stripped scan beside each mask")
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 4, 6, 6)
        grid.addWidget(self.masks, 0, 0, 1, 3)
        grid.addWidget(self.brain, 0, 3, 1, 3)
        for n, one in enumerate((self.model, self.report, self.open_report)):
            grid.addWidget(one, 1, 2 * n, 1, 2)

    def draw(self, view: ExportView) -> None:
        """Enable what is possible now."""
        self.masks.setEnabled(view.masks)
        self.brain.setEnabled(view.masks)
        self.model.setEnabled(view.model)
        self.report.setEnabled(view.report)
        self.open_report.setEnabled(view.open_report)

    def export_masks(self, folder: Path) -> None:
        """Write the masks of the study into a folder."""
        with self.session.guarded():
            study = self.session.need_study()
            unfinished = self.session.unfinished()
            if unfinished:
                self.session.tell(
                    f"Unsaved changes of {', '.join(unfinished)} are not in the masks: keep "
                    "them in step 2 or 4 first.", "warning",
                )
            brain = ["--brain"] * self.brain.isChecked()
            self.session.start_job(
                ["masks", str(study.folder), "--out", str(folder.absolute()), *brain], "masks",
                out=folder.absolute(),
            )

    def export_model(self, file: Path) -> None:
        """Write the chosen model of the study to a file."""
        with self.session.guarded():
            study, model = self.session.need_study(), self.models.value()
            if model is None or model.round is None:
                raise UserError("No model of this study is chosen.", "Choose a round above.")
            path = file if file.suffix else file.with_suffix(MODEL_ENDINGS[0])
            self.session.start_job(
                ["export", str(study.folder), str(path.absolute()), *model.options], "export",
                out=path.absolute(),
            )

    def write_report(self) -> None:
        """Write the report of the study, into the study."""
        with self.session.guarded():
            study = self.session.need_study()
            out = study.folder / REPORT
            self.session.start_job(
                ["report", str(study.folder), "--out", str(out)], "report", out=out.absolute()
            )

    def _ask_masks(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder for the masks")
        if found:
            self.export_masks(Path(found))

    def _ask_model(self) -> None:
        study, model = self.session.study, self.models.value()
        if study is None or model is None:
            return
        name = f"{study.name}_{model.short}{MODEL_ENDINGS[0]}"
        found, _ = QFileDialog.getSaveFileName(self, "Model file", name, MODEL_FILTER)
        if found:
            self.export_model(Path(found))

    def _open_report(self) -> None:
        if self.session.study is not None:
            open_outside(self.session.study.folder / REPORT)
