"""A form of all settings, generated from the config models with magicgui."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from magicgui.widgets import ComboBox, Container, FloatSpinBox, LineEdit, SpinBox, create_widget
from magicgui.widgets.bases import ValueWidget
from pydantic.fields import FieldInfo
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QStackedWidget, QVBoxLayout, QWidget

from napari_singlestrip.engine.config import Config, Effort, Settings
from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.widgets.common.controls import button, words

GROUPS = {
    "training": "Training",
    "synthesis": "Synthetic images",
    "conform": "Grid",
    "label_map": "Label maps",
    "network": "Network",
    "autoencoder": "Autoencoder",
    "prediction": "Prediction",
    "ranking": "Ranking",
    "finetuning": "Fine-tuning",
}


def changed_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that differ from the effort's, by dotted name."""
    usual, present = _flat(settings_for(settings.effort)), _flat(settings)
    return {name: value for name, value in present.items() if value != usual[name]}


class SettingsForm(QWidget):
    """Every setting with its default, range and help.

    Signals
    -------
    valueChanged(dict)
        Settings that differ from the effort's, after a change by the user.
    """

    valueChanged = Signal(dict)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("settings_form")
        self._effort: Effort = "quick"
        self._widgets: dict[str, Any] = {}
        self._kept: list[Container[Any]] = []
        self._shown: dict[str, Any] = {}  # values as represented by the widgets
        self._given: dict[str, Any] = {}
        self.group = QComboBox()
        self.group.setObjectName("settings_group")
        self.group.setToolTip("Group of settings")
        self.pages = QStackedWidget()
        self._wheel = _WheelGuard(self)
        for name, title in GROUPS.items():
            self.group.addItem(title, name)
            self.pages.addWidget(self._page(name))
        self.group.currentIndexChanged.connect(self.pages.setCurrentIndex)
        self.note = words(name="settings_note")
        self.back = button(
            "Back to defaults", "Discard all changes: use the settings of the effort",
            self._reset, "settings_defaults",
        )
        self._lay_out()
        self.setValue("quick", {})

    @property
    def effort(self) -> Effort:
        """The effort whose settings are the defaults."""
        return self._effort

    def value(self) -> dict[str, Any]:
        """Return the settings that differ from the effort's."""
        usual = _flat(settings_for(self._effort))
        found = {}
        for name, widget in self._widgets.items():
            touched = widget.value != self._shown[name]
            present = _read(widget) if touched else self._given[name]
            if present != usual[name]:
                found[name] = present
        return found

    def setValue(self, effort: Effort, overrides: Mapping[str, Any]) -> None:
        """Show the settings of an effort with changes.

        Raises
        ------
        UserError
            If a setting is unknown or out of range.
        """
        self._effort = effort
        self._given = _flat(settings_for(effort, overrides))
        for name, widget in self._widgets.items():
            with widget.changed.blocked():
                widget.value = _written(widget, self._given[name])
            self._shown[name] = widget.value
        self._say()

    def widget(self, name: str) -> Any:
        """Return the magicgui widget of a setting, by its dotted name."""
        return self._widgets[name]

    # --- inside

    def _page(self, group: str) -> QWidget:
        model = Settings.model_fields[group].annotation
        assert isinstance(model, type) and issubclass(model, Config)
        page: Container[Any] = Container(labels=True)
        for name, info in model.model_fields.items():
            widget = _make(name, info)
            widget.changed.connect(self._on_changed)
            self._widgets[f"{group}.{name}"] = widget
            page.append(widget)
        for child in page.native.findChildren(QWidget):
            if isinstance(child, (QAbstractSpinBox, QComboBox)):
                child.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                child.installEventFilter(self._wheel)
                child.setMinimumWidth(60)  # the dock is narrow
        native: QWidget = page.native
        self._kept.append(page)  # keeps a reference to the Python object
        return native

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.group, self.pages, self.note, self.back):
            column.addWidget(widget)

    def _on_changed(self, _value: object = None) -> None:
        self._say()
        self.valueChanged.emit(self.value())

    def _reset(self) -> None:
        self.setValue(self._effort, {})
        self.valueChanged.emit({})

    def _say(self) -> None:
        changed = self.value()
        self.back.setEnabled(bool(changed))
        self.note.setText(
            "Changed: " + ", ".join(changed) if changed
            else f"All settings are those of the effort {self._effort}."
        )


class _WheelGuard(QObject):
    """Lets the mouse wheel scroll the page instead of changing a setting."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        if isinstance(watched, QWidget) and watched.hasFocus():
            return False
        event.ignore()
        return True


def _make(name: str, info: FieldInfo) -> ValueWidget[Any]:
    """Make the widget of one setting, with its range, unit and help."""
    label = name.replace("_", " ").capitalize()
    tip = f"{info.description} [{name}]"
    kind, default = info.annotation, info.default
    if get_origin(kind) is Literal:
        return ComboBox(name=name, label=label, tooltip=tip, choices=get_args(kind))
    if kind not in (bool, int, float):  # tuples: as JSON, like on the command line
        return LineEdit(name=name, label=label, tooltip=f"{tip}, as [1, 2]")
    if kind is bool:
        made = create_widget(default, bool, name=name, label=label, options={"tooltip": tip})
        return made  # type: ignore[return-value]
    return _number(info, {"name": name, "label": label, "tooltip": tip})


def _number(info: FieldInfo, about: dict[str, Any]) -> ValueWidget[Any]:
    """Make a spin box with the range of a setting, and digits enough for it."""
    whole = info.annotation is int
    digits = 0 if whole else _digits(info.default)
    low, high = _range(info, 10.0**-digits)
    made: Any = (SpinBox if whole else FloatSpinBox)(
        value=info.default, min=low, max=high, step=1 if whole else 10.0 ** -(digits - 1), **about
    )
    if not whole:
        made.native.setDecimals(digits)
        made.min, made.max = low, high  # the range was rounded to fewer digits
    made.native.setKeyboardTracking(False)  # otherwise each key press would count as a value
    return made


def _range(info: FieldInfo, smallest: float) -> tuple[float, float]:
    low, high = 0.0, 1e6 if info.annotation is float else 2**31 - 1
    for rule in info.metadata:
        if isinstance(rule, Ge):
            low = rule.ge  # type: ignore[assignment]
        elif isinstance(rule, Gt):
            low = rule.gt + smallest  # type: ignore[operator]
        elif isinstance(rule, Le):
            high = rule.le  # type: ignore[assignment]
        elif isinstance(rule, Lt):
            high = rule.lt - smallest  # type: ignore[operator]
    return low, high


def _digits(value: float) -> int:
    """Number of decimals for a default value and changes by a few percent."""
    exponent = Decimal(repr(float(value))).normalize().as_tuple().exponent
    return max(2, 2 - int(exponent))


def _written(widget: Any, value: Any) -> Any:
    return json.dumps(value) if isinstance(widget, LineEdit) else value


def _read(widget: Any) -> Any:
    """Read a widget; invalid JSON stays text, and is reported when stored."""
    if not isinstance(widget, LineEdit):
        return widget.value
    try:
        return _tuples(json.loads(widget.value))
    except json.JSONDecodeError:
        return widget.value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _flat(settings: Settings) -> dict[str, Any]:
    """All settings of the groups by dotted name."""
    tree = settings.model_dump()
    return {
        f"{group}.{name}": value for group in GROUPS for name, value in tree[group].items()
    }
