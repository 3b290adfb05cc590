"""The network's present answer on a scan of one's choice, as a layer that follows training."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QWidget

from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.events import Event, Wrote
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.study_layers import ANSWER


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
        self.check = QCheckBox("Show its present answer on")
        self.check.setObjectName("watch_check")
        self.check.setToolTip(
            "While it trains, its answer on this scan is drawn over it about three times a minute"
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
        """Return the options with which training should run."""
        name = self.scan.currentText()
        return ["--watch", name] if self.check.isChecked() and name else []

    def begin(self) -> None:
        """Training begins: look at the scan that is watched."""
        if self.options():
            self.session.show_scan(self.scan.currentText())

    def refresh(self, busy: bool) -> None:
        """List the scans; while a job runs the choice stays as it was given to the job."""
        study = self.session.study
        names: list[str] = []
        if study is not None:
            painted = set(study.labelled().painted)
            # First those it has not learned from: on the painted one it looks better than it is.
            names = sorted(study.names, key=lambda name: name in painted)
        if names != [self.scan.itemText(n) for n in range(self.scan.count())]:
            self.scan.clear()
            self.scan.addItems(names)
        wanted = str(self.session.remembered().get("watch", ""))
        if wanted in names:
            self.scan.setCurrentText(wanted)
        self.scan.setEnabled(bool(names) and not busy)
        self.scan.setToolTip(
            "It was chosen when training began; another one from the next start on" if busy
            else "Any scan; best one that was not painted"
        )
        self.check.setEnabled(bool(names))

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
        """The newest answer on the chosen scan, of the newest round that has one."""
        study = self.session.study
        if study is None:
            return None
        name = f"answer_{self.scan.currentText()}.nii.gz"
        rounds = reversed(study.rounds())
        paths = (study.round_dir(number) / "previews" / name for number in rounds)
        return next((path for path in paths if path.is_file()), None)

    def _draw(self) -> None:
        """Draw or remove the answer; only over the scan it is about, in the step that shows it."""
        layers, path = self.session.layers, self._path()
        here = self.session.step == "train" and self.check.isChecked()
        here = here and layers.shown == self.scan.currentText()
        if layers.now is None or path is None or not here:
            if layers.has(ANSWER):
                layers.overlay(ANSWER, None)
            return
        with self.session.guarded():
            layers.overlay(ANSWER, load_mask(path, like=layers.now.scan, check=False), contour=2)
