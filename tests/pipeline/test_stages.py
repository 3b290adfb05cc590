"""The stages, end to end on a tiny study: complete, resumable, and blind to references."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import make_study

from napari_singlestrip.engine.imaging.volume import load_marks, open_scan
from napari_singlestrip.engine.learning import segmenter
from napari_singlestrip.engine.learning.autoencoder import load_autoencoder
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.prediction import to_mask
from napari_singlestrip.engine.learning.segmenter import load_segmenter
from napari_singlestrip.engine.learning.segmenter_training import segmenter_task
from napari_singlestrip.engine.learning.training import is_done
from napari_singlestrip.engine.masks.doubt import TOO_LITTLE, TOO_MUCH, doubted, places
from napari_singlestrip.engine.overrides import override
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress, Started, Wrote
from napari_singlestrip.pipeline import learn as learn_stage
from napari_singlestrip.pipeline import rank as rank_stage
from napari_singlestrip.pipeline import round_segmenter, stages, trained_model
from napari_singlestrip.pipeline import training_data as training_data_stage
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.pipeline.training_data import geometry_of_study, load_example
from napari_singlestrip.study.round_folder import (
    RoundFolder,
    doubts_path,
    heat_map_path,
    settings_of_run,
)
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.training_set import masks_by_hand, masks_of_round

if TYPE_CHECKING:
    from conftest import Heads

# A run of a study takes seconds; what only looks at one looks at the one of all tests.
SOON = {"training__steps": 4, "autoencoder__steps": 3, "finetuning__steps": 2,
        "finetuning__rounds": 0}


def run(study: Study, **options: Any) -> list[Event]:
    return list(stages.run(study, device="cpu", **options))


def load(path: Path) -> Any:
    return nib.load(path)  # nibabel's own types do not know of values


def stages_of(events: list[Event]) -> list[str]:
    return [event.stage for event in events if isinstance(event, Started) and event.stage]


def tree(folder: Path) -> dict[str, int]:
    """All files of a study with their times."""
    return {
        str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture
def soon(tmp_path: Path, heads: Heads) -> Study:
    """A study that is done in a few seconds, without fine-tuning."""
    return make_study(tmp_path / "soon", heads, **SOON)


# --- what a run leaves behind


def test_a_run_is_complete(trained_study: Study, heads: Heads) -> None:
    painted, *others = heads.names
    assert trained_study.rounds.numbers() == [0, 1]
    for round_ in (0, 1):
        folder = RoundFolder(trained_study.rounds.folder(round_))
        assert is_done(folder.segmenter, "segmenter")
        assert (folder.previews / "synthetic.png").is_file()
        assert folder.read_settings() == trained_study.settings()
        rows = trained_study.rounds.scores(round_)
        assert sorted(row.scan for row in rows) == sorted(others)
        assert [row.rank for row in rows] == [1, 2, 3]
        assert any(row.selected for row in rows)
        assert not trained_study.rounds.pseudo_label_path(round_, painted).exists()
        for name in others:
            for path in (
                trained_study.rounds.pseudo_label_path(round_, name),
                trained_study.rounds.reconstruction_path(round_, name),
                heat_map_path(trained_study, round_, name),
                doubts_path(trained_study, round_, name),
            ):
                scan, mask = load(trained_study.scans.path(name)), load(path)
                assert mask.shape == scan.shape
                assert np.allclose(mask.affine, scan.affine)
    assert is_done(RoundFolder(trained_study.rounds.folder(0)).autoencoder, "autoencoder")


def test_masks_have_learned_something(trained_study: Study, heads: Heads) -> None:
    for name, file in zip(heads.names[1:], heads.masks[1:], strict=True):
        found = load(trained_study.rounds.pseudo_label_path(1, name)).get_fdata() > 0
        true = load(file).get_fdata() > 0
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.5


def test_scores_fit_the_masks(trained_study: Study) -> None:
    for row in trained_study.rounds.scores(1):
        image = load(trained_study.rounds.pseudo_label_path(1, row.scan))
        voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
        assert row.volume_ml == pytest.approx(image.get_fdata().sum() * voxel_ml, rel=1e-3)
        assert 0 <= row.autoencoder_error <= 1
        assert 0 <= row.consistency <= 1


def test_heat_map_is_mask_minus_reconstruction(trained_study: Study) -> None:
    name = trained_study.rounds.scores(1)[0].scan
    heat = load(heat_map_path(trained_study, 1, name)).get_fdata()
    mask = load(trained_study.rounds.pseudo_label_path(1, name)).get_fdata() > 0
    assert -1 <= heat.min() <= heat.max() <= 1
    assert (heat[mask] >= 0).all()
    assert (heat[~mask] <= 0).all()


def test_what_is_doubted_is_kept_beside_the_heat_map(trained_study: Study) -> None:
    for row in trained_study.rounds.scores(1):
        scan = open_scan(trained_study.scans.path(row.scan))
        heat = load(heat_map_path(trained_study, 1, row.scan)).get_fdata()
        mask = load(trained_study.rounds.pseudo_label_path(1, row.scan)).get_fdata() > 0
        marks = load_marks(doubts_path(trained_study, 1, row.scan), like=scan)
        assert np.array_equal(marks, doubted(heat, mask, scan.grid))
        assert (heat[marks == TOO_MUCH] > 0).all()
        assert (heat[marks == TOO_LITTLE] < 0).all()
        found = [place.volume_ml for place in places(marks, mask, scan.grid)]
        assert row.largest_place_ml == pytest.approx(max(found, default=0), rel=1e-4)


def test_provenance_of_every_mask_is_recorded(trained_study: Study, heads: Heads) -> None:
    selected = [row.scan for row in trained_study.rounds.scores(0) if row.selected]
    for round_, expected in ((0, []), (1, selected)):
        text = RoundFolder(trained_study.rounds.folder(round_)).training_set.read_text()
        rows = json.loads(text)
        assert [row["scan"] for row in rows if row["kind"] == "painted"] == [heads.names[0]]
        assert sorted(r["scan"] for r in rows if r["kind"] == "selected") == sorted(expected)
        for row in rows:
            assert (trained_study.folder / row["path"]).is_file()


def test_no_temporary_files_are_left(trained_study: Study) -> None:
    assert not [p for p in trained_study.folder.rglob("*") if p.name.startswith((".~", ".lock"))]


def test_scans_and_painted_mask_are_untouched(trained_study: Study, heads: Heads) -> None:
    stored = load(trained_study.masks.path(heads.names[0])).get_fdata()
    assert np.array_equal(stored, load(heads.masks[0]).get_fdata())


# --- order, resuming, doing again


def test_running_again_does_nothing(trained_copy: Study) -> None:
    before = tree(trained_copy.folder)
    events = run(trained_copy)
    assert stages_of(events) == []
    assert isinstance(events[-1], Finished)
    assert tree(trained_copy.folder) == before


def test_events_come_in_order_and_end_once(soon: Study) -> None:
    events = run(soon, rounds=1)
    order = ["train", "autoencoder", "predict", "rank", "finetune", "predict", "rank"]
    assert stages_of(events) == order
    assert [type(e) for e in events].count(Finished) == 1
    assert isinstance(events[-1], Finished)
    for event in events:
        if isinstance(event, Wrote):
            assert (soon.folder / event.path).is_file()
        if isinstance(event, Progress):
            assert 1 <= event.step <= event.n_steps
    # Another round is added to those that are done.
    assert stages_of(run(soon, rounds=2)) == ["finetune", "predict", "rank"]
    assert soon.rounds.numbers() == [0, 1, 2]


@pytest.mark.parametrize(("n_painted", "share"), [(1, 0.0), (2, 0.5)])
def test_real_scans_are_learned_from_where_several_were_painted(
    tmp_path: Path, heads: Heads, monkeypatch: pytest.MonkeyPatch, n_painted: int, share: float
) -> None:
    """The network would overfit to a single scan."""
    shares: list[float] = []
    thresholds: list[float] = []

    def record(*args: Any, **options: Any) -> Any:
        shares.append(options["real_fraction"])
        return segmenter_task(*args, **options)

    def threshold(found: Any, volume: Any, settings: Any, *rest: Any) -> Any:
        thresholds.append(settings.prediction.threshold)
        return to_mask(found, volume, settings, *rest)

    monkeypatch.setattr(learn_stage, "segmenter_task", record)
    monkeypatch.setattr(segmenter, "to_mask", threshold)
    study = make_study(tmp_path / "soon", heads, training__real_fraction=0.5, **SOON)
    for name, mask in list(zip(heads.names, heads.masks, strict=True))[1:n_painted]:
        study.masks.import_file(name, mask)
    run(study, stages=["train", "predict"])
    assert shares == [share]
    model = RoundFolder(study.rounds.folder(0)).segmenter
    applied_with = load_segmenter(model, torch.device("cpu")).settings.prediction.threshold
    assert set(thresholds) == {applied_with} == {0.5 if share else 0.6}


@pytest.mark.parametrize(("share", "threshold"), [(0.0, 0.6), (0.8, 0.5)])
def test_network_fine_tuned_on_synthetic_heads_alone_is_still_generous(
    tmp_path: Path, heads: Heads, monkeypatch: pytest.MonkeyPatch, share: float, threshold: float
) -> None:
    thresholds: list[float] = []

    def record(found: Any, volume: Any, settings: Any, *rest: Any) -> Any:
        thresholds.append(settings.prediction.threshold)
        return to_mask(found, volume, settings, *rest)

    study = make_study(tmp_path / "soon", heads, finetuning__real_fraction=share, **SOON)
    run(study, stages=["train", "autoencoder", "predict", "rank"])
    monkeypatch.setattr(segmenter, "to_mask", record)
    run(study, stages=["finetune", "predict"])
    model = RoundFolder(study.rounds.folder(1)).segmenter
    applied_with = load_segmenter(model, torch.device("cpu")).settings.prediction.threshold
    assert set(thresholds) == {applied_with} == {threshold}


@pytest.mark.parametrize("seed", range(3))
def test_closed_anywhere_it_goes_on_where_it_was(
    soon: Study, tmp_path: Path, heads: Heads, seed: int
) -> None:
    """Stopped at several events, the result is that of an undisturbed run, bit for bit."""
    rng = np.random.default_rng(seed)
    for _ in range(6):
        events = stages.run(soon, device="cpu")
        for _ in range(int(rng.integers(1, 12))):
            next(events, None)
        events.close()  # type: ignore[attr-defined]
    assert isinstance(run(soon)[-1], Finished)
    whole = make_study(tmp_path / "whole", heads, **SOON)
    run(whole)
    for one, two in ((soon, whole),):
        assert one.rounds.scores_path(0).read_text() == two.rounds.scores_path(0).read_text()
        for name in heads.names[1:]:
            a, b = (load(s.rounds.pseudo_label_path(0, name)).get_fdata() for s in (one, two))
            assert np.array_equal(a, b)
    saved = load_checkpoint(RoundFolder(soon.rounds.folder(0)).segmenter, "segmenter")
    assert saved["step"] == 4


@pytest.fixture(autouse=True)
def same_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which precision is fastest changes from run to run, and with it the last bits."""
    from napari_singlestrip.engine.devices.precision import Precision
    from napari_singlestrip.engine.learning import training

    monkeypatch.setattr(training, "probe_precision", lambda *_, **__: Precision())


def test_chosen_stages_run_in_their_natural_order(trained_copy: Study) -> None:
    events = run(trained_copy, stages=["rank", "predict"])
    assert stages_of(events) == ["predict", "rank"]  # asked for by name: done again
    assert all(e.detail == "round 1" for e in events if isinstance(e, Started) and e.stage)


def test_finetune_begins_the_next_round(trained_copy: Study) -> None:
    events = run(trained_copy, stages=["finetune"])
    assert stages_of(events) == ["finetune"]
    assert trained_copy.rounds.current() == 2
    prepared = [e for e in events if isinstance(e, Progress) and e.stage == "prepare"]
    starts = [i for i, event in enumerate(prepared) if event.step == 1]
    series = [prepared[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
    assert len(series) == 3  # reading the scans, predicting labels again, reading them again
    for part in series:
        n = len(part)
        assert [(e.step, e.n_steps) for e in part] == [(i, n) for i in range(1, n + 1)]
    events = run(trained_copy, stages=["predict", "rank"])
    assert {e.detail for e in events if isinstance(e, Started) and e.stage} == {"round 2"}


def test_finetune_that_was_stopped_goes_on(trained_copy: Study) -> None:
    events = stages.run(trained_copy, device="cpu", stages=["finetune"])
    for event in events:
        if isinstance(event, Progress) and (event.stage, event.step) == ("finetune", 2):
            break
    events.close()  # type: ignore[attr-defined]
    progress = [e for e in run(trained_copy, stages=["finetune"]) if isinstance(e, Progress)]
    assert next(e.step for e in progress if e.stage == "finetune") == 3
    assert trained_copy.rounds.current() == 2


def test_round_that_was_stopped_before_its_ranking_is_finished_first(trained_copy: Study) -> None:
    """The next round would otherwise learn without pseudo-labels."""
    run(trained_copy, stages=["finetune"])
    late = trained_copy.scans.names[-1]
    run(trained_copy, stages=["predict"])
    trained_copy.rounds.pseudo_label_path(2, late).unlink()
    again = ["finetune", "autoencoder", "predict", "rank"]
    events = run(trained_copy, stages=again)
    assert stages_of(events) == ["predict", "rank"]
    predicted = [e for e in events if isinstance(e, Progress) and e.stage == "predict"]
    assert [e.n_steps for e in predicted] == [1]  # what was predicted is not predicted again
    assert trained_copy.rounds.current() == 2
    assert {row.scan for row in trained_copy.rounds.scores(2)} == set(trained_copy.scans.names[1:])
    assert "finetune" in stages_of(run(trained_copy, stages=again))
    assert trained_copy.rounds.current() == 3


def test_threshold_is_that_of_how_the_round_was_trained(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    thresholds: list[float] = []

    def record(found: Any, volume: Any, settings: Any, *rest: Any) -> Any:
        thresholds.append(settings.prediction.threshold)
        return to_mask(found, volume, settings, *rest)

    monkeypatch.setattr(segmenter, "to_mask", record)
    run(trained_copy, stages=["finetune"], overrides={"finetuning.real_fraction": 0.0})
    run(trained_copy, stages=["predict"])
    model = RoundFolder(trained_copy.rounds.folder(2)).segmenter
    applied_with = load_segmenter(model, torch.device("cpu")).settings.prediction.threshold
    assert set(thresholds) == {applied_with}


def test_mask_that_is_no_longer_found_is_not_learned_from(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_: Any, volume: Any, *__: Any) -> Any:
        return np.zeros(volume.grid.shape, bool)

    monkeypatch.setattr(segmenter, "to_mask", nothing)
    events = run(trained_copy, stages=["predict", "rank"])
    names = trained_copy.scans.names[1:]
    assert {e.scan for e in events if isinstance(e, Note) and "no brain" in e.text} == set(names)
    assert not any(trained_copy.rounds.pseudo_label_path(1, name).exists() for name in names)


def test_grid_stays_that_of_the_scan_that_was_painted_first(
    trained_copy: Study, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if scans that come earlier in the list are painted later."""
    masks = masks_by_hand(trained_copy)
    later = replace(masks[0], scan=heads.names[1])
    monkeypatch.setattr(training_data_stage, "masks_by_hand", lambda _: [later, *masks])
    opened: list[str] = []

    def record(path: Path) -> Any:
        opened.append(path.name)
        return open_scan(path)

    monkeypatch.setattr(training_data_stage, "open_scan", record)
    run(trained_copy, stages=["finetune"], overrides={"finetuning.steps": 1})
    assert opened[0] == trained_copy.scans.path(masks[0].scan).name


@pytest.mark.parametrize("start", ["previous", "scratch"])
def test_a_round_learns_on_or_anew(trained_copy: Study, start: str) -> None:
    def weights(round_: int) -> np.ndarray[Any, Any]:
        folder = RoundFolder(trained_copy.rounds.folder(round_))
        saved = load_checkpoint(folder.segmenter, "segmenter")
        return np.concatenate([value.flatten().numpy() for value in saved["average"].values()])

    little = {"finetuning.start": start, "finetuning.steps": 1, "finetuning.learning_rate": 1e-6}
    run(trained_copy, stages=["finetune"], overrides=little)
    assert np.allclose(weights(1), weights(2), atol=1e-4) == (start == "previous")


def test_soft_labels_are_those_of_pseudo_labels_only(trained_copy: Study) -> None:
    settings = settings_of_run(trained_copy, None, {}, None)
    job = Job(trained_copy, settings, torch.device("cpu"))
    soft = replace(job, settings=override(settings, {"finetuning.soft_labels": True}))
    masks = masks_of_round(trained_copy, 1, job.settings.finetuning)
    kinds = {mask.kind for mask in masks}
    assert "painted" in kinds
    assert "selected" in kinds
    geometry = geometry_of_study(job)
    for mask in masks:
        hard, probable = (
            load_example(each, mask, geometry)[0].distance for each in (job, soft)
        )
        assert np.array_equal(hard, probable) == (mask.kind == "painted")
        # Where it was brain it is probably brain: 0.5 lies on the surface of the mask.
        assert ((hard < 0) == (probable < 0))[np.abs(hard) > 0.6].mean() > 0.9


def test_scores_that_depend_on_something_else_are_not_comparable(trained_copy: Study) -> None:
    settings = settings_of_run(trained_copy, None, {}, None)

    def measured_with(**changes: Any) -> str:
        dotted = {key.replace("__", "."): value for key, value in changes.items()}
        job = Job(trained_copy, override(settings, dotted), torch.device("cpu"))
        return rank_stage._measured_with(job, 1)

    assert measured_with() == measured_with(ranking__fraction=0.5)
    different: list[dict[str, Any]] = [
        {}, {"ranking__n_augmentations": 4}, {"ranking__views": 3},
        {"prediction__threshold": 0.4}, {"prediction__refine_border": False},
        {"prediction__remove_leaks": False},
    ]
    assert len({measured_with(**changes) for changes in different}) == len(different)


def test_varied_pseudo_labels_can_be_asked_for(trained_copy: Study) -> None:
    before = {row.scan for row in trained_copy.rounds.scores(1) if row.selected}
    run(trained_copy, stages=["rank"], overrides={"ranking.select": "varied"})
    assert len({row.scan for row in trained_copy.rounds.scores(1) if row.selected}) == len(before)


def test_autoencoder_learns_new_masks_made_by_hand(trained_copy: Study, heads: Heads) -> None:
    first = autoencoder_path(trained_copy, 1)
    assert first == RoundFolder(trained_copy.rounds.folder(0)).autoencoder
    chosen = ["finetune", "autoencoder", "predict", "rank"]
    assert "autoencoder" not in stages_of(run(trained_copy, stages=chosen))  # nothing new

    mask = trained_copy.rounds.pseudo_label_path(2, heads.names[1])
    trained_copy.decisions.decide(heads.names[1], "corrected", mask=mask)
    once = {"autoencoder.retrain_each_round": False}
    kept = run(trained_copy, stages=["autoencoder"], overrides=once)
    assert not stages_of(kept)
    assert stages_of(run(trained_copy, stages=chosen)) == chosen
    third = autoencoder_path(trained_copy, 3)
    assert third == RoundFolder(trained_copy.rounds.folder(3)).autoencoder
    assert [autoencoder_path(trained_copy, n) for n in (0, 2)] == [first, first]
    assert not stages_of(run(trained_copy, stages=["autoencoder"]))  # it knows them now

    trained_copy.decisions.decide(heads.names[1], "corrected", mask=heads.masks[1])
    assert stages_of(run(trained_copy, stages=chosen)) == chosen  # corrected again


def test_ranking_and_model_take_the_autoencoder_of_their_round(
    trained_copy: Study, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_copy.decisions.decide(heads.names[1], "corrected", mask=heads.masks[1])
    run(trained_copy, stages=["finetune", "autoencoder", "predict"])
    taken: list[Path] = []
    for module in (rank_stage, round_segmenter):  # that of the network also measures masks
        def load_and_note(path: Path, device: Any) -> Any:
            taken.append(path)
            return load_autoencoder(path, device)

        monkeypatch.setattr(module, "load_autoencoder", load_and_note)
    run(trained_copy, stages=["rank"])
    for round_ in (2, 1):
        trained_model.open_model(trained_copy.folder, torch.device("cpu"), round_)
    newest, first = (RoundFolder(trained_copy.rounds.folder(n)).autoencoder for n in (2, 0))
    assert taken == [newest, newest, first]


def test_decisions_shape_the_next_round(trained_copy: Study, heads: Heads) -> None:
    _, rejected, accepted, also_rejected = heads.names
    for name in (rejected, also_rejected):
        trained_copy.decisions.decide(name, "rejected")
    trained_copy.decisions.decide(accepted, "accepted")
    events = run(trained_copy, stages=["finetune"])
    rows = json.loads(RoundFolder(trained_copy.rounds.folder(2)).training_set.read_text())
    assert {(r["scan"], r["kind"]) for r in rows} == {
        (heads.names[0], "painted"), (accepted, "accepted"),
    }  # fmt: skip
    assert any(isinstance(e, Note) and "1 painted, 1 accepted" in e.text for e in events)


def test_fine_tuning_without_a_ranking_is_warned_of(trained_copy: Study) -> None:
    """With the painted scan alone the network overfits."""
    def warned(study: Study) -> list[str]:
        events = run(study, stages=["finetune"], overrides={"finetuning.steps": 1})
        return [e.text for e in events if isinstance(e, Note) and e.level == "warning"]

    assert warned(trained_copy) == []
    assert any("Round 2 was not ranked" in text for text in warned(trained_copy))
    for name in trained_copy.scans.names[1:]:
        trained_copy.decisions.decide(name, "rejected")
    assert warned(trained_copy) == []  # there is nothing to select from


def test_missing_pieces_are_made_again(trained_copy: Study, heads: Heads) -> None:
    trained_copy.rounds.pseudo_label_path(1, heads.names[2]).unlink()
    trained_copy.rounds.scores_path(1).unlink()
    assert stages_of(run(trained_copy)) == ["predict", "rank"]
    assert trained_copy.rounds.pseudo_label_path(1, heads.names[2]).is_file()


def test_new_scans_are_predicted_and_ranked(trained_copy: Study, tmp_path: Path) -> None:
    """What is added to a study that is done is not forgotten."""
    source = trained_copy.scans.path(trained_copy.scans.names[1])
    (tmp_path / "more").mkdir()
    added = Path(shutil.copy(source, tmp_path / "more" / "late.nii.gz"))
    trained_copy.scans.add([added])
    run(trained_copy)
    assert trained_copy.rounds.pseudo_label_path(1, "late").is_file()
    assert "late" in [row.scan for row in trained_copy.rounds.scores(1)]


def test_what_was_too_large_for_the_card_is_said_with_its_scan(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan is named, its mask is there, and so are those of the others."""
    from napari_singlestrip.engine.learning import inference

    asked = [0]
    together = inference._one

    def full_for_a_while(reader: inference.Reader, picture: Any) -> Any:
        asked[0] += 1
        if asked[0] == 1 and picture.shape != reader.window:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return together(reader, picture)

    monkeypatch.setattr(inference, "_one", full_for_a_while)
    events = run(trained_copy, stages=["predict"])
    notes = [event for event in events if isinstance(event, Note) and "too large" in event.text]
    (note,) = notes
    first = trained_copy.scans.names[1]
    assert note.scan == first and note.text.startswith(f"{first}: ") and note.level == "warning"
    names = trained_copy.scans.names[1:]
    assert all(trained_copy.rounds.pseudo_label_path(1, n).is_file() for n in names)


# --- settings


def test_other_settings_are_refused_and_nothing_changes(trained_copy: Study) -> None:
    before = tree(trained_copy.folder)
    with pytest.raises(UserError, match="other settings") as caught:
        run(trained_copy, overrides={"training.steps": 61})
    assert "--restart" in caught.value.hint
    assert tree(trained_copy.folder) == before


def test_restart_sets_aside_and_trains_anew(soon: Study) -> None:
    run(soon)
    first = (soon.rounds.folder(0) / "segmenter.pt").read_bytes()
    events = run(soon, restart=True, overrides={"training.steps": 2})
    kept = soon.folder / "rounds_set_aside_01" / "00"
    assert (kept / "segmenter.pt").read_bytes() == first
    assert any(isinstance(e, Note) and "rounds_set_aside_01" in e.text for e in events)
    assert load_checkpoint(soon.rounds.folder(0) / "segmenter.pt", "segmenter")["step"] == 2


def test_restart_with_wrong_settings_sets_nothing_aside(trained_copy: Study) -> None:
    before = tree(trained_copy.folder)
    for options in (
        {"overrides": {"training.stepz": 1}}, {"stages": ["dance"]}, {"effort": "huge"},
    ):  # fmt: skip
        with pytest.raises(UserError):
            run(trained_copy, restart=True, **options)
        assert tree(trained_copy.folder) == before


def test_unknown_stage_lists_the_stages(soon: Study) -> None:
    with pytest.raises(UserError, match="dance") as caught:
        run(soon, stages=["train", "dance"])
    assert "autoencoder" in caught.value.hint


def test_nothing_painted_is_said_before_anything_is_done(soon: Study, heads: Heads) -> None:
    soon.masks.remove(heads.names[0])
    with pytest.raises(UserError, match="no painted mask"):
        run(soon)
    assert soon.rounds.numbers() == []


def test_prediction_before_training_is_refused(soon: Study) -> None:
    with pytest.raises(UserError, match="no model"):
        run(soon, stages=["predict"])


# --- bad scans


def damaged_study(tmp_path: Path, heads: Heads) -> tuple[Study, str]:
    """A study in which one scan lost its end after it was added."""
    scans = [Path(shutil.copy(p, tmp_path / p.name)) for p in heads.scans]
    study = make_study(tmp_path / "damaged", type(heads)(tuple(scans), heads.masks), **SOON)
    whole = scans[2].read_bytes()
    scans[2].write_bytes(whole[: len(whole) // 2])
    return study, heads.names[2]


def test_a_bad_scan_is_reported_and_the_rest_goes_on(tmp_path: Path, heads: Heads) -> None:
    study, bad = damaged_study(tmp_path, heads)
    events = run(study)
    warnings = [e for e in events if isinstance(e, Note) and e.level == "warning"]
    assert {note.scan for note in warnings} == {bad}
    assert bad in warnings[0].text
    assert isinstance(events[-1], Finished)
    good = sorted({*heads.names[1:]} - {bad})
    assert sorted(row.scan for row in study.rounds.scores(0)) == good
    assert not study.rounds.pseudo_label_path(0, bad).exists()


def test_a_bad_painted_scan_stops_with_its_name(tmp_path: Path, heads: Heads) -> None:
    scans = [Path(shutil.copy(p, tmp_path / p.name)) for p in heads.scans]
    study = make_study(tmp_path / "damaged", type(heads)(tuple(scans), heads.masks), **SOON)
    scans[0].write_bytes(scans[0].read_bytes()[:1000])
    with pytest.raises(UserError, match=heads.names[0]):
        run(study)


def test_scan_that_is_gone_is_reported(tmp_path: Path, heads: Heads) -> None:
    study, bad = damaged_study(tmp_path, heads)
    study.scans.path(bad).unlink()
    notes = [e for e in run(study) if isinstance(e, Note) and e.level == "warning"]
    assert {note.scan for note in notes} == {bad}


# --- references


OPENED: list[str] = []
LISTENING = False


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if LISTENING and event in ("open", "os.listdir", "os.scandir"):
        OPENED.append(str(arguments[0]))


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every file that Python opens, and every folder it lists, whoever asks for it."""
    global LISTENING
    if _hear not in _HOOKED:  # a hook cannot be undone
        sys.addaudithook(_hear)
        _HOOKED.append(_hear)
    OPENED.clear()
    LISTENING = True
    yield OPENED
    LISTENING = False


_HOOKED: list[Any] = []


def test_references_are_never_opened(
    tmp_path: Path, heads: Heads, opened: list[str]
) -> None:
    """Neither training, nor prediction, nor ranking, nor selection sees the truth."""
    references = tmp_path / "references"
    references.mkdir()
    for scan, mask in zip(heads.scans, heads.masks, strict=True):
        (references / scan.name).write_bytes(gzip.compress(gzip.decompress(mask.read_bytes())))
    study = make_study(tmp_path / "blind", heads, **{**SOON, "finetuning__rounds": 1})
    study.references.set_folder(references)
    opened.clear()
    run(study)
    assert any(str(heads.scans[1]) in path for path in opened)  # the hook does hear
    assert not [path for path in opened if path.startswith(str(references))]
    # And they are heard when they are opened, by the report.
    from napari_singlestrip.study.ranking_report import ranking_report

    ranking_report(study, 1)
    assert [path for path in opened if path.startswith(str(references))]


def test_references_change_nothing(tmp_path: Path, heads: Heads) -> None:
    """Right, wrong or none: same scores, same selection, same masks, same lessons."""
    wrong = tmp_path / "references"
    wrong.mkdir()
    for mask in heads.masks:
        image = load(mask)
        inverted = 1 - np.asanyarray(image.dataobj)
        nib.save(nib.Nifti1Image(inverted, image.affine), wrong / mask.name)
    learned = {}
    for name, references in (("right", heads.masks[0].parent), ("wrong", wrong), ("none", None)):
        study = make_study(tmp_path / name, heads, **{**SOON, "finetuning__rounds": 1})
        if references is not None:
            study.references.set_folder(references)
        run(study)
        learned[name] = what_was_learned(study, heads)
    assert learned["right"] == learned["wrong"] == learned["none"]
    assert any(row.selected for row in Study.open(tmp_path / "wrong").rounds.scores(0))


def what_was_learned(study: Study, heads: Heads) -> dict[str, Any]:
    """Scores with the selection, masks and training set of both rounds, and the weights."""
    found: dict[str, Any] = {}
    for round_ in (0, 1):
        folder = RoundFolder(study.rounds.folder(round_))
        found[f"scores {round_}"] = study.rounds.scores(round_)
        found[f"training set {round_}"] = folder.training_set.read_text(encoding="utf-8")
        for name in heads.names[1:]:
            mask = np.asanyarray(load(study.rounds.pseudo_label_path(round_, name)).dataobj)
            found[f"mask {round_} {name}"] = mask.tobytes()
        weights = load_checkpoint(folder.segmenter, "segmenter")["weights"]
        found[f"weights {round_}"] = {k: v.numpy().tobytes() for k, v in weights.items()}
    return found


def test_only_learning_leaves_the_scans_to_others(study: Study) -> None:
    list(stages.run(study, rounds=0, device="cpu", learn_only=True))
    folder = study.rounds.folder(0)
    assert (folder / "segmenter.pt").is_file() and (folder / "autoencoder.pt").is_file()
    assert not (folder / "pseudo_labels").exists()
    with pytest.raises(UserError, match="--learn-only"):
        list(stages.run(study, stages=["train"], device="cpu", learn_only=True))
