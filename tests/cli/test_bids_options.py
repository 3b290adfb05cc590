"""Choosing scans of a BIDS dataset on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from bids_dataset import make_dataset

from napari_singlestrip.cli.app import main
from napari_singlestrip.cli.options import bids_choice, spread_labels
from napari_singlestrip.study.study import Study


def test_labels_are_taken_up_to_the_next_option(tmp_path: Path) -> None:
    words = ["new", "s", "--participant-label", "01", "sub-02", "--quiet", "x"]
    option = "--participant-label"
    assert spread_labels(words) == ["new", "s", option, "01", option, "sub-02", "--quiet", "x"]
    paths = ["new", option, "01", str(tmp_path), "02"]
    assert spread_labels(paths) == paths


def test_suffixes_and_labels_are_words() -> None:
    choice = bids_choice(["T1w,T2w", "FLAIR"], ["sub-01,02", "03"])
    assert choice.suffixes == ("T1w", "T2w", "FLAIR")
    assert choice.participants == ("01", "02", "03")


def test_a_study_of_some_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_dataset(tmp_path / "ds")
    study = tmp_path / "study"
    arguments = ["new", str(study), str(root), "--suffix", "T1w,T2w", "--participant-label", "01"]
    assert main([*arguments, "02"]) == 0
    assert {name.split("_")[0] for name in Study.open(study).scans.names} == {"sub-01"}
    assert "FLAIR" in capsys.readouterr().out
    assert main(["add", str(study), str(root)]) == 0
    assert len(Study.open(study).scans.names) == 7
