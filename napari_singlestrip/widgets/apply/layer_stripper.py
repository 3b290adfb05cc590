"""Strips a napari layer: runs a model on it as a job, and adds the mask as a layer."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QStandardPaths, Qt, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished
from napari_singlestrip.study.volumes_table import TABLE, AppliedRow, read_table
from napari_singlestrip.widgets.apply.layer_as_scan import LayerScan, picture_of, scan_of
from napari_singlestrip.widgets.apply.model_list import ModelChoice, models_elsewhere
from napari_singlestrip.widgets.apply.view import NOT_UP, LayerFacts, LayerView
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.session.user_settings import recent_studies
from napari_singlestrip.widgets.viewer.result_layers import COLOUR

PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
STALE_SECONDS = 24 * 3600  # age of leftovers of a crash


class LayerBox(QFrame):
    """Hidden until a layer is to be stripped.

    Parameters
    ----------
    session : Session
    model : callable
        The chosen model, or None.

    Signals
    -------
    changed()
        A layer is to be stripped, or no longer.
    """

    changed = Signal()

    def __init__(self, session: Session, model: Callable[[], ModelChoice | None]) -> None:
        super().__init__()
        self.session = session
        self._model = model
        self._layer: Any = None
        self._knows_up = self._has_affine = True
        self._scan: LayerScan | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._said = ""
        self.background = Background("layer", self)
        self.background.failed.connect(self._failed)
        self.setObjectName("layer_box")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._lay_out()
        session.job_event.connect(self._on_event)
        self.hide()

    # --- what a person does

    def ask(self, layer: Any) -> None:
        """Offer to strip a layer.

        Raises
        ------
        UserError
            If it is no picture of one head, or another one is being stripped.
        """
        if self.busy:
            raise UserError("A layer is being stripped.", "Wait for it, or stop it below.")
        picture = picture_of(layer)
        self._knows_up = picture.knows_up or bool(picture.files)  # otherwise the job will report it
        self._layer, self._said = layer, ""
        self.changed.emit()

    def leave(self) -> None:
        """Go back to applying to files."""
        self._layer = None
        self.changed.emit()

    def start(self) -> None:
        """Strip the layer with the chosen model."""
        with self.session.guarded():
            if self._model() is None:
                raise UserError("No model is chosen.", "Choose one above, or add a model file.")
            if self._layer not in self.session.viewer.layers:
                raise UserError(f"The layer {self._layer} was removed.", "Choose another one.")
            picture = picture_of(self._layer)
            self._has_affine = picture.knows_up
            folder = self._folder = _new_folder()
            path = Path(folder.name)
            self.background.run(lambda: scan_of(picture, path), self._apply)
            self.changed.emit()

    # --- the state

    @property
    def asked(self) -> bool:
        """Whether a layer is to be stripped."""
        return self._layer is not None

    @property
    def busy(self) -> bool:
        """Whether it is being stripped."""
        return self._folder is not None

    def more_models(self) -> list[ModelChoice]:
        """The latest models of recent studies, as a layer belongs to none."""
        study = self.session.study
        here = None if study is None else study.folder
        elsewhere = [path for path in recent_studies() if path != here]
        return models_elsewhere(elsewhere) if self.asked else []

    def facts(self) -> LayerFacts | None:
        """The layer that is to be stripped; None for none."""
        if not self.asked:
            return None
        return LayerFacts(self._layer.name, self._knows_up, self._said, self.busy)

    def draw(self, view: LayerView | None) -> None:
        """Show what is possible now."""
        self.setVisible(view is not None)
        if view is not None:
            self.text.setText(view.text)
            self.strip.setText(view.button)
            self.strip.setEnabled(view.strip_enabled)
            self.back.setEnabled(view.back_enabled)

    def close_all(self) -> None:
        """End the thread and remove temporary files when the window closes."""
        self.background.close_all()
        self._clean()

    # --- inside

    def _lay_out(self) -> None:
        self.text = words(name="layer_text")
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.strip = button("Strip", "Find the brain in this layer with the model chosen above",
                            self.start, "strip_layer")
        self.strip.setStyleSheet("font-weight: bold; padding: 5px;")
        self.back = button("Back to files", "Apply models to files and folders instead",
                           self.leave, "leave_layer")
        row = QHBoxLayout()
        row.addWidget(self.strip, 1)
        row.addWidget(self.back)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.addWidget(self.text)
        column.addLayout(row)

    def _apply(self, scan: LayerScan) -> None:
        """Start the job once the file is written."""
        model = self._model()
        if self._folder is None or model is None:
            self._clean()
            return
        try:
            # On this computer: a launcher's has no access to the layer.
            self.session.start_job(
                ["apply", str(model.path.absolute()), str(scan.path.absolute()),
                 "--out", self._folder.name, *model.options], "apply", here=True,
            )
            self._scan, self._knows_up = scan, not scan.written or self._has_affine
        except UserError as error:
            self._failed(str(error))

    def _on_event(self, event: Event) -> None:
        """The job has ended: read its mask."""
        if self._scan is None or self._folder is None or self.session.job.status.busy:
            return
        scan, folder, self._scan = self._scan, Path(self._folder.name), None
        if isinstance(event, Finished):
            self.background.run(lambda: _result(scan, folder), self._add)
        else:
            self._clean()

    def _add(self, found: tuple[AppliedRow, NDArray[np.uint8] | None, LayerScan]) -> None:
        row, mask, scan = found
        self._clean()
        layer = self._layer
        if layer is None:
            return
        if mask is None:
            self._say(f"{layer.name}: {row.flag or 'no brain was found'}.", "warning")
            return
        if mask.shape != tuple(layer.data.shape):
            self._say(f"{layer.name} has changed meanwhile: strip it again.", "warning")
            return
        _add_mask(self.session.viewer, layer, mask, scan)
        text = f"The brain mask of {layer.name} is a layer now: {row.volume_ml:.0f} mL."
        if row.flag:
            self._say(f"{text} Inspect it closely: {row.flag}.", "warning")
        else:
            # napari offers a type of its own first, which has no position in space.
            saved = "File > Save Selected Layers keeps it, as the type SingleStrip brain mask."
            self._say(f"{text} {saved}", "info")

    def _say(self, text: str, level: str) -> None:
        self._said = escape(text) + ("" if self._knows_up else NOT_UP)
        self.session.tell(text, level)
        self.changed.emit()

    def _failed(self, text: str) -> None:
        self._clean()
        self.session.tell(text, "error")

    def _clean(self) -> None:
        folder, self._folder, self._scan = self._folder, None, None
        if folder is not None:
            with suppress(OSError):
                folder.cleanup()
            self.changed.emit()


def scratch_place() -> Path:
    """Temporary folder for layers, never beside the user's scans."""
    kind = QStandardPaths.StandardLocation.GenericDataLocation
    return Path(QStandardPaths.writableLocation(kind)) / "napari-singlestrip" / "layers"


def _new_folder() -> tempfile.TemporaryDirectory[str]:
    place = scratch_place()
    try:
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        return tempfile.TemporaryDirectory(dir=place)
    except OSError as error:
        raise UserError(
            f"{place} cannot be written: {error.strerror or error}.", "Free some space."
        ) from error


def _result(
    scan: LayerScan, folder: Path
) -> tuple[AppliedRow, NDArray[np.uint8] | None, LayerScan]:
    rows = read_table(folder / TABLE)
    if not rows:
        raise UserError("The job wrote no result.", "See its log.")
    row = rows[0]
    return row, scan.mask(folder / row.mask) if row.mask else None, scan


def _add_mask(viewer: Any, layer: Any, mask: NDArray[np.uint8], scan: LayerScan) -> None:
    """Add the mask on the layer's grid; the scan's name in it lets our writer save it."""
    place = {key: getattr(layer, key) for key in PLACE if hasattr(layer, key)}
    metadata = {"path": str(scan.path)} if scan.upright else {}
    viewer.add_labels(
        mask, name=f"{layer.name}: brain mask", opacity=0.5, metadata=metadata,
        colormap=DirectLabelColormap(
            color_dict={None: COLOUR, 0: "transparent", 1: COLOUR}
        ), **place,
    )
