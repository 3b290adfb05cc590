"""A model at work: masks on each scan's own grid, flags, and a file that does the same."""

from __future__ import annotations

import csv
import math
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import torch

from napari_singlestrip.engine.learning.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.learning.model import load_model
from napari_singlestrip.engine.learning.model_card import read_card
from napari_singlestrip.engine.overrides import override
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress, Started, Wrote
from napari_singlestrip.files.atomic import file_digest
from napari_singlestrip.pipeline.apply import apply
from napari_singlestrip.pipeline.trained_model import export_model, model_card, open_model
from napari_singlestrip.sample_data import render_head
from napari_singlestrip.study.round_facts import newest_trained_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import (
    BRAIN_SUFFIX,
    MASK_SUFFIX,
    TABLE,
    AppliedRow,
    add_row,
    read_table,
)

if TYPE_CHECKING:
    from conftest import Heads

CPU = torch.device("cpu")
ORIENTATIONS = ("RAS", "LPS", "PIR", "SAL")


def load(path: Path) -> Any:
    return nib.load(path)  # nibabel's own types do not know of values


def run(model: Path, scans: list[Path], out: Path, **options: Any) -> list[Event]:
    return list(apply(model, scans, out, device="cpu", **options))


def seen(out: Path) -> list[str]:
    """Names of the files that people see: not that of the table's lock."""
    return [path.name for path in out.iterdir() if not path.name.startswith(".")]


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / TABLE).open() as file:
        return {row["scan"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def model(trained_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.pt"
    export_model(trained_study, path)
    return path


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """One person scanned in several orientations, once obliquely; and the true masks."""
    folder = tmp_path_factory.mktemp("turned")
    scans: list[Path] = []
    masks: list[Path] = []
    for codes in (*ORIENTATIONS, "oblique"):
        oblique = codes == "oblique"
        head = render_head(
            8, "T1w", (6.0, 6.0, 8.0) if oblique else 6.0, "RAS" if oblique else codes,
            oblique_deg=15.0 if oblique else 0.0,
        )  # fmt: skip
        for kind, values, files in (("scan", head.data, scans), ("mask", head.mask, masks)):
            path = folder / f"{codes}_{kind}.nii.gz"
            image = nib.Nifti1Image(values.astype(np.int16), head.affine)
            image.set_sform(head.affine, code=2)
            image.set_qform(head.affine, code=1)
            nib.save(image, path)
            files.append(path)
    return scans, masks


@pytest.fixture(scope="module")
def applied(
    model: Path, turned: tuple[list[Path], list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Event]]:
    """The output folder, and what was said."""
    out = tmp_path_factory.mktemp("out") / "new" / "folder"
    return out, run(model, turned[0], out, brain=True)


# --- masks


def test_masks_lie_on_the_scans_own_grid(
    applied: tuple[Path, list[Event]], turned: tuple[list[Path], list[Path]]
) -> None:
    out, _ = applied
    for file, truth in zip(*turned, strict=True):
        scan, mask = load(file), load(out / (file.name.removesuffix(".nii.gz") + MASK_SUFFIX))
        assert mask.shape == scan.shape
        assert np.allclose(mask.affine, scan.affine, atol=1e-4)
        for code in ("sform_code", "qform_code"):
            assert mask.header[code] == scan.header[code]
        found, true = np.asarray(mask.dataobj) > 0, np.asarray(load(truth).dataobj) > 0
        assert set(np.unique(mask.dataobj)) == {0, 1}
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.5


def test_orientation_of_the_file_changes_nothing(applied: tuple[Path, list[Event]]) -> None:
    out, _ = applied
    masks = [
        np.asarray(nib.as_closest_canonical(load(out / f"{codes}_scan{MASK_SUFFIX}")).dataobj)
        for codes in ORIENTATIONS
    ]
    for mask in masks[1:]:
        assert (mask == masks[0]).mean() > 0.995


def test_brain_is_the_scan_inside_and_zero_outside(
    applied: tuple[Path, list[Event]], turned: tuple[list[Path], list[Path]]
) -> None:
    out, _ = applied
    for file in turned[0]:
        name = file.name.removesuffix(".nii.gz")
        mask = np.asarray(load(out / (name + MASK_SUFFIX)).dataobj) > 0
        brain, scan = (np.asarray(load(p).dataobj) for p in (out / (name + BRAIN_SUFFIX), file))
        assert np.array_equal(brain, np.where(mask, scan, 0))


def test_table_has_volumes_of_the_masks(applied: tuple[Path, list[Event]]) -> None:
    out, _ = applied
    for name, row in table(out).items():
        mask = load(out / row["mask"])
        assert row["mask"] == name + MASK_SUFFIX
        voxel_ml = abs(np.linalg.det(mask.affine[:3, :3])) / 1000
        assert float(row["volume_ml"]) == pytest.approx(
            np.count_nonzero(mask.dataobj) * voxel_ml, rel=1e-4
        )
        assert 0 <= float(row["autoencoder_error"]) <= 1


def test_events_name_what_was_written(applied: tuple[Path, list[Event]]) -> None:
    out, events = applied
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert events[-1].summary == {"masks": 5, "failed": 0}
    assert all((out / e.path).is_file() for e in events if isinstance(e, Wrote))
    assert [e.step for e in events if isinstance(e, Progress)] == [1, 2, 3, 4, 5]


def test_no_brains_unless_asked_for(model: Path, heads: Heads, tmp_path: Path) -> None:
    run(model, [heads.scans[1]], tmp_path)
    assert sorted(seen(tmp_path)) == [heads.names[1] + MASK_SUFFIX, TABLE]


# --- the model file


def test_exported_model_gives_the_same_masks_as_the_study(
    model: Path, trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    scans = list(heads.scans[1:])
    run(model, scans, tmp_path / "model")
    run(trained_study.folder, scans, tmp_path / "study")
    for name in heads.names[1:]:
        one, two, label = (
            np.asarray(load(p).dataobj) for p in (
                tmp_path / "model" / (name + MASK_SUFFIX),
                tmp_path / "study" / (name + MASK_SUFFIX),
                trained_study.rounds.pseudo_label_path(1, name),
            )
        )  # fmt: skip
        assert np.array_equal(one, two)
        assert np.array_equal(one, label)
    assert table(tmp_path / "model") == table(tmp_path / "study")


def test_card_says_where_the_model_comes_from(
    model: Path, trained_study: Study, heads: Heads
) -> None:
    loaded = load_model(model, CPU)
    assert loaded.card.study == trained_study.name
    assert loaded.card.round == 1
    assert heads.names[0] in loaded.card.training_scans
    assert 0 < loaded.card.validation_dice <= 1
    low, high = loaded.card.volume_ml
    assert 0 < low < high < math.inf
    assert loaded.autoencoder is not None
    settings = trained_study.settings()
    finetuned = {"prediction.threshold": settings.finetuning.threshold}
    assert loaded.segmenter.settings == override(settings, finetuned)
    assert isinstance(loaded.card.training_scans, tuple)


def test_model_file_leaves_the_optimiser_behind(model: Path, trained_study: Study) -> None:
    saved = load_checkpoint(model, "model")
    assert "optimiser" not in saved["segmenter"]
    assert "rng" not in saved["segmenter"]
    assert model.stat().st_size < (trained_study.rounds.folder(1) / "segmenter.pt").stat().st_size


def test_an_older_round_can_be_applied(
    trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    run(trained_study.folder, [heads.scans[1]], tmp_path, round_=0)
    found = np.asarray(load(tmp_path / (heads.names[1] + MASK_SUFFIX)).dataobj)
    expected = np.asarray(load(trained_study.rounds.pseudo_label_path(0, heads.names[1])).dataobj)
    assert np.array_equal(found, expected)


def test_newest_finished_round_counts(trained_copy: Study) -> None:
    assert newest_trained_round(trained_copy) == 1
    path = trained_copy.rounds.folder(2) / "segmenter.pt"
    state = load_checkpoint(trained_copy.rounds.folder(1) / "segmenter.pt", "segmenter")
    save_checkpoint(path, "segmenter", {**state, "done": False})  # begun, and stopped
    assert newest_trained_round(trained_copy) == 1
    assert open_model(trained_copy.folder, CPU).card.round == 1
    assert open_model(trained_copy.folder / "study.json", CPU).card.round == 1


def test_a_round_that_is_not_trained_is_said(
    trained_study: Study, model: Path, heads: Heads, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"Round 7 .* is not trained") as caught:
        run(trained_study.folder, [heads.scans[1]], tmp_path, round_=7)
    assert "1, 0" in caught.value.hint
    with pytest.raises(UserError, match="one model only"):
        run(model, [heads.scans[1]], tmp_path, round_=0)


def test_an_older_round_can_be_exported_with_its_card(
    trained_study: Study, tmp_path: Path
) -> None:
    beside = export_model(trained_study, tmp_path / "first.pt", 0)
    card = read_card(tmp_path / "first.pt")
    assert card == load_model(tmp_path / "first.pt", CPU).card
    assert (card.round, card.training_scans) == (0, trained_study.masks.names())
    assert beside == tmp_path / "first_card.md"
    assert "round 0" in beside.read_text()


def test_card_names_what_was_learned_from_not_what_was_decided_later(
    trained_copy: Study,
) -> None:
    learned = model_card(trained_copy, 1).training_scans
    other = next(name for name in trained_copy.scans.names if name not in learned)
    trained_copy.decisions.decide(other, "accepted")
    assert model_card(trained_copy, 1).training_scans == learned


def test_untrained_study_says_so(study: Study, heads: Heads, tmp_path: Path) -> None:
    for do in (lambda: run(study.folder, [heads.scans[1]], tmp_path / "out"),
               lambda: export_model(study, tmp_path / "model.pt")):
        with pytest.raises(UserError, match="no trained model") as caught:
            do()
        assert "singlestrip run" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_not_a_model_is_said(content: bytes, heads: Heads, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.pt"):
        run(path, [heads.scans[1]], tmp_path / "out")


# --- flags and failures


def test_unusual_volumes_and_errors_are_flagged(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    saved = load_checkpoint(model, "model")
    narrow = tmp_path / "narrow.pt"
    card = '{"volume_ml": [1.0, 2.0], "max_error": 0.0}'
    save_checkpoint(narrow, "model", {**saved, "card": card})
    events = run(narrow, [heads.scans[1]], tmp_path / "out")
    flag = table(tmp_path / "out")[heads.names[1]]["flag"]
    assert "outside 1 to 2 mL" in flag
    assert "autoencoder error" in flag
    notes = [e for e in events if isinstance(e, Note)]
    assert [(n.level, n.scan) for n in notes] == [("warning", heads.names[1])]


def test_heads_like_those_of_the_study_are_not_flagged(
    trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    flagged = {row.scan for row in trained_study.rounds.scores(1) if row.flag}
    usual = [p for p, n in zip(heads.scans, heads.names, strict=True) if n not in flagged][1:]
    run(trained_study.folder, usual, tmp_path)
    assert {row["flag"] for row in table(tmp_path).values()} == {""}


def test_model_without_autoencoder_still_applies(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    saved = load_checkpoint(model, "model")
    save_checkpoint(tmp_path / "lean.pt", "model", {**saved, "autoencoder": {}})
    run(tmp_path / "lean.pt", [heads.scans[1]], tmp_path / "out")
    assert table(tmp_path / "out")[heads.names[1]]["autoencoder_error"] == ""


def test_a_bad_scan_is_reported_and_the_rest_goes_on(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(heads.scans[2].read_bytes()[:3000])
    events = run(model, [bad, heads.scans[1]], tmp_path / "out")
    rows = table(tmp_path / "out")
    assert rows["bad"]["mask"] == ""
    assert "bad" in rows["bad"]["flag"]
    assert rows[heads.names[1]]["mask"]
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.summary == {"masks": 1, "failed": 1}
    assert [e.scan for e in events if isinstance(e, Note) and e.level == "warning"][:1] == ["bad"]


def test_head_without_a_brain_is_flagged_and_not_written(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    events = run(model, [heads.scans[1]], tmp_path, overrides={"prediction.threshold": 0.999999})
    (row,) = table(tmp_path).values()
    if row["mask"] == "":  # the tiny net may be that sure
        assert row["flag"] == "no brain was found"
        assert not list(tmp_path.glob("*.nii.gz"))
        assert any(isinstance(e, Note) and "no brain" in e.text for e in events)


def test_stopping_keeps_the_masks_that_are_done(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    scans = [heads.scans[1]] * 4
    files = [tmp_path / f"{n}.nii.gz" for n in range(len(scans))]
    for file, scan in zip(files, scans, strict=True):
        file.write_bytes(scan.read_bytes())
    out, before = tmp_path / "out", set(threading.enumerate())
    events = apply(model, files, out, device="cpu", brain=True)
    for event in events:
        if isinstance(event, Progress):
            break
    events.close()  # type: ignore[attr-defined]
    # The second was predicted meanwhile: it is not lost.
    assert sorted(seen(out)) == sorted(
        [TABLE, *(name + suffix for name in "01" for suffix in (MASK_SUFFIX, BRAIN_SUFFIX))]
    )
    assert [row.scan for row in read_table(out / TABLE)] == ["0", "1"]
    assert all(np.asarray(load(path).dataobj).any() for path in out.glob("*.nii.gz"))
    assert set(threading.enumerate()) <= before


def test_a_scan_is_told_of_once_its_mask_and_row_are_there(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    scans = [tmp_path / f"{name}.nii.gz" for name in "abc"]
    for scan, head, size in zip(scans, heads.scans[:3], (None, 3000, None), strict=True):
        scan.write_bytes(head.read_bytes()[:size])  # b is damaged
    told: list[str] = []
    for event in apply(model, scans, tmp_path / "out", device="cpu"):
        rows = {row.scan: row for row in read_table(tmp_path / "out" / TABLE)}
        assert all(load(tmp_path / "out" / row.mask).shape for row in rows.values() if row.mask)
        if isinstance(event, Progress):
            told.append(list(rows)[event.step - 1])
        elif isinstance(event, Wrote) and event.path != TABLE:
            assert event.path in {row.mask for row in rows.values()}
    assert told == ["a", "b", "c"] and not rows["b"].mask


def test_a_mask_that_cannot_be_written_is_flagged_and_the_rest_goes_on(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    (tmp_path / (heads.names[1] + MASK_SUFFIX)).mkdir()
    events = run(model, list(heads.scans[1:3]), tmp_path)
    rows = read_table(tmp_path / TABLE)
    assert [row.scan for row in rows] == list(heads.names[1:3])
    assert [bool(row.mask) for row in rows] == [False, True]
    assert heads.names[1] in rows[0].flag and math.isnan(rows[0].volume_ml)
    assert [e.step for e in events if isinstance(e, Progress)] == [1, 2]


def test_how_a_doubtful_scan_was_read_is_told(model: Path, heads: Heads, tmp_path: Path) -> None:
    plain, doubtful = tmp_path / "plain.nii.gz", tmp_path / "micron.nii.gz"
    shutil.copy(heads.scans[1], plain)
    image = load(plain)
    affine = np.diag([1000.0, 1000, 1000, 1]) @ image.affine
    odd = nib.Nifti1Image(np.asarray(image.dataobj), affine)
    odd.header.set_xyzt_units("micron")
    nib.save(odd, doubtful)
    events = run(model, [plain, doubtful], tmp_path / "out")
    told = [e for e in events if isinstance(e, Note) and "micrometres" in e.text]
    assert [(e.level, e.scan) for e in told] == [("warning", "micron")]
    rows = table(tmp_path / "out")
    assert float(rows["micron"]["volume_ml"]) == pytest.approx(
        float(rows["plain"]["volume_ml"]), rel=1e-3
    )
    mask = load(tmp_path / "out" / f"micron{MASK_SUFFIX}")
    np.testing.assert_array_equal(mask.affine, load(doubtful).affine)


# --- applied again


def test_masks_that_are_there_stay_unless_asked_for_again(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    first, second = heads.scans[1:3]
    run(model, [first], tmp_path)
    by_hand = tmp_path / (heads.names[1] + MASK_SUFFIX)
    whole = load(by_hand)
    painted = np.zeros(whole.shape, np.uint8)
    painted[5:15, 5:15, 5:15] = 1
    nib.save(nib.Nifti1Image(painted, whole.affine, whole.header), by_hand)
    corrected = by_hand.read_bytes()
    os.utime(by_hand, (1, 1))  # times say nothing: the folder may have been copied

    events = run(model, [first, second], tmp_path)
    assert by_hand.read_bytes() == corrected
    assert any(isinstance(e, Note) and "1 of 2 masks" in e.text for e in events)
    rows = read_table(tmp_path / TABLE)
    assert [r.scan for r in rows] == list(heads.names[1:3])
    voxel_ml = abs(np.linalg.det(whole.affine[:3, :3])) / 1000
    # The volume is that of the corrected mask; what its forerunner was said to be is gone.
    assert rows[0].volume_ml == pytest.approx(1000 * voxel_ml, rel=1e-4)
    assert rows[0].model == rows[0].flag == "" and math.isnan(rows[0].autoencoder_error)

    os.utime(by_hand)
    known = (tmp_path / TABLE).read_bytes()
    events = run(model, [first, second], tmp_path)  # nothing changed: nothing is done
    assert not [e for e in events if isinstance(e, Progress)]
    assert (tmp_path / TABLE).read_bytes() == known

    run(model, [first], tmp_path, overwrite=True)
    assert np.array_equal(load(by_hand).dataobj, whole.dataobj)
    assert [r.scan for r in read_table(tmp_path / TABLE)] == list(heads.names[1:3])


def test_mask_without_a_row_gets_one(model: Path, heads: Heads, tmp_path: Path) -> None:
    """Of a job that was killed in between, or put there by hand after a failure."""
    run(model, list(heads.scans[1:3]), tmp_path)
    first, second = read_table(tmp_path / TABLE)
    masks = [tmp_path / row.mask for row in (first, second)]
    before = [mask.read_bytes() for mask in masks]
    (tmp_path / TABLE).unlink()
    add_row(tmp_path / TABLE, AppliedRow(second.scan, flag="no brain was found"))

    events = run(model, list(heads.scans[1:3]), tmp_path)
    assert any(isinstance(e, Note) and "2 of 2 masks" in e.text for e in events)
    assert [mask.read_bytes() for mask in masks] == before
    rows = {row.scan: row for row in read_table(tmp_path / TABLE)}
    for row in (first, second):  # what made the mask is not known any more
        found = rows[row.scan]
        assert (found.volume_ml, found.mask, found.file) == (row.volume_ml, row.mask, row.file)
        assert found.model == found.flag == "" and math.isnan(found.autoencoder_error)


def test_brain_is_cut_out_by_the_mask_that_is_there(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    run(model, [heads.scans[1]], tmp_path)
    by_hand, scan = tmp_path / (heads.names[1] + MASK_SUFFIX), load(heads.scans[1])
    corrected = np.zeros(scan.shape, np.uint8)
    corrected[5:9, 5:9, 5:9] = 1
    nib.save(nib.Nifti1Image(corrected, scan.affine), by_hand)
    before = by_hand.read_bytes()

    run(model, [heads.scans[1]], tmp_path, brain=True)
    assert by_hand.read_bytes() == before
    brain = np.asarray(load(tmp_path / (heads.names[1] + BRAIN_SUFFIX)).dataobj)
    assert np.array_equal(brain, np.where(corrected, np.asarray(scan.dataobj), 0))
    (row,) = read_table(tmp_path / TABLE)
    voxel_ml = abs(np.linalg.det(scan.affine[:3, :3])) / 1000
    assert row.volume_ml == pytest.approx(64 * voxel_ml, rel=1e-4)


def test_another_table_of_that_name_is_not_written_over(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    (tmp_path / TABLE).write_text("subject,ml\n1,2\n")
    with pytest.raises(UserError, match="cannot be read as a table"):
        run(model, [heads.scans[1]], tmp_path)
    assert (tmp_path / TABLE).read_text() == "subject,ml\n1,2\n"
    assert not list(tmp_path.glob("*.nii.gz"))


def test_table_names_file_and_model(model: Path, heads: Heads, tmp_path: Path) -> None:
    run(model, [heads.scans[1]], tmp_path)
    (row,) = read_table(tmp_path / TABLE)
    assert row.file == str(heads.scans[1])
    assert row.model == "study, round 1"


def test_scans_are_never_changed(model: Path, heads: Heads, tmp_path: Path) -> None:
    before = [p.read_bytes() for p in heads.scans]
    run(model, list(heads.scans), tmp_path, brain=True)
    assert [p.read_bytes() for p in heads.scans] == before


def test_prediction_settings_can_be_changed(model: Path, heads: Heads, tmp_path: Path) -> None:
    volumes = []
    for border in (-8, 0, 8):
        out = tmp_path / str(border)
        run(model, [heads.scans[1]], out, overrides={"prediction.border_mm": border})
        volumes.append(float(table(out)[heads.names[1]]["volume_ml"]))
    assert volumes[0] < volumes[1] < volumes[2]


@pytest.mark.parametrize("name", ["training.steps", "network.channels", "prediction.nothing"])
def test_other_settings_cannot(model: Path, heads: Heads, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=name):
        run(model, [heads.scans[1]], tmp_path / "out", overrides={name: 1})


def test_folders_tell_scans_of_one_name_apart(
    model: Path, trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    name = heads.names[1]
    twin = tmp_path / "twin" / heads.scans[1].name.upper()
    twin.parent.mkdir()
    twin.write_bytes(heads.scans[2].read_bytes())
    run(model, [heads.scans[1], twin], tmp_path / "out", brain=True)
    named = {f"{heads.scans[1].parent.name}_{name}": heads.scans[1], f"twin_{name.upper()}": twin}
    rows = table(tmp_path / "out")
    assert {scan: Path(row["file"]) for scan, row in rows.items()} == named
    for scan, row in rows.items():
        assert row["mask"] == scan + MASK_SUFFIX
        assert (tmp_path / "out" / (scan + BRAIN_SUFFIX)).is_file()
    # Applied by its study, a scan of the study is called as there.
    run(trained_study.folder, [heads.scans[1], twin], tmp_path / "again")
    assert set(table(tmp_path / "again")) == {name, f"twin_{name.upper()}"}


@pytest.fixture
def people(heads: Heads, tmp_path: Path) -> list[Path]:
    """Two people of one protocol: one file name, one grid."""
    whole = load(heads.scans[1])
    shifted = np.roll(np.asarray(whole.dataobj), 3, axis=1)
    files = [tmp_path / person / "T1.nii.gz" for person in ("p1", "p2")]
    for file, values in zip(files, (np.asarray(whole.dataobj), shifted), strict=True):
        file.parent.mkdir()
        nib.save(nib.Nifti1Image(values, whole.affine), file)
    return files


@pytest.mark.parametrize("in_one_call", [True, False])
@pytest.mark.parametrize("brain", [True, False])
def test_each_person_has_a_mask_of_their_own(
    model: Path, people: list[Path], tmp_path: Path, in_one_call: bool, brain: bool
) -> None:
    out = tmp_path / "out"
    calls = [people] if in_one_call else [[one] for one in people]
    for options in ({}, {"brain": brain}, {"overwrite": True, "brain": brain}):
        for call in calls:
            run(model, call, out, **options)
        rows = {Path(row.file): row for row in read_table(out / TABLE)}
        assert set(rows) == set(people) and len(list(out.glob(f"*{MASK_SUFFIX}"))) == 2
        for n, person in enumerate(people):
            run(model, [person], tmp_path / f"right{n}")
            right = np.asarray(load(tmp_path / f"right{n}" / f"T1{MASK_SUFFIX}").dataobj)
            assert np.array_equal(np.asarray(load(out / rows[person].mask).dataobj), right)
    if brain:
        for person, row in rows.items():
            mask = np.asarray(load(out / row.mask).dataobj)
            cut = np.asarray(load(out / (row.scan + BRAIN_SUFFIX)).dataobj)
            assert np.array_equal(cut, np.where(mask, np.asarray(load(person).dataobj), 0))


def test_a_replaced_scan_keeps_no_mask_and_loses_none(
    model: Path, people: list[Path], tmp_path: Path
) -> None:
    first, second = people
    out = tmp_path / "out"
    run(model, [first], out)
    mask, table_before = out / f"T1{MASK_SUFFIX}", (out / TABLE).read_bytes()
    before = mask.read_bytes()
    first.write_bytes(second.read_bytes())
    for _ in range(2):
        events = run(model, [first], out, brain=True)
        assert mask.read_bytes() == before and (out / TABLE).read_bytes() == table_before
        assert not (out / f"T1{BRAIN_SUFFIX}").exists()
        (warning,) = (e for e in events if isinstance(e, Note) and e.level == "warning")
        assert "has changed since" in warning.text and "--overwrite" in warning.text
        assert isinstance(events[-1], Finished) and events[-1].summary["failed"] == 1
    run(model, [first], out, overwrite=True)
    assert mask.read_bytes() != before
    assert isinstance(run(model, [first], out)[-1], Finished)


def test_the_same_command_again_finds_nothing_new_in_its_own_results(
    model: Path, people: list[Path], tmp_path: Path
) -> None:
    out = people[0].parent / "derived"
    run(model, [people[0].parent], out, brain=True)
    before = seen(out)
    events = run(model, [people[0].parent], out, brain=True)
    assert seen(out) == before and not [e for e in events if isinstance(e, Progress)]
    (note,) = (e.text for e in events if isinstance(e, Note) and "Skipped" in e.text)
    assert "2 files made by this program" in note


def test_a_brain_is_cut_anew_after_its_mask_was_replaced(
    model: Path, people: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(model, people[:1], out, brain=True)
    brain, mask = out / f"T1{BRAIN_SUFFIX}", out / f"T1{MASK_SUFFIX}"
    before = np.asarray(load(brain).dataobj)
    run(model, people[:1], out, overwrite=True, overrides={"prediction.border_mm": -8})
    os.utime(brain, (2e9, 2e9))  # copied: a time says nothing
    run(model, people[:1], out, brain=True)
    inside = np.asarray(load(mask).dataobj) > 0
    after = np.asarray(load(brain).dataobj)
    assert not after[~inside].any() and not np.array_equal(after, before)


def test_what_an_older_version_wrote_is_measured_once_more(
    model: Path, people: list[Path], tmp_path: Path
) -> None:
    run(model, people[:1], tmp_path, brain=True)
    mask, brain = tmp_path / f"T1{MASK_SUFFIX}", tmp_path / f"T1{BRAIN_SUFFIX}"
    (row,) = read_table(tmp_path / TABLE)
    assert row.mask_digest == row.brain_mask_digest == file_digest(mask)
    before = mask.read_bytes(), brain.read_bytes()
    add_row(tmp_path / TABLE, replace(row, mask_digest="", brain_mask_digest=""))
    steps = [
        len([e for e in run(model, people[:1], tmp_path, brain=True) if isinstance(e, Progress)])
        for _ in range(2)
    ]
    assert steps == [1, 0]
    (again,) = read_table(tmp_path / TABLE)
    assert again.mask_digest == again.brain_mask_digest == row.mask_digest
    assert again.volume_ml == row.volume_ml and (mask.read_bytes(), brain.read_bytes()) == before


def test_a_copied_folder_of_results_is_as_done_as_the_first(
    model: Path, people: list[Path], tmp_path: Path
) -> None:
    run(model, people[:1], tmp_path / "out", brain=True)
    for path in sorted((tmp_path / "out").iterdir(), reverse=True):  # the table before the masks
        (tmp_path / "copy").mkdir(exist_ok=True)
        shutil.copyfile(path, tmp_path / "copy" / path.name)
        os.utime(tmp_path / "copy" / path.name, (len(path.name), len(path.name)))
    events = run(model, people[:1], tmp_path / "copy", brain=True)
    assert not [e for e in events if isinstance(e, Progress)]


def test_a_file_name_is_no_folder_for_masks(
    model: Path, people: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="name of a file") as caught:
        run(model, people[:1], tmp_path / "mask.nii.gz")
    assert "such as mask" in caught.value.hint
    assert not (tmp_path / "mask.nii.gz").exists()


def test_scans_that_no_folder_tells_apart_are_refused(
    model: Path, heads: Heads, tmp_path: Path
) -> None:
    for ending in ("", ".gz"):
        (tmp_path / f"T1.nii{ending}").write_bytes(heads.scans[1].read_bytes())
    with pytest.raises(UserError, match="Two scans"):
        run(model, [tmp_path / "T1.nii", tmp_path / "T1.nii.gz"], tmp_path / "out")


def test_no_scans_are_said(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError):
        run(model, [tmp_path / "empty"], tmp_path / "out")


def test_card_of_a_study_leaves_out_what_was_flagged(trained_copy: Study) -> None:
    from dataclasses import replace

    rows = trained_copy.rounds.scores(1)
    odd = replace(rows[-1], volume_ml=90000.0, autoencoder_error=0.99, flag="large")
    trained_copy.rounds.save_scores(1, [*rows[:-1], odd])
    card = model_card(trained_copy, 1)
    assert card.volume_ml[1] < 90000
    assert card.max_error < 0.99 * 1.5


def test_what_was_too_large_for_memory_is_said_with_its_scan(
    model: Path, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_singlestrip.engine.learning import inference

    one, asked = inference._one, [0]

    def full_at_first(reader: inference.Reader, picture: Any) -> Any:
        asked[0] += 1
        if asked[0] == 1:
            raise MemoryError
        return one(reader, picture)

    monkeypatch.setattr(inference, "_one", full_at_first)
    events = run(model, [*heads.scans[:2]], tmp_path / "out")
    (note,) = (event for event in events if isinstance(event, Note) and "too large" in event.text)
    assert note.scan == heads.names[0] and note.level == "warning"
    assert len(seen(tmp_path / "out")) >= 2
