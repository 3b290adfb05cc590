"""Advanced settings: launcher and all settings of the method, collapsed by default."""

from __future__ import annotations

import shlex
from typing import cast

from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_singlestrip.engine.config import Effort
from napari_singlestrip.files.portable import split_command
from napari_singlestrip.widgets.common.section import flush_left
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.session.user_settings import set_launcher
from napari_singlestrip.widgets.train.settings_form import SettingsForm


class AdvancedBox(QCollapsible):
    """Advanced settings of the study.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__("Advanced settings", expandedIcon="\u25be", collapsedIcon="\u25b8")
        self.setObjectName("advanced")
        flush_left(self)
        self.setToolTip("Where jobs run, and all settings of the method")
        self.session = session
        self.form: SettingsForm | None = None
        self._busy = False
        self._page = QWidget()
        self._column = QVBoxLayout(self._page)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.launcher = QLineEdit()
        self.launcher.setObjectName("launcher")
        self.launcher.setPlaceholderText("this computer")
        self.launcher.setToolTip(
            "Starts the job elsewhere: `ssh gpu-box` or `srun --gres=gpu:1`. The same command "
            "runs there, so singlestrip must be installed there, and the study's folder must "
            "have the same path on both."
        )
        row = QHBoxLayout()
        row.addWidget(QLabel("Start jobs with"))
        row.addWidget(self.launcher, 1)
        self._column.addLayout(row)
        self.addWidget(self._page)
        self.collapse(animate=False)
        self.launcher.editingFinished.connect(self._on_launcher)
        self.toggled.connect(self._on_toggled)

    def refresh(self, busy: bool) -> None:
        """Show the settings of the study."""
        self._busy = busy
        self.setEnabled(self.session.study is not None)
        if not self.launcher.hasFocus():
            self.launcher.setText(shlex.join(self.session.launcher))
        self._show_settings()

    # --- inside

    def _on_toggled(self, opened: bool) -> None:
        if opened and self.form is None:  # seventy widgets, created only if opened
            self.form = SettingsForm()
            self.form.valueChanged.connect(self._on_settings)
            self._column.addWidget(self.form)
            self._show_settings()
            self.expand(animate=False)  # adapts to the current height

    def _show_settings(self) -> None:
        study = self.session.study
        if self.form is None or study is None:
            return
        self.form.setEnabled(not self._busy)
        if self.form.value() != study.overrides or self.form.effort != study.effort:
            with self.session.guarded():
                self.form.setValue(cast(Effort, study.effort), study.overrides)

    def _on_settings(self, overrides: dict[str, object]) -> None:
        if self.session.study is not None:
            with self.session.guarded():
                self.session.study.set_settings(overrides)
            self._show_settings()  # as stored, also after a failure

    def _on_launcher(self) -> None:
        try:
            words = split_command(self.launcher.text())
        except ValueError:
            self.session.tell("The launcher has an open quotation mark.", "warning")
            return
        study = self.session.study
        if study is not None and words != self.session.launcher:
            set_launcher(study.folder, words)
