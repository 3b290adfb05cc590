"""The command line of a BIDS App: what pipelines give it, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bids_checks import invalid_names
from bids_dataset import make_dataset

from napari_singlestrip import __version__
from napari_singlestrip.cli.bids_app import main, spread_bids_labels
from napari_singlestrip.errors import NOTHING_DONE, OK, SOME_FAILED, USER_MISTAKE
from napari_singlestrip.sample_data.finished_study import unfold
from napari_singlestrip.study.volumes_table import AppliedRow, add_row

if TYPE_CHECKING:
    from conftest import Heads

Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unfold(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def root(tmp_path: Path, heads: Heads) -> Path:
    root = make_dataset(tmp_path / "bids", ())
    for person, scan in zip(("01", "02", "03"), heads.scans, strict=False):
        path = root / f"sub-{person}" / "anat" / f"sub-{person}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        shutil.copyfile(scan, path)
    return root


@pytest.mark.parametrize(
    "words",
    [
        "in out participant --participant-label 01 sub-02 --brain",
        "in out participant --participant_label 01 sub-02 --brain",
        "in out --participant-label 01 sub-02 participant --brain",
        "--participant-label 01 --participant-label sub-02 --brain -- in out participant",
    ],
)
def test_labels_are_taken_wherever_pipelines_put_them(words: str) -> None:
    spread = spread_bids_labels(words.split())
    option = "--participant-label"
    labels = [spread[n + 1] for n, word in enumerate(spread) if word == option]
    assert labels == ["01", "sub-02"]
    assert [w for w in spread if w in ("in", "out", "participant")] == ["in", "out", "participant"]


def test_some_participants_then_the_others(
    root: Path, model: Path, tmp_path: Path, capsys: Said
) -> None:
    out = tmp_path / "out"
    common = [str(root), str(out), "participant", "--model", str(model), "--device", "cpu"]
    assert main([*common, "--participant-label", "02", "03"]) == OK
    masks = sorted(path.name for path in out.rglob("*_mask.nii.gz"))
    assert masks == ["sub-02_desc-brain_mask.nii.gz", "sub-03_desc-brain_mask.nii.gz"]
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    (root / "sub-01" / "anat" / "sub-01_T1w.nii.gz").write_bytes(b"no scan")
    assert main(common) == SOME_FAILED
    assert main([*common, "--participant-label", "01"]) == NOTHING_DONE
    assert not invalid_names(out)
    capsys.readouterr()
    assert main([str(root), str(out), "group"]) == SOME_FAILED
    said = capsys.readouterr()
    assert "2 masks in" in said.out
    assert "sub-01_T1w.nii.gz" in said.err


def test_the_level_group_lists_what_to_look_at(tmp_path: Path, capsys: Said) -> None:
    out = tmp_path / "out"
    assert main(["in", str(out), "group"]) == USER_MISTAKE
    assert "Run the level participant first" in capsys.readouterr().err
    for person, error, flag in (("01", 0.1, ""), ("02", 0.2, "small"), ("03", 0.3, "unlike")):
        mask = f"sub-{person}/anat/sub-{person}_desc-brain_mask.nii.gz"
        add_row(out / "volumes.csv", AppliedRow(person, 1.0, error, flag, mask, "scan"))
    assert main(["in", str(out), "group"]) == OK
    said = capsys.readouterr().out
    assert "3 masks" in said and "2 masks to look at" in said
    assert said.index("sub-03") < said.index("sub-02") and "sub-01" not in said


def test_what_cannot_be_done_is_said(
    root: Path, model: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SINGLESTRIP_MODEL", raising=False)
    out, named = str(tmp_path / "out"), ["--model", str(model)]
    (tmp_path / "plain").mkdir()
    for arguments, sentence in (
        ([str(root), out, "participant"], "No model is named"),
        ([str(tmp_path / "gone"), out, "participant", *named], "There is no folder"),
        ([str(tmp_path / "plain"), out, "participant", *named], "not the top of a BIDS dataset"),
        ([str(root), out, "participant", "--participant-label", "99", *named], "99"),
        ([str(root), out, "participant", "--suffix", "bold", *named], "only bold was requested"),
        ([str(root), out, "everything", *named], "everything"),
        ([str(root), str(root), "participant", *named], "dataset of scans"),
    ):
        assert main(arguments) == USER_MISTAKE, arguments
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_it_says_its_version(capsys: Said) -> None:
    assert main(["--version"]) == OK
    assert capsys.readouterr().out == f"singlestrip-bids {__version__}\n"
