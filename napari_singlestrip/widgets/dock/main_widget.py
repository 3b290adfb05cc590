"""The dock: header, five steps and job bar, and the coordination between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QMouseEvent, QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_singlestrip.texts import printable
from napari_singlestrip.vocabulary import SAVED_BY_HAND, StudyPart
from napari_singlestrip.widgets.apply.panel import ApplyPanel
from napari_singlestrip.widgets.common.background_thread import import_slow_parts
from napari_singlestrip.widgets.common.colours import style_of
from napari_singlestrip.widgets.common.controls import Page, button
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.dock.fitted_view import FittedView
from napari_singlestrip.widgets.dock.job_bar import JobBar
from napari_singlestrip.widgets.dock.key_guard import KeyGuard
from napari_singlestrip.widgets.dock.keyboard import FocusRing, bind_moves, take_step
from napari_singlestrip.widgets.dock.keys import bind_keys, unbind_keys
from napari_singlestrip.widgets.dock.napari_panels import NapariPanels
from napari_singlestrip.widgets.dock.orientation_labels import CanvasLetters
from napari_singlestrip.widgets.dock.saved_words import saved_words
from napari_singlestrip.widgets.dock.slider_ticks import SliderTicks
from napari_singlestrip.widgets.dock.window_size import FitsScreen
from napari_singlestrip.widgets.guide.strip import DEMO, GuideStrip
from napari_singlestrip.widgets.paint.panel import PaintPanel
from napari_singlestrip.widgets.panes.chosen_layout import ChosenLayout
from napari_singlestrip.widgets.panes.four_panes import FourPanes
from napari_singlestrip.widgets.review.panel import ReviewPanel
from napari_singlestrip.widgets.scans.dropped_files import home
from napari_singlestrip.widgets.scans.panel import ScansPanel
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import STEPS, Session
from napari_singlestrip.widgets.train.panel import TrainPanel
from napari_singlestrip.widgets.viewer.napari_private import canvas_of, main_window_of

WIDTH = 430  # what the panels need; more where a font is larger
MAX_WIDTH = 640
NARROW_AFTER_MS = 150  # once the window fits the screen
IMPORTS_AFTER_MS = 300  # once the dock is drawn
PANELS: tuple[type[Panel], ...] = (ScansPanel, PaintPanel, TrainPanel, ReviewPanel, ApplyPanel)


class StripWidget(QWidget):
    """SingleStrip's dock.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    _was_shown = False
    _docked = False  # events arrive while the constructors still run

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.setObjectName("singlestrip")
        self.setMaximumWidth(MAX_WIDTH)
        # Else napari puts an empty space below, half the height of a dock that is opened again.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)
        # napari's menus pass plugins a proxy that warns of private attributes; our use of them (the
        # undo history, the window) is guarded in `napari_private`.
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.session = Session(self.viewer, self)
        self.panels = {panel.step: panel(self.session) for panel in PANELS}
        self.step_buttons = self._make_steps()
        self.stack = QStackedWidget()
        for panel in self.panels.values():
            self.stack.addWidget(Page(panel, panel.footer, panel.header))
        self.header = QElidingLabel()
        self.header.setObjectName("header")
        self.job_bar = JobBar(self.session)
        self.guide = GuideStrip(self.session)
        self.panes = FourPanes(self.session)
        self.layout_choice = ChosenLayout(self.panes)
        self.napari_panels = NapariPanels(self.viewer, self)
        self.fitted_view = FittedView(self.session)
        self.fits_screen = FitsScreen(main_window_of(self.viewer), self)
        review = self.panels["review"]
        assert isinstance(review, ReviewPanel)
        self.key_guard = KeyGuard(self, canvas_of(self.viewer), review.table)
        self.letters = CanvasLetters(self.session)
        self.slider_ticks = SliderTicks(self.session)
        self.focus_ring = FocusRing(self)
        bind_moves(self, self.stack, canvas_of(self.viewer))
        self._saved_at = 0.0
        self._not_written = False
        self._closed = False
        self._lay_out()
        self._connect()
        bind_keys(self)
        self.go_to("scans")

    def sizeHint(self) -> QSize:
        """The required width, with which it opens; it can be made wider."""
        return QSize(self.minimumSizeHint().width(), super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """The width that the panels need, which depends on the font."""
        hint = super().minimumSizeHint()
        return QSize(max(WIDTH, hint.width()), hint.height())

    # --- steps

    def go_to(self, step: str) -> None:
        """Open a step."""
        for name, made in self.step_buttons.items():
            made.setChecked(name == step)
        self.stack.setCurrentIndex(STEPS.index(step))
        self.session.step = step
        canvas = canvas_of(self.viewer)
        if canvas is not None:  # letters act on the image, not on the button of the step
            canvas.setFocus()

    @property
    def panel(self) -> Panel:
        """The open step."""
        return self.panels[self.session.step]

    def toggle_panes(self) -> None:
        """Show four panes, or one."""
        self.layout_choice.toggle()

    def enlarge_pane(self) -> None:
        """Enlarge the pane under the mouse, or go back to four."""
        self.panes.toggle_enlarged()

    def show_help(self) -> None:
        """Show or close the help."""
        from napari_singlestrip.widgets.dock.help_dialog import HelpDialog

        if shown := self.findChildren(HelpDialog):
            shown[0].close()
            return
        dialog = HelpDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.show()

    def focusNextPrevChild(self, following: bool) -> bool:
        """Tab goes row by row, then to the image."""
        take_step(self, following, canvas_of(self.viewer))
        return True

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Direct an unused click to the text field it just missed."""
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
        """Open "heads" to try, "finished", a study to review at once, or the guided "demo"."""
        self.go_to("scans")
        if name == DEMO:
            self.guide.begin(home() / DEMO)
        else:
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

    # --- closing

    def close_all(self) -> None:
        """Stop the job, save everything, and disconnect from the viewer."""
        if self._closed:
            return
        self._closed = True
        for timer in (self._clock, self._imports, self._narrow):
            timer.stop()
        with ExitStack() as last:  # if one part fails, the others are still closed
            last.callback(self.fits_screen.close)
            last.callback(self.napari_panels.close)  # after the layers are removed
            last.callback(self.session.close)
            for panel in self.panels.values():
                last.callback(getattr(panel, "close_all", _nothing))
            for part in (self.layout_choice, self.letters, self.slider_ticks, self.panes,
                         self.fitted_view, self.focus_ring):
                last.callback(part.close_all)
            last.callback(self.key_guard.close)
            last.callback(unbind_keys, self)
            last.callback(self._disconnect)

    def event(self, event: QEvent | None) -> bool:
        """React to closing the dock, when napari removes its widget."""
        docked = self._docked
        self._docked = self.parent() is not None
        done = super().event(event)
        if self._docked and not docked:
            self.napari_panels.take_over()
            self._imports.start()
        if docked and not self._docked:
            self._warn_of_loss()
            self.close_all()
            self.deleteLater()
        return done

    def _warn_of_loss(self) -> None:
        """Report unsaved changes in napari's window, as closing a dock cannot be cancelled."""
        if not self._closed and not self.session.unsaved.retry():
            show_warning("SingleStrip was closed, and the strokes that could not be saved are "
                         "lost: the folder of the study cannot be written.")

    def showEvent(self, event: QShowEvent | None) -> None:
        """Set the initial width: otherwise Qt gives a dock the space left by napari's canvas."""
        super().showEvent(event)
        if not self._was_shown:
            self._was_shown = True
            self._narrow.start()

    def _make_narrow(self) -> None:
        self.napari_panels.fold_again()
        frame, window = self.parentWidget(), main_window_of(self.viewer)
        for widget in self.stack.findChildren(QWidget):
            widget.ensurePolished()  # unpolished steps request more than they need
        if isinstance(frame, QDockWidget) and window is not None and not frame.isFloating():
            window.resizeDocks([frame], [self.sizeHint().width()], Qt.Orientation.Horizontal)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """React to closing the window, which napari does not report to docks."""
        closes = event is not None and event.type() == QEvent.Type.Close
        window = main_window_of(self.viewer)
        if window is None or event is None or not closes or watched is not window:
            return super().eventFilter(watched, event)
        self.napari_panels.give_back()  # before napari saves its window state
        answer = window.event(event)  # napari may ask, and the user may cancel
        if event.isAccepted():
            self.close_all()
        else:
            self.napari_panels.take_over()
        return bool(answer)

    # --- inside

    def _make_steps(self) -> dict[str, QPushButton]:
        made = {}  # not in a group, of which Tab would reach one button only
        for number, step in enumerate(STEPS, 1):
            tip = f"Step {number}: {self.panels[step].title}"
            made[step] = button(f"{number} {step.capitalize()}", tip, self._opener(step),
                                f"step_{step}")
            made[step].setCheckable(True)
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
        self.panes_button = button(
            "4 panes  K", "Three planes to paint in and the surface of the mask, or one plane. "
            "Shift+K enlarges the pane under the mouse.", self.toggle_panes, "toggle_panes",
        )
        self.panes_button.setCheckable(True)
        self._show_panes_button()
        self.panes.changed.connect(self._show_panes_button)
        top.addWidget(self.panes_button)
        self.panels_button = button(
            "Layers", "napari's own list of layers and their controls, shown or folded away",
            self.napari_panels.toggle, "toggle_napari_panels",
        )
        self.panels_button.setCheckable(True)
        self.napari_panels.shown_changed.connect(self.panels_button.setChecked)
        top.addWidget(self.panels_button)
        self.help = button("?", "Keys and help  ?", self.show_help, "help")
        self.help.setFixedWidth(28)
        top.addWidget(self.help)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.setSpacing(4)
        column.addLayout(top)
        column.addWidget(self.guide)
        column.addLayout(steps)
        column.addWidget(self.stack, 1)
        column.addWidget(self.job_bar)

    def _connect(self) -> None:
        session = self.session
        session.step_requested.connect(self.go_to)
        review = self.panels["review"]
        assert isinstance(review, ReviewPanel)
        review.places.chosen.connect(self.guide.saw_place)
        for panel in self.panels.values():
            self.guide.about.connect(panel.be_guided)
        session.study_changed.connect(self._on_study)
        session.written.connect(self._on_written)
        session.layers.showing.changed.connect(self._show_panes_button)
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._show_header)
        self._clock.start()
        self._narrow = single_shot(self, NARROW_AFTER_MS, self._make_narrow)
        self._imports = single_shot(self, IMPORTS_AFTER_MS, import_slow_parts)
        if (window := main_window_of(self.viewer)) is not None:
            window.installEventFilter(self)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close_all)
        self._show_header()

    def _disconnect(self) -> None:
        window, application = main_window_of(self.viewer), QApplication.instance()
        if window is not None:
            window.removeEventFilter(self)
        if application is not None:
            application.aboutToQuit.disconnect(self.close_all)

    def _on_study(self, what: StudyPart) -> None:
        if what == StudyPart.STUDY:
            self._saved_at, self._not_written = 0.0, False
        if what in SAVED_BY_HAND:
            self._on_written(True)
        self._show_header()

    def _on_written(self, done: bool) -> None:
        self._not_written = not done
        if done:
            self._saved_at = time.monotonic()
        self._show_header()

    def _show_panes_button(self, name: str = "") -> None:
        self.panes_button.setEnabled(self.session.layers.shows_scan)
        self.panes_button.setChecked(self.panes.wants_four and not self.panes.enlarged)

    def _show_header(self) -> None:
        study = self.session.study
        if study is None:
            self.header.setText("No study is open")
            self.header.setToolTip("")
            self.header.setStyleSheet("")
            return
        n = len(study.scans.names)
        saved = saved_words(self.session, self._saved_at, failed=self._not_written)
        facts = [printable(study.name), f"{n} scan{'s' * (n != 1)}"]
        # Unsaved changes come first: the end of a long line is cut off.
        parts = [saved, *facts] if "NOT" in saved else [*facts, saved]
        self.header.setText("  ·  ".join(filter(None, parts)))
        self.header.setToolTip(printable(str(study.folder)))
        level = "error" if "NOT" in saved else "info"
        style = style_of(self, level)
        if style != self.header.styleSheet():
            self.header.setStyleSheet(style)


def _nothing() -> None:
    """Default for panels without a method to close."""
