"""Sample heads as a job: what is told, what is written, and what is not made twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_singlestrip.cli import app as cli
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Finished, Progress, Started
from napari_singlestrip.sample_data import sample_name
from napari_singlestrip.sample_data.making import make_samples


def test_heads_and_masks_are_written_with_progress(tmp_path: Path) -> None:
    events = list(make_samples(tmp_path, 3, spacing_mm=10.0))
    names = [f"{sample_name(index)}.nii.gz" for index in range(3)]
    for part in ("scans", "masks"):
        assert sorted(path.name for path in (tmp_path / part).iterdir()) == names
    assert events[0] == Started("heads", detail="3 simulated heads")
    steps = [(e.step, e.n_steps) for e in events if isinstance(e, Progress)]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert isinstance(events[-1], Finished)


def test_heads_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    list(make_samples(tmp_path, 2, spacing_mm=10.0))
    first = tmp_path / "scans" / f"{sample_name(0)}.nii.gz"
    first.write_bytes(b"as it was")
    (tmp_path / "scans" / f"{sample_name(1)}.nii.gz").unlink()
    events = list(make_samples(tmp_path, 2, spacing_mm=10.0))
    assert first.read_bytes() == b"as it was"
    assert [(e.step, e.n_steps) for e in events if isinstance(e, Progress)] == [(2, 2)]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write sample heads"):
        list(make_samples(tmp_path / "file" / "heads" / "heads", 1, spacing_mm=10.0))


def test_command(tmp_path: Path) -> None:
    assert cli.main(["samples", str(tmp_path), "--n", "1", "--spacing", "10", "--quiet"]) == 0
    assert len(list((tmp_path / "scans").iterdir())) == 1
