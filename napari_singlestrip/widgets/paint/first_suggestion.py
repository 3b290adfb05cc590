"""A mask to start from: by the network that comes with the program, by a model, or by shape.

The network runs in a process of its own, beside any job, so that the window never imports torch.
Where it is not to be asked or not to be believed, the shape of the head suggests a mask instead.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.imaging.volume import Scan, load_mask
from napari_singlestrip.engine.learning import first_network
from napari_singlestrip.engine.masks.growing import suggest_brain
from napari_singlestrip.engine.masks.mask_tools import Image, Spacing
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import TERMINAL, Cancelled, Event, Failed, Finished
from napari_singlestrip.files.temporary import remove_leftovers, temporary_folder
from napari_singlestrip.study.drafts import FOLDER, mark_suggested
from napari_singlestrip.texts import printable
from napari_singlestrip.widgets.paint.tools import PaintTools
from napari_singlestrip.widgets.session.job_process import JobProcess, JobStatus
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.shown import Shown

WHAT = "Looking for the brain"
BY_NETWORK, BY_SHAPE = "the network for human heads", "the shape of the head"
NOT_THERE = "the network for human heads is missing from this installation"
NO_BRAIN = "No brain was found: paint it by hand."
STOPPED = "Stopped: the mask is as it was."


@dataclass(eq=False)
class _Search:
    """A process that looks for a brain, and the thread that waits for it.

    Attributes
    ----------
    now : Shown
        The scan on screen.
    model : Path
    strict : bool
        Whether a person asked for just this model: nothing else takes its place then.
    by : str
        Who made the mask, in words.
    why : str
        Why it was not the network.
    """

    now: Shown
    model: Path
    strict: bool
    by: str
    files: ExitStack
    mask: Path
    why: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    end: Event | None = None

    def __call__(self, mask: Mask, image: Image, spacing: Spacing) -> Mask:
        """Wait for the process, and read what it found; the mask as it was if it was stopped."""
        with self.files:
            self.ended.wait()
            if isinstance(self.end, Cancelled):
                return mask
            found = self._found()
        if self.why:
            self.by = BY_SHAPE
            return suggest_brain(image, spacing)
        return self.now.upright.to_display(found)

    def _found(self) -> Mask:
        scan: Scan = self.now.scan
        found = np.zeros(scan.grid.shape, dtype=bool)
        if isinstance(self.end, Finished) and self.mask.is_file():
            found = load_mask(self.mask, like=scan, check=False)
            if not self.strict:
                volume = float(np.count_nonzero(found) * scan.grid.voxel_ml)
                self.why = first_network.why_not_believed(volume)
            return found
        failed = not isinstance(self.end, Finished)
        if self.strict and failed:
            raise _why_failed(self.end)
        if not self.strict:
            self.why = "the network could not be asked" if failed else "the network found no brain"
        return found


def _why_failed(end: Event | None) -> UserError:
    if isinstance(end, Failed):
        return UserError(end.what, end.hint)
    return UserError("The search for the brain ended unexpectedly.", "Try again.")


class FirstSuggestion(QObject):
    """Finds a mask to start from; one step of undo.

    Parameters
    ----------
    session : Session
    tools : PaintTools

    Signals
    -------
    changed(JobStatus)
        Of the process.
    """

    changed = Signal(object)

    def __init__(self, session: Session, tools: PaintTools) -> None:
        super().__init__(tools)
        self.session, self.tools = session, tools
        self._job = JobProcess(self)
        self._search: _Search | None = None
        self._job.changed.connect(self.changed)
        self._job.happened.connect(self._on_event)
        session.scan_changed.connect(lambda _name: self.cancel())

    @property
    def status(self) -> JobStatus:
        """The process, in one snapshot."""
        return self._job.status

    def by_network(self) -> None:
        """Ask the network for human heads; the shape of the head where it is of no use."""
        now = self.session.layers.showing.now
        if now is None:
            self.session.tell("Choose a scan first.", "warning")
            return
        model = first_network.PATH
        why = first_network.why_not_asked(now.scan.grid)
        if why or not model.is_file():
            self.by_shape(why or NOT_THERE)
        else:
            self._start(now, model, BY_NETWORK, strict=False)

    def by_model(self, model: Path) -> None:
        """Ask a model file or a study's newest model, whatever it finds."""
        now = self.session.layers.showing.now
        if now is None:
            self.session.tell("Choose a scan first.", "warning")
            return
        self._start(now, model, printable(model.name), strict=True)

    def by_shape(self, why: str = "") -> None:
        """Suggest what looks like a brain by its shape, of whatever species.

        Parameters
        ----------
        why : str
            Why not the network; empty where a person wanted this.
        """
        self.tools.use(
            WHAT, lambda m, i, s: suggest_brain(i, s),
            lambda b, a, n: self._say(BY_SHAPE, why), NO_BRAIN, by_program=True,
        )

    def cancel(self) -> None:
        """Stop looking: the mask stays as it is."""
        self._job.cancel()

    def close_all(self) -> None:
        """End the process: the window closes."""
        self._job.close()

    # --- inside

    def _start(self, now: Shown, model: Path, by: str, *, strict: bool) -> None:
        if self.tools.busy or self._job.status.busy:
            return
        with self.session.guarded():
            files, place = ExitStack(), now.study.folder / FOLDER
            folder = files.enter_context(temporary_folder(place))
            remove_leftovers(place)
            search = _Search(now, model, strict, by, files, folder / "mask.nii.gz")
            self._search = search
            self.tools.use(
                WHAT, search, lambda b, a, n: self._say(search.by, search.why),
                lambda: STOPPED if isinstance(search.end, Cancelled) else NO_BRAIN,
                by_program=True,
            )
            scan = now.study.scans.path(now.name)
            self._job.start(
                ["strip", "-i", str(scan.absolute()), "-m", str(search.mask.absolute()),
                 "--model", str(model.absolute())], "strip",
            )

    def _on_event(self, event: Event) -> None:
        if self._search is not None and isinstance(event, TERMINAL):
            search, self._search = self._search, None
            search.end = event
            search.ended.set()

    def _say(self, by: str, why: str) -> str:
        """Say who made the mask on screen, and keep that beside it until the mask is kept."""
        mark_suggested(self.session.need_study().folder, self.session.scan, by)
        because = f", since {why}" if why else ""
        return f"A first suggestion by {by}{because}: correct it, or Ctrl+Z."
