"""Choosing the scans to apply a model to: those of the study, files, or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_singlestrip.study.found_scans import find_scan_files
from napari_singlestrip.widgets.apply.view import ApplyView
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.session.session import Session

PATTERN = "Scans (*.nii *.nii.gz *.mgz *.mgh *.img *.hdr *.nrrd);;All files (*)"
EMPTY = "Choose scans above, or drop files or a folder here."


class ScanPicker(QWidget):
    """Buttons that choose scans, and a description of the choice.

    Signals
    -------
    valueChanged()
    """

    valueChanged = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._scans: tuple[Path, ...] = ()
        self._named: tuple[Path, ...] = ()
        self.of_study = button(
            "This study's scans", "All scans of the study that is open",
            self.take_study, "scans_of_study",
        )
        self.files = button("Files...", "Choose scan files", self._ask_files, "choose_files")
        self.folder = button(
            "Folder...", "All scans in a folder and the folders within", self._ask_folder,
            "choose_folder",
        )
        self.what = words(EMPTY, "chosen_scans")
        row = QHBoxLayout()
        for one in (self.of_study, self.files, self.folder):
            row.addWidget(one)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(row)
        column.addWidget(self.what)

    def value(self) -> tuple[Path, ...]:
        """The chosen scan files."""
        return self._scans

    @property
    def arguments(self) -> list[str]:
        """Arguments for the command line: a folder for everything in it, else files."""
        return [str(path.absolute()) for path in self._named]  # the job has its own working folder

    def setValue(
        self, scans: Sequence[Path], words_: str = "", named: Sequence[Path] | None = None
    ) -> None:
        """Choose scan files; `words_` is their origin, `named` the paths that stand for them."""
        self._scans = tuple(scans)
        self._named = self._scans if named is None else tuple(named)
        n = len(self._scans)
        text = f"{n} scan{'s' * (n != 1)}{words_}" if n else EMPTY
        self.what.setText(text)
        self.what.setToolTip("\n".join(str(path) for path in self._scans[:40]))
        self.valueChanged.emit()

    def take_study(self) -> None:
        """Choose the scans of the study."""
        with self.session.guarded():
            study = self.session.need_study()
            scans = [study.scans.path(name) for name in study.scans.names]
            gone = [path for path in scans if not path.exists()]
            if gone:
                self.session.tell(
                    f"{len(gone)} scans of the study are missing and left out: "
                    f"{', '.join(path.name for path in gone[:5])}.", "warning",
                )
            self.setValue([path for path in scans if path not in gone], f" of {study.name}")

    def take_files(self, paths: Sequence[Path]) -> None:
        """Choose files, and the scans in folders, without masks and results."""
        with self.session.guarded():
            found = find_scan_files(paths)
            named = found if found.notes else paths
            if found.notes:
                self.session.tell(" ".join(found.notes))
            where = paths[0] if len(paths) == 1 and paths[0].is_dir() else found[0].parent
            self.setValue(found, f" in {where}" if len(found) > 1 else f": {found[0].name}", named)

    def draw(self, view: ApplyView) -> None:
        """Enable the possible choices."""
        self.of_study.setEnabled(view.study_enabled)
        for one in (self.files, self.folder):
            one.setEnabled(view.files_enabled)

    def _ask_files(self) -> None:
        found, _ = QFileDialog.getOpenFileNames(self, "Scans to strip", "", PATTERN)
        if found:
            self.take_files([Path(path) for path in found])

    def _ask_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder of scans to strip")
        if found:
            self.take_files([Path(found)])
