"""How scans come into a study: files, folders, drops, sample heads, and studies of before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from napari_singlestrip.engine.imaging.scan_files import SCAN_EXTENSIONS
from napari_singlestrip.engine.imaging.scan_names import scan_name
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished
from napari_singlestrip.study.document import DOCUMENT_NAME
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.common.napari_preferences import wishes
from napari_singlestrip.widgets.common.path_prompt import PlaceRow
from napari_singlestrip.widgets.scans.dropped_files import (
    Incoming,
    free_name,
    home,
    sort_out,
    study_among,
    suggested_place,
)
from napari_singlestrip.widgets.session.session import WINDOW_FILE, Session
from napari_singlestrip.widgets.session.user_settings import recent_studies

SAMPLES_JOB = "samples"


@dataclass(frozen=True)
class Sample:
    """A sample: what it is, how it is made, which study and step it opens, what to do then."""

    words: str
    options: tuple[str, ...]
    study: str
    step: str
    next: str


SAMPLES = {
    "heads": Sample(
        "Eight heads of people who do not exist, to paint and to train on", ("--n", "8"), "study",
        "scans", "The sample heads are ready: choose one, and paint its brain in step 2.",
    ),
    "finished": Sample(
        "Twelve heads of people who do not exist, one painted, a network trained", ("--finished",),
        "finished", "review", "A trained study: look at the masks, correct, accept, fine-tune.",
    ),
}
EMPTY = (
    "<h3>Drop a folder of head MRIs here,<br>or try the sample heads</h3>"
    "<p>Any contrast, any orientation, thin slices or thick.<br>"
    "Your files are read, never changed.</p>"
)
FILES = " ".join(f"*{extension}" for extension in SCAN_EXTENSIONS)


class AddScans(QWidget):
    """Buttons that bring scans, the question where to keep a new study, and the empty state.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.incoming = Incoming()
        self._making: tuple[Sample, Path] | None = None
        self._then: Callable[[Path], None] = self.create_study
        self.place = PlaceRow()
        self.place.hide()
        self.place.accepted.connect(lambda path: self._then(path))
        self.place.rejected.connect(self.ask_nothing)
        self._make_buttons()
        self._lay_out()
        session.job_event.connect(self._on_job)

    # --- what a person brings

    def take_files(self, paths: Sequence[Path]) -> None:
        """Open a study, add scans to the one that is open, or begin a new one.

        Parameters
        ----------
        paths : sequence of Path
            Files and folders, as dropped. What cannot be used is told; the rest goes on.
        """
        with self.session.guarded():
            found = study_among(paths)
            if found is not None:
                self.open_study(found)
            elif paths:
                self._take_scans(paths)

    def open_study(self, folder: Path) -> None:
        """Open a study, given its folder or its study.json."""
        with self.session.guarded():
            self.session.open_study(folder)
            self.ask_nothing()

    def create_study(self, folder: Path) -> None:
        """Make a study of the scans that were brought, or add them to the one that is there."""
        incoming = self.incoming
        with self.session.guarded():
            if (folder / DOCUMENT_NAME).is_file():
                self.session.open_study(folder)
                self._take_scans(incoming.scans)
            else:
                new = Study.create(folder, list(incoming.scans), effort=wishes().effort)
                self.session.take_study(new)
                self._tell_added(len(incoming.scans), incoming)
            self.ask_nothing()

    def open_sample(self, name: str) -> None:
        """Ask where a sample of napari's menu is to be made: one of `SAMPLES`."""
        if name not in SAMPLES:
            raise UserError(f"There is no sample {name!r}.", f"Known: {', '.join(SAMPLES)}.")
        sample, place = SAMPLES[name], samples_place()
        if (place / sample.study / DOCUMENT_NAME).is_file():
            question, ok = "It is there already. Open it, or name another folder:", "Open"
        else:
            question, ok = f"{sample.words}. Keep the files in:", "Make it"
        self._ask(question, place, ok, lambda folder: self.make_sample(name, folder))

    def make_sample(self, name: str, folder: Path) -> None:
        """Open a sample in a folder; have it made first where it is not there."""
        sample = SAMPLES[name]
        study = folder / sample.study
        if (study / DOCUMENT_NAME).is_file():
            new = not (study / WINDOW_FILE).is_file()
            self.open_study(study)
            if new:  # else it opens where it was left
                self.session.step_requested.emit(sample.step)
            return
        with self.session.guarded():
            arguments = [SAMPLES_JOB, str(folder.absolute()), *sample.options]
            self.session.start_job(arguments, SAMPLES_JOB)
            self._making = sample, folder
            self.ask_nothing()
            self.session.tell(f"Drawing heads in {folder}.")

    def ask_nothing(self) -> None:
        """Close the question."""
        self.incoming = Incoming()
        self.place.hide()
        self.refresh()

    def refresh(self) -> None:
        """Show what can be done now."""
        session = self.session
        busy = session.job.status.busy
        begin = session.study is None and self.place.isHidden()
        self.empty.setVisible(begin)
        self.samples_button.setVisible(begin)
        self.samples_button.setEnabled(not busy)
        self.samples_button.setText(
            "Drawing the sample heads..." if busy and self._making else "Try the sample heads"
        )
        self._show_recent(begin)

    # --- inside: making

    def _make_buttons(self) -> None:
        self.folder_button = button(
            "Add folder...", "Add all scans in a folder, at any depth",
            self._choose_folder, "add_folder",
        )
        self.files_button = button(
            "Add files...", "Add scan files: NIfTI, MGH or Analyze", self._choose_files, "add_files"
        )
        self.open_button = button(
            "Open study...", "Go on with a study: choose its folder", self._choose_study,
            "open_study",
        )
        self.samples_button = button(
            "Try the sample heads",
            "Made-up heads with exact masks, to try everything on",
            lambda: self.open_sample("heads"), "try_samples",
        )

    def _lay_out(self) -> None:
        self.empty = QFrame()
        self.empty.setObjectName("empty")
        self.empty.setFrameShape(QFrame.Shape.StyledPanel)
        text = words(EMPTY, "empty_text")
        text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        inside = QVBoxLayout(self.empty)
        inside.setContentsMargins(8, 24, 8, 24)
        inside.addWidget(text)
        self.recent = words(name="recent")
        self.recent.linkActivated.connect(lambda link: self.open_study(Path(link)))
        row = QHBoxLayout()
        for widget in (self.folder_button, self.files_button, self.open_button):
            row.addWidget(widget, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.empty)
        column.addWidget(self.place)
        column.addLayout(row)
        column.addWidget(self.samples_button)
        column.addWidget(self.recent)

    def _show_recent(self, shown: bool) -> None:
        links = [
            f'<a href="{escape(str(path), quote=True)}">{escape(path.name)}</a> '
            f"<small>{escape(str(path.parent))}</small>"
            for path in (recent_studies() if shown else ())
        ]
        self.recent.setVisible(bool(links))
        self.recent.setText("<p>Open again:</p>" + "<br>".join(links))

    # --- inside: bringing

    def _take_scans(self, paths: Sequence[Path]) -> None:
        study = self.session.study
        incoming = sort_out(paths, None if study is None else study.taken_names())
        if not incoming.scans:
            raise UserError(incoming.left_out or "There are no scans.")
        if study is None:
            self._ask_place(paths, incoming)
        else:
            self._tell_added(len(study.add_scans(incoming.scans)), incoming)

    def _ask_place(self, paths: Sequence[Path], incoming: Incoming) -> None:
        self.incoming = incoming
        n = len(incoming.scans)
        if incoming.left_out:
            self.session.tell(incoming.left_out, "warning")
        self._ask(
            f"{n} scan{'s' * (n != 1)} found. Keep the study (masks, models, results) in:",
            suggested_place(paths), "Create study", self.create_study,
        )

    def _ask(self, question: str, place: Path, ok: str, then: Callable[[Path], None]) -> None:
        self._then = then
        self.place.ask(question, place, ok)
        self.refresh()

    def _tell_added(self, n: int, incoming: Incoming) -> None:
        text = f"{n} scan{'s' * (n != 1)} added." if n else "The study has these scans already."
        if n and (longer := self._with_folders(incoming)):
            text += f" Files of one name are told apart by their folders: {longer[0]}."
        level = "warning" if incoming.problems else "info"
        self.session.tell(f"{text} {incoming.left_out}".strip(), level)

    def _with_folders(self, incoming: Incoming) -> list[str]:
        """Names of scans that got a folder in front, being called like others."""
        named = [(self.session.need_study().name_of(path), path) for path in incoming.scans]
        return [name for name, path in named if name and name != scan_name(path)]

    def _on_job(self, event: Event) -> None:
        """Open a sample once it is made."""
        if self._making is None or self.session.job.status.busy:
            return
        (sample, folder), self._making = self._making, None
        if isinstance(event, Finished):
            with self.session.guarded():
                self.session.take_study(_study_of(sample, folder))
                self.session.step_requested.emit(sample.step)
                self.session.tell(sample.next)
        self.refresh()

    # --- inside: dialogs

    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of head scans")
        self.take_files([Path(chosen)] if chosen else [])

    def _choose_files(self) -> None:
        chosen, _ = QFileDialog.getOpenFileNames(self, "Head scans", "", f"Scans ({FILES})")
        self.take_files([Path(path) for path in chosen])

    def _choose_study(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of a study")
        if chosen:
            self.open_study(Path(chosen))


def samples_place() -> Path:
    """Where samples are made: where some are already, else in a new folder at home."""
    from napari_singlestrip.sample_data import sample_name  # here: not for the dock to wait for

    place = home() / "sample_heads"
    has_some = (place / "scans" / f"{sample_name(0)}.nii.gz").is_file()
    return place if has_some else free_name(place)


def _study_of(sample: Sample, folder: Path) -> Study:
    """The study of a sample that was made; exact masks say how good everything is."""
    study = folder / sample.study
    if (study / DOCUMENT_NAME).is_file():
        return Study.open(study)
    return Study.create(study, [folder / "scans"], references=folder / "masks")
