"""What surrounds *First suggestion*: how far it is, a way to stop it, and other ways to begin."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QProgressBar, QPushButton, QWidget

from napari_singlestrip.widgets.common.controls import button
from napari_singlestrip.widgets.paint.first_suggestion import FirstSuggestion
from napari_singlestrip.widgets.session.job_process import JobStatus

MODEL_FILES = "Models (*.safetensors *.pt);;All files (*)"


class SuggestionProgress(QWidget):
    """How far the search for the brain is, and a button that stops it; hidden without one."""

    def __init__(self, suggestion: FirstSuggestion) -> None:
        super().__init__()
        self.setObjectName("suggestion_progress")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.stop = button("Stop", "Stop looking for the brain: the mask stays as it is",
                           suggestion.cancel, "stop_suggestion")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.stop)
        suggestion.changed.connect(self.show_status)
        self.hide()

    def show_status(self, status: JobStatus) -> None:
        """Show the process's snapshot."""
        self.setVisible(status.busy)
        self.bar.setMaximum(status.n_steps)  # 0 of 0 shows that it is busy
        self.bar.setValue(status.step)
        self.stop.setEnabled(status.state != "stopping")


class SuggestionMenu(QPushButton):
    """Other ways to a first mask: by shape, by a model file, by another study."""

    def __init__(self, suggestion: FirstSuggestion) -> None:
        super().__init__("...")
        self.setObjectName("suggest_by")
        self.setToolTip("Choose who makes the first suggestion")
        self.setFixedWidth(36)
        self._suggestion = suggestion
        menu = QMenu(self)
        menu.setObjectName("suggest_menu")
        menu.addAction("By the network for human heads", suggestion.by_network)
        menu.addAction("By the shape of the head (any species)", suggestion.by_shape)
        menu.addAction("By a model file ...", self._choose_file)
        menu.addAction("By the newest model of a study ...", self._choose_study)
        self.setMenu(menu)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Model", "", MODEL_FILES)
        if path:
            self._suggestion.by_model(Path(path))

    def _choose_study(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Study with a trained model")
        if path:
            self._suggestion.by_model(Path(path))
