"""The form of the settings: every one is there, and only what was changed is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gui_fixtures import child, click, process_events
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_singlestrip.engine.config import EFFORTS
from napari_singlestrip.engine.overrides import setting_names, settings_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.widgets.train.settings_form import SettingsForm, changed_settings

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def form(qapp: object) -> Iterator[SettingsForm]:
    made = SettingsForm()
    made.resize(400, 700)
    made.show()
    process_events()
    yield made
    made.close()
    made.deleteLater()


def test_every_setting_has_a_widget_with_its_help(form: SettingsForm) -> None:
    for name in setting_names():
        if "." in name:  # effort and seed are not of a group
            assert len(form.widget(name).tooltip) > len(name.split(".")[1]) + 5, name


@pytest.mark.parametrize("effort", EFFORTS)
def test_defaults_are_no_change(form: SettingsForm, effort: Any) -> None:
    form.setValue(effort, {})
    assert form.value() == {}
    assert not child(form, "settings_defaults").isEnabled()


def test_overrides_come_back_exactly(form: SettingsForm) -> None:
    overrides = {
        "training.steps": 123, "training.learning_rate": 0.00123456789, "synthesis.flip": False,
        "network.channels": (8, 16), "label_map.n_bins": ((2, 3), (3, 4)),
        "label_map.method": "gmm", "conform.spacing_mm": 5.0,
    }
    form.setValue("standard", overrides)
    assert form.value() == overrides
    assert settings_for("standard", form.value()) == settings_for("standard", overrides)


def test_what_a_person_changes_is_told(form: SettingsForm) -> None:
    told: list[dict[str, Any]] = []
    form.valueChanged.connect(told.append)
    form.widget("training.steps").value = 77
    form.widget("network.channels").value = "[4, 8]"
    form.widget("ranking.error").value = "mse"
    assert told[-1] == {
        "training.steps": 77, "network.channels": (4, 8), "ranking.error": "mse"
    }
    form.widget("training.steps").value = 1800  # as it was
    assert "training.steps" not in told[-1]
    click(form.back)
    assert told[-1] == {}
    assert form.value() == {}


def test_ranges_are_those_of_the_settings(form: SettingsForm) -> None:
    steps, share = form.widget("training.steps"), form.widget("training.context_fraction")
    assert steps.min == 1
    assert (share.min, share.max) == (0, 1)
    for name in setting_names():
        widget = form._widgets.get(name)
        for value in (getattr(widget, "min", None), getattr(widget, "max", None)):
            if value is not None:
                settings_for("quick", {name: value})  # raises nothing


def test_mistake_is_found_when_it_is_stored(form: SettingsForm) -> None:
    form.widget("network.channels").value = "many"
    with pytest.raises(UserError, match="channels"):
        settings_for("quick", form.value())


def test_wheel_scrolls_the_page_and_changes_nothing(form: SettingsForm) -> None:
    native = form.widget("training.steps").native
    QApplication.sendEvent(native, QWheelEvent(
        QPointF(5, 5), QPointF(native.mapToGlobal(QPoint(5, 5))), QPoint(0, 120), QPoint(0, 120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    ))
    assert form.value() == {}


def test_groups_are_pages(form: SettingsForm) -> None:
    form.group.setCurrentIndex(form.group.findData("prediction"))
    process_events()
    assert form.widget("prediction.border_mm").native.isVisible()
    assert not form.widget("training.steps").native.isVisible()


def test_changed_settings_are_those_that_differ() -> None:
    changes = {"training.steps": 9, "synthesis.warp_grid": (2, 4)}
    assert changed_settings(settings_for("thorough", changes)) == changes
    assert changed_settings(settings_for("thorough")) == {}
