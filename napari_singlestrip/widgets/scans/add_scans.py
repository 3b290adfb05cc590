"""Adding scans to a study: files, folders, drag and drop, sample heads, recent studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from napari_singlestrip.engine.imaging.scan_files import SCAN_EXTENSIONS
from napari_singlestrip.engine.imaging.scan_names import scan_name
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Wrote
from napari_singlestrip.study.document import DOCUMENT_NAME
from napari_singlestrip.study.study import Study
from napari_singlestrip.vocabulary import SAMPLES_JOB
from napari_singlestrip.widgets.common.controls import button, large, words
from napari_singlestrip.widgets.common.napari_preferences import wishes
from napari_singlestrip.widgets.common.path_prompt import PlaceRow
from napari_singlestrip.widgets.scans.dicom_box import DicomBox, dicom_folder
from napari_singlestrip.widgets.scans.dropped_files import (
    Incoming,
    free_name,
    home,
    sort_out,
    study_among,
    suggested_place,
)
from napari_singlestrip.widgets.scans.masks_box import MasksBox
from napari_singlestrip.widgets.session.session import WINDOW_FILE, Session
from napari_singlestrip.widgets.session.user_settings import recent_studies
from napari_singlestrip.widgets.viewer.napari_private import canvas_of


@dataclass(frozen=True)
class Sample:
    """A sample: description, how to make it, which study and step it opens, and a hint."""

    words: str
    options: tuple[str, ...]
    study: str
    step: str
    next: str


N_HEADS = 8
HEADS = "heads"  # the sample that opens without asking
SAMPLES = {
    "finished": Sample(
        "Twelve simulated heads, one painted, a network trained", ("--finished",),
        "finished", "review", "A trained study: review the masks, correct, accept, fine-tune.",
    ),
}
GREETING = (
    "<h3>Paint one brain, and all others are found</h3>"
    "<p>Head MRI of any contrast, orientation and resolution.<br>"
    "Your files are read, never changed.</p>"
)
DROP = (
    "Or drop files, a folder of scans or a study here. To judge masks that another program made, "
    "add their scans first."
)
DRAWING = (
    "This is a simulated head. Paint its brain, or start with First suggestion. "
    f"{N_HEADS - 1} more heads are being generated; then you can train."
)
FILES = " ".join(f"*{extension}" for extension in SCAN_EXTENSIONS)


class AddScans(QWidget):
    """Buttons that add scans, the prompt for a new study's folder, and the empty state.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.incoming = Incoming()
        self._making: tuple[Sample, Path] | None = None
        self._drawing: Path | None = None  # where sample heads are generated one by one
        self.place = PlaceRow()
        self.place.hide()
        self.place.accepted.connect(self.create_study)
        self.place.rejected.connect(self.ask_nothing)
        self.dicom = DicomBox(session)
        self.dicom.converted.connect(self.take_files)
        self.dicom.closed.connect(self.refresh)
        self.masks = MasksBox(session)
        self.masks.closed.connect(self.refresh)
        self._make_buttons()
        self._lay_out()
        session.job_event.connect(self._on_job)

    # --- input

    def take_files(self, paths: Sequence[Path]) -> None:
        """Open a study, add scans to the open one, or start a new one.

        Parameters
        ----------
        paths : sequence of Path
            Files and folders, as dropped. Unusable ones are reported and skipped.
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
        """Make a study of the scans, or add them to the existing one."""
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
        """Open a sample of napari's menu; no question is asked."""
        if name == HEADS:
            self.try_sample()
            return
        if name not in SAMPLES:
            known = ", ".join((HEADS, *SAMPLES, "demo"))
            raise UserError(f"There is no sample {name!r}.", f"Known: {known}.")
        self.make_sample(name, samples_place())

    def try_sample(self) -> None:
        """Show a sample head to paint; others are generated meanwhile."""
        from napari_singlestrip.sample_data.first_head import unfold_first_head

        folder = home() / "sample_study"
        study = folder / "study"
        with self.session.guarded():
            self.ask_nothing()
            if (study / DOCUMENT_NAME).is_file():
                self.open_study(study)
            else:
                first = unfold_first_head(folder)
                self.session.take_study(
                    Study.create(study, [first], references=folder / "masks")
                )
                self.session.step_requested.emit("paint")
                self.session.show_scan(self.session.need_study().scans.names[0])
            self._draw_heads(folder)

    def make_sample(self, name: str, folder: Path) -> None:
        """Open a sample in a folder, making it first if necessary."""
        sample = SAMPLES[name]
        study = folder / sample.study
        if (study / DOCUMENT_NAME).is_file():
            new = not (study / WINDOW_FILE).is_file()
            self.open_study(study)
            if new:  # otherwise it resumes where it was left
                self.session.step_requested.emit(sample.step)
            return
        with self.session.guarded():
            arguments = [SAMPLES_JOB, str(folder.absolute()), *sample.options]
            self.session.start_job(arguments, SAMPLES_JOB)
            self._making = sample, folder
            self.ask_nothing()
            self.session.tell(f"{sample.words}: the heads are being generated, then it opens. It "
                              f"is kept in {folder}.")

    def ask_nothing(self) -> None:
        """Close the prompt."""
        self.incoming = Incoming()
        canvas, focus = canvas_of(self.session.viewer), QApplication.focusWidget()
        if canvas is not None and focus is not None and self.place.isAncestorOf(focus):
            canvas.setFocus()  # else Qt gives the keys to whatever control comes next
        self.place.hide()
        self.refresh()

    def refresh(self) -> None:
        """Show what can be done now."""
        session = self.session
        busy = session.job.status.blocks
        begin = session.study is None and self.place.isHidden() and self.dicom.isHidden()
        self.empty.setVisible(begin)
        self.samples_button.setEnabled(not busy)
        self.finished_button.setEnabled(not busy)
        if busy and self._making:
            self.finished_button.setText("Generating the sample heads...")
        else:
            self.finished_button.setText("Open a finished study")
        self.folder_button.setVisible(not begin)
        self._show_masks_button()
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
            "Open study...", "Continue a study: choose its folder", self._choose_study,
            "open_study",
        )
        self.masks_button = button("I have masks already...", "", self.masks.open, "have_masks")
        self.samples_button = large(button(
            "Try it on a sample head",
            "A simulated head with an exact mask; others are generated while you paint",
            self.try_sample, "try_samples",
        ))
        self.scans_button = large(button(
            "My scans...", "Choose the folder with your scans, including subfolders",
            self._choose_folder, "my_scans",
        ))
        self.finished_button = button(
            "Open a finished study",
            "Twelve simulated heads, one painted, a network trained: ready for review",
            lambda: self.open_sample("finished"), "try_finished",
        )

    def _lay_out(self) -> None:
        self.empty = QFrame()
        self.empty.setObjectName("empty")
        self.empty.setFrameShape(QFrame.Shape.StyledPanel)
        text, drop = words(GREETING, "empty_text"), words(DROP, "empty_drop")
        inside = QVBoxLayout(self.empty)
        inside.setContentsMargins(16, 20, 16, 20)
        inside.setSpacing(10)
        for label in (text, drop):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        for widget in (text, self.samples_button, self.scans_button, drop, self.finished_button):
            inside.addWidget(widget)
        self.recent = words(name="recent")
        self.recent.linkActivated.connect(lambda link: self.open_study(Path(link)))
        row = QHBoxLayout()
        for widget in (self.folder_button, self.files_button, self.open_button):
            row.addWidget(widget, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.empty)
        column.addWidget(self.place)
        column.addWidget(self.dicom)
        column.addWidget(self.masks)
        column.addLayout(row)
        column.addWidget(self.masks_button)
        column.addWidget(self.recent)

    def _show_masks_button(self) -> None:
        reason = self.masks.why_not()
        has_study = self.session.study is not None
        self.masks_button.setVisible(has_study and self.masks.isHidden())
        self.masks_button.setEnabled(not reason)
        self.masks_button.setToolTip(
            reason or "Have masks that another program made judged, and review the worst first"
        )
        if not has_study and not self.masks.isHidden():
            self.masks.close_question()
        self.masks.refresh()

    def _draw_heads(self, folder: Path) -> None:
        """Generate the missing heads."""
        from napari_singlestrip.sample_data.first_head import SPACING_MM

        if len(list(folder.glob("scans/sample-*.nii.gz"))) < N_HEADS:
            self._drawing = folder
            options = ["--n", str(N_HEADS), "--spacing", str(SPACING_MM)]
            self.session.start_job([SAMPLES_JOB, str(folder), *options], SAMPLES_JOB)
            self.session.tell(DRAWING)

    def _take_head(self, event: Event) -> None:
        """Add a head to its study as soon as it is generated."""
        folder, study = self._drawing, self.session.study
        if study is None or folder is None or study.folder.parent != folder:
            self._drawing = None
        elif isinstance(event, Wrote) and event.what == "scan":
            with self.session.guarded():
                study.scans.add([Path(event.path)])
        elif not self.session.job.status.busy:
            self._drawing = None
            if isinstance(event, Finished):
                self.session.tell(f"All {len(study.scans.names)} sample heads are ready.")

    def _show_recent(self, shown: bool) -> None:
        links = [
            f'<a href="{escape(str(path), quote=True)}">{escape(path.name)}</a> '
            f"<small>{escape(str(path.parent))}</small>"
            for path in (recent_studies() if shown else ())
        ]
        self.recent.setVisible(bool(links))
        self.recent.setText("<p>Open again:</p>" + "<br>".join(links))

    # --- inside: adding

    def _take_scans(self, paths: Sequence[Path]) -> None:
        study = self.session.study
        incoming = sort_out(paths, None if study is None else study.scans.taken_names())
        if not incoming.scans and (folder := dicom_folder(paths)) is not None:
            self.dicom.look(folder)
            self.refresh()
            return
        if not incoming.scans:
            raise UserError(incoming.left_out or "There are no scans.")
        if study is None:
            self._ask_place(paths, incoming)
        else:
            self._tell_added(len(study.scans.add(incoming.scans)), incoming)

    def _ask_place(self, paths: Sequence[Path], incoming: Incoming) -> None:
        self.incoming = incoming
        n = len(incoming.scans)
        if incoming.left_out:
            self.session.tell(incoming.left_out, "warning")
        self.place.ask(
            f"{n} scan{'s' * (n != 1)} found. Keep the study (masks, models, results) in:",
            suggested_place(paths), "Create study",
        )
        self.refresh()

    def _tell_added(self, n: int, incoming: Incoming) -> None:
        text = f"{n} scan{'s' * (n != 1)} added." if n else "The study already has these scans."
        if n and (longer := self._with_folders(incoming)):
            text += f" Files with the same name are distinguished by their folders: {longer[0]}."
        level = "warning" if incoming.problems else "info"
        self.session.tell(f"{text} {incoming.left_out}".strip(), level)

    def _with_folders(self, incoming: Incoming) -> list[str]:
        """Names of scans that were prefixed with a folder to be unique."""
        named = [(self.session.need_study().scans.name_of(path), path) for path in incoming.scans]
        return [name for name, path in named if name and name != scan_name(path)]

    def _on_job(self, event: Event) -> None:
        """Open a sample once it is made; add heads as they are generated."""
        self._take_head(event)
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
    """Folder of samples: an existing one, else a new folder in the home folder."""
    from napari_singlestrip.sample_data import sample_name  # here: not for the dock to wait for

    place = home() / "sample_heads"
    has_some = (place / "scans" / f"{sample_name(0)}.nii.gz").is_file()
    return place if has_some else free_name(place)


def _study_of(sample: Sample, folder: Path) -> Study:
    """The study of a sample, with its exact masks as references."""
    study = folder / sample.study
    if (study / DOCUMENT_NAME).is_file():
        return Study.open(study)
    return Study.create(study, [folder / "scans"], references=folder / "masks")
