"""Step "apply": strip new scans with a trained model, review the results, export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Progress, Wrote
from napari_singlestrip.study.result_names import applied_names
from napari_singlestrip.study.volumes_table import APPLIED, TABLE
from napari_singlestrip.vocabulary import StudyPart
from napari_singlestrip.widgets.apply.export_box import REPORT, ExportBox
from napari_singlestrip.widgets.apply.layer_stripper import LayerBox
from napari_singlestrip.widgets.apply.model_list import (
    MODEL_ENDINGS,
    MODEL_FILTER,
    ModelsList,
    file_choice,
    models_of,
)
from napari_singlestrip.widgets.apply.results_box import ResultsBox
from napari_singlestrip.widgets.apply.scan_picker import ScanPicker
from napari_singlestrip.widgets.apply.view import ApplyFacts, ApplyView, apply_view, results_view
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.session.job_process import JobStatus
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import Session

READ_AFTER_MS = 150
NO_MODEL = (
    "There is no trained model yet. Train one in step 3, or add a model file that you were "
    "given."
)

OUT_IS_USED = "This folder has results: existing masks are kept."


class ApplyPanel(Panel):
    """Choose a model and scans, run, review the results, export."""

    title = "strip new scans and export"
    step = "apply"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.setAcceptDrops(True)
        self._files: list[Path] = []  # of models, as long as no study stores them
        self._running: tuple[Path, tuple[str, ...]] | None = None
        self._models_old = True
        self._study = session.study
        self.view = apply_view(ApplyFacts(), session.job.status)
        self._make_widgets()
        self._lay_out()
        self._reader = single_shot(self, READ_AFTER_MS, self._read_results)
        session.study_changed.connect(self._on_study)
        session.job_event.connect(self._on_event)
        session.job_changed.connect(self._on_job)

    # --- actions

    def take_files(self, paths: Sequence[Path]) -> None:
        """Accept dropped model files, scans and folders of scans."""
        models = [path for path in paths if path.suffix in MODEL_ENDINGS]
        for path in models:
            self.add_model(path)
        scans = [path for path in paths if path not in models]
        if scans:
            self.scans.take_files(scans)

    def add_model(self, path: Path) -> None:
        """List a model file, and choose it."""
        with self.session.guarded():
            choice = file_choice(path)
            files = [*(p for p in self._model_files() if p != path), path]
            self._files = files
            if self.session.study is not None:
                self.session.remember(model_files=[str(p) for p in files])
            self._list_models()
            self.models.setValue(choice)
            self.refresh()

    def strip_layer(self, layer: Any) -> None:
        """Offer to strip a napari layer; for one of ours, choose the scan it shows."""
        with self.session.guarded():
            shown = self.session.layers.file_of(layer)
            if shown is None:
                self.layer.ask(layer)
                return
            self.layer.leave()
            self.scans.take_files([shown])
            self.session.tell(f"{shown.name} is chosen: press Apply to strip it.")

    def set_out(self, folder: Path | None) -> None:
        """Choose the output folder; None for a new one."""
        self.out.setText("" if folder is None else str(folder))

    def start(self) -> None:
        """Apply the model to the scans."""
        with self.session.guarded():
            model, scans, out = self.models.value(), self.scans.value(), self.out_folder()
            if model is None or not scans or out is None:
                raise UserError("There is nothing to apply yet.", "Choose a model and scans.")
            names = tuple(applied_names(model.path, scans, out).names.values())
            brain = ["--brain"] * self.brain.isChecked()
            self.session.start_job(
                ["apply", str(model.path.absolute()), *self.scans.arguments, "--out", str(out),
                 *brain, *model.options], "apply", out=out,
            )
            self._running = (out, names)
            self.results.expect(out, self._running[1])
            self.refresh()

    def out_folder(self) -> Path | None:
        """Where results will be written; None without a model."""
        if self.out.text().strip():
            return Path(self.out.text().strip()).expanduser().absolute()
        model = self.models.value()
        if model is None:
            return None
        study = self.session.study
        parent = study.folder if study is not None else model.path.parent
        return _new_folder(parent / APPLIED, f"{datetime.now():%Y-%m-%d}_{model.short}")

    def next_scan(self) -> None:
        """Show the next result (N)."""
        self.results.table.step(1)

    def previous_scan(self) -> None:
        """Show the previous result (Shift+N)."""
        self.results.table.step(-1)

    def toggle_3d(self) -> None:
        """Show the brain by itself in 3D, or slices again (D)."""
        self.results.toggle_3d()

    def toggle_outline(self) -> None:
        """Show the mask as an outline or filled (O)."""
        self.session.layers.result.toggle_outline()

    def close_all(self) -> None:
        """Disconnect when the window closes."""
        self._reader.stop()
        self.layer.close_all()

    # --- files dropped on the step

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        data = event.mimeData()
        if data is not None and data.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Choose scans, or add a model."""
        data = event.mimeData()
        if data is not None:
            event.acceptProposedAction()
            self.take_files([Path(u.toLocalFile()) for u in data.urls() if u.isLocalFile()])

    # --- what is shown

    def refresh(self) -> None:
        """Show and enable what is possible now."""
        if self._models_old:
            self._list_models()
        self.view = apply_view(self._facts(), self.session.job.status)
        self.draw(self.view)

    def draw(self, view: ApplyView) -> None:
        """Show a snapshot."""
        self.empty.setVisible(not view.any_model)
        self.go_train.setVisible(not view.any_model)
        self.models.setVisible(view.any_model)
        self.layer.draw(view.layer)
        self.for_files.setVisible(view.layer is None)
        self.scans.draw(view)
        self.apply.setText(view.apply_text)
        self.apply.setEnabled(view.apply_enabled)
        for widget in (self.out, self.browse, self.brain, self.add_file):
            widget.setEnabled(view.files_enabled)
        self._draw_where(view)
        self.results.draw(view.results)
        self.export.draw(view.export)

    # --- inside

    def _facts(self) -> ApplyFacts:
        """Look at what is there, and at what is chosen."""
        study, out = self.session.study, self.out_folder()
        return ApplyFacts(
            has_study=study is not None,
            has_masks=study is not None and bool(study.masks.names() or study.rounds.numbers()),
            has_report=study is not None and (study.folder / REPORT).is_file(),
            n_models=len(self.models.choices()),
            model=self.models.value(),
            n_scans=len(self.scans.value()),
            out=out,
            out_is_used=out is not None and (out / TABLE).is_file(),
            layer=self.layer.facts(),
            results=self.results.facts(),
        )

    def _on_results(self) -> None:
        """Only the results are others: drawn by themselves, since they come fast."""
        facts, busy = self.results.facts(), self.session.job.status.blocks
        made = results_view(facts, self.session.study is not None, busy)
        self.view = replace(self.view, results=made)
        self.results.draw(made)

    def _make_widgets(self) -> None:
        self.empty = words(NO_MODEL, "no_model")
        self.go_train = button(
            "Go to step 3: Train", "Open the step where models are trained",
            lambda: self.session.step_requested.emit("train"), "go_train",
        )
        self.models = ModelsList()
        self.models.chosen_changed.connect(self.refresh)
        self.add_file = button(
            "Add model file...", "A model that was exported from another study",
            self._ask_model, "add_model",
        )
        self.scans = ScanPicker(self.session)
        self.scans.valueChanged.connect(self.refresh)
        self.out = QLineEdit()
        self.out.setObjectName("out")
        self.out.setToolTip("Folder for masks and their table; if empty, a new one is made")
        self.out.setClearButtonEnabled(True)
        self.out.textChanged.connect(self._stale)
        self.browse = button("...", "Choose the folder", self._ask_out, "browse")
        self.browse.setFixedWidth(30)
        self.brain = QCheckBox("Also write brain-only images")
        self.brain.setObjectName("brain")
        self.brain.setToolTip("The skull-stripped scan beside each mask: everything else is zero")
        self.apply = button("Apply", "Find the brain in each of these scans", self.start, "apply")
        self.apply.setStyleSheet("font-weight: bold; padding: 5px;")
        self.where = words(OUT_IS_USED, "where")
        self.layer = LayerBox(self.session, self.models.value)
        self.layer.changed.connect(self._on_layer)
        self.for_files = QWidget()
        self.results = ResultsBox(self.session)
        self.results.changed.connect(self._on_results)
        self.export = ExportBox(self.session, self.models)

    def _lay_out(self) -> None:
        self._column.addLayout(_row(words("<b>Model</b>"), self.add_file))
        for widget in (self.empty, self.go_train, self.models):
            self.add(widget)
        self.add(self.layer)
        self._column.addWidget(self.for_files, 1)
        self._column.addStretch(0)
        column = QVBoxLayout(self.for_files)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(words("<b>Scans</b>"))
        column.addWidget(self.scans)
        column.addLayout(_row(words("Write to"), self.out, self.browse, stretch=1))
        column.addLayout(_row(self.brain, self.apply))
        column.addWidget(self.where)
        column.addWidget(self.results, 1)
        column.addWidget(self.export)

    def _draw_where(self, view: ApplyView) -> None:
        self.out.setPlaceholderText(view.out_hint)
        self.where.setVisible(view.out_is_used)

    def _list_models(self) -> None:
        self._models_old = False
        study = self.session.study
        files = [path for path in self._model_files() if path.is_file()]
        with self.session.guarded():
            self.models.set_choices([*models_of(study, files), *self.layer.more_models()])

    def _model_files(self) -> list[Path]:
        remembered = self.session.remembered().get("model_files", [])
        return list(dict.fromkeys([*(Path(str(p)) for p in remembered), *self._files]))

    def _on_study(self, what: StudyPart) -> None:
        if self.session.study is not self._study:
            self._study = self.session.study
            self.scans.setValue(())
            self.set_out(None)
            self._running = None
            self.results.list_earlier()
        if what in (StudyPart.STUDY, StudyPart.ROUNDS):
            self._models_old = True
            self._stale()

    def _on_layer(self) -> None:
        """Update the models, which differ for layers and files."""
        self._models_old = True
        self.refresh()

    def _on_event(self, event: Event) -> None:
        mine = self._running is not None and self.session.job.status.kind == "apply"
        if mine and isinstance(event, (Progress, Wrote, Note)) and not self._reader.isActive():
            self._reader.start()

    def _on_job(self, status: JobStatus) -> None:
        if self._running is not None and status.kind == "apply" and not status.busy:
            self._read_results()
            self._running = None

    def _read_results(self) -> None:
        if self._running is not None:
            out, names = self._running
            self.results.show_folder(out, names, self.session.job.status.busy)

    def _ask_out(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder for the results")
        if found:
            self.set_out(Path(found))

    def _ask_model(self) -> None:
        found, _ = QFileDialog.getOpenFileName(self, "Model file", "", MODEL_FILTER)
        if found:
            self.add_model(Path(found))


def _new_folder(parent: Path, name: str) -> Path:
    """A new folder that does not exist yet."""
    n, folder = 1, parent / name
    while folder.exists():
        n += 1
        folder = parent / f"{name}_{n}"
    return folder


def _row(*widgets: QWidget, stretch: int = 0) -> Any:
    row = QHBoxLayout()
    for n, widget in enumerate(widgets):
        row.addWidget(widget, int(n == stretch))
    return row
