"""The finished sample study: what is in the package, and how it is unfolded."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Finished, Wrote
from napari_singlestrip.sample_data import finished_study, sample_name
from napari_singlestrip.sample_data import making as sample_making
from napari_singlestrip.sample_data.finished_study import (
    PACK,
    TUNED_PACK,
    Heads,
    fold,
    heads_of,
    unfold,
    unfold_tuned,
)
from napari_singlestrip.study.expected_quality import kind_of_round
from napari_singlestrip.study.round_facts import is_trained
from napari_singlestrip.study.round_folder import FIXED, RoundFolder
from napari_singlestrip.study.study import Study


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study in the package, without its heads."""
    return Study.open(unfold(tmp_path_factory.mktemp("finished")))


def test_the_pack_is_small() -> None:
    assert PACK.stat().st_size < 4e6
    assert TUNED_PACK.stat().st_size < 4e6


def test_the_study_is_complete(packed: Study) -> None:
    n = heads_of().n
    assert packed.scans.names == tuple(sample_name(index) for index in range(n))
    assert packed.masks.names() == (sample_name(0),)
    assert packed.rounds.numbers() == [0] and is_trained(packed, 0)
    assert {row.scan for row in packed.rounds.scores(0)} == set(packed.scans.names[1:])
    for name in packed.scans.names[1:]:
        assert packed.rounds.pseudo_label_path(0, name).is_file()
        assert packed.rounds.reconstruction_path(0, name).is_file()
    assert not [d for d in packed.decisions.all().values() if d.state != "painted"]


def test_it_was_trained_with_the_settings_of_today(packed: Study) -> None:
    """With others the window offers to train it again; make it again when defaults change."""
    begun = RoundFolder(packed.rounds.folder(0)).read_settings()
    assert begun is not None
    today = packed.settings()
    assert {n: getattr(begun, n) for n in FIXED} == {n: getattr(today, n) for n in FIXED}


def test_it_is_known_what_to_expect_of_its_masks(packed: Study) -> None:
    """Which depends on how the autoencoder was trained, too."""
    assert kind_of_round(packed, 0) == ("quick", "first")
    expected = [row.expected_dice for row in packed.rounds.scores(0)]
    assert all(0.7 < dice < 1 for dice in expected)


def test_scans_and_references_lie_beside(packed: Study) -> None:
    beside = packed.folder.parent
    assert packed.references.folder == beside / "masks"
    assert {packed.scans.path(name).parent for name in packed.scans.names} == {beside / "scans"}


def test_nothing_of_this_computer_is_in_the_pack(packed: Study) -> None:
    for path in packed.folder.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in ("/tmp", "/home", "/work", "/root", "C:\\") if word in text]


def test_the_networks_can_be_used(packed: Study, tmp_path: Path) -> None:
    """Half precision is for the file only."""
    list(sample_making.make_heads([packed.folder.parent], heads_of().seed, heads_of().spacing_mm))
    import torch

    from napari_singlestrip.engine.learning.autoencoder import load_autoencoder
    from napari_singlestrip.engine.learning.segmenter import load_segmenter
    from napari_singlestrip.pipeline.trained_model import export_model

    cpu = torch.device("cpu")
    for load, name in ((load_segmenter, "segmenter"), (load_autoencoder, "autoencoder")):
        net = load(packed.rounds.folder(0) / f"{name}.pt", cpu).net
        assert {p.dtype for p in net.parameters()} == {torch.float32}
    export_model(packed, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").is_file()


def test_the_tuned_study_is_one_round_further(packed: Study) -> None:
    tuned = Study.open(unfold_tuned(packed.folder.parent))
    assert tuned.folder.parent == packed.folder.parent
    assert tuned.rounds.numbers() == [0, 1] and is_trained(tuned, 1)
    assert tuned.rounds.scores(0) == packed.rounds.scores(0)
    states = [one.state for one in tuned.decisions.all().values()]
    assert {"painted", "corrected", "accepted"} == set(states)
    for row in tuned.rounds.scores(1):
        assert tuned.rounds.pseudo_label_path(1, row.scan).is_file()
        assert tuned.rounds.reconstruction_path(1, row.scan).is_file()
    for path in tuned.folder.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in ("/tmp", "/home", "/work", "/root", "C:\\") if word in text]


def test_what_is_the_same_is_packed_once(study: Study, tmp_path: Path) -> None:
    fold(study.folder, Heads(4, 3, 6.0), tmp_path / "first.zip")
    document = (study.folder / "study.json").read_bytes()
    for path, text in (("report.html", b"new"), ("decisions.csv", b"changed")):
        (study.folder / path).write_bytes(text)
    fold(study.folder, Heads(4, 3, 6.0), tmp_path / "second.zip", tmp_path / "first.zip")
    with ZipFile(tmp_path / "second.zip") as archive:
        assert set(archive.namelist()) == {"about.json", "decisions.csv", "report.html"}
    again = unfold_tuned(tmp_path / "out", (tmp_path / "first.zip", tmp_path / "second.zip"))
    assert (again / "decisions.csv").read_bytes() == b"changed"
    assert (again / "study.json").read_bytes() == document


def test_unfolding_again_changes_nothing(packed: Study) -> None:
    packed.decisions.decide(packed.scans.names[1], "accepted")
    assert unfold(packed.folder.parent) == packed.folder
    assert packed.decisions.all()[packed.scans.names[1]].state == "accepted"
    packed.decisions.forget(packed.scans.names[1])


def test_fold_and_unfold_are_inverse(study: Study, tmp_path: Path) -> None:
    for copy in ("a.zip", "b.zip"):
        fold(study.folder, Heads(4, 3, 6.0), tmp_path / copy)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert heads_of(tmp_path / "a.zip") == Heads(4, 3, 6.0)
    again = unfold(tmp_path / "out", tmp_path / "a.zip")
    files = {p.relative_to(study.folder): p.read_bytes() for p in study.folder.rglob("*")
             if p.is_file() and not p.name.startswith(".")}
    assert {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()} == files


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write the sample study"):
        unfold(tmp_path / "file")


def test_the_job_makes_heads_and_study(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold(study.folder, Heads(2, 0, 10.0), tmp_path / "pack.zip")
    monkeypatch.setattr(sample_making, "heads_of", lambda: heads_of(tmp_path / "pack.zip"))
    monkeypatch.setattr(
        sample_making, "unfold", lambda folder: unfold(folder, tmp_path / "pack.zip")
    )
    monkeypatch.setattr(
        sample_making, "unfold_tuned",
        lambda folder: unfold_tuned(folder, [tmp_path / "pack.zip"]),
    )
    events = list(sample_making.make_finished(tmp_path / "out"))
    assert Wrote(str(tmp_path / "out" / finished_study.FOLDER), "study") in events
    assert isinstance(events[-1], Finished)
    assert len(list((tmp_path / "out" / "scans").iterdir())) == 2
    for name in ("finished", "finetuned"):
        assert Study.open(tmp_path / "out" / name).scans.names == study.scans.names
