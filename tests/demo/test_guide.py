"""The guide: each step is told from what is there; no window, no Qt."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_singlestrip.demo import guide, guided_folder
from napari_singlestrip.demo.guide import STEPS, Seen, is_done, next_open
from napari_singlestrip.demo.guided_folder import GuidedFolder
from napari_singlestrip.demo.in_window import command
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import APPLIED, TABLE

BY_KEY = {step.key: n for n, step in enumerate(STEPS)}


def painting(**facts: Any) -> Seen:
    return Seen(part="painting", step="paint", **facts)


def finished(**facts: Any) -> Seen:
    return Seen(part="finished", step="review", **facts)


def at(study: Study | None, seen: Seen, start: str = "outline") -> str:
    return STEPS[next_open(BY_KEY[start], study, seen)].key


@pytest.fixture
def unpainted(study: Study) -> Study:
    for name in study.masks.names():
        study.masks.remove(name)
    return study


def test_without_a_study_nothing_is_done() -> None:
    assert at(None, Seen()) == "outline"


def test_another_study_counts_for_nothing(study: Study) -> None:
    assert at(study, Seen(part="", slices=50, is_whole=True)) == "outline"
    assert at(study, finished(slices=50, is_whole=True)) == "outline"


def test_outlines_come_first(unpainted: Study) -> None:
    assert at(unpainted, painting(slices=2)) == "outline"
    assert at(unpainted, painting(slices=3)) == "interpolate"
    assert at(unpainted, painting(slices=40)) == "interpolate"  # with gaps


def test_a_whole_brain_is_to_be_kept(unpainted: Study) -> None:
    assert at(unpainted, painting(slices=40, is_whole=True)) == "keep"
    assert at(unpainted, painting(slices=4, is_whole=True)) == "interpolate"


def test_what_is_kept_is_trained_from(study: Study) -> None:
    assert study.masks.names()
    assert at(study, painting()) == "train"
    assert at(study, painting(job="samples")) == "train"
    assert at(study, painting(job="run")) == "jump"


def test_the_finished_study_is_the_next(study: Study) -> None:
    assert at(study, painting(), "jump") == "jump"
    assert at(study, finished(), "jump") == "places"
    assert at(study, finished(places=1), "jump") == "follow"
    assert at(study, finished(places=1, corrected=1), "jump") == "follow"  # it says 2 or 3
    assert at(study, finished(places=1, corrected=2), "jump") == "decide"


def test_a_corrected_mask_that_is_kept_needs_no_more_slices(study: Study) -> None:
    name = study.scans.names[1]
    study.decisions.decide(name, "rejected")
    assert at(study, finished(corrected=1), "follow") == "follow"
    painted = study.masks.path(study.scans.names[0])
    study.masks.save(name, study.masks.load(name, painted), "corrected")
    assert at(study, finished(corrected=1), "follow") == "apply"


def test_a_decision_is_seen(study: Study) -> None:
    assert at(study, finished(), "decide") == "decide"
    mask = study.masks.load(study.scans.names[0], study.masks.path(study.scans.names[0]))
    study.masks.save(study.scans.names[0], mask, "corrected")
    assert at(study, finished(), "decide") == "apply"


def test_results_and_report_are_seen(study: Study) -> None:
    assert at(study, finished(job="apply"), "apply") == "report"
    (study.folder / APPLIED / "today").mkdir(parents=True)
    assert at(study, finished(), "apply") == "apply"
    (study.folder / APPLIED / "today" / TABLE).touch()
    assert at(study, finished(), "apply") == "report"
    (study.folder / guide.REPORT).touch()
    assert at(study, finished(), "apply") == "finetune"
    assert at(study, finished(job="run"), "finetune") == "compare"


def test_the_end_is_the_end(study: Study) -> None:
    assert not is_done(STEPS[-1], study, Seen(part="tuned", step="review"))
    assert next_open(len(STEPS), study, finished()) == len(STEPS)


def test_every_sentence_is_short_and_names_its_step() -> None:
    assert len({step.key for step in STEPS}) == len(STEPS)
    assert max(len(step.words) for step in STEPS) < 200
    assert {step.step for step in STEPS} == {"paint", "train", "review", "apply"}


# --- the folder


@pytest.fixture
def folder(tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch) -> GuidedFolder:
    first = study.scans.path(study.scans.names[0])
    monkeypatch.setattr(guided_folder, "unfold_first_head", lambda _folder: first)
    return GuidedFolder(tmp_path / "guided")


def test_a_demo_goes_on_where_it_was(folder: GuidedFolder) -> None:
    folder.prepare()
    folder.keep_place(4)
    folder.prepare()
    assert folder.place() == 4
    assert folder.part(Study.open(folder.painting)) == "painting"
    assert folder.part(None) == "" and not folder.is_drawn
    assert folder.study("finished") == folder.study("tuned") == folder.painting


def test_each_part_has_its_study(folder: GuidedFolder, study: Study) -> None:
    folder.prepare()
    for name in ("finished", "finetuned"):
        shutil.copytree(study.folder, folder.path / name)
    for part in ("painting", "finished", "tuned"):
        assert folder.part(Study.open(folder.study(part))) == part


def test_heads_join_as_they_are_drawn(folder: GuidedFolder, study: Study) -> None:
    folder.prepare()
    begun = Study.open(folder.painting)
    (folder.path / "scans").mkdir()
    source = study.scans.path(study.scans.names[1])
    for name in ("sample-02_T2w", "sample-03_FLAIR"):
        (folder.path / "scans" / f"{name}.nii.gz").write_bytes(source.read_bytes())
        folder.take_heads(begun)
        folder.take_heads(begun)
    assert begun.scans.names[1:] == ("sample-02_T2w", "sample-03_FLAIR")


def test_a_broken_record_is_the_beginning(folder: GuidedFolder) -> None:
    folder.prepare()
    for text in ("{", '{"at": "x"}', '{"at": 400}', "[]"):
        (folder.path / guided_folder.RECORD).write_text(text)
        assert folder.place() == 0


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    with pytest.raises(UserError, match="other files"):
        GuidedFolder(tmp_path).prepare()
    with pytest.raises(UserError, match="is a file"):
        GuidedFolder(tmp_path / "letter.txt").prepare()
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_the_command_opens_any_folder() -> None:
    assert command(Path("/tmp/a b"))[-2:] == ["napari-singlestrip", "singlestrip://demo//tmp/a%20b"]


def test_the_guide_needs_no_qt() -> None:
    code = (
        "import sys, napari_singlestrip.demo.guide, napari_singlestrip.demo.guided_folder;"
        "assert not {'torch', 'napari', 'qtpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
