"""What all steps of the window share: study, scan, job. Calls go down from here, events come up.

Panels ask the session to do things and listen to its signals; they hold no facts of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.atomic_files import exclusive, write_json_atomic
from napari_singlestrip.errors import NotWritten, UserError
from napari_singlestrip.events import Crashed, Event, Failed, Finished, Wrote
from napari_singlestrip.failures import describe
from napari_singlestrip.study.drafts import drafted, remove_draft, save_draft
from napari_singlestrip.study.lock import is_locked
from napari_singlestrip.study.study import MaskKind, Study
from napari_singlestrip.study.tables import State
from napari_singlestrip.texts import printable
from napari_singlestrip.widgets.common.napari_preferences import wishes
from napari_singlestrip.widgets.common.thumbnails import Thumbnails
from napari_singlestrip.widgets.session.follower import Follower
from napari_singlestrip.widgets.session.job_process import Job, JobStatus
from napari_singlestrip.widgets.session.originals import Originals
from napari_singlestrip.widgets.session.unsaved import ClosingWords, UnsavedMasks
from napari_singlestrip.widgets.session.user_settings import launcher_of
from napari_singlestrip.widgets.session.window_file import read_window_file
from napari_singlestrip.widgets.session.window_lock import WindowMark
from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

STEPS = ("scans", "paint", "train", "review", "apply")
ON_DEVICE = ("run", "apply", "estimate")  # jobs that are told what to run on
FIRST_STAGES = ("train", "autoencoder", "predict", "rank")  # of a run without fine-tuning
WINDOW_FILE = "window.json"
# What the worker writes that belongs to a round.
WRITTEN = frozenset({"segmenter", "autoencoder", "scores", "pseudo-label"})


class Session(QObject):
    """Study, scan and job of one window.

    Signals
    -------
    study_changed(str)
        "study" (another one, or none), "scans", "settings", "masks", "decisions", "drafts",
        "rounds" (the worker wrote models, masks or scores).
    scan_changed(str)
        The scan that is shown; empty for none.
    mask_edited()
        The voxels of the mask on screen changed: a stroke, a tool, undo, redo.
    filled(ndarray of bool)
        Voxels (I, P, L) that a tool has just added to the mask: to be shown for a moment.
    job_changed(JobStatus)
    job_event(Event)
    step_requested(str)
        One of `STEPS`.
    told(str, str)
        Something to tell the person, and "info", "warning" or "error".
    written(bool)
        Whether something that a person made could be written.
    """

    study_changed = Signal(str)
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
        self.job = Job(self)
        self.layers = StudyLayers(viewer, self)
        # Looked up at each call: tests take the place of the function.
        self.unsaved = UnsavedMasks(lambda *draft: save_draft(*draft), self)
        self.layers.kept_draft = self.unsaved.mask
        self.originals = Originals(self.layers, self)
        self._closing = ClosingWords(viewer)
        self.unsaved.changed.connect(self._on_unsaved)
        self.thumbnails = Thumbnails(self)
        self._mark: WindowMark | None = None
        self._follower: Follower | None = None
        self.layers.edited.connect(self._save_draft)
        self.layers.edited.connect(self.mask_edited)
        self.layers.shown_changed.connect(self.scan_changed)
        self.layers.shown_changed.connect(self._remember_scan)
        self.layers.told.connect(lambda text: self.tell(text, "warning"))
        self.job.changed.connect(self.job_changed)
        self.job.changed.connect(self._on_job)
        self.job.happened.connect(self._on_event)
        self.step_requested.connect(self._remember_step)

    # --- telling

    def tell(self, text: str, level: str = "info") -> None:
        """Say something in the job bar."""
        self.told.emit(text, level)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Tell a person's mistake, or a limit, instead of raising it; the rest goes on."""
        try:
            yield
        except Exception as error:
            found = describe(error, "Close other programs and try again.")
            if found.kind == "bug":
                raise
            self.tell(str(found), "error")
            if isinstance(error, NotWritten):
                self.written.emit(False)

    # --- the study

    def open_study(self, folder: str | Path) -> None:
        """Open a study and show where it was left.

        Raises
        ------
        UserError
            As `Study.open`.
        """
        self.take_study(Study.open(folder))

    def take_study(self, study: Study) -> None:
        """Make a study the one of this window."""
        self.close_study()
        self.study = study
        study.changed.connect(self._on_study)
        self.study_changed.emit("study")
        self._restore()
        with self.guarded():
            self._follower = Follower(self, study)
        self._mark = WindowMark(study.folder, self)
        if other := self._mark.other():
            self.tell(
                f"Another window {other} has {study.name} open: what is decided there is seen here "
                "after some seconds, and the last stroke on the same scan counts.", "warning",
            )
        if is_locked(study.folder):
            self.tell(
                f"Another window or a job elsewhere is working on {study.name}: you can look and "
                "paint, but training waits until it is done.", "warning",
            )

    def close_study(self) -> None:
        """Leave the study as it is; nothing is lost."""
        if self.study is None:
            return
        self.remember()
        self.job.close()
        self.layers.clear()
        self.study.changed.disconnect(self._on_study)
        if self._follower is not None:
            self._follower.stop()
            self._follower = None
        if self._mark is not None:
            self._mark.release()
            self._mark = None
        self.study = None
        self.study_changed.emit("study")

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
        """Let go of everything: the window closes."""
        self.close_study()
        self.unsaved.close()
        self.job.close()
        self.layers.close()
        self.thumbnails.close_all()

    # --- the scan on screen

    @property
    def scan(self) -> str:
        """Name of the scan on screen; empty for none."""
        return self.layers.shown

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
        """Store the mask on screen as painted or corrected: what training may learn from.

        Raises
        ------
        UserError
            If nothing is painted, or it cannot be written.
        """
        study, name = self.need_study(), self.scan
        self.layers.settle()
        mask = self.layers.mask_on_scan()
        if mask is None or not mask.any():
            raise UserError(
                f"Nothing is painted on {name or 'a scan'} yet.", "Paint the brain first."
            )
        study.set_mask(name, mask, kind, note=note)
        self._remove_draft(name)

    def forget_draft(self, name: str) -> None:
        """Throw away unfinished changes of a mask, and show what was there before."""
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
            study.decide(name, state, note)

    # --- jobs

    def run(
        self,
        stages: Sequence[str] | None = None,
        *,
        rounds: int | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Run stages of the study in the background.

        Raises
        ------
        UserError
            If a job is under way, here or elsewhere, or there is no study.
        """
        arguments = ["run", str(self.need_study().folder)]
        if stages is not None:
            arguments += ["--stages", ",".join(stages)]
        if rounds is not None:
            arguments += ["--rounds", str(rounds)]
        self.start_job([*arguments, *options], "run", stages or FIRST_STAGES)

    def start_job(
        self, arguments: Sequence[str], kind: str, stages: Sequence[str] = (), here: bool = False
    ) -> None:
        """Start a command of the command line in the background.

        Parameters
        ----------
        arguments : sequence of str
        kind : str
            What it is for: stands in the status.
        stages : sequence of str
            What it will go through.
        here : bool
            On this computer, whatever the study's launcher.

        Raises
        ------
        UserError
            If a job is under way.
        """
        if self.job.status.busy:
            raise UserError("A job is under way.", "Wait for it, or stop it first.")
        study = self.study
        if study is not None and kind == "run" and is_locked(study.folder):
            raise UserError(
                f"Another job is working on {study.name}.", "Wait for it, or stop it there."
            )
        device, launcher = wishes().device, [] if here else self.launcher
        if kind in ON_DEVICE and device != "auto" and not launcher:
            arguments = [*arguments, "--device", device]
        self.job.start(arguments, kind, launcher, stages)

    @property
    def launcher(self) -> list[str]:
        """Prefix that starts jobs elsewhere, such as ``["ssh", "gpu-box"]``."""
        return [] if self.study is None else launcher_of(self.study.folder)

    # --- what the window remembers of a study

    def remembered(self) -> dict[str, Any]:
        """Return step, scan and slice as they were left; empty when unknown."""
        if self.study is None:
            return {}
        return read_window_file(self.study.folder / WINDOW_FILE)

    def remember(self, **more: Any) -> bool:
        """Write down step, scan and slice, and what else is given; say whether that was done."""
        if self.study is None:
            return False
        place: Mapping[str, Any] = {
            "step": self.step, "scan": self.scan, **self.layers.place(), **more
        }
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
        if name in self.study.names:
            self.show_scan(str(name))
            with self.guarded():
                self.layers.go_to(place)
        if place.get("step") in STEPS:
            self.step_requested.emit(place["step"])

    def _remember_step(self, step: str) -> None:
        self.step = step
        self.remember()  # napari may be killed

    def _remember_scan(self, name: str) -> None:
        if name:
            self.remember()

    def unfinished(self) -> tuple[str, ...]:
        """Scans with changes that are neither kept nor discarded, on disk or only here."""
        if self.study is None:
            return ()
        folder = self.study.folder
        return tuple(sorted({*drafted(folder), *self.unsaved.names(folder)}))

    def _remove_draft(self, name: str) -> None:
        folder = self.need_study().folder
        remove_draft(folder, name)
        self.unsaved.forget(folder, name)
        self.study_changed.emit("drafts")

    def _on_unsaved(self) -> None:
        names = self.unsaved.names()
        self._closing.say("strokes", f"what you painted on {', '.join(map(printable, names))} is "
                          "NOT saved, and is lost when you close" if names else "")
        self.written.emit(not names)

    def _on_job(self, status: JobStatus) -> None:
        self._closing.say("job", "a job is running; closing stops it and keeps what it has "
                          "reached" if status.busy else "")

    def _on_study(self, what: str) -> None:
        self.study_changed.emit("study" if what == "document" else what)

    def _save_draft(self) -> None:
        """Autosave, after each stroke."""
        mask = self.layers.mask_on_scan()
        if self.study is None or mask is None:
            return
        new = self.scan not in self.unfinished()
        with self.guarded():
            self.unsaved.save(self.study.folder, self.scan, mask)
        if new:
            self.study_changed.emit("drafts")

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Wrote) and event.what in WRITTEN:
            self.study_changed.emit("rounds")
        self.job_event.emit(event)
        if isinstance(event, (Finished, Failed, Crashed)) and self.study is not None:
            self.study_changed.emit("rounds")


