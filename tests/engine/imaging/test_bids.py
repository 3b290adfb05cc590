"""BIDS datasets: what is a scan of one, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from bids_dataset import CROWDED, make_dataset, write_scan

from napari_singlestrip.engine.imaging.bids import BidsChoice, BidsName, dataset_of, is_root
from napari_singlestrip.engine.imaging.scan_search import search
from napari_singlestrip.errors import UserError


def found(folder: Path, choice: BidsChoice | None = None) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in search([folder], choice=choice)]


def test_a_name_has_entities_and_a_suffix() -> None:
    name = BidsName.parse("sub-01_ses-a_acq-hi_run-2_T1w.nii.gz")
    assert name is not None
    assert name.entities == {"sub": "01", "ses": "a", "acq": "hi", "run": "2"}
    assert (name.suffix, name.folder) == ("T1w", Path("sub-01/ses-a"))


@pytest.mark.parametrize(
    "name",
    ["T1w.nii.gz", "sub-01.nii.gz", "sub-_T1w.nii.gz", "sub-01_run_T1w.nii.gz", "sub-01_T1w.mgz",
     "ses-1_sub-01_T1w.nii.gz"],
)  # fmt: skip
def test_other_names_are_none(name: str) -> None:
    assert BidsName.parse(name) is None


def test_structural_scans_are_taken_and_nothing_else(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    assert found(root) == sorted(CROWDED)


def test_what_was_passed_over_is_said(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    said = " ".join(search([root]).notes)
    for words in ("1 bold", "1 dwi", "1 phasediff", "1 T1map", "1 file phase images",
                  "1 file not named as BIDS has it", "derivatives/", "sourcedata/", "code/",
                  "only structural scans", "--suffix"):  # fmt: skip
        assert words in said


def test_suffixes_choose_and_take_other_kinds(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    chosen = found(root, BidsChoice(suffixes=("T2w", "bold")))
    assert [Path(name).name for name in chosen] == [
        "sub-01_ses-a_T2w.nii.gz", "sub-01_ses-a_task-rest_bold.nii.gz"
    ]
    assert "only T2w, bold was requested" in " ".join(
        search([root], choice=BidsChoice(suffixes=("T2w", "bold"))).notes
    )


def test_participants_choose_and_an_unknown_one_is_said(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    chosen = search([root], choice=BidsChoice(participants=("02", "09")))
    assert {path.parts[-3] for path in chosen} == {"sub-02"}
    assert "no participant 09; it has 01, 02" in " ".join(chosen.notes)


def test_none_of_the_wanted_scans_says_what_there_is(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds", ["sub-01/func/sub-01_task-rest_bold.nii.gz"])
    with pytest.raises(UserError, match="1 bold"):
        search([root])


def test_a_root_without_a_description_is_one_by_its_folders(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds", description=False)
    scans = search([root])
    assert len(scans) == len(CROWDED)
    assert "has no dataset_description.json" in " ".join(scans.notes)


def test_folders_alone_make_no_dataset(tmp_path: Path) -> None:
    write_scan(tmp_path / "sub-01" / "anat" / "brain.nii.gz")
    assert not is_root(tmp_path)
    assert found(tmp_path) == ["sub-01/anat/brain.nii.gz"]


def test_a_damaged_description_and_damaged_sidecars_do_not_stop(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    (root / "dataset_description.json").write_text('{"Name": ')
    (root / "sub-02" / "anat" / "sub-02_FLAIR.json").write_text("{")
    scans = search([root])
    said = " ".join(scans.notes)
    assert len(scans) == len(CROWDED)
    assert "dataset_description.json" in said
    assert "1 sidecar cannot be read as JSON, such as sub-02_FLAIR.json" in said


def test_a_person_or_session_of_a_dataset_is_read_like_it(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    assert found(root / "sub-01" / "ses-a") == [
        "anat/sub-01_ses-a_T1w.nii.gz", "anat/sub-01_ses-a_T2w.nii.gz"
    ]


def test_datasets_within_a_plain_folder_are_read_as_such(tmp_path: Path) -> None:
    make_dataset(tmp_path / "ds")
    derived = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    make_dataset(tmp_path / "fmriprep", ["sub-01/anat/sub-01_T1w.nii.gz"], derived)
    write_scan(tmp_path / "loose.nii.gz")
    scans = search([tmp_path])
    assert [path.name for path in scans if "ds" not in path.parts] == ["loose.nii.gz"]
    assert len(scans) == len(CROWDED) + 1
    assert "fmriprep/" in " ".join(scans.notes)


def test_a_derivative_dataset_that_is_named_itself_is_read(tmp_path: Path) -> None:
    derived = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    root = make_dataset(tmp_path / "x", ["sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"], derived)
    assert len(found(root)) == 1


def test_a_choice_needs_a_dataset(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.nii.gz")
    scans = search([tmp_path], choice=BidsChoice(suffixes=("T1w",)))
    assert "is no BIDS dataset" in " ".join(scans.notes)


def test_a_scan_knows_its_dataset(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    dataset = dataset_of(root / CROWDED[0])
    assert dataset is not None
    assert dataset.root == root
    assert dataset_of(root / "sub-02" / "anat" / "notes.nii.gz") is None
    assert dataset_of(write_scan(tmp_path / "sub-01_T1w.nii.gz")) is None
