from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_singlestrip.engine.judging.most_typical_scan import (
    N_BINS,
    Portrait,
    most_typical,
    portrait,
)
from napari_singlestrip.errors import UserError

if TYPE_CHECKING:
    from conftest import Heads


def scan(spacing: float = 1.0, extent: float = 180.0, bright: int = 4) -> Portrait:
    counts = np.zeros(N_BINS)
    counts[bright] = 1.0
    return Portrait((spacing,) * 3, (extent,) * 3, counts)


def test_the_commonest_kind_is_typical() -> None:
    scans = {
        "thick": scan(spacing=5), "mouse": scan(extent=20, spacing=0.1), "T2": scan(1.05, bright=9),
        "a": scan(1.0), "b": scan(1.05), "c": scan(1.1),
    }

    assert most_typical(scans) == "b"


def test_of_none_or_one() -> None:
    assert most_typical({}) == ""
    assert most_typical({"only": scan()}) == "only"


def test_a_portrait_of_a_file(heads: Heads) -> None:
    made = portrait(heads.scans[0])

    assert made.intensities.sum() == pytest.approx(1)
    assert list(made.extent_mm) == sorted(made.extent_mm)
    assert made.spacing_mm[0] > 0


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        portrait(tmp_path / "no.nii.gz")
