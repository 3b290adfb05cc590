"""Masks of other programs, ranked by one good mask; no network of ours is needed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import TINY, make_other_masks

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress
from napari_singlestrip.pipeline import stages
from napari_singlestrip.pipeline.export_masks import export_masks
from napari_singlestrip.pipeline.judge import judge
from napari_singlestrip.report import write_report
from napari_singlestrip.study.finetuning_plan import finetuning_plan
from napari_singlestrip.study.other_masks import find_other_masks, programs_of
from napari_singlestrip.study.round_facts import is_trained, newest_trained_round
from napari_singlestrip.study.round_folder import heat_map_path
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from conftest import Heads


@pytest.fixture
def unpainted(tmp_path: Path, heads: Heads) -> Study:
    return Study.create(tmp_path / "study", heads.scans, overrides=TINY)


@pytest.fixture
def bet(tmp_path: Path, heads: Heads) -> Path:
    """Masks of a program that gets the last head half, and another of a scan that is not there."""
    folder = make_other_masks(tmp_path / "bet", heads)
    scan = open_scan(heads.scans[-1])
    half = load_mask(heads.masks[-1], like=scan)
    half[:, half.shape[1] // 2 :] = False
    save_mask(folder / f"{heads.names[-1]}_mask.nii.gz", half, scan)
    shutil.copyfile(heads.masks[0], folder / "stranger_mask.nii.gz")
    return folder


def run(study: Study, *folders: Path, **options: Any) -> list[Event]:
    return list(judge(study, folders, device="cpu", **options))


def report_of(study: Study) -> str:
    path = study.folder / "report.html"
    write_report(study, path)
    return path.read_text(encoding="utf-8")


def told(events: list[Event]) -> str:
    return " ".join(event.text for event in events if isinstance(event, Note))


def test_masks_are_ranked_by_the_one_that_is_good(
    unpainted: Study, bet: Path, heads: Heads
) -> None:
    before = {path: path.read_bytes() for path in bet.iterdir()}
    events = run(unpainted, bet, good=[heads.names[0]])
    assert "1 mask in" in told(events) and "stranger_mask.nii.gz" in told(events)
    rows = unpainted.rounds.scores(0)
    assert {row.scan for row in rows} == set(heads.names[1:])
    assert all(np.isfinite(row.autoencoder_error) for row in rows)
    assert all(np.isnan(row.consistency) for row in rows)
    assert sorted(row.rank for row in rows) == [1, 2, 3]
    assert unpainted.masks.records()[heads.names[0]].kind == "painted"
    assert all(heat_map_path(unpainted, 0, row.scan).is_file() for row in rows)
    origins = json.loads((unpainted.rounds.folder(0) / "origins.json").read_text())
    assert origins[heads.names[1]]["program"] == "bet"
    assert {path: path.read_bytes() for path in bet.iterdir()} == before
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.n_done, end.n_failed) == (3, 0)


def test_two_programs_are_compared_and_corrections_leave(
    unpainted: Study, bet: Path, heads: Heads, tmp_path: Path
) -> None:
    run(unpainted, bet, good=[heads.names[0]])
    worst, other = heads.names[-1], tmp_path / "other"
    other.mkdir()
    for name, mask in list(zip(heads.names, heads.masks, strict=True))[1:]:
        shutil.copyfile(mask, other / f"{name}_mask.nii.gz")
    run(unpainted, bet, other)
    rows = {row.scan: row for row in unpainted.rounds.scores(0)}
    assert rows[heads.names[1]].consistency == pytest.approx(1)
    assert rows[worst].consistency < 0.9
    assert rows[worst].rank == 3
    corrected = load_mask(heads.masks[-1], like=open_scan(heads.scans[-1]))
    unpainted.masks.save(worst, corrected, "corrected")
    list(export_masks(unpainted, tmp_path / "out"))
    table = (tmp_path / "out" / "masks.csv").read_text()
    assert f"{worst},corrected" in table


def test_masks_that_leave_say_which_program_made_them(
    unpainted: Study, bet: Path, heads: Heads, tmp_path: Path
) -> None:
    run(unpainted, bet, good=[heads.names[0]])
    good, accepted, imported, corrected = heads.names
    unpainted.decisions.decide(accepted, "accepted")
    mask = load_mask(heads.masks[-1], like=open_scan(heads.scans[-1]))
    unpainted.masks.save(corrected, mask, "corrected")
    list(export_masks(unpainted, tmp_path / "out"))
    lines = csv.DictReader((tmp_path / "out" / "masks.csv").read_text().splitlines())
    assert {line["scan"]: (line["state"], line["program"]) for line in lines} == {
        good: ("accepted", "bet"), accepted: ("accepted", "bet"), imported: ("imported", "bet"),
        corrected: ("corrected", ""),
    }  # fmt: skip
    unpainted.rounds.folder(0).joinpath("origins.json").write_text("{}")  # of an older version
    list(export_masks(unpainted, tmp_path / "out"))
    lines = csv.DictReader((tmp_path / "out" / "masks.csv").read_text().splitlines())
    found = {line["scan"]: (line["state"], line["program"]) for line in lines}
    assert found[imported] == ("imported", "another program")
    assert found[good] == ("painted", "")


def test_masks_that_do_not_fit_are_told_and_the_rest_goes_on(
    unpainted: Study, bet: Path, heads: Heads
) -> None:
    shutil.copyfile(heads.masks[2], bet / f"{heads.names[1]}_mask.nii.gz")
    events = run(unpainted, bet, good=[heads.names[0]])
    assert f"{heads.names[1]}_mask.nii.gz is on another grid" in told(events)
    assert {row.scan for row in unpainted.rounds.scores(0)} == set(heads.names[2:])
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.n_done, end.n_failed) == (2, 1)


def test_masks_that_were_taken_in_stay(unpainted: Study, bet: Path, heads: Heads) -> None:
    run(unpainted, bet, good=[heads.names[0]])
    path = unpainted.rounds.pseudo_label_path(0, heads.names[-1])
    before = path.read_bytes()
    shutil.copyfile(heads.masks[-1], bet / f"{heads.names[-1]}_mask.nii.gz")
    run(unpainted, bet)
    assert path.read_bytes() == before
    run(unpainted, bet, overwrite=True)
    assert path.read_bytes() != before


def test_what_is_missing_is_said(
    unpainted: Study, trained_study: Study, bet: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no good mask"):
        run(unpainted, bet)
    with pytest.raises(UserError, match="no folder"):
        run(unpainted, tmp_path / "nowhere")
    with pytest.raises(UserError, match="of its own network"):
        run(trained_study, bet)
    assert not unpainted.rounds.numbers()


def test_a_scan_is_not_its_own_mask(unpainted: Study, heads: Heads, tmp_path: Path) -> None:
    """The folder of the scans is near when one of masks is asked for."""
    with pytest.raises(UserError, match="scans of this study, and no masks"):
        run(unpainted, heads.scans[0].parent, good=heads.names[:1])
    (tmp_path / "both").mkdir()
    for scan in heads.scans:
        (tmp_path / "both" / scan.name).symlink_to(scan)
    shutil.copyfile(heads.masks[1], tmp_path / "both" / f"{heads.names[1]}_mask.nii.gz")
    scans = {name: unpainted.scans.path(name) for name in heads.names}
    found = find_other_masks(tmp_path / "both", scans)
    assert found.masked == (heads.names[1],) and not found.lonely


def test_an_origin_stays_with_its_mask(unpainted: Study, bet: Path, heads: Heads) -> None:
    run(unpainted, bet, good=[heads.names[0]])
    other = bet.rename(bet.with_name("other"))
    run(unpainted, other)
    assert programs_of(unpainted) == ("bet",)
    run(unpainted, other, overwrite=True)
    assert programs_of(unpainted) == ("other",)


def test_one_mask_for_several_scans_is_told_and_the_rest_goes_on(
    tmp_path: Path, heads: Heads
) -> None:
    scans = tmp_path / "scans"
    for person, scan in zip(("p1", "p2", "p3"), heads.scans, strict=False):
        (scans / person).mkdir(parents=True)
        shutil.copyfile(scan, scans / person / "T1.nii.gz")
    masks = tmp_path / "masks"
    (masks / "p3").mkdir(parents=True)
    shutil.copyfile(heads.masks[2], masks / "p3" / "T1_mask.nii.gz")
    shutil.copyfile(heads.masks[0], masks / "T1_mask.nii.gz")
    files = sorted(scans.rglob("*.nii.gz"))
    study = Study.create(tmp_path / "study", files, {"p1_T1": heads.masks[0]}, overrides=TINY)
    events = run(study, masks)
    assert "not clear whose mask T1_mask.nii.gz is (p1_T1, p2_T1)" in told(events)
    assert {row.scan for row in study.rounds.scores(0)} == {"p3_T1"}
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.n_done, end.n_failed) == (1, 1)


def test_a_network_is_trained_from_judged_masks(
    unpainted: Study, bet: Path, heads: Heads
) -> None:
    run(unpainted, bet, good=[heads.names[0]])
    judged = unpainted.rounds.scores(0)
    unpainted.decisions.decide(heads.names[1], "accepted")
    plan = finetuning_plan(unpainted, top_ranked=False)
    assert plan.is_first and not plan.problem
    assert plan.counts == {"painted": 1, "accepted": 1}
    unpainted.set_settings({**TINY, "conform.spacing_mm": 9}, "quick")  # no network has others yet
    events = list(stages.run(unpainted, device="cpu", rounds=0))
    assert "Round 1 learns from" in told(events)
    assert [is_trained(unpainted, n) for n in (0, 1)] == [False, True]
    assert unpainted.rounds.scores(0) == judged
    assert {row.scan for row in unpainted.rounds.scores(1)} == set(heads.names[1:])
    assert not finetuning_plan(unpainted).is_first
    again = list(stages.run(unpainted, device="cpu", rounds=0))
    assert not [e for e in again if isinstance(e, Progress)]
    with pytest.raises(UserError, match="of its own network"):
        run(unpainted, bet)


def test_fine_tuning_without_a_network_trains_one(
    unpainted: Study, bet: Path, heads: Heads
) -> None:
    run(unpainted, bet, good=[heads.names[0]])
    with pytest.raises(UserError, match="no network yet"):
        list(stages.run(unpainted, device="cpu", stages=["predict", "rank"]))
    list(stages.run(unpainted, device="cpu", stages=["finetune"]))
    assert newest_trained_round(unpainted) == 1
    text = report_of(unpainted)
    assert "brain masks predicted" in text and "A network was then trained on the best." in text


def test_the_report_does_not_say_that_judged_masks_were_predicted(
    unpainted: Study, bet: Path, heads: Heads
) -> None:
    run(unpainted, bet, good=[heads.names[0]])
    text = report_of(unpainted)
    assert "brain masks judged" in text and "brain masks predicted" not in text
    assert f"other programs ({bet.name}) were ranked" in text
    assert "A network was" not in text
