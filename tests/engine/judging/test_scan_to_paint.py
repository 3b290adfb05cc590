from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.judging.scan_to_paint import HeadInView, head_in_view, scan_to_paint
from napari_singlestrip.errors import UserError

if TYPE_CHECKING:
    from conftest import Heads

BALL_ML = 4 / 3 * np.pi * 8**3


def ball(path: Path, *, noise: float = 0.0, spacing: float = 2.0, box: slice = slice(None)) -> Path:
    """A bright ball of 80 mm radius in noisy air, with a field of view cut along the last axis."""
    n = round(200 / spacing)
    far = np.linalg.norm(np.indices((n, n, n)) - (n - 1) / 2, axis=0) * spacing
    air = np.abs(np.random.default_rng(0).normal(0, noise, far.shape))
    data = np.where(far < 80, 100 + air, air).astype(np.float32)[:, :, box]
    nib.save(nib.Nifti1Image(data, np.diag([spacing] * 3 + [1.0])), path)
    return path


def test_the_scan_that_shows_most_of_the_head() -> None:
    volumes = {"slab": 1400.0, "whole": 3800.0, "brain only": 2300.0}
    assert scan_to_paint({name: HeadInView(ml, 0.0) for name, ml in volumes.items()}) == "whole"


def test_of_cut_heads_the_least_cut_ones_count() -> None:
    """Hardly cut is no difference: then the larger one is shown."""
    views = {
        "cut": HeadInView(3000, 0.5), "small": HeadInView(2000, 0.0), "ears": HeadInView(2500, 0.1)
    }
    assert scan_to_paint(views) == "ears"
    for name in ("small", "ears"):
        views[name] = HeadInView(views[name].volume_ml, views[name].cut + 0.45)
    assert scan_to_paint(views) == "cut"  # all are


def test_other_animals_and_ghosts_are_not_suggested() -> None:
    volumes = {"a": 2300.0, "b": 2400.0, "ghosts": 4500.0, "c": 2500.0}
    assert scan_to_paint({name: HeadInView(ml, 0.0) for name, ml in volumes.items()}) == "c"


def test_of_none_or_one() -> None:
    assert scan_to_paint({}) == ""
    assert scan_to_paint({"only": HeadInView(0.0, 0.0)}) == "only"


@pytest.mark.parametrize("spacing", [1.6, 4.0])
@pytest.mark.parametrize("noise", [0.0, 25.0])
def test_a_whole_head(tmp_path: Path, noise: float, spacing: float) -> None:
    view = head_in_view(ball(tmp_path / "ball.nii.gz", noise=noise, spacing=spacing))
    assert view.volume_ml == pytest.approx(BALL_ML, rel=0.05)
    assert view.cut < 0.02


def test_one_cut_side_may_be_the_neck_and_two_are_a_cut_head(tmp_path: Path) -> None:
    half = head_in_view(ball(tmp_path / "half.nii.gz", box=slice(50, None)))
    assert half.volume_ml == pytest.approx(BALL_ML / 2, rel=0.08)
    assert half.cut == 0
    slab = head_in_view(ball(tmp_path / "slab.nii.gz", box=slice(25, 50)))
    area = np.pi * (8**2 - 5**2)  # of the smaller of both faces (cm2)
    assert slab.cut == pytest.approx(area / slab.volume_ml ** (2 / 3), rel=0.1)


def test_specks_are_no_head(tmp_path: Path) -> None:
    data = np.zeros((30, 30, 30), np.float32)
    data[::3, ::3, ::3] = 100
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "specks.nii.gz")
    assert head_in_view(tmp_path / "specks.nii.gz") == HeadInView(0.0, 0.0)


def test_a_head(heads: Heads) -> None:
    mask = nib.Nifti1Image.from_filename(heads.masks[0])
    brain = np.count_nonzero(mask.get_fdata()) * np.prod(mask.header.get_zooms()) / 1000
    assert 1.5 * brain < head_in_view(heads.scans[0]).volume_ml < 4 * brain


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        head_in_view(tmp_path / "no.nii.gz")
