"""The session shared by all steps: study, scan and job. Calls go down, events come up.

Panels call the session and listen to its signals; they keep no state of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.errors import NotWritten, UserError
from napari_singlestrip.events import Crashed, Event, Failed, Finished, Wrote
from napari_singlestrip.failures import describe
from napari_singlestrip.files.atomic import write_json_atomic
from napari_singlestrip.files.locks import exclusive
from napari_singlestrip.study.drafts import drafted, remove_draft, save_draft
from napari_singlestrip.study.lock import is_locked
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import MaskKind, State
from napari_singlestrip.texts import printable
from napari_singlestrip.vocabulary import FIRST_STAGES, OF_ROUND, StageName, StudyPart
from napari_singlestrip.widgets.common.napari_preferences import wishes
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.common.thumbnails import Thumbnails
from napari_singlestrip.widgets.session.correcting import Correcting
from napari_singlestrip.widgets.session.decided_masks import DecidedMasks
from napari_singlestrip.widgets.session.follower import Follower
from napari_singlestrip.widgets.session.job_process import FOLLOW, JobProcess, JobStatus
from napari_singlestrip.widgets.session.next_job import NextJob
from napari_singlestrip.widgets.session.unsaved import ClosingWords, UnsavedMasks
from napari_singlestrip.widgets.session.user_settings import launcher_of
from napari_singlestrip.widgets.session.window_file import read_window_file
from napari_singlestrip.widgets.session.window_lock import WindowMark, others_at_work
from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

STEPS = ("scans", "paint", "train", "review", "apply")
ON_DEVICE = ("run", "judge", "apply", "estimate")  # jobs that are told what to run on
WRITE_ROUNDS = ("run", "judge")
WINDOW_FILE = "window.json"


class Session(QObject):
    """Study, scan and job of one window.

    Signals
    -------
    study_changed(StudyPart)
        The part of the study that changed; "study" for another study or none, "rounds" after a job
        wrote models, masks or scores.
    scan_changed(str)
        The scan on screen; empty for none.
    mask_edited()
        The voxels of the mask on screen changed: a stroke, a tool, undo, redo.
    filled(ndarray of bool)
        Voxels (I, P, L) that a tool has just added to the mask, to highlight briefly.
    job_changed(JobStatus)
    job_event(Event)
    step_requested(str)
        One of `STEPS`.
    told(str, str)
        A message, and "info", "warning" or "error".
    written(bool)
        Whether manual changes could be saved.
    """

    study_changed = Signal(object)
    scan_changed = Signal(str)
    mask_edited = Signal()
    filled = Signal(object)
    job_changed = Signal(object)
    job_event = Signal(object)
    step_requested = Signal(str)
    told = Signal(str, str)
    written = Signal(bool)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.study: Study | None = None
        self.step = STEPS[0]
        self.job = JobProcess(self)
        self._next = NextJob(self)
        self.layers = StudyLayers(viewer, self)
        self.correcting = Correcting(self.layers, self.tell, self)
        # Looked up at each call, so that tests can replace the function.
        self.unsaved = UnsavedMasks(
            lambda *draft: save_draft(*draft), self.correcting.originals.is_original, self
        )
        self.layers.kept_draft = self.unsaved.mask
        self._closing = ClosingWords(viewer)
        self.unsaved.changed.connect(self._on_unsaved)
        self.unsaved.listed.connect(lambda: self.study_changed.emit(StudyPart.DRAFTS))
        self.unsaved.failed.connect(self._report)
        self.thumbnails = Thumbnails(self)
        self.decided = DecidedMasks(self)
        self.decided.found.connect(lambda: self.study_changed.emit(StudyPart.ROUNDS))
        self._mark: WindowMark | None = None
        self._follower: Follower | None = None
        self.layers.editing.edited.connect(self._save_draft)
        self.layers.editing.edited.connect(self.mask_edited)
        self.layers.showing.changed.connect(self.scan_changed)
        moved = single_shot(self, 300, self.remember)  # another scan need not wait for the disk
        self.layers.showing.changed.connect(lambda name: name and moved.start())
        self.layers.told.connect(lambda text: self.tell(text, "warning"))
        self.job.changed.connect(self.job_changed)
        self.job.changed.connect(self._on_job)
        self.job.happened.connect(self._on_event)
        self.step_requested.connect(self._remember_step)

    # --- messages

    def tell(self, text: str, level: str = "info") -> None:
        """Show a message in the job bar."""
        self.told.emit(text, level)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Show user errors and limits as messages instead of raising them."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - bugs are raised again
            self._report(error)

    def _report(self, error: Exception) -> None:
        found = describe(error, "Close other programs and try again.")
        if found.kind == "bug":
            raise error
        self.tell(str(found), "error")
        if isinstance(error, NotWritten):
            self.written.emit(False)

    # --- the study

    def open_study(self, folder: str | Path) -> None:
        """Open a study and restore its last view.

        Raises
        ------
        UserError
            As `Study.open`.
        """
        self.take_study(Study.open(folder))

    def take_study(self, study: Study) -> None:
        """Set the study of this window."""
        self.close_study()
        self.study = study
        study.changed.connect(self._on_study)
        self.decided.begin(study)
        self.study_changed.emit(StudyPart.STUDY)
        self._restore()
        with self.guarded():
            self._follower = Follower(self, study)
        self._mark = WindowMark(study.folder, self)
        for text in others_at_work(self._mark.other(), study, self.job.status.busy):
            self.tell(text, "warning")

    def close_study(self) -> None:
        """Close the study; everything is saved."""
        if self.study is None:
            return
        self.unsaved.flush()
        self.remember()
        self.job.close()
        self.decided.end()
        self.layers.clear()
        self.study.changed.disconnect(self._on_study)
        if self._follower is not None:
            self._follower.stop()
            self._follower = None
        if self._mark is not None:
            self._mark.release()
            self._mark = None
        self.study = None
        self.study_changed.emit(StudyPart.STUDY)

    def need_study(self) -> Study:
        """Return the study.

        Raises
        ------
        UserError
            If there is none.
        """
        if self.study is None:
            raise UserError("There is no study yet.", "Add scans in step 1, or open a study.")
        return self.study

    def close(self) -> None:
        """Release everything when the window closes."""
        self.close_study()
        self.unsaved.close()
        self.job.close()
        self.correcting.close_all()
        self.layers.close()
        self.thumbnails.close_all()
        self.decided.close_all()

    # --- the scan on screen

    @property
    def scan(self) -> str:
        """Name of the scan on screen; empty for none."""
        return self.layers.showing.name

    def show_scan(self, name: str, view: str = "newest") -> None:
        """Show a scan with its mask.

        Parameters
        ----------
        name : str
        view : {"newest", "painted", "pseudo_label"}
            Which mask: as `StudyLayers.show`.
        """
        with self.guarded():
            self.layers.show(self.need_study(), name, view)

    def keep_mask(self, kind: MaskKind, note: str = "") -> None:
        """Store the mask on screen, and how it began: what training may learn from.

        Raises
        ------
        UserError
            If nothing is painted, or it cannot be written.
        """
        study, name = self.need_study(), self.scan
        self.layers.editing.settle()
        mask = self.layers.editing.mask_on_scan()
        if mask is None or not mask.any():
            raise UserError(
                f"Nothing is painted on {name or 'a scan'} yet.", "Paint the brain first."
            )
        study.masks.save(name, mask, kind, source=self.correcting.originals.source(), note=note)
        self._remove_draft(name)

    def forget_draft(self, name: str) -> None:
        """Discard unsaved changes of a mask, and show the previous one."""
        self._remove_draft(name)
        if name == self.scan:
            self.show_scan(name)

    def decide(self, name: str, state: State, note: str = "") -> None:
        """Accept or reject a pseudo-label, or keep the corrected mask on screen.

        Raises
        ------
        UserError
            As `Study.decide`, `keep_mask`.
        """
        study = self.need_study()
        if state in ("corrected", "painted"):
            self.keep_mask("corrected" if state == "corrected" else "painted", note)
        else:
            study.decisions.decide(name, state, note)

    # --- jobs

    def run(
        self, stages: Sequence[StageName] | None = None, *, rounds: int | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Run stages of the study in the background.

        Raises
        ------
        UserError
            If a job is running, here or elsewhere, or there is no study.
        """
        arguments = ["run", str(self.need_study().folder)]
        if stages is not None:
            arguments += ["--stages", ",".join(stages)]
        if rounds is not None:
            arguments += ["--rounds", str(rounds)]
        self.start_job([*arguments, *options], "run", stages or FIRST_STAGES)

    def start_job(
        self, arguments: Sequence[str], kind: str, stages: Sequence[StageName] = (),
        here: bool = False, by_itself: bool = False, out: Path | None = None,
    ) -> None:
        """Start a command of the command line in the background.

        Parameters
        ----------
        arguments : sequence of str
        here : bool
            On this computer, ignoring the study's launcher.
        kind, stages, by_itself, out
            As in `JobStatus`.

        Raises
        ------
        UserError
            If a job is running.
        """
        if self.job.status.blocks:
            raise UserError("A job is running.", "Wait for it, or stop it first.")
        if self.job.status.busy:
            args = (arguments, kind, stages, here, by_itself, out)
            return self._next.wait(lambda: self.start_job(*args))
        study = self.study
        if study is not None and kind in WRITE_ROUNDS and is_locked(study.folder):
            raise UserError(
                f"Another job is working on {study.name}.", "Wait for it, or stop it there."
            )
        device, launcher = wishes().device, [] if here else self.launcher
        if kind in ON_DEVICE and device != "auto" and not launcher:
            arguments = [*arguments, "--device", device]
        self.job.start(arguments, kind, launcher, stages, by_itself, str(out or ""))

    @property
    def launcher(self) -> list[str]:
        """Prefix that starts jobs elsewhere, such as ``["ssh", "gpu-box"]``."""
        return [] if self.study is None else launcher_of(self.study.folder)

    # --- the window's state for a study

    def remembered(self) -> dict[str, Any]:
        """Return the last step, scan and slice; empty if unknown."""
        if self.study is None:
            return {}
        return read_window_file(self.study.folder / WINDOW_FILE)

    def remember(self, **more: Any) -> bool:
        """Save step, scan and slice, and other given values; return whether it succeeded."""
        if self.study is None:
            return False
        place = {"step": self.step, "scan": self.scan, **self.layers.showing.place(), **more}
        path = self.study.folder / WINDOW_FILE
        try:
            with exclusive(path):
                write_json_atomic(path, {**self.remembered(), **place})
        except UserError as error:
            self.tell(str(error), "error")
            if more:
                self.written.emit(False)
            return False
        return True

    # --- inside

    def _restore(self) -> None:
        place = self.remembered()
        name = place.get("scan")
        if self.study is None:
            return
        if name in self.study.scans.names:
            self.show_scan(str(name))
            with self.guarded():
                self.layers.showing.go_to(place)
        if place.get("step") in STEPS:
            self.step_requested.emit(place["step"])

    def _remember_step(self, step: str) -> None:
        self.step = step
        self.remember()  # napari may be killed

    def unfinished(self) -> tuple[str, ...]:
        """Scans with unsaved changes, on disk or only in memory."""
        if self.study is None:
            return ()
        folder = self.study.folder
        return tuple(sorted({*drafted(folder), *self.unsaved.waiting(folder)}))

    def _remove_draft(self, name: str) -> None:
        folder = self.need_study().folder
        self.unsaved.flush()
        remove_draft(folder, name)
        self.unsaved.forget(folder, name)
        self.study_changed.emit(StudyPart.DRAFTS)

    def _on_unsaved(self) -> None:
        names = self.unsaved.names()
        self._closing.say("strokes", f"what you painted on {', '.join(map(printable, names))} is "
                          "NOT saved, and is lost when you close" if names else "")
        self.written.emit(not names)

    def _on_job(self, status: JobStatus) -> None:
        self._closing.say("job", "a job is running; closing stops it and keeps what it has "
                          "reached" if status.blocks and status.kind != FOLLOW else "")

    def _on_study(self, what: StudyPart) -> None:
        self.study_changed.emit(what)

    def _save_draft(self) -> None:
        """Autosave, after each stroke."""
        mask = self.layers.editing.mask_on_scan()
        if self.study is not None and mask is not None:
            self.unsaved.save(self.study.folder, self.scan, mask)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Wrote) and event.what in OF_ROUND:
            self.study_changed.emit(StudyPart.ROUNDS)
        self.job_event.emit(event)
        if isinstance(event, (Finished, Failed, Crashed)) and self.study is not None:
            self.study_changed.emit(StudyPart.ROUNDS)
