"""The study folder: what it remembers, and what it says when something is wrong."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from small_study import SHAPE, cube, predict, write_volume

from napari_singlestrip.errors import UserError
from napari_singlestrip.study import document as study_document
from napari_singlestrip.study.decisions import Labelled
from napari_singlestrip.study.document import StudyDocument, resolved_path, stored_path
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.vocabulary import StudyPart


def load(path: Path) -> Any:
    """Open a volume (nibabel's own types do not know of values)."""
    return nib.load(path)


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    return [write_volume(tmp_path / "scans" / f"{name}.nii.gz") for name in ("a", "b", "c")]


@pytest.fixture
def mask_file(tmp_path: Path) -> Path:
    return write_volume(tmp_path / "painted.nii.gz", cube())


@pytest.fixture
def study(tmp_path: Path, scans: list[Path], mask_file: Path) -> Study:
    return Study.create(tmp_path / "study", scans, {"a": mask_file})


def test_what_is_created_is_opened_again(tmp_path: Path, scans: list[Path]) -> None:
    made = Study.create(
        tmp_path / "study", scans, references=tmp_path / "scans", effort="standard",
        overrides={"training.steps": "5", "network.channels": (8, 16)},
    )  # fmt: skip
    opened = Study.open(tmp_path / "study")
    assert opened.scans.entries == made.scans.entries
    assert opened.scans.names == ("a", "b", "c")
    assert opened.name == "study"
    assert opened.effort == "standard"
    assert opened.references.folder == tmp_path / "scans"
    assert opened.settings().training.steps == 5
    assert opened.settings().network.channels == (8, 16)
    assert opened.settings().conform.spacing_mm == 2.0


def test_painted_mask_is_kept_on_the_grid_of_its_scan(study: Study) -> None:
    stored = load(study.masks.path("a"))
    scan = load(study.scans.path("a"))
    assert np.array_equal(np.asarray(stored.dataobj), cube())
    assert np.allclose(stored.affine, scan.affine)
    assert study.masks.names() == ("a",)
    record = study.masks.records()["a"]
    assert (record.kind, Path(record.source).name) == ("painted", "painted.nii.gz")
    assert study.decisions.all()["a"].state == "painted"


def test_folder_of_scans(tmp_path: Path, scans: list[Path]) -> None:
    assert Study.create(tmp_path / "study", [tmp_path / "scans"]).scans.names == ("a", "b", "c")


def test_study_and_scans_can_move_together(study: Study, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("study", "scans"):
        shutil.move(tmp_path / name, elsewhere / name)
    moved = Study.open(elsewhere / "study")
    assert moved.scans.path("b") == elsewhere / "scans" / "b.nii.gz"
    assert moved.scans.path("b").exists()


def test_paths_far_away_are_absolute(tmp_path: Path) -> None:
    folder = tmp_path / "here" / "study"
    assert stored_path(folder / "x.nii", folder) == "x.nii"
    assert stored_path(tmp_path / "here" / "x.nii", folder) == "../x.nii"
    far = tmp_path / "there" / "x.nii"
    assert Path(stored_path(far, folder)) == far
    assert resolved_path(stored_path(far, folder), folder) == far
    assert resolved_path("../x.nii", folder) == tmp_path / "here" / "x.nii"


def test_study_beside_a_root_does_not_tie_itself_to_everything() -> None:
    assert Path(stored_path(Path("/data/x.nii"), Path("/study"))).is_absolute()


# --- wrong input when a study is made: nothing is written


def refused(tmp_path: Path, *args: Any, **options: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        Study.create(tmp_path / "study", *args, **options)
    assert not (tmp_path / "study").exists()
    assert caught.value.hint
    return caught.value


def test_no_scans(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no scan" in refused(tmp_path, []).what
    assert "empty" in refused(tmp_path, [tmp_path / "empty"]).what


def test_two_scans_that_no_folder_tells_apart_are_both_named(
    tmp_path: Path, scans: list[Path]
) -> None:
    other = write_volume(scans[0].with_name("A.nii"))
    error = refused(tmp_path, [*scans, other])
    assert str(scans[0]) in error.what
    assert str(other) in error.what


def test_scans_of_one_file_name_are_told_apart_by_their_folders(
    tmp_path: Path, mask_file: Path
) -> None:
    files = [write_volume(tmp_path / "data" / p / "T1.nii.gz") for p in ("p1", "p2")]
    study = Study.create(tmp_path / "study", [tmp_path / "data"], {"p2_T1": mask_file})
    assert study.scans.names == ("p1_T1", "p2_T1")
    assert [study.scans.path(name) for name in study.scans.names] == files
    assert study.masks.path("p2_T1").name == "p2_T1.nii.gz"
    assert study.masks.names() == ("p2_T1",)
    assert study.scans.name_of(files[1]) == "p2_T1"
    assert study.scans.name_of(tmp_path / "T1.nii.gz") is None
    error = refused(tmp_path / "again", [tmp_path / "data"], {"T1": mask_file})
    assert "p1_T1" in error.hint


def test_one_file_twice_is_one_scan(tmp_path: Path, scans: list[Path]) -> None:
    study = Study.create(tmp_path / "study", [*scans, scans[0], tmp_path / "scans"])
    assert study.scans.names == tuple("abc")


def test_unknown_scan_of_a_mask(tmp_path: Path, scans: list[Path], mask_file: Path) -> None:
    error = refused(tmp_path, scans, {"a.nii": mask_file})
    assert "'a.nii'" in error.what
    assert "a, b, c" in error.hint


def test_mask_on_another_grid(tmp_path: Path, scans: list[Path]) -> None:
    small = write_volume(tmp_path / "small.nii.gz", np.eye(4, dtype=np.uint8)[..., None])
    assert "small.nii.gz" in refused(tmp_path, scans, {"a": small}).what


def test_unknown_setting(tmp_path: Path, scans: list[Path]) -> None:
    error = refused(tmp_path, scans, overrides={"train.steps": "5"})
    assert "train.steps" in error.what
    assert "training.steps" in error.hint


def test_unknown_effort(tmp_path: Path, scans: list[Path]) -> None:
    assert "hasty" in refused(tmp_path, scans, effort="hasty").what


def test_missing_reference_folder(tmp_path: Path, scans: list[Path]) -> None:
    assert "nowhere" in refused(tmp_path, scans, references=tmp_path / "nowhere").what


def test_folder_in_use(study: Study, tmp_path: Path, scans: list[Path]) -> None:
    for folder, word in [
        (study.folder, "study already"),
        (tmp_path / "scans", "not empty"),
        (study.folder / "inside", "inside another study"),
        (scans[0], "is a file"),
    ]:
        with pytest.raises(UserError, match=word):
            Study.create(folder, scans)


def test_empty_folder_with_hidden_files_is_taken(tmp_path: Path, scans: list[Path]) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / ".DS_Store").touch()
    assert Study.create(tmp_path / "study", scans).scans.names == ("a", "b", "c")


def test_folder_that_cannot_be_written(
    tmp_path: Path, scans: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Any, target: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match=r"study\.json"):
        Study.create(tmp_path / "study", scans)


# --- study.json that is not as it should be


def test_no_study(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match=str(folder)) as caught:
            Study.open(folder)
        assert "singlestrip new" in caught.value.hint


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", '{"format": 1}', '{"format": "x"}', "\x00" * 50, '{"format": 0}'],
)
def test_damaged_study_comes_back_by_the_way_it_names(study: Study, damage: str) -> None:
    path = study.folder / "study.json"
    path.write_text(damage)
    with pytest.raises(UserError, match="damaged") as caught:
        Study.open(study.folder)
    assert str(path) in caught.value.what
    assert "study.json.bak" in caught.value.hint
    shutil.copy(study.folder / "study.json.bak", path)
    assert Study.open(study.folder).scans.entries == study.scans.entries


def test_lost_study_json_and_lost_backup(study: Study) -> None:
    (study.folder / "study.json").unlink()
    with pytest.raises(UserError, match="gone") as caught:
        Study.open(study.folder)
    assert "study.json.bak" in caught.value.hint
    (study.folder / "study.json").write_text("{")
    (study.folder / "study.json.bak").unlink()
    with pytest.raises(UserError) as caught:
        Study.open(study.folder)
    assert str(study.folder / "masks") in caught.value.hint


def test_newer_study_is_refused_and_left_alone(study: Study) -> None:
    path = study.folder / "study.json"
    content = {**json.loads(path.read_text()), "format": 3, "colour": "red"}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="newer version") as caught:
        Study.open(study.folder)
    assert "pip install --upgrade" in caught.value.hint
    assert json.loads(path.read_text()) == content


@pytest.mark.parametrize(("change", "word"), [
    ({"overrides": {"network.attention": 3}}, "setting network.attention"),
    ({"sessions": ["1"]}, "entry sessions"),
    ({"scans": [{"name": "a", "path": "a.nii", "role": "teacher"}]}, "role = 'teacher'"),
])
def test_what_a_newer_version_stored_is_not_called_damaged(
    study: Study, change: dict[str, Any], word: str
) -> None:
    """A backup of the same version would not help, and a mistyped name is not what happened."""
    path = study.folder / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=word) as caught:
        Study.open(study.folder).settings()
    assert "study.json was made by a newer version" in caught.value.what
    assert "pip install --upgrade" in caught.value.hint and ".bak" not in caught.value.hint


def test_older_study_is_upgraded_step_by_step(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = study.folder / "study.json"
    content = json.loads(path.read_text())
    content["format"], content["pictures"] = -1, content.pop("scans")
    path.write_text(json.dumps(content))

    def from_minus_1(old: dict[str, Any]) -> dict[str, Any]:
        return {**old, "format": 0}

    def from_0(old: dict[str, Any]) -> dict[str, Any]:
        scans = old.pop("pictures")
        return {**old, "format": 2, "scans": scans}

    monkeypatch.setattr(study_document, "UPGRADES", {-1: from_minus_1, 0: from_0})
    assert Study.open(study.folder).scans.entries == study.scans.entries


def test_unknown_field_is_named(study: Study) -> None:
    path = study.folder / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))
    with pytest.raises(UserError, match="colour"):
        Study.open(study.folder)


@pytest.mark.parametrize("name", ["../evil", "/etc/x", "..", "", "C:evil", "a\\b"])
def test_scan_name_cannot_lead_out_of_the_study(study: Study, name: str) -> None:
    path = study.folder / "study.json"
    content = json.loads(path.read_text())
    content["scans"][0]["name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="damaged"):
        Study.open(study.folder)


def test_a_name_is_of_one_scan(study: Study) -> None:
    path = study.folder / "study.json"
    content = json.loads(path.read_text())
    content["scans"][1]["name"] = "a"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="2 scans are called 'a'"):
        Study.open(study.folder)


@pytest.mark.parametrize("content", [
    b"\xff\xfe{}", b"[" * 100_000, b'{"format": ' + b"9" * 5000 + b"}", b'{"format": true}',
    b'{"format": 1, "created": 1, "scans": 1}', b'{"format": 1e300}', b'{"format": -1}',
    b'{"format": 1, "created": "", "scans": [{"name": "a", "path": ""}]}',
    b'{"format": 1, "created": "", "scans": [{"name": "a", "path": "\\u0000"}]}',
    b'{"format": 1, "created": "", "scans": [{"name": ".~a", "path": "x"}]}',
    b'{"format": 1, "created": "", "scans": [[[]]]}', b'{"format": 1, "created": "", "scans": []}',
    b'{"format": 1, "created": "", "scans": {"name": "a", "path": "x"}}', b"null", b"NaN",
    b'{"format": 1, "created": "", "scans": [{"name": "a", "path": "x"}], "references": "\\u0000"}',
    b'{"format": 1, "created": "", "scans": [{"name": "a", "path": "x"}], "overrides": []}',
])  # fmt: skip
def test_whatever_study_json_holds_is_said_in_words(study: Study, content: bytes) -> None:
    (study.folder / "study.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        Study.open(study.folder)
    assert caught.value.hint
    assert len(str(caught.value)) < 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
@pytest.mark.parametrize("name", ["study.json", "decisions.csv", "masks/provenance.json"])
def test_a_pipe_is_not_waited_for(study: Study, name: str) -> None:
    (study.folder / name).unlink()
    os.mkfifo(study.folder / name)
    with pytest.raises(UserError, match="not a regular file"):
        Study.open(study.folder).decisions.all()


@pytest.mark.parametrize("content", [
    '{"a": {"kind": "drawn"}}', '{"a": {"source": 1}}', '{"a": []}', "[]", '{"a": {"x": 1}}',
    "[" * 9999,
])  # fmt: skip
def test_whatever_the_provenance_holds_is_said_in_words(study: Study, content: str) -> None:
    (study.folder / "masks" / "provenance.json").write_text(content)
    with pytest.raises(UserError, match=r"provenance\.json"):
        study.masks.records()


# --- scans


def test_unknown_scan_names_close_ones(tmp_path: Path) -> None:
    files = [write_volume(tmp_path / "s" / f"sub-0{i}_T1w.nii.gz") for i in range(3)]
    study = Study.create(tmp_path / "study", files)
    with pytest.raises(UserError, match="sub-2_T1w") as caught:
        study.masks.path("sub-2_T1w")
    assert "sub-02_T1w" in caught.value.hint


def test_add_scans(study: Study, scans: list[Path], tmp_path: Path) -> None:
    seen: list[StudyPart] = []
    study.changed.connect(seen.append)
    new = write_volume(tmp_path / "new" / "d.nii.gz")
    assert study.scans.add([new, scans[0]], role="held_out") == ("d",)
    assert study.scans.add([scans[0]]) == ()
    assert Study.open(study.folder).scans.entry("d").role == "held_out"
    assert seen == [StudyPart.SCANS]


def test_add_scans_passes_over_the_masks_of_the_study(tmp_path: Path, mask_file: Path) -> None:
    scan = write_volume(tmp_path / "data" / "a.nii.gz")
    study = Study.create(tmp_path / "data" / "study", [scan], {"a": mask_file})
    predict(study, 0, "a")
    inside = write_volume(study.folder / "scans" / "b.nii.gz")
    assert study.scans.add([tmp_path / "data"]) == ("b",)
    assert study.scans.path("b") == inside


def test_add_scan_of_a_known_name(study: Study, scans: list[Path], tmp_path: Path) -> None:
    other = write_volume(tmp_path / "other" / "A.nii.gz")
    assert study.scans.add([other]) == ("other_A",)
    assert study.scans.names == ("a", "b", "c", "other_A")
    assert study.scans.add([other, *scans]) == ()
    beside = write_volume(scans[0].with_name("a.nii"))
    with pytest.raises(UserError) as caught:
        study.scans.add([beside])
    assert str(scans[0]) in caught.value.what
    assert str(beside) in caught.value.what
    assert Study.open(study.folder).scans.names == study.scans.names


def test_the_name_of_a_removed_scan_stays_its_own(
    study: Study, scans: list[Path], tmp_path: Path
) -> None:
    """Another person's scan must not come into the mask that is kept under the name."""
    other = write_volume(tmp_path / "other" / "a.nii.gz")
    study.scans.remove("a")
    assert Study.open(study.folder).scans.add([other]) == ("other_a",)
    study.reload()
    assert study.scans.add([scans[0]]) == ("a",)
    assert study.masks.names() == ("a",)
    study.scans.remove("other_a")
    study.scans.remove("a")
    assert study.scans.add([other, scans[0]]) == ("other_a", "a")
    assert study.scans.name_of(other) == "other_a"


def test_removed_scan_takes_nothing_with_it(study: Study, scans: list[Path]) -> None:
    study.decisions.decide("b", "rejected", "moved")
    study.scans.remove("a")
    study.scans.remove("b")
    assert study.scans.names == ("c",)
    assert study.decisions.all() == {}
    study.scans.add(scans)
    assert study.decisions.all()["a"].state == "painted"
    assert study.decisions.all()["b"].note == "moved"


def test_last_scan_stays(study: Study) -> None:
    study.scans.remove("a")
    study.scans.remove("b")
    with pytest.raises(UserError, match="only scan"):
        study.scans.remove("c")


def test_reference_by_the_names_people_use(study: Study, tmp_path: Path) -> None:
    references = tmp_path / "references"
    expected = write_volume(references / "a_desc-brain_mask.nii.gz", cube())
    write_volume(references / "ab.nii.gz", cube())
    exact = write_volume(references / "b.nii.gz", cube())
    study.references.set_folder(references)
    assert study.references.path("a") == expected
    assert study.references.path("b") == exact
    assert study.references.path("c") is None
    study.references.set_folder(None)
    assert study.references.path("a") is None


def test_references_in_folders_like_those_of_the_scans(tmp_path: Path) -> None:
    data, references = tmp_path / "data", tmp_path / "references"
    study = Study.create(tmp_path / "study", [write_volume(data / "p1" / "T1.nii.gz")])
    study.scans.add([write_volume(data / p / "T1.nii.gz") for p in ("p2", "p3")])
    assert study.scans.names == ("T1", "p2_T1", "p3_T1")
    expected = [write_volume(references / p / "T1_mask.nii.gz", cube()) for p in ("p1", "p2")]
    write_volume(references / "p4" / "T1_mask.nii.gz", cube())
    study.references.set_folder(references)
    assert study.references.path("T1") == expected[0]
    assert study.references.path("p2_T1") == expected[1]
    with pytest.raises(UserError, match="not clear which mask belongs to p3_T1"):
        study.references.path("p3_T1")
    flat = write_volume(references / "p3_T1_mask.nii.gz", cube())
    assert study.references.path("p3_T1") == flat


def test_one_reference_for_two_scans_of_its_name_is_no_ones(tmp_path: Path) -> None:
    files = [write_volume(tmp_path / p / "T1.nii.gz") for p in ("p1", "p2")]
    study = Study.create(tmp_path / "study", files)
    write_volume(tmp_path / "references" / "T1_mask.nii.gz", cube())
    study.references.set_folder(tmp_path / "references")
    with pytest.raises(UserError, match="p1_T1"):
        study.references.path("p1_T1")


# --- settings


def test_settings_are_changed_and_checked(study: Study) -> None:
    study.set_settings({"training.steps": 7}, effort="thorough")
    assert study.settings().training.steps == 7
    with pytest.raises(UserError, match="no_such"):
        study.set_settings({"no_such": 1})
    with pytest.raises(UserError, match=r"training\.steps"):
        study.set_settings({"training.steps": -1})
    assert Study.open(study.folder).overrides == {"training.steps": 7}
    assert Study.open(study.folder).effort == "thorough"


def test_settings_of_one_run_are_not_kept(study: Study) -> None:
    study.set_settings({"training.steps": 7})
    once = study.settings("standard", {"training.batch_size": "3"}, seed=4)
    assert (once.training.steps, once.training.batch_size, once.seed) == (7, 3, 4)
    assert once.effort == "standard"
    assert study.settings().training.batch_size == 1
    assert study.effort == "quick"


# --- decisions


def test_decisions_are_kept_in_a_table_people_can_read(study: Study) -> None:
    predict(study, 0, "b", "c")
    study.decisions.decide("b", "accepted")
    study.decisions.decide("c", "rejected", 'eyes, "again"\nand neck')
    lines = (study.folder / "decisions.csv").read_text().splitlines()
    assert lines[0].startswith("scan,decision,note,time")
    opened = Study.open(study.folder)
    assert opened.decisions.all() == study.decisions.all()
    assert opened.decisions.all()["c"].note == 'eyes, "again"\nand neck'
    assert list(opened.decisions.all()) == ["a", "b", "c"]


def test_accepted_remembers_round_rank_and_score(study: Study) -> None:
    predict(study, 0, "b", "c")
    predict(study, 1, "c", "b")
    decision = study.decisions.decide("b", "accepted")
    assert (decision.round, decision.rank) == (1, 2)
    assert decision.autoencoder_error == pytest.approx(0.2)
    predict(study, 2, "b")
    assert study.decisions.labelled_path("b") == study.rounds.pseudo_label_path(1, "b")


def test_nothing_to_accept(study: Study) -> None:
    with pytest.raises(UserError, match="no predicted mask"):
        study.decisions.decide("b", "accepted")
    assert study.decisions.decide("b", "rejected").round is None


def test_corrected_mask_replaces_the_pseudo_label(study: Study, tmp_path: Path) -> None:
    predict(study, 0, "b")
    corrected = write_volume(tmp_path / "corrected.nii.gz", cube(4))
    decision = study.decisions.decide("b", "corrected", "eye removed", corrected)
    assert (decision.state, decision.note) == ("corrected", "eye removed")
    assert study.masks.records()["b"].kind == "corrected"
    assert study.decisions.labelled_path("b") == study.masks.path("b")
    assert np.asarray(load(study.masks.path("b")).dataobj).sum() == 64


def test_corrected_needs_a_mask(study: Study, mask_file: Path) -> None:
    with pytest.raises(UserError, match="no corrected mask") as caught:
        study.decisions.decide("b", "corrected")
    assert "--mask" in caught.value.hint
    with pytest.raises(UserError, match="does not go with"):
        study.decisions.decide("b", "rejected", mask=mask_file)
    study.masks.import_file("b", mask_file)
    assert study.decisions.decide("b", "corrected").state == "corrected"


def test_bad_corrected_mask_changes_nothing(study: Study, tmp_path: Path) -> None:
    empty = write_volume(tmp_path / "nothing.nii.gz", np.zeros(SHAPE, dtype=np.uint8))
    with pytest.raises(UserError, match="nothing"):
        study.decisions.decide("b", "corrected", mask=empty)
    assert "b" not in study.decisions.all()
    assert not study.masks.path("b").exists()


def test_many_decisions_at_once_and_back(study: Study) -> None:
    predict(study, 0, "c", "b")
    study.decisions.decide("b", "rejected", "neck")
    before = study.decisions.all()
    told: list[StudyPart] = []
    study.changed.connect(told.append)
    study.decisions.decide_all(["b", "c"], "accepted")
    assert told == [StudyPart.DECISIONS]
    assert study.decisions.labelled().accepted == ("b", "c")
    assert (study.decisions.all()["b"].round, study.decisions.all()["b"].rank) == (0, 2)
    study.decisions.put({name: before.get(name) for name in ("b", "c")})
    assert study.decisions.all() == before
    with pytest.raises(UserError, match="no scan 'x'"):
        study.decisions.put({"c": None, "x": None})
    assert study.decisions.all() == before


def test_all_are_accepted_or_none(study: Study) -> None:
    predict(study, 0, "b")
    with pytest.raises(UserError, match="no predicted mask"):
        study.decisions.decide_all(["b", "c"], "accepted")
    assert "b" not in study.decisions.all()


def test_undecide_brings_back_the_mask_of_a_person(study: Study) -> None:
    study.decisions.decide("a", "rejected")
    assert study.decisions.labelled().rejected == ("a",)
    assert study.decisions.labelled_path("a") is None
    study.decisions.forget("a")
    assert study.decisions.all()["a"].state == "painted"
    study.masks.remove("a")
    assert study.decisions.all() == {}
    assert study.masks.records() == {}


def test_mask_put_there_by_hand_counts_as_painted(study: Study) -> None:
    write_volume(study.masks.path("c"), cube())
    assert study.decisions.all()["c"].state == "painted"
    assert study.decisions.labelled().painted == ("a", "c")


def test_labelled(study: Study, tmp_path: Path, mask_file: Path) -> None:
    study.scans.add([write_volume(tmp_path / "n" / f"{n}.nii.gz") for n in "de"], "held_out")
    predict(study, 0, "b", "c", "d")
    study.decisions.decide("b", "accepted")
    study.decisions.decide("c", "corrected", mask=mask_file)
    study.decisions.decide("d", "accepted")
    assert study.decisions.labelled() == Labelled(("a",), ("c",), ("b",), ())
    study.rounds.pseudo_label_path(0, "b").unlink()
    study.decisions.decide("c", "rejected")
    assert study.decisions.labelled() == Labelled(painted=("a",), rejected=("c",))


def test_decisions_written_by_another_window_are_seen(study: Study) -> None:
    other = Study.open(study.folder)
    assert "b" not in study.decisions.all()
    other.decisions.decide("b", "rejected")
    assert study.decisions.all()["b"].state == "rejected"


def test_damaged_decisions_name_file_and_line(study: Study) -> None:
    path = study.folder / "decisions.csv"
    path.write_text("scan,decision,note,time\nb,rejected,,\nc,perhaps,,\n")
    with pytest.raises(UserError, match=r"Line 3 of .*decisions\.csv.*perhaps"):
        study.decisions.all()


def test_decisions_saved_by_a_spreadsheet_are_read(study: Study) -> None:
    path = study.folder / "decisions.csv"
    path.write_bytes(b"\xef\xbb\xbfscan,decision\r\nb,rejected\r\n")
    assert study.decisions.all()["b"].state == "rejected"


def test_damaged_provenance_is_named(study: Study) -> None:
    (study.folder / "masks" / "provenance.json").write_text("{")
    with pytest.raises(UserError, match=r"provenance\.json"):
        study.masks.records()


def test_changes_are_told(study: Study, mask_file: Path) -> None:
    seen: list[StudyPart] = []
    study.changed.connect(seen.append)
    study.masks.import_file("b", mask_file)
    study.decisions.decide("c", "rejected")
    study.decisions.forget("c")
    study.set_settings(effort="standard")
    study.reload()
    assert seen == [
        StudyPart.DECISIONS, StudyPart.MASKS, StudyPart.DECISIONS, StudyPart.DECISIONS,
        StudyPart.SETTINGS, StudyPart.STUDY,
    ]
    assert {type(part) for part in seen} == {StudyPart}


# --- rounds and scores


def test_rounds(study: Study) -> None:
    assert study.rounds.numbers() == []
    assert study.rounds.current() == 0
    for name in ("00", "01", "10", "old", ".trash"):
        (study.folder / "rounds" / name).mkdir(parents=True)
    assert study.rounds.numbers() == [0, 1, 10]
    assert study.rounds.current() == 10
    assert study.rounds.folder(2) == study.folder / "rounds" / "02"
    assert study.rounds.reconstruction_path(1, "a").parent.name == "reconstructions"


def test_scores_come_back_with_what_is_unknown(study: Study) -> None:
    rows = [
        ScoreRow("a", 0.125, 0.9, 1300.5, 1, True, "volume", largest_place_ml=7.5),
        ScoreRow("b"),
    ]
    study.rounds.save_scores(0, rows)
    first, second = study.rounds.scores(0)
    assert first == rows[0]
    assert math.isnan(second.autoencoder_error)
    assert (second.scan, second.rank, second.selected) == ("b", 0, False)
    assert study.rounds.scores(1) == []


def test_damaged_scores_name_the_way_out(study: Study) -> None:
    study.rounds.scores_path(0).parent.mkdir(parents=True)
    study.rounds.scores_path(0).write_text("scan,rank\na,first\n")
    with pytest.raises(UserError, match=r"scores\.csv") as caught:
        study.rounds.scores(0)
    assert "--stages rank" in caught.value.hint


def test_nothing_is_written_outside(study: Study, tmp_path: Path, mask_file: Path) -> None:
    def outside() -> set[Path]:
        return {p for p in tmp_path.rglob("*") if not p.is_relative_to(study.folder)}

    before = outside()
    predict(study, 0, "b")
    study.decisions.decide("b", "accepted")
    study.decisions.decide("c", "corrected", mask=mask_file)
    study.set_settings(effort="standard")
    assert outside() == before
    assert not list(study.folder.rglob(".~*"))


def test_document_is_frozen(study: Study) -> None:
    document = StudyDocument.model_validate_json((study.folder / "study.json").read_text())
    with pytest.raises(ValueError, match="frozen"):
        document.effort = "thorough"  # type: ignore[misc]
