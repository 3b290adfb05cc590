"""The demo, tiny: all files, one end, figures in range, and continuing after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_singlestrip.cli.output import show_demo
from napari_singlestrip.demo.run import DemoPlan, demo
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import TERMINAL, Event, Finished, Progress, Started

PLAN = DemoPlan(n_pool=4, n_unseen=1, spacing_mm=6.0)
TINY: dict[str, Any] = {
    "conform.spacing_mm": 8.0,
    "label_map.n_bins": [[2, 2]],
    "network.channels": [4, 8],
    "training.steps": 4,
    "training.validation_heads": 1,
    "training.validate_every": 2,
    "autoencoder.max_side": 16,
    "autoencoder.channels": [4, 8],
    "autoencoder.latent": 4,
    "autoencoder.steps": 4,
    "ranking.n_augmentations": 2,
    "finetuning.steps": 2,
}
SECTIONS = (
    "What was done", "Unseen heads", "The ranking, best to worst",
    "The painted brain", "Synthetic images", "Learning curves", "Training masks",
    "Run times",
)  # fmt: skip


def run(out: Path, **changes: Any) -> Iterator[Event]:
    options = {"effort": "quick", "device": "cpu", "seed": 1, "overrides": TINY, "plan": PLAN}
    return demo(out, **{**options, **changes})


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event], list[Event]]:
    """A demo that was closed in the midst of training and then continued to its end."""
    out = tmp_path_factory.mktemp("demo")
    job, before = run(out), []
    for event in job:
        before.append(event)
        if isinstance(event, Progress) and event.stage == "train" and event.step == 2:
            break
    job.close()  # type: ignore[attr-defined]
    return out, before, list(run(out))


Demo = tuple[Path, list[Event], list[Event]]


def test_ends_once(resumed: Demo) -> None:
    _, before, after = resumed
    assert not [e for e in before if isinstance(e, TERMINAL)]
    assert [e for e in after if isinstance(e, TERMINAL)] == after[-1:]
    assert isinstance(after[-1], Finished)


def test_goes_on_where_it_was_closed(resumed: Demo) -> None:
    _, before, after = resumed
    assert [e.stage for e in before if isinstance(e, Started)] == ["", "heads", "train"]
    stages = [e.stage for e in after if isinstance(e, Started)]
    assert stages == [
        "", "train", "autoencoder", "predict", "rank", "finetune", "predict", "rank", "apply",
        "apply", "report",
    ]  # fmt: skip
    steps = [e.step for e in after if isinstance(e, Progress) and e.stage == "train"]
    assert steps == [3, 4]


def test_files(resumed: Demo) -> None:
    out, _, _ = resumed
    assert sorted(p.name for p in out.iterdir()) == [
        "applied_after", "applied_before", "demo.json", "heads", "report.html", "study",
        "summary.json", "unseen",
    ]  # fmt: skip
    assert len(list((out / "heads" / "scans").iterdir())) == PLAN.n_pool
    assert len(list((out / "unseen" / "scans").iterdir())) == PLAN.n_unseen


def test_summary_is_in_range(resumed: Demo) -> None:
    summary = json.loads((resumed[0] / "summary.json").read_text(encoding="utf-8"))
    for side in ("before", "after"):
        figures = summary["unseen"][side]
        assert 0 <= figures["worst_dice"] <= figures["mean_dice"] <= 1
    assert [r["round"] for r in summary["rounds"]] == [0, 1]
    seconds = summary["seconds"]
    assert set(seconds) == {
        "heads", "train", "autoencoder", "predict", "rank", "finetune", "apply", "report"
    }
    assert min(seconds.values()) >= 0


def test_report_has_every_section(resumed: Demo) -> None:
    text = (resumed[0] / "report.html").read_text(encoding="utf-8")
    assert not [title for title in SECTIONS if title not in text]
    assert "What could not be shown" not in text


def test_unseen_heads_are_not_in_the_study(resumed: Demo) -> None:
    document = (resumed[0] / "study" / "study.json").read_text(encoding="utf-8")
    unseen = [p.name.partition(".")[0] for p in (resumed[0] / "unseen" / "scans").iterdir()]
    assert unseen and not [name for name in unseen if name in document]


def test_table_is_printed(resumed: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    show_demo(resumed[0])
    text = capsys.readouterr().out
    for words in ("mean Dice", "worst HD95 (mm)", "spearman", "finetune", "all"):
        assert words in text


def test_no_table_without_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_demo(tmp_path)
    assert capsys.readouterr().out == ""


def test_other_settings_are_refused(resumed: Demo) -> None:
    with pytest.raises(UserError, match="other settings \\(seed\\)"):
        next(run(resumed[0], seed=2))


def test_damaged_record(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        next(run(tmp_path))


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    with pytest.raises(UserError, match="other files"):
        next(run(tmp_path))
    with pytest.raises(UserError, match="is a file"):
        next(run(tmp_path / "letter.txt"))
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_wrong_setting_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stepz"):
        next(run(tmp_path / "new", overrides={"training.stepz": 3}))
    assert not (tmp_path / "new").exists()
