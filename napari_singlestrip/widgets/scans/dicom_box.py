"""The series in a folder of DICOM files, to select and convert."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QHeaderView, QTreeWidget, QTreeWidgetItem, QVBoxLayout

from napari_singlestrip.dicom.series import FoundSeries, Series, find_series
from napari_singlestrip.dicom.sources import RECORD
from napari_singlestrip.events import Event, Finished, Wrote
from napari_singlestrip.texts import counted
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.controls import words
from napari_singlestrip.widgets.common.path_prompt import PlaceRow
from napari_singlestrip.widgets.scans.dropped_files import free_name, suggested_place
from napari_singlestrip.widgets.session.session import Session

JOB = "dicom"
_COLUMNS = ("Series", "Images", "Orientation, size, voxels (mm)")
_TELL_EVERY = 100  # files
_ROWS_SHOWN = 8
# napari's themes draw check boxes in the background colour; this one is visible on both.
_TICKS = """
QTreeView::indicator { width: 11px; height: 11px; border: 1px solid #4f8fdc; }
QTreeView::indicator:disabled { border: none; }
QTreeView::indicator:checked { background: #4f8fdc; }
"""


class DicomBox(QFrame):
    """Asks which series of a folder to convert.

    Parameters
    ----------
    session : Session

    Signals
    -------
    converted(object)
        Converted scans (list of Path).
    closed()
        The box was closed.
    """

    converted = Signal(object)
    closed = Signal()
    _looked = Signal(int)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("dicom_box")
        self._folder = Path()
        self._series: FoundSeries = FoundSeries(())
        self._made: list[Path] | None = None  # while a job of ours is running
        self._turn = 0
        self._background = Background("dicom-headers", self)
        self._background.failed.connect(self._fail)
        self._make_controls()
        self._lay_out()
        self._looked.connect(self._tell_looked)
        session.job_event.connect(self._on_job)
        self.hide()

    def look(self, folder: Path) -> None:
        """List the series in a folder, at any depth."""
        self._turn += 1
        self._folder, turn = folder, self._turn
        self.list.clear()
        self.list.hide()
        self.place.hide()
        self.says.setText(f"Looking through {folder} for DICOM series...")
        self.show()

        def go_on(n: int) -> bool:
            if n % _TELL_EVERY == 0:
                self._looked.emit(n)
            return turn == self._turn

        self._background.forget()
        self._background.run(lambda: find_series(folder, go_on), self._show)

    def close_question(self) -> None:
        """Close the box, and stop listing."""
        self._turn += 1
        self._background.forget()
        self.hide()
        self.closed.emit()

    def close_all(self) -> None:
        """End the thread: the window closes."""
        self._turn += 1
        self._background.close_all()

    @property
    def ticked(self) -> list[Series]:
        """Series to convert."""
        items = [self.list.topLevelItem(n) for n in range(self.list.topLevelItemCount())]
        return [
            series for series, item in zip(self._series, items, strict=True)
            if item is not None and item.checkState(0) == Qt.CheckState.Checked
        ]

    def convert(self, out: Path) -> None:
        """Convert the selected series into a folder."""
        numbers = ",".join(str(series.number) for series in self.ticked)
        with self.session.guarded():
            self.session.start_job(
                [JOB, str(self._folder.absolute()), "--series", numbers,
                 "--out", str(out.expanduser().absolute())],
                JOB, here=True,
            )  # fmt: skip
            self._made = []
            self.close_question()

    # --- inside

    def _make_controls(self) -> None:
        self.says = words(name="dicom_says")
        self.list = QTreeWidget()
        self.list.setObjectName("dicom_list")
        self.list.setHeaderLabels(list(_COLUMNS))
        self.list.setRootIsDecorated(False)
        self.list.setToolTip("Tick the head scans; Space ticks the current line")
        self.list.setStyleSheet(_TICKS)
        self.list.itemChanged.connect(lambda *_: self._enable())
        header = self.list.header()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.place = PlaceRow()
        for widget, name in (
            (self.place, "dicom_place"), (self.place.question, "dicom_question"),
            (self.place.line, "dicom_out"), (self.place.browse, "dicom_browse"),
            (self.place.ok, "dicom_convert"), (self.place.cancel, "dicom_cancel"),
        ):
            widget.setObjectName(name)
        self.place.line.setToolTip("Scans are written there; DICOM files are only read")
        room = self.place.ok.fontMetrics().horizontalAdvance("Convert 888 series")
        self.place.ok.setMinimumWidth(room + 24)
        self.place.ok.setToolTip("Convert the ticked series, and add them to the study  (Enter)")
        self.place.accepted.connect(lambda path: self.convert(path) if self.ticked else None)
        self.place.rejected.connect(self.close_question)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        for widget in (self.says, self.list, self.place):
            column.addWidget(widget)

    def _show(self, found: FoundSeries) -> None:
        self._series = found
        self.list.blockSignals(True)
        for series in found:
            self.list.addTopLevelItem(_item(series))
        self.list.blockSignals(False)
        rows = min(_ROWS_SHOWN, len(found)) + 2  # its header, and a scroll bar below
        self.list.setFixedHeight(rows * max(20, self.list.sizeHintForRow(0)) + 8)
        self.list.show()
        people = len({series.person for series in found})
        self.says.setText(" ".join([
            f"{_series_words(len(found))} of {counted(people, 'person')}. Tick the head scans.",
            *found.notes,
        ]))
        self.place.ask("They are converted into:", self._suggested(), "Convert")
        self._enable()

    def _suggested(self) -> Path:
        """The same folder as before, so that patients keep their numbers, or one beside it."""
        study = self.session.study
        if study is not None:
            place = study.folder.with_name(f"{study.folder.name}_scans")
        else:
            place = suggested_place([self._folder])
            place = place.with_name(f"{self._folder.name or 'dicom'}_scans")
        return place if (place / RECORD).is_file() else free_name(place)

    def _enable(self) -> None:
        n = len(self.ticked)
        self.place.ok.setEnabled(n > 0)
        self.place.ok.setText(f"Convert {_series_words(n)}" if n else "Convert")

    def _tell_looked(self, n: int) -> None:
        if not self.list.isVisible():
            self.says.setText(f"Looking through {self._folder}: {n} files so far...")

    def _fail(self, text: str) -> None:
        self.close_question()
        self.session.tell(text, "warning")

    def _on_job(self, event: Event) -> None:
        """Collect converted scans, and emit them when the job ends or is stopped."""
        if self._made is None:
            return
        if isinstance(event, Wrote) and event.what == "scan":
            self._made.append(Path(event.path))
        if self.session.job.status.busy:
            return
        made, self._made = self._made, None
        if made:
            self.converted.emit(made)
        elif isinstance(event, Finished):
            self.session.tell("None of the series could be converted; see above.", "warning")


def _item(series: Series) -> QTreeWidgetItem:
    """A line of the list; series that cannot be converted show the reason, without a tick."""
    who = f"person {series.person_number}" + f", visit {series.visit}" * (series.visit > 1)
    what = series.description or "no description"
    facts = ", ".join(filter(None, (series.orientation, series.size_words, series.voxel_words)))
    item = QTreeWidgetItem(
        [f"{series.series_number} {what} ({who})", str(series.n_images), series.problem or facts]
    )
    item.setToolTip(0, series.note or item.text(0))
    item.setToolTip(2, series.note or item.text(2))
    if series.problem:
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEnabled)
    else:
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(0, Qt.CheckState.Unchecked)
    return item


def _series_words(n: int) -> str:
    return f"{n} series"


def dicom_folder(paths: Sequence[Path]) -> Path | None:
    """The folder of DICOM files among the input."""
    from napari_singlestrip.engine.imaging.dicom_files import holds_dicom, is_dicom

    for path in paths:
        if holds_dicom(path):
            return path
        if path.is_file() and is_dicom(path):
            return path.parent
    return None
