"""A decision belongs to the very mask that a person looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import cube, predict, write_volume

from napari_singlestrip.engine.config import FinetuningConfig
from napari_singlestrip.files.atomic import file_digest
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
    write_volume(study.rounds.pseudo_label_path(round_, name), cube(4))
    study.rounds.save_scores(round_, [ScoreRow(name, 0.7, 0.9, 64.0, 1)])


def learned_from(study: Study) -> set[tuple[str, str]]:
    masks = masks_of_round(study, 1, FinetuningConfig(pseudo_labels="decided"))
    return {(mask.scan, mask.kind) for mask in masks}


def test_a_mask_accepted_before_a_restart_is_not_another_one_after_it(study: Study) -> None:
    study.decisions.decide("b", "accepted")
    assert study.decisions.all()["b"].mask == file_digest(study.rounds.pseudo_label_path(0, "b"))
    assert learned_from(study) == {("a", "painted"), ("b", "accepted")}
    kept = set_aside(study)
    assert learned_from(study) == {("a", "painted")}
    predict_another(study, 0, "b")
    assert learned_from(study) == {("a", "painted")}
    assert study.decisions.labelled().accepted == ()
    assert study.decisions.labelled_path("b") is None
    assert study.decisions.stale().keys() == {"b"}
    assert kept is not None
    assert "b,accepted" in (kept / "decisions.csv").read_text()
    (row,) = review(study).rows
    assert (row.state, row.is_open, row.in_words) == ("to review", True,
                                                      "accepted, of an older mask")
    study.decisions.decide("b", "accepted")  # looked at again
    assert learned_from(study) == {("a", "painted"), ("b", "accepted")}
    assert study.decisions.stale() == {}


def test_a_mask_predicted_again_is_another_one_but_the_same_is_not(study: Study) -> None:
    path = study.rounds.pseudo_label_path(0, "b")
    study.decisions.decide("b", "accepted")
    content = path.read_bytes()
    predict_another(study, 0, "b")
    assert study.decisions.labelled().accepted == ()
    path.unlink()
    assert study.decisions.labelled().accepted == ()
    path.write_bytes(content)
    assert study.decisions.labelled().accepted == ("b",)


def test_a_rejection_stays_in_force_but_is_said_to_be_of_an_older_mask(study: Study) -> None:
    study.decisions.decide("b", "rejected")
    predict_another(study, 0, "b")
    assert study.decisions.labelled().rejected == ("b",)
    assert review(study).rows[0].in_words == "rejected, of an older mask"


def test_a_mask_of_a_person_counts_as_it_is_now(study: Study, tmp_path: Path) -> None:
    study.decisions.decide("b", "corrected", mask=write_volume(tmp_path / "mine.nii.gz", cube(2)))
    assert study.decisions.standing(study.decisions.all()["b"]) == "current"
    write_volume(study.masks.path("b"), cube(4))
    decision = study.decisions.all()["b"]
    assert study.decisions.standing(decision) == "replaced"
    assert decision.in_words("replaced") == "corrected, replaced since"
    assert study.decisions.labelled().corrected == ("b",)
    assert study.decisions.stale() == {}


def older_table(study: Study, time: str, error: str = "") -> None:
    """What a version before digests wrote."""
    (study.folder / "decisions.csv").write_text(
        "scan,decision,note,time,round,rank,autoencoder_error\n"
        f"a,painted,,{time},,,\nb,accepted,good,{time},0,1,{error}\n"
    )


@pytest.mark.parametrize(("error", "is_it"), [("", False), ("0.1", True), ("0.3", False)])
def test_tables_of_before_are_still_read(study: Study, error: str, is_it: bool) -> None:
    """Whatever the times of the files: a study may have been copied."""
    older_table(study, "2000-01-01T00:00:00+00:00", error)
    assert study.decisions.labelled().accepted == (("b",) if is_it else ())
    assert study.decisions.labelled().painted == ("a",)
    study.decisions.decide("c", "rejected")
    assert study.decisions.labelled().accepted == (("b",) if is_it else ())
    assert study.decisions.all()["b"].note == "good"


def test_what_is_exported_is_not_called_accepted(study: Study, tmp_path: Path) -> None:
    study.decisions.decide("b", "accepted")
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
    study.decisions.decide("b", "accepted", note)
    study.decisions.decide("c", "rejected", note)
    opened = Study.open(study.folder)
    opened.decisions.decide("b", "rejected", note)
    decisions = Study.open(study.folder).decisions.all()
    assert {n: d.state for n, d in decisions.items()} == {
        "a": "painted", "b": "rejected", "c": "rejected",
    }
    assert decisions["b"].note == decisions["c"].note
    if note.isprintable():
        assert decisions["b"].note == note


