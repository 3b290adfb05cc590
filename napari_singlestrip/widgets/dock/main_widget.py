"""The dock: header, five steps, job bar. The coordinator that puts the parts together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QMouseEvent
from qtpy.QtWidgets import (
    QApplication,
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_singlestrip.texts import duration, printable
from napari_singlestrip.widgets.apply.panel import ApplyPanel
from napari_singlestrip.widgets.common.background_thread import import_slow_parts
from napari_singlestrip.widgets.common.controls import button, scrollable
from napari_singlestrip.widgets.dock.job_bar import COLOURS, JobBar, is_dark
from napari_singlestrip.widgets.dock.key_guard import KeyGuard
from napari_singlestrip.widgets.dock.keys import bind_keys, unbind_keys
from napari_singlestrip.widgets.dock.orientation_labels import CanvasLetters
from napari_singlestrip.widgets.dock.orthogonal_planes import OtherPlanes
from napari_singlestrip.widgets.paint.panel import PaintPanel
from napari_singlestrip.widgets.review.panel import ReviewPanel
from napari_singlestrip.widgets.scans.panel import ScansPanel
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import STEPS, Session
from napari_singlestrip.widgets.train.panel import TrainPanel
from napari_singlestrip.widgets.viewer.viewpoint import canvas_of

MAX_WIDTH = 430
IMPORTS_AFTER_MS = 300  # once the dock is drawn
PANELS: tuple[type[Panel], ...] = (ScansPanel, PaintPanel, TrainPanel, ReviewPanel, ApplyPanel)


class StripWidget(QWidget):
    """SingleStrip's dock.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    _docked = False  # events come while the constructors still run

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.setObjectName("singlestrip")
        self.setMaximumWidth(MAX_WIDTH)
        self.setMinimumWidth(340)
        self.setAcceptDrops(True)
        # From its menus napari hands plugins a proxy that warns of private attributes; what we
        # need of them (the undo history, the window) is guarded where it is used.
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.session = Session(self.viewer, self)
        self.panels = {panel.step: panel(self.session) for panel in PANELS}
        self.step_buttons = self._make_steps()
        self.stack = QStackedWidget()
        for panel in self.panels.values():
            self.stack.addWidget(scrollable(panel))
        self.header = QLabel()
        self.header.setObjectName("header")
        self.job_bar = JobBar(self.session)
        self.planes = OtherPlanes(self.session)
        review = self.panels["review"]
        assert isinstance(review, ReviewPanel)
        self.key_guard = KeyGuard(self, canvas_of(self.viewer), review.table)
        self.letters = CanvasLetters(self.session)
        self._saved_at = 0.0
        self._not_written = False
        self._closed = False
        self._lay_out()
        self._connect()
        bind_keys(self)
        self.go_to("scans")

    # --- steps

    def go_to(self, step: str) -> None:
        """Open a step."""
        self.step_buttons[step].setChecked(True)
        self.stack.setCurrentIndex(STEPS.index(step))
        self.session.step = step
        canvas = canvas_of(self.viewer)
        if canvas is not None:  # letters act on the picture, not on the button of the step
            canvas.setFocus()

    @property
    def panel(self) -> Panel:
        """The step that is open."""
        return self.panels[self.session.step]

    def toggle_planes(self) -> None:
        """Show the two other planes, or hide them."""
        self.planes.toggle()

    def show_help(self) -> None:
        """Show the keys, beside the work."""
        from napari_singlestrip.widgets.dock.help_dialog import HelpDialog

        dialog = HelpDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.show()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take a click that no part of the dock wants for one into the field that it missed."""
        self.key_guard.take_near(event.pos())
        super().mousePressEvent(event)

    # --- files dropped on the dock

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        data = event.mimeData()
        if data is not None and data.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Add scans, or open a study."""
        data = event.mimeData()
        if data is None:
            return
        self.take_files([Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()])

    def take_files(self, paths: Sequence[Path]) -> None:
        """Open a study or add scans, in step 1."""
        self.go_to("scans")
        self._scans_panel().take_files(paths)

    def open_sample(self, name: str) -> None:
        """Open "heads", the sample heads to try, or "finished", a study to review at once."""
        self.go_to("scans")
        self._scans_panel().adding.open_sample(name)

    def strip_layer(self, layer: Any) -> None:
        """Offer to strip a layer of napari, in step 5."""
        self.go_to("apply")
        panel = self.panels["apply"]
        assert isinstance(panel, ApplyPanel)
        panel.strip_layer(layer)

    def _scans_panel(self) -> ScansPanel:
        panel = self.panels["scans"]
        assert isinstance(panel, ScansPanel)
        return panel

    # --- the end

    def close_all(self) -> None:
        """Stop the job, save what is open, and let go of the viewer."""
        if self._closed:
            return
        self._closed = True
        for timer in (self._clock, self._fit, self._imports):
            timer.stop()
        with ExitStack() as last:  # whatever fails, the rest is closed, and the job stops
            last.callback(self.session.close)
            for panel in self.panels.values():
                last.callback(getattr(panel, "close_all", _nothing))
            for part in (self.planes, self.letters):
                last.callback(part.close_all)
            last.callback(self.key_guard.close)
            last.callback(unbind_keys, self)
            last.callback(self._disconnect)

    def event(self, event: QEvent | None) -> bool:
        """Notice that the dock is closed: napari takes its widget out, and forgets it."""
        docked = self._docked
        self._docked = self.parent() is not None
        done = super().event(event)
        if self._docked and not docked:
            self._fit.start()  # once napari has laid it out
            self._imports.start()
        if docked and not self._docked:
            self._warn_of_loss()
            self.close_all()
            self.deleteLater()
        return done

    def _warn_of_loss(self) -> None:
        """Say in napari's window what could not be saved: nobody asks before a dock closes."""
        if not self._closed and not self.session.unsaved.retry():
            show_warning("SingleStrip was closed, and the strokes that could not be saved are "
                         "lost: the folder of the study cannot be written.")

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Notice that the window closes: napari does not tell its docks."""
        closes = event is not None and event.type() == QEvent.Type.Close
        window = self._window()
        if window is None or event is None or not closes or watched is not window:
            return super().eventFilter(watched, event)
        answer = window.event(event)  # napari may ask, and the person may choose to stay
        if event.isAccepted():
            self.close_all()
        return bool(answer)

    # --- inside

    def _make_steps(self) -> dict[str, QPushButton]:
        group = QButtonGroup(self)
        group.setExclusive(True)
        made = {}
        for number, step in enumerate(STEPS, 1):
            tip = f"Step {number}: {self.panels[step].title}"
            made[step] = button(f"{number} {step.capitalize()}", tip, self._opener(step),
                                f"step_{step}")
            made[step].setCheckable(True)
            group.addButton(made[step])
        return made

    def _opener(self, step: str) -> Callable[[], None]:
        return lambda: self.session.step_requested.emit(step)

    def _lay_out(self) -> None:
        steps = QHBoxLayout()
        steps.setSpacing(2)
        for step in STEPS:
            steps.addWidget(self.step_buttons[step])
        top = QHBoxLayout()
        top.addWidget(self.header, 1)
        self.planes_button = button(
            "Planes  K", "Show the two other planes below the list of layers, or hide them",
            self.planes.toggle, "toggle_planes",
        )
        self.planes_button.setCheckable(True)
        self._show_planes_button()
        self.planes.wanted_changed.connect(self.planes_button.setChecked)
        top.addWidget(self.planes_button)
        self.help = button("?", "Keys and help  ?", self.show_help, "help")
        self.help.setFixedWidth(28)
        top.addWidget(self.help)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.setSpacing(4)
        column.addLayout(top)
        column.addLayout(steps)
        column.addWidget(self.stack, 1)
        column.addWidget(self.job_bar)

    def _connect(self) -> None:
        session = self.session
        session.step_requested.connect(self.go_to)
        session.study_changed.connect(self._on_study)
        session.written.connect(self._on_written)
        session.layers.shown_changed.connect(self._show_planes_button)
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._show_header)
        self._clock.start()
        self._fit, self._imports = QTimer(self), QTimer(self)
        self._fit.setInterval(0)
        self._fit.timeout.connect(self._fit_screen)
        self._imports.setInterval(IMPORTS_AFTER_MS)
        self._imports.timeout.connect(import_slow_parts)
        for timer in (self._fit, self._imports):
            timer.setSingleShot(True)
        window = self._window()
        if window is not None:
            window.installEventFilter(self)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close_all)
        self._show_header()

    def _disconnect(self) -> None:
        window, application = self._window(), QApplication.instance()
        if window is not None:
            window.removeEventFilter(self)
        if application is not None:
            application.aboutToQuit.disconnect(self.close_all)

    def _window(self) -> QWidget | None:
        window = getattr(getattr(self.viewer, "window", None), "_qt_window", None)
        return window if isinstance(window, QWidget) else None

    def _fit_screen(self) -> None:
        """Keep the window within the screens: napari opens it as large as on another computer."""
        window = self._window()
        screen = None if window is None else window.screen()
        if window is None or screen is None or window.isMaximized() or window.isFullScreen():
            return
        room, frame = screen.availableVirtualGeometry(), window.frameGeometry()
        wide, high = min(frame.width(), room.width()), min(frame.height(), room.height())
        if (wide, high) != (frame.width(), frame.height()):
            window.resize(window.width() + wide - frame.width(),
                          window.height() + high - frame.height())
            window.move(max(room.left(), min(frame.left(), room.right() + 1 - wide)),
                        max(room.top(), min(frame.top(), room.bottom() + 1 - high)))

    def _on_study(self, what: str) -> None:
        if what == "study":
            self._saved_at, self._not_written = 0.0, False
        if what in ("masks", "decisions", "drafts", "scans", "settings"):
            self._on_saved()
        self._show_header()

    def _on_saved(self) -> None:
        self._on_written(True)

    def _on_written(self, done: bool) -> None:
        self._not_written = not done
        if done:
            self._saved_at = time.monotonic()
        self._show_header()

    def _saved_words(self) -> str:
        """When something was saved last; after a failure that it is not, until it is."""
        study = self.session.study
        unsaved = () if study is None else self.session.unsaved.names(study.folder)
        if unsaved:
            return f"NOT saved: {', '.join(map(printable, unsaved))}"
        if self._not_written:
            return "The last change is NOT saved"
        if not self._saved_at:
            return ""
        return f"saved {duration(time.monotonic() - self._saved_at)} ago"

    def _show_planes_button(self, name: str = "") -> None:
        self.planes_button.setEnabled(self.session.layers.now is not None)

    def _show_header(self) -> None:
        study = self.session.study
        if study is None:
            self.header.setText("No study is open")
            self.header.setToolTip("")
            self.header.setStyleSheet("")
            return
        n, saved = len(study.names), self._saved_words()
        facts = [printable(study.name), f"{n} scan{'s' * (n != 1)}"]
        # What is not saved comes first: the end of a long line is cut off.
        parts = [saved, *facts] if "NOT" in saved else [*facts, saved]
        self.header.setText("  ·  ".join(filter(None, parts)))
        self.header.setToolTip(printable(str(study.folder)))
        level = "error" if "NOT" in saved else "info"
        style = COLOURS["dark" if is_dark(self) else "light"][level]
        if style != self.header.styleSheet():
            self.header.setStyleSheet(style)


def _nothing() -> None:
    """What a panel without an end of its own does."""
