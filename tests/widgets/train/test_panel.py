"""Step "train", clicked through: with workers that say what we want, and with the real one."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from conftest import make_study
from gui_fixtures import child, click, process_events, wait_until
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.events import Crashed, Event, Progress
from napari_singlestrip.study.round_folder import REPORT_EVERY, RoundFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.training_set import masks_by_hand, write_training_set
from napari_singlestrip.widgets.dock.job_bar import JobBar
from napari_singlestrip.widgets.session import job_process as job_module
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.train import device_probe
from napari_singlestrip.widgets.train.device_probe import DeviceProbe, device_of
from napari_singlestrip.widgets.train.facts import out_of_memory, smaller, training_facts
from napari_singlestrip.widgets.train.panel import TrainPanel
from napari_singlestrip.widgets.train.settings_form import SettingsForm
from napari_singlestrip.widgets.viewer.own_layers import ANSWER

if TYPE_CHECKING:
    from conftest import Heads

    from napari_singlestrip.widgets.dock.main_widget import StripWidget
pytest_plugins = ("gui_fixtures",)

SAY = """
import json, os, sys, time
def say(kind, **fields):
    os.write(1, (json.dumps({"event": kind, **fields}) + "\\n").encode())
"""


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is known, so that no process is asked."""
    monkeypatch.setattr(device_probe, "_known", {(): "CPU, 2 threads"})


class Place(QWidget):
    """The step and the job bar on a session, with a viewer that has no window: quickly made."""

    def __init__(self) -> None:
        from napari.components import ViewerModel

        super().__init__()
        self.viewer = ViewerModel()
        self.session = Session(self.viewer, self)
        self.session.step_requested.connect(lambda step: setattr(self.session, "step", step))
        self.panel = TrainPanel(self.session)
        self.bar = JobBar(self.session)
        column = QVBoxLayout(self)
        column.addWidget(self.panel)
        column.addWidget(self.bar)
        self.resize(430, 900)


@pytest.fixture
def place(qapp: object) -> Iterator[Place]:
    made = Place()
    made.show()
    yield made
    made.panel.close_all()
    made.session.close()
    made.close()
    made.deleteLater()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Replace the worker by a few lines; its arguments land in a file."""
    said = tmp_path / "arguments.json"

    def replace(body: str) -> Path:
        keep = f"open({str(said)!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
        script = SAY + keep + textwrap.dedent(body)
        command = [sys.executable, "-S", "-c", script]
        monkeypatch.setattr(job_module, "local_command", lambda: command)
        return said

    return replace


def opened(place: Place, study: Study | None) -> TrainPanel:
    """Open a study in the step train."""
    if study is not None:
        place.session.take_study(study)
    place.session.step = "train"
    place.panel.refresh()
    process_events()
    return place.panel


def child_count(panel: TrainPanel) -> int:
    return len(panel.findChildren(SettingsForm))


def finished(place: Place) -> None:
    wait_until(lambda: not place.session.job.status.busy, "the end of the job")
    process_events()


def begin_round(study: Study, effort: str = "quick", step: int = 0, **changes: Any) -> None:
    """Leave what a training run leaves that was stopped."""
    overrides = {**study.overrides, **{k.replace("__", "."): v for k, v in changes.items()}}
    folder = RoundFolder(study.rounds.folder(0))
    folder.write_settings(settings_for(effort, overrides), "GPU of yesterday")  # type: ignore[arg-type]
    lines = [{"stage": "train", "step": n, "loss": 1 / n} for n in range(10, step + 1, 10)]
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


# --- what it says before anything runs


def test_empty_states_say_what_to_do(place: Place, heads: Heads, tmp_path: Path) -> None:
    panel = opened(place, None)
    assert "no study" in panel.learns.text()
    assert not panel.train.isEnabled()
    opened(place, Study.create(tmp_path / "unpainted", heads.scans))
    assert "Nothing is painted" in panel.learns.text()
    assert not panel.train.isEnabled()
    assert "Paint one brain" in panel.train.toolTip()
    panel.learns.linkActivated.emit("paint")
    assert place.session.step == "paint"


def test_every_control_explains_itself(place: Place, study: Study) -> None:
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit

    panel = opened(place, study)
    for kind in (QAbstractButton, QComboBox, QLineEdit):
        for control in panel.findChildren(kind):
            if control.isVisible() and control.parent() is not panel.advanced:
                assert control.toolTip(), control.objectName()


def test_it_says_what_it_learns_from(place: Place, study: Study) -> None:
    panel = opened(place, study)
    assert "1 painted mask" in panel.learns.text()
    assert study.scans.names[0] in panel.learns.text()
    assert "3 other scans" in panel.learns.text()
    assert "CPU, 2 threads" in panel.device.text()
    assert panel.train.text() == "Train"
    assert [text[0] for text in panel.stages.texts()] == ["○"] * 4


def test_page_fits_the_dock(place: Place, ranked_study: Study) -> None:
    begin_round(ranked_study, step=60)
    panel = opened(place, ranked_study)
    panel.advanced.expand(animate=False)
    place.resize(place.minimumSizeHint().width(), 900)
    process_events()
    assert panel.minimumSizeHint().width() <= 400
    for name in ("measure", "anew", "review"):
        assert child(panel, name).geometry().right() <= panel.width()


# --- effort and estimate


def test_the_settings_are_flush_with_the_button_above(place: Place, study: Study) -> None:
    place.session.take_study(study)
    process_events()
    toggle, train = place.panel.advanced.toggleButton(), child(place.panel, "train")
    edges = [(w.mapTo(place, w.rect().topLeft()).x(), w.width()) for w in (toggle, train)]
    assert edges[0] == edges[1]


def test_effort_is_stored_at_once(place: Place, study: Study) -> None:
    panel = opened(place, study)
    click(panel.effort.choices["standard"])
    assert Study.open(study.folder).effort == "standard"
    assert "2 mm" in panel.effort.explained.text()


def test_measured_time_is_shown_and_remembered(
    place: Place, study: Study, worker: Any
) -> None:
    said = worker("""
        say("Started", stage="estimate", device="CPU")
        say("Finished", seconds=9, summary={"train": 100, "autoencoder": 20, "predict": 60,
                                            "rank": 60})
    """)
    panel = opened(place, study)
    assert "?" in panel.effort.time.text()
    click(panel.effort.measure)
    finished(place)
    assert json.loads(said.read_text()) == ["estimate", str(study.folder), "--events"]
    assert "4 min" in panel.effort.time.text()
    study.set_settings({**study.overrides, "training.steps": 9})
    assert "?" in panel.effort.time.text()  # measured with other settings
    study.set_settings({**study.overrides, "training.steps": 60})
    place.session.close_study()
    opened(place, Study.open(study.folder))
    assert "4 min" in panel.effort.time.text()


# --- resuming, starting again


def test_resume_says_where(place: Place, study: Study) -> None:
    begin_round(study, step=30)
    panel = opened(place, study)
    assert panel.train.text() == "Resume training (step 30 of 60)"
    assert panel.curves.curves.loss.lines[0].points[-1][0] == 30
    assert panel.curves.curves.loss.x_max == 60
    assert panel.stages.texts()[0].startswith("◐")


def test_other_settings_need_a_choice(place: Place, study: Study, worker: Any) -> None:
    begin_round(study, step=30)
    panel = opened(place, study)
    assert not panel.notice.isVisible()
    study.set_settings({**study.overrides, "training.learning_rate": 1e-4})
    assert panel.notice.isVisible()
    assert "training.learning_rate" in panel.notice.text.text()
    assert not panel.train.isEnabled()
    click(panel.notice.second)  # keep the old ones
    assert "training.learning_rate" in study.overrides
    assert study.overrides["training.learning_rate"] == 5e-3
    assert not panel.notice.isVisible()
    assert panel.train.isEnabled()

    study.set_settings(effort="standard")
    said = worker("say('Finished')")
    click(panel.notice.first)
    finished(place)
    assert "--restart" in json.loads(said.read_text())


def test_start_anew_asks_within_the_page(place: Place, study: Study, worker: Any) -> None:
    begin_round(study, step=60)
    panel = opened(place, study)
    said = worker("say('Finished')")
    click(panel.anew)
    assert "set aside" in panel.notice.text.text()
    assert not said.exists()
    click(panel.notice.second)
    assert not panel.notice.isVisible()
    assert not said.exists()
    click(panel.anew)
    click(panel.notice.first)
    finished(place)
    assert "--restart" in json.loads(said.read_text())


def test_mask_painted_after_training_is_pointed_out(place: Place, study: Study) -> None:
    begin_round(study, step=60)
    panel = opened(place, study)
    assert not panel.notice.isVisible()
    folder = RoundFolder(study.rounds.folder(0))
    write_training_set(folder.training_set, masks_by_hand(study))
    panel.refresh()
    assert not panel.notice.isVisible()
    scan = open_scan(study.scans.path(study.scans.names[1]))
    study.masks.save(study.scans.names[1], np.ones(scan.grid.shape, bool), "painted")
    assert study.scans.names[1] in panel.notice.text.text()
    assert "painted after" in panel.notice.text.text()


def test_ranked_study_leads_to_review(place: Place, ranked_study: Study) -> None:
    panel = opened(place, ranked_study)
    click(panel.review)
    assert place.session.step == "review"


# --- memory


@pytest.mark.parametrize("end", [
    "say('Failed', what='There was not enough memory.', hint='h')",
    "os.kill(os.getpid(), 9)",
])
def test_out_of_memory_offers_a_smaller_job(
    place: Place, study: Study, worker: Any, end: str
) -> None:
    panel = opened(place, study)
    begin_round(study, step=20)
    panel.refresh()
    study.set_settings({**study.overrides, "conform.spacing_mm": 4.0})
    begin_round(study, step=20)
    panel.refresh()
    worker(f"say('Started', stage='train')\n{end}")
    click(panel.train)
    finished(place)
    assert "not enough memory" in panel.notice.text.text()
    assert "5.2 mm" in panel.notice.text.text()
    said = worker("say('Finished')")
    click(panel.notice.first)
    finished(place)
    assert "--restart" in json.loads(said.read_text())  # another grid: another network
    assert study.overrides["conform.spacing_mm"] == 5.2
    assert not panel.notice.isVisible() or "memory" not in panel.notice.text.text()


def test_what_smaller_means() -> None:
    quick = settings_for("quick")
    anew = smaller(quick, "train")
    assert anew is not None and anew.anew and anew.changes == {"conform.spacing_mm": 5.2}
    same = smaller(quick, "autoencoder")
    assert same is not None and not same.anew and same.changes == {"autoencoder.batch_size": 2}
    tuned = smaller(quick, "finetune")
    assert tuned is not None and not tuned.anew
    many = smaller(settings_for("quick", {"training.batch_size": 8}), "train")
    assert many is not None and many.changes == {"training.batch_size": 4}
    assert smaller(settings_for("quick", {"conform.spacing_mm": 7}), "train") is None
    assert out_of_memory("", -9) and out_of_memory("", 137) and not out_of_memory("", -11)


# --- live: curves, image, current prediction


def test_live_curves_and_answer(place: Place, study: Study, worker: Any) -> None:
    name = study.scans.names[2]
    path = study.rounds.folder(0) / "previews" / f"answer_{name}.nii.gz"
    scan = open_scan(study.scans.path(name))
    mask = np.zeros(scan.grid.shape, bool)
    mask[8:20, 8:20, 8:20] = True
    save_mask(path, mask, like=scan)
    said = worker(f"""
        say("Started", device="CPU")
        say("Started", stage="train", device="CPU")
        for step in range(1, 31):
            say("Progress", stage="train", step=step, n_steps=60, metrics={{"loss": 1 / step}})
        say("Progress", stage="train", step=30, n_steps=60,
            metrics={{"loss": 0.1, "validation_dice": 0.8, "painted_dice": 0.9}})
        say("Wrote", path="rounds/00/previews/answer_{name}.nii.gz", what="answer")
        sys.stdin.readline()
        say("Cancelled", stage="train", step=30)
    """)
    panel = opened(place, study)
    panel.watch.scan.setCurrentText(name)
    place.session.remember(watch=name)
    click(panel.train)
    assert panel.train.text() == "Training…"
    assert not panel.train.isEnabled()
    wait_until(lambda: place.session.layers.overlays.has(ANSWER), "the current prediction")
    assert ["--watch", name] == json.loads(said.read_text())[-3:-1]
    assert place.session.scan == name  # it is looked at
    shown = place.viewer.layers[ANSWER].data
    assert int((np.asarray(shown) > 0).sum()) == int(mask.sum())
    wait_until(lambda: len(panel.curves.curves.loss.lines[0].points) == 30, "the curve")
    assert "0.900" in panel.curves.curves.legend.text()
    assert panel.stages.texts()[0].startswith("▶")
    assert "50 %" in panel.stages.texts()[0]

    click(panel.watch.check)
    assert not place.session.layers.overlays.has(ANSWER)
    click(panel.watch.check)
    assert place.session.layers.overlays.has(ANSWER)
    for step, seen in (("paint", False), ("train", True)):  # it belongs to this step
        place.session.step_requested.emit(step)
        assert place.session.layers.overlays.has(ANSWER) == seen
    place.session.show_scan(study.scans.names[1])  # the answer is about another scan
    assert not place.session.layers.overlays.has(ANSWER)
    click(child(place, "stop"))
    finished(place)


def test_synthetic_heads_enlarge(place: Place, study: Study) -> None:
    from napari_singlestrip.pipeline.previews import save_picture

    panel = opened(place, study)
    assert not panel.seen.isVisible()
    picture = study.rounds.folder(0) / "previews" / "synthetic.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_picture(picture, np.random.default_rng(0).random((60, 90, 3), dtype=np.float32))
    panel.refresh()
    assert panel.seen.isVisible()
    assert panel.seen.pixmap().width() <= panel.width()
    dialog = panel.seen.enlarge()
    assert dialog.isVisible()
    assert not dialog.isModal()
    dialog.close()


# --- launcher, settings, device


def test_launcher_is_stored_and_used(place: Place, study: Study) -> None:
    panel = opened(place, study)
    panel.advanced.expand(animate=False)
    panel.advanced.launcher.setText("ssh 'open")
    panel.advanced.launcher.editingFinished.emit()
    assert place.session.launcher == []
    panel.advanced.launcher.setText("no-such-program --gres=gpu:1")
    panel.advanced.launcher.editingFinished.emit()
    assert place.session.launcher == ["no-such-program", "--gres=gpu:1"]
    device_probe._known[("no-such-program", "--gres=gpu:1")] = ""
    click(panel.train)
    finished(place)
    assert "no-such-program" in child(place, "message").text()


def test_advanced_settings_are_stored(place: Place, study: Study) -> None:
    panel = opened(place, study)
    assert child_count(panel) == 0  # made when it is asked for
    panel.advanced.expand(animate=False)
    process_events()
    form = panel.advanced.form
    assert form is not None
    form.widget("prediction.border_mm").value = 1.5
    assert Study.open(study.folder).overrides["prediction.border_mm"] == 1.5
    click(form.back)
    assert Study.open(study.folder).overrides == {}


def test_device_is_asked_of_a_process(
    qapp: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_probe, "_known", {})
    command = [sys.executable, "-c", "print('memory  5 GiB'); print('device      Big GPU (CUDA)')"]
    monkeypatch.setattr(job_module, "local_command", lambda: command)
    probe = DeviceProbe()
    found: list[str] = []
    probe.found.connect(found.append)
    probe.ask([])
    probe.ask([])  # asked already
    wait_until(lambda: found, "the device")
    assert found == ["Big GPU (CUDA)"]
    assert probe.known([]) == "Big GPU (CUDA)"
    probe.close()
    assert device_of("nothing") == ""


def test_closing_while_it_asks_leaves_nothing(
    qapp: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_probe, "_known", {})
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(job_module, "local_command", lambda: command)
    probe = DeviceProbe()
    probe.ask([])
    probe.close()


# --- the real worker


def test_train_stop_resume_and_kill(
    window: StripWidget, tmp_path: Path, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where many tests run at once, a worker that yields to all of them takes minutes to begin.
    monkeypatch.setattr(job_module, "NICENESS", 0)
    study = make_study(tmp_path / "real", heads, training__steps=3000)
    window.session.take_study(study)
    click(child(window, "step_train"))
    panel: Any = window.panels["train"]
    job = window.session.job
    steps: list[int] = []

    def hear(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "train":
            steps.append(event.step)

    job.happened.connect(hear)
    click(panel.train)
    # What is reached is known of steps that are written down.
    wait_until(lambda: steps and steps[-1] > REPORT_EVERY, "progress", 180)
    wait_until(lambda: len(panel.curves.curves.loss.lines[0].points) > 3, "points of the curve")
    wait_until(lambda: panel.seen.isVisible(), "synthetic heads")
    pid = job.pid
    began = time.monotonic()
    click(child(window, "stop"))
    wait_until(lambda: not job.status.busy, "the stop")
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)  # by other programs: then it takes longer
    assert time.monotonic() - began < 3 * max(1.0, busy)
    assert not psutil.pid_exists(pid)

    reached = training_facts(study).stages[0].step
    assert 0 < reached < 3000
    process_events()
    assert panel.train.text() == f"Resume training (step {reached} of 3000)"
    steps.clear()
    click(panel.train)
    wait_until(lambda: len(steps) > 2, "progress", 180)
    assert steps[0] > reached  # not from the beginning

    os.kill(job.pid, signal.SIGKILL)
    wait_until(lambda: not job.status.busy, "the end")
    assert isinstance(job.status.end, Crashed)
    assert "Nothing in the study is lost" in child(window, "message").text()
    window.session.show_scan(study.scans.names[1])  # the viewer lives
    assert window.session.scan == study.scans.names[1]
    process_events()
    assert panel.train.isEnabled()
