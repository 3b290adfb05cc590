"""Step "apply": strip new scans with what was learned, look at the results, give things away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Progress, Wrote
from napari_singlestrip.study.result_names import applied_names
from napari_singlestrip.study.volumes_table import TABLE
from napari_singlestrip.widgets.apply.export_box import ExportBox
from napari_singlestrip.widgets.apply.layer_stripper import LayerBox
from napari_singlestrip.widgets.apply.model_list import ModelsList, file_choice, models_of
from napari_singlestrip.widgets.apply.results_box import ResultsBox
from napari_singlestrip.widgets.apply.scan_picker import ScanPicker
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.session.job_process import JobStatus
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import Session

APPLIED = "applied"  # folder within a study
READ_AFTER_MS = 150
NO_MODEL = (
    "There is no trained model yet. Train one in step 3, or add a model file that somebody gave "
    "you."
)


class ApplyPanel(Panel):
    """Choose a model and scans, run, look at what came out, export."""

    title = "strip new scans and export"
    step = "apply"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.setAcceptDrops(True)
        self._files: list[Path] = []  # of models, while no study remembers them
        self._running: tuple[Path, tuple[str, ...]] | None = None
        self._models_old = True
        self._study = session.study
        self._make_widgets()
        self._lay_out()
        self._reader = QTimer(self)
        self._reader.setSingleShot(True)
        self._reader.setInterval(READ_AFTER_MS)
        self._reader.timeout.connect(self._read_results)
        session.study_changed.connect(self._on_study)
        session.job_event.connect(self._on_event)
        session.job_changed.connect(self._on_job)

    # --- what a person, a key or a test does

    def take_files(self, paths: Sequence[Path]) -> None:
        """Take what was dropped: model files, scans and folders of scans."""
        models = [path for path in paths if path.suffix == ".pt"]
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
        """Offer to strip a layer of napari; one of ours is the scan that it shows."""
        with self.session.guarded():
            shown = self.session.layers.file_of(layer)
            if shown is None:
                self.layer.ask(layer)
                return
            self.layer.leave()
            self.scans.take_files([shown])
            self.session.tell(f"{shown.name} is chosen: press Apply to strip it.")

    def set_out(self, folder: Path | None) -> None:
        """Choose the folder for the results; None for one that nothing is in yet."""
        self.out.setText("" if folder is None else str(folder))

    def start(self) -> None:
        """Apply the model to the scans."""
        with self.session.guarded():
            model, scans, out = self.models.value(), self.scans.value(), self.out_folder()
            if model is None or not scans or out is None:
                raise UserError("There is nothing to do yet.", "Choose a model and scans.")
            names = tuple(applied_names(model.path, scans, out).names.values())
            brain = ["--brain"] * self.brain.isChecked()
            self.session.start_job(
                ["apply", str(model.path.absolute()), *self.scans.arguments, "--out", str(out),
                 *brain, *model.options], "apply",
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
        """Let go: the window closes."""
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
        busy = self.session.job.status.busy
        any_model = bool(self.models.choices())
        self.empty.setVisible(not any_model)
        self.go_train.setVisible(not any_model)
        self.models.setVisible(any_model)
        self.layer.refresh(busy)
        self.for_files.setVisible(not self.layer.asked)
        self.scans.refresh(busy)
        n = len(self.scans.value())
        self.apply.setText(f"Apply to {n} scan{'s' * (n != 1)}" if n else "Apply")
        self.apply.setEnabled(any_model and n > 0 and not busy)
        for widget in (self.out, self.browse, self.brain, self.add_file):
            widget.setEnabled(not busy)
        self._say_where()
        self.results.refresh(busy)
        self.export.refresh(busy)

    # --- inside

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
        self.out.setToolTip("Folder for masks and their table; left empty, a new one is made")
        self.out.setClearButtonEnabled(True)
        self.out.textChanged.connect(self._say_where)
        self.browse = button("...", "Choose the folder", self._ask_out, "browse")
        self.browse.setFixedWidth(30)
        self.brain = QCheckBox("Also write brain-only images")
        self.brain.setObjectName("brain")
        self.brain.setToolTip("The scan without skull, beside each mask: everything else is zero")
        self.apply = button("Apply", "Find the brain in each of these scans", self.start, "apply")
        self.apply.setStyleSheet("font-weight: bold; padding: 5px;")
        self.where = words(name="where")
        self.layer = LayerBox(self.session, self.models.value)
        self.layer.changed.connect(self._on_layer)
        self.for_files = QWidget()
        self.results = ResultsBox(self.session)
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

    def _say_where(self) -> None:
        out = self.out_folder()
        self.out.setPlaceholderText("" if out is None else f"{out.parent.name}/{out.name} (new)")
        used = out is not None and (out / TABLE).is_file() and not self.session.job.status.busy
        self.where.setVisible(used)
        self.where.setText("This folder has results: masks that are there stay as they are.")

    def _list_models(self) -> None:
        self._models_old = False
        study = self.session.study
        files = [path for path in self._model_files() if path.is_file()]
        with self.session.guarded():
            self.models.set_choices([*models_of(study, files), *self.layer.more_models()])

    def _model_files(self) -> list[Path]:
        remembered = self.session.remembered().get("model_files", [])
        return list(dict.fromkeys([*(Path(str(p)) for p in remembered), *self._files]))

    def _on_study(self, what: str) -> None:
        if self.session.study is not self._study:
            self._study = self.session.study
            self.scans.setValue(())
            self.set_out(None)
            self._running = None
            self.results.list_earlier()
        if what in ("study", "rounds"):
            self._models_old = True
            self._stale()

    def _on_layer(self) -> None:
        """Other models are offered for a layer than for files."""
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
        found, _ = QFileDialog.getOpenFileName(self, "Model file", "", "Models (*.pt)")
        if found:
            self.add_model(Path(found))


def _new_folder(parent: Path, name: str) -> Path:
    """A folder that does not exist yet."""
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
