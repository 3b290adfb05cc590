"""The curves of all rounds, with the running training selected automatically."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_singlestrip.events import Event, Progress, Started
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.train.curves import Curves
from napari_singlestrip.widgets.train.facts import tracks
from napari_singlestrip.widgets.train.track import Track

WORDS = {"train": "Segmenter", "autoencoder": "Autoencoder", "finetune": "Fine-tuning"}
Key = tuple[int, str]  # round, stage


class CurvesBox(QWidget):
    """Curves, and a choice of the training.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("curves_box")
        self.session = session
        self.which = QComboBox()
        self.which.setObjectName("curves_of")
        self.which.setToolTip("The training whose curves are shown")
        self.curves = Curves()
        self._keys: list[Key] = []
        self._tracks: dict[Key, Track] = {}
        self._study: Study | None = None
        self._new_stage = False
        row = QHBoxLayout()
        row.addWidget(QLabel("Curves"))
        row.addWidget(self.which, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.curves)
        self.which.activated.connect(lambda n: self._choose(self._keys[n]))
        session.job_event.connect(self._on_event)

    def refresh(self) -> None:
        """Show the curves in the study folder; a running job adds points by events."""
        study, status = self.session.study, self.session.job.status
        if not status.busy or study is not self._study:
            self._tracks = {}
            with self.session.guarded():  # a damaged file
                self._tracks = {} if study is None else tracks(study)
            self._study = study
        self._list()

    def forget(self) -> None:
        """Clear the curves when training starts over."""
        self._tracks = {}
        self._list()

    # --- inside

    def _list(self) -> None:
        before = self._keys[self.which.currentIndex()] if self._keys else None
        keys = sorted(self._tracks, key=lambda key: (key[0], key[1] != "train"))
        if keys != self._keys:
            self._keys = keys
            self.which.clear()
            for round_, stage in keys:
                number = f", round {round_}" if round_ else ""
                self.which.addItem(WORDS.get(stage, stage) + number)
        if keys:
            self._choose(before if before in self._tracks and before is not None else keys[0])
        self.setVisible(bool(keys))

    def _choose(self, key: Key) -> None:
        self.which.setCurrentIndex(self._keys.index(key))
        if self._tracks[key] is not self.curves.track:
            self.curves.show_track(self._tracks[key])

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Started):
            self._new_stage = True  # its round has no folder yet
        elif isinstance(event, Progress) and event.stage in WORDS:
            key = self._key(event.stage)
            if self._new_stage or key not in self._tracks:
                self._new_stage = False
                self._begin(key)
            if self._tracks[key] is self.curves.track:
                self.curves.add(event.step, event.n_steps, event.metrics)
            else:
                self._tracks[key].add(event.step, event.metrics)

    def _begin(self, key: Key) -> None:
        if self.session.study is not self._study:
            self.refresh()
        self._tracks.setdefault(key, Track())
        self._list()
        self._choose(key)

    def _key(self, stage: str) -> Key:
        study, later = self.session.study, "finetune" in self.session.job.status.stages
        return (study.rounds.current() if study is not None and later else 0, stage)
