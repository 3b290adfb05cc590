"""A decision belongs to the very mask that a person looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_study import cube, predict, write_volume

from napari_singlestrip.atomic_files import file_digest
from napari_singlestrip.engine.config import FinetuningConfig
from napari_singlestrip.pipeline.export_masks import export_masks
from napari_singlestrip.study.review import review
from napari_singlestrip.study.round_folder import set_aside
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.study.training_set import masks_of_round


@pytest.fixture
def study(tmp_path: Path) -> Study:
    scans = [write_volume(tmp_path / "scans" / f"{name}.nii.gz") for name in "abc"]
    painted = write_volume(tmp_path / "painted.nii.gz", cube())
    made = Study.create(tmp_path / "study", scans, {"a": painted})
    predict(made, 0, "b", "c")
    return made


def predict_another(study: Study, round_: int, name: str) -> None:
    write_volume(study.pseudo_label_path(round_, name), cube(4))
    study.save_scores(round_, [ScoreRow(name, 0.7, 0.9, 64.0, 1)])


def learned_from(study: Study) -> set[tuple[str, str]]:
    masks = masks_of_round(study, 1, FinetuningConfig(pseudo_labels="decided"))
    return {(mask.scan, mask.kind) for mask in masks}


def test_a_mask_accepted_before_a_restart_is_not_another_one_after_it(study: Study) -> None:
    study.decide("b", "accepted")
    assert study.decisions()["b"].mask == file_digest(study.pseudo_label_path(0, "b"))
    assert learned_from(study) == {("a", "painted"), ("b", "accepted")}
    kept = set_aside(study)
    assert learned_from(study) == {("a", "painted")}
    predict_another(study, 0, "b")
    assert learned_from(study) == {("a", "painted")}
    assert study.labelled().accepted == ()
    assert study.labelled_path("b") is None
    assert study.stale_decisions().keys() == {"b"}
    assert kept is not None
    assert "b,accepted" in (kept / "decisions.csv").read_text()
    (row,) = review(study).rows
    assert (row.state, row.is_open, row.in_words) == ("to review", True,
                                                      "accepted, of an older mask")
    study.decide("b", "accepted")  # looked at again
    assert learned_from(study) == {("a", "painted"), ("b", "accepted")}
    assert study.stale_decisions() == {}


def test_a_mask_predicted_again_is_another_one_but_the_same_is_not(study: Study) -> None:
    path = study.pseudo_label_path(0, "b")
    study.decide("b", "accepted")
    content = path.read_bytes()
    predict_another(study, 0, "b")
    assert study.labelled().accepted == ()
    path.unlink()
    assert study.labelled().accepted == ()
    path.write_bytes(content)
    assert study.labelled().accepted == ("b",)


def test_a_rejection_stays_in_force_but_is_said_to_be_of_an_older_mask(study: Study) -> None:
    study.decide("b", "rejected")
    predict_another(study, 0, "b")
    assert study.labelled().rejected == ("b",)
    assert review(study).rows[0].in_words == "rejected, of an older mask"


def test_a_mask_of_a_person_counts_as_it_is_now(study: Study, tmp_path: Path) -> None:
    study.decide("b", "corrected", mask=write_volume(tmp_path / "mine.nii.gz", cube(2)))
    assert study.standing(study.decisions()["b"]) == "current"
    write_volume(study.mask_path("b"), cube(4))
    decision = study.decisions()["b"]
    assert study.standing(decision) == "replaced"
    assert decision.in_words("replaced") == "corrected, replaced since"
    assert study.labelled().corrected == ("b",)
    assert study.stale_decisions() == {}


def older_table(study: Study, time: str, error: str = "") -> None:
    """What a version before digests wrote."""
    (study.folder / "decisions.csv").write_text(
        "scan,decision,note,time,round,rank,autoencoder_error\n"
        f"a,painted,,{time},,,\nb,accepted,good,{time},0,1,{error}\n"
    )


@pytest.mark.parametrize(("time", "error", "is_it"), [
    ("2100-01-01T00:00:00+00:00", "", True),  # not written since
    ("2000-01-01T00:00:00+00:00", "", False),
    ("2000-01-01T00:00:00+00:00", "0.1", True),  # copied without its time, but scored the same
    ("2000-01-01T00:00:00+00:00", "0.3", False),
    ("2100-01-01T00:00:00", "", True), ("yesterday", "", False),
])  # fmt: skip
def test_tables_of_before_are_still_read(study: Study, time: str, error: str, is_it: bool) -> None:
    older_table(study, time, error)
    assert study.labelled().accepted == (("b",) if is_it else ())
    assert study.labelled().painted == ("a",)
    study.decide("c", "rejected")
    assert study.labelled().accepted == (("b",) if is_it else ())
    assert study.decisions()["b"].note == "good"


def test_a_decision_to_the_second_is_not_older_than_its_mask(study: Study) -> None:
    path = study.pseudo_label_path(0, "b")
    os.utime(path, (946684800.9, 946684800.9))
    older_table(study, "2000-01-01T00:00:00+00:00")
    assert study.labelled().accepted == ("b",)


def test_what_is_exported_is_not_called_accepted(study: Study, tmp_path: Path) -> None:
    study.decide("b", "accepted")
    predict_another(study, 0, "b")
    for _ in export_masks(study, tmp_path / "out", brain=False):
        pass
    rows = {line.split(",")[0]: line for line in
            (tmp_path / "out" / "masks.csv").read_text().splitlines()}
    assert "predicted" in rows["b"]


@pytest.mark.parametrize("note", [
    "a\rb", "a\r\nb", '"', 'x"\ny', "\x1b[2J", "\ud800", "=1+1", ",", "\n\n", "ü", "\0", " x ",
])  # fmt: skip
def test_no_remark_damages_the_table(study: Study, note: str) -> None:
    study.decide("b", "accepted", note)
    study.decide("c", "rejected", note)
    opened = Study.open(study.folder)
    opened.decide("b", "rejected", note)
    decisions = Study.open(study.folder).decisions()
    assert {n: d.state for n, d in decisions.items()} == {
        "a": "painted", "b": "rejected", "c": "rejected",
    }
    assert decisions["b"].note == decisions["c"].note
    if note.isprintable():
        assert decisions["b"].note == note


