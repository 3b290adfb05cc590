"""Names of results in a BIDS derivative, also as fMRIPrep and NiBabies look for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bids_dataset import CROWDED, make_dataset, write_scan

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.layout import Layout, choose_layout
from napari_singlestrip.study.volumes_table import AppliedRow

# What `--derivatives` of fMRIPrep and NiBabies looks for (io_spec of smriprep and NiBabies): the
# query of the mask, and the pattern of a path that has one.
QUERY = {"datatype": "anat", "space": None, "desc": "brain", "suffix": "mask"}
PATTERN = re.compile(
    r"sub-(?P<subject>[^/_]+)(/ses-(?P<session>[^/_]+))?/(?P<datatype>anat)/sub-(?P=subject)"
    r"(_ses-[^_]+)?(_acq-(?P<acq>[^_]+))?(_ce-[^_]+)?(_rec-[^_]+)?(_run-[^_]+)?(_echo-[^_]+)?"
    r"(_space-(?P<space>[^_]+))?_desc-(?P<desc>[^_]+)_(?P<suffix>mask)\.nii(\.gz)?"
)


def masks(root: Path) -> dict[str, str]:
    layout = Layout("bids")
    return {
        Path(file).name: layout.places(root / file, "x")[0].mask for file in sorted(CROWDED)
    }


def test_masks_are_named_by_the_entities_of_their_scans(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    assert masks(root) == {
        "sub-01_ses-a_T1w.nii.gz": "sub-01/ses-a/anat/sub-01_ses-a_desc-brain_mask.nii.gz",
        "sub-01_ses-a_T2w.nii.gz":
            "sub-01/ses-a/anat/sub-01_ses-a_space-T2w_desc-brain_mask.nii.gz",
        "sub-01_ses-b_acq-mprage_run-1_T1w.nii.gz":
            "sub-01/ses-b/anat/sub-01_ses-b_acq-mprage_run-1_desc-brain_mask.nii.gz",
        "sub-01_ses-b_acq-mprage_run-2_T1w.nii.gz":
            "sub-01/ses-b/anat/sub-01_ses-b_acq-mprage_run-2_desc-brain_mask.nii.gz",
        "sub-02_FLAIR.nii": "sub-02/anat/sub-02_space-FLAIR_desc-brain_mask.nii.gz",
        "sub-02_echo-1_T2starw.nii.gz": "sub-02/anat/sub-02_echo-1_desc-brain_mask.nii.gz",
        "sub-02_echo-2_T2starw.nii.gz": "sub-02/anat/sub-02_echo-2_desc-brain_mask.nii.gz",
    }  # fmt: skip


def test_only_the_first_contrast_is_what_fmriprep_reads(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    read = []
    for scan, mask in masks(root).items():
        found = PATTERN.fullmatch(mask)
        assert found is not None, mask
        if all(found[key] == value for key, value in QUERY.items()):
            read.append(scan)
    assert "sub-01_ses-a_T1w.nii.gz" in read
    assert "sub-01_ses-a_T2w.nii.gz" not in read


def test_a_t2w_alone_has_the_plain_name(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds", ["sub-01/anat/sub-01_T2w.nii.gz"])
    place = Layout("bids").places(root / "sub-01/anat/sub-01_T2w.nii.gz", "x")[0]
    assert place.mask == "sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    assert place.brain == "sub-01/anat/sub-01_desc-brain_T2w.nii.gz"
    assert place.source == "bids:raw:sub-01/anat/sub-01_T2w.nii.gz"


def test_entities_that_a_mask_may_not_have_go_into_its_space(tmp_path: Path) -> None:
    files = [f"sub-01/anat/sub-01_inv-{n}_MP2RAGE.nii.gz" for n in (1, 2)]
    root = make_dataset(tmp_path / "ds", files)
    found = [Layout("bids").places(root / file, "x")[0].mask for file in files]
    assert found == [
        f"sub-01/anat/sub-01_space-MP2RAGEinv{n}_desc-brain_mask.nii.gz" for n in (1, 2)
    ]


def test_a_scan_of_no_dataset_has_no_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="in no BIDS dataset"):
        Layout("bids").places(write_scan(tmp_path / "sub-01_T1w.nii.gz"), "x")


def test_the_layout_is_that_of_the_scans_unless_results_are_there(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    files = [root / file for file in CROWDED]
    loose = write_scan(tmp_path / "a.nii.gz")
    assert choose_layout(None, files).kind == "bids"
    assert choose_layout(None, [*files, loose]).kind == "flat"
    assert choose_layout("flat", files).kind == "flat"
    flat, bids = AppliedRow("a", mask="a_mask.nii.gz"), AppliedRow("a", mask="sub-1/a.nii.gz")
    assert choose_layout(None, files, [flat]).kind == "flat"
    assert choose_layout(None, [loose], [bids]).kind == "bids"


def test_two_datasets_have_names_of_their_own(tmp_path: Path) -> None:
    layout = Layout("bids")
    file = "sub-01/anat/sub-01_T1w.nii.gz"
    roots = [make_dataset(tmp_path / name, [file]) for name in ("a", "b")]
    sources = [layout.places(root / file, "x")[0].source for root in roots]
    assert sources == [f"bids:raw:{file}", f"bids:raw2:{file}"]
