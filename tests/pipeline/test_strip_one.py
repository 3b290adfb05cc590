"""One scan, as mri_synthstrip takes it: files, borders, formats, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.learning import first_network
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Wrote
from napari_singlestrip.pipeline.apply import apply
from napari_singlestrip.pipeline.strip_one import Outputs, strip_one
from napari_singlestrip.pipeline.trained_model import export_model
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from conftest import Heads


def values(path: Path) -> Any:
    return np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]


def run(study: Study, scan: Path, outputs: Outputs, **options: Any) -> list[Event]:
    return list(strip_one(study.folder, scan, outputs, device="cpu", **options))


def test_the_mask_is_that_of_apply(trained_study: Study, heads: Heads, tmp_path: Path) -> None:
    scan = heads.scans[1]
    mask, brain = tmp_path / "mask.nii.gz", tmp_path / "brain.nii"
    told = run(trained_study, scan, Outputs(brain, mask))
    assert [event.path for event in told if isinstance(event, Wrote)] == [str(brain), str(mask)]
    list(apply(trained_study.folder, [scan], tmp_path / "applied", device="cpu"))
    (expected,) = (tmp_path / "applied").glob("*_mask.nii.gz")
    assert np.array_equal(values(mask), values(expected))
    inside = values(mask) > 0
    assert np.array_equal(values(brain)[inside], values(scan)[inside])
    assert not values(brain)[~inside].any()


def test_distance_and_border_are_millimetres(
    trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    scan = heads.scans[1]
    plain, grown, sdt, sdt2 = (tmp_path / f"{n}.nii.gz" for n in ("a", "b", "c", "d"))
    run(trained_study, scan, Outputs(mask=plain, distance=sdt), border_mm=0)
    run(trained_study, scan, Outputs(mask=grown, distance=sdt2), border_mm=7)
    distance = values(sdt)
    assert np.array_equal(distance < 0, values(plain) > 0)
    assert np.array_equal(distance < 7, values(grown) > 0)
    near = np.abs(distance) < 5  # elsewhere, a corner is rounded when the mask grows
    assert np.abs(values(sdt2) - distance)[near].mean() < 3


def test_freesurfer_gets_the_intensities_inside(
    trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    scan = open_scan(heads.scans[1])
    t1 = tmp_path / "T1.mgz"
    full = np.clip(scan.read_float(), 0, None)
    grey = (full / full.max() * 255).astype(np.uint8)
    nib.save(nib.MGHImage(grey, scan.grid.affine), t1)
    brain, mask = tmp_path / "brainmask.mgz", tmp_path / "mask.mgz"
    end = run(trained_study, t1, Outputs(brain, mask))[-1]
    assert isinstance(end, Finished)
    assert end.n_failed == 0
    source: Any = nib.load(t1)
    made: Any = nib.load(brain)
    assert made.header["type"] == source.header["type"]
    assert np.array_equal(made.affine, source.affine)
    inside = load_mask(mask, like=open_scan(t1))
    assert inside.any()
    assert np.array_equal(values(brain), np.where(inside, grey, 0))


def test_what_cannot_be_written_is_refused_before_work(
    trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    scan, other = heads.scans[1], tmp_path / "x.nii.gz"
    for outputs, words in (
        (Outputs(), "at least one"), (Outputs(tmp_path / "a.png"), "Cannot write"),
        (Outputs(scan), "the scan itself"), (Outputs(other, other), "Two outputs"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            run(trained_study, scan, outputs)
    assert not list(tmp_path.iterdir())


def test_a_damaged_scan_is_one_that_failed(
    trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    scan = tmp_path / "cut.nii.gz"
    content = heads.scans[1].read_bytes()
    scan.write_bytes(content[: len(content) * 2 // 3])
    told = run(trained_study, scan, Outputs(mask=tmp_path / "mask.nii.gz"))
    end = told[-1]
    assert isinstance(end, Finished)
    assert (end.n_done, end.n_failed) == (0, 1)
    assert any("truncated" in event.text for event in told if isinstance(event, Note))
    assert not (tmp_path / "mask.nii.gz").exists()


def test_without_a_model_the_network_of_the_program_suggests(
    trained_study: Study, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "network.safetensors"
    export_model(trained_study, stand_in)
    monkeypatch.setattr(first_network, "PATH", stand_in)
    mask = tmp_path / "mask.nii.gz"
    told = list(strip_one(None, heads.scans[1], Outputs(None, mask), device="cpu"))
    assert mask.is_file()
    notes = [event.text for event in told if isinstance(event, Note)]
    assert any("drawn heads only" in text for text in notes)
    assert not any("adult heads" in text for text in notes)

    monkeypatch.setattr(first_network, "VOLUMES_ML", (1.0, 2.0))
    told = list(strip_one(None, heads.scans[1], Outputs(None, mask), device="cpu"))
    warnings = [e.text for e in told if isinstance(e, Note) and e.level == "warning"]
    assert any("no human brain" in text for text in warnings)


def test_a_network_that_is_missing_is_told(
    heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_network, "PATH", tmp_path / "none.safetensors")
    with pytest.raises(UserError, match=r"none\.safetensors"):
        list(strip_one(None, heads.scans[1], Outputs(None, tmp_path / "m.nii"), device="cpu"))
