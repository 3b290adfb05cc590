"""The current prediction for a chosen scan, as a layer that is updated during training."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QWidget

from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.events import Event, Wrote
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.own_layers import ANSWER

SHOW = "Show the current prediction for"
WHEN_IT_TRAINS = "While it trains, show its prediction for"


class WatchRow(QWidget):
    """Check box and scan.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("watch")
        self.session = session
        self.check = QCheckBox(WHEN_IT_TRAINS)
        self.check.setObjectName("watch_check")
        self.check.setToolTip(
            "During training, its prediction for this scan is updated about three times a minute"
        )
        self.check.setChecked(True)
        self.scan = QComboBox()
        self.scan.setObjectName("watch_scan")
        self.scan.setMinimumWidth(80)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.check)
        row.addWidget(self.scan, 1)
        self.check.clicked.connect(self._on_check)
        self.scan.activated.connect(self._on_scan)
        session.job_event.connect(self._on_event)
        session.scan_changed.connect(lambda _name: self._draw())
        session.step_requested.connect(lambda _step: self._draw())

    def options(self) -> list[str]:
        """Return the command-line options for training."""
        name = self.scan.currentText()
        return ["--watch", name] if self.check.isChecked() and name else []

    def begin(self) -> None:
        """Show the chosen scan when training starts."""
        if self.options():
            self.session.show_scan(self.scan.currentText())

    def refresh(self, busy: bool) -> None:
        """List the scans; the choice is fixed while a job runs."""
        study = self.session.study
        names: list[str] = []
        if study is not None:
            painted = set(study.decisions.labelled().painted)
            # Unpainted scans first: predictions on training scans are too optimistic.
            names = sorted(study.scans.names, key=lambda name: name in painted)
        if names != [self.scan.itemText(n) for n in range(self.scan.count())]:
            self.scan.clear()
            self.scan.addItems(names)
        wanted = str(self.session.remembered().get("watch", ""))
        if wanted in names:
            self.scan.setCurrentText(wanted)
        self.scan.setEnabled(bool(names) and not busy)
        self.scan.setToolTip(
            "Chosen when training started; can be changed before the next run" if busy
            else "Any scan, preferably one that is not painted"
        )
        self.check.setEnabled(bool(names))
        there = self._path() is not None
        self.check.setText(SHOW if there else WHEN_IT_TRAINS)  # a ticked choice also exists

    # --- inside

    def _on_check(self) -> None:
        if self.check.isChecked() and self._path() is not None:
            self.session.show_scan(self.scan.currentText())
        self._draw()

    def _on_scan(self) -> None:
        self.session.remember(watch=self.scan.currentText())
        self._on_check()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Wrote) and event.what == "answer":
            self._draw()

    def _path(self) -> Path | None:
        """The latest prediction for the chosen scan, of the latest round that has one."""
        study = self.session.study
        if study is None:
            return None
        name = f"answer_{self.scan.currentText()}.nii.gz"
        rounds = reversed(study.rounds.numbers())
        paths = (study.rounds.folder(number) / "previews" / name for number in rounds)
        return next((path for path in paths if path.is_file()), None)

    def _draw(self) -> None:
        """Show the prediction over its own scan while this step is open, or remove it."""
        layers, path = self.session.layers, self._path()
        here = self.session.step == "train" and self.check.isChecked()
        here = here and layers.showing.name == self.scan.currentText()
        if layers.showing.now is None or path is None or not here:
            if layers.overlays.has(ANSWER):
                layers.overlays.show(ANSWER, None)
            return
        with self.session.guarded():
            mask = load_mask(path, like=layers.showing.now.scan, check=False)
            layers.overlays.show(ANSWER, mask, contour=2)
