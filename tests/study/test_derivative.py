"""What makes a folder of results a BIDS derivative, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bids_dataset import make_dataset

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.derivative import CITATION, begin, known_links
from napari_singlestrip.study.layout import Layout


def layout(root: Path) -> Layout:
    return Layout("bids", {"raw": root})


def test_the_description_names_program_and_source(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    inside, outside = root / "derivatives" / "singlestrip", tmp_path / "elsewhere"
    for out, link in ((inside, "../.."), (outside, root.as_uri())):
        begin(out, layout(root), "round 1 of x", by_hand=2)
        said = json.loads((out / "dataset_description.json").read_text())
        assert said["DatasetType"] == "derivative"
        assert said["DatasetLinks"] == {"raw": link}
        assert said["SourceDatasets"] == [{"URL": link}]
        assert said["GeneratedBy"][0]["Name"] == "napari-singlestrip"
        assert known_links(out) == {"raw": root}


def test_the_methods_cite_what_they_name(tmp_path: Path) -> None:
    begin(tmp_path / "out", layout(make_dataset(tmp_path / "ds")), "round 1 of x", by_hand=2)
    text = (tmp_path / "out" / f"{CITATION}.md").read_text()
    bibtex = (tmp_path / "out" / f"{CITATION}.bib").read_text()
    assert "round 1 of x" in text and "2 of them were painted or corrected" in text
    cited = {word.strip("[];.,@ ") for word in text.split() if "@" in word}
    assert cited and all(f"{{{key}," in bibtex for key in cited)


def test_what_a_person_wrote_stays(tmp_path: Path) -> None:
    out, root = tmp_path / "out", make_dataset(tmp_path / "ds")
    begin(out, layout(root))
    file = out / "dataset_description.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "Name": "Ours", "License": "CC0"}))
    (out / ".bidsignore").write_text("mine/\n")
    begin(out, layout(root))
    said = json.loads(file.read_text())
    assert (said["Name"], said["License"]) == ("Ours", "CC0")
    assert (out / ".bidsignore").read_text().splitlines()[0] == "mine/"


def test_scans_and_results_of_others_are_left_alone(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    with pytest.raises(UserError, match="dataset of scans"):
        begin(root, layout(root))
    other = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative",
             "GeneratedBy": [{"Name": "fMRIPrep"}]}  # fmt: skip
    prep = make_dataset(tmp_path / "prep", (), other)
    with pytest.raises(UserError, match="fMRIPrep"):
        begin(prep, layout(root))


def test_a_flat_folder_has_none_of_it(tmp_path: Path) -> None:
    begin(tmp_path, Layout("flat"))
    assert not list(tmp_path.iterdir())


def test_a_readme_says_what_is_there_and_a_persons_own_stays(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    begin(tmp_path / "out", layout(root))
    text = (tmp_path / "out" / "README.md").read_text()
    assert "napari-singlestrip" in text and "_desc-brain_mask.nii.gz" in text
    for name in ("README.md", "README", "README.rst", "README.txt"):
        out = tmp_path / name.replace(".", "_")
        out.mkdir()
        (out / name).write_text("Mine.")
        begin(out, layout(root))
        assert (out / name).read_text() == "Mine."
        assert [path.name for path in out.glob("README*")] == [name]


def test_the_methods_say_that_another_program_made_the_masks(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "ds")
    texts = []
    for model in ("", "round 1 of x"):
        begin(tmp_path / "out", layout(root), model, programs=("bet", "hdbet"))
        texts.append((tmp_path / "out" / f"{CITATION}.md").read_text())
    assert all("bet and hdbet" in text for text in texts)
    assert "synthetic" not in texts[0] and "synthetic" in texts[1]
