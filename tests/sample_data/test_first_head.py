"""The head that is shown at once is the one that would be drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.errors import UserError
from napari_singlestrip.sample_data import sample_head
from napari_singlestrip.sample_data.first_head import SPACING_MM, unfold_first_head
from napari_singlestrip.sample_data.making import make_samples


def test_first_head_is_what_would_be_drawn(tmp_path: Path) -> None:
    scan = open_scan(unfold_first_head(tmp_path))
    drawn = sample_head(0, 0, 6.0)  # the same person, coarser
    assert np.allclose(scan.grid.spacing, SPACING_MM)
    mask = load_mask(tmp_path / "masks" / scan.path.name, like=scan)
    litres = mask.sum() * SPACING_MM**3 / 1e6
    assert litres == pytest.approx(drawn.mask.sum() * 6.0**3 / 1e6, rel=0.05)
    inside = scan.load().data[mask]
    assert inside.mean() > 2 * scan.load().data[~mask].mean()


def test_first_head_is_not_drawn_again(tmp_path: Path) -> None:
    scan = unfold_first_head(tmp_path)
    before = scan.read_bytes()
    list(make_samples(tmp_path, 2, spacing_mm=10.0))
    assert unfold_first_head(tmp_path).read_bytes() == before
    assert len(list((tmp_path / "scans").iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write the sample head"):
        unfold_first_head(tmp_path / "file" / "heads")
