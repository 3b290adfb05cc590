"""The hard looks of the accuracy benchmark."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FOLDERS = (BENCHMARKS, BENCHMARKS / "accuracy")


@pytest.fixture(scope="module")
def looks() -> Iterator[ModuleType]:
    """The script; it and what it imports are forgotten afterwards: their names are plain words."""
    before, known = list(sys.path), set(sys.modules)
    sys.path[:0] = map(str, FOLDERS)
    yield importlib.import_module("hard_looks")
    sys.path[:] = before
    for name in set(sys.modules) - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent in FOLDERS:
            del sys.modules[name]


@pytest.fixture
def head(looks: ModuleType) -> object:
    """A bright ball of 60 mm, the brain, in a fainter one; voxels of 4 mm."""
    centre = np.array([15, 17, 18])[:, None, None, None]
    away = np.linalg.norm(np.indices((30, 34, 32)) - centre, axis=0)
    data = (60.0 * (away < 12) + 40.0 * (away < 15)).astype(np.float32)
    return looks.Head(data, away < 12, np.diag([4.0, 4.0, 4.0, 1.0]))


def test_every_look_keeps_scan_and_mask_together(looks: ModuleType, head: object) -> None:
    for name, look in looks.LOOKS.items():
        found = look(head)
        assert found.data.shape == found.mask.shape, name
        assert found.mask.any() and np.isfinite(found.data).all(), name
        if name not in ("surface-coil", "shading-7t"):  # where brain may be darker than skin
            inside, outside = found.data[found.mask], found.data[~found.mask]
            assert inside.mean() > 2 * outside.mean(), name


def test_looks_change_what_they_say(looks: ModuleType, head: object) -> None:
    brain = looks.LOOKS["shading-3t"](head).mask.sum()
    assert 0.65 * brain < looks.LOOKS["cut-above"](head).mask.sum() < 0.85 * brain
    assert 0.4 * brain < looks.LOOKS["child"](head).mask.sum() < 0.75 * brain
    assert looks.LOOKS["slices-axial"](head).spacing == pytest.approx([4, 4, 5.5])
    orientation = [looks.LOOKS[f"turned-{axis}"](head).affine for axis in "xyz"]
    assert ["".join(nib.aff2axcodes(affine)) for affine in orientation] == ["RSP", "SAL", "ALS"]
    turned = looks.LOOKS["turned-x"](head)
    assert np.allclose(turned.middle, head.middle)  # type: ignore[attr-defined]
    coil = looks.LOOKS["surface-coil"](head).data[15, :, 18]
    assert 5 < coil[6] / coil[28] < 20


def test_scans_take_turns_and_are_told_apart_by_half(
    looks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("scans", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for person in range(5):
            data = np.zeros((12, 12, 12), np.uint8)
            data[3:9, 3:9, 3:9] = 1
            image = nib.Nifti1Image(data, np.diag([1.5, 1.5, 1.5, 1]))
            nib.save(image, tmp_path / "data" / kind / f"sub-{person}_x_T1w.nii.gz")
    given = list(looks.looks_of(tmp_path / "data", "sub-0"))
    assert len(given) == 4 * len(looks.LOOKS)
    assert not any("sub-0" in path.name for path, _ in given)
    monkeypatch.setattr(looks, "LOOKS", {"child": looks.LOOKS["child"]})
    out, asked = tmp_path / "out", []

    def evaluated(masks: Path, _: Path) -> list[dict[str, object]]:
        scans = [path.name.removesuffix(".nii.gz") for path in (out / "scans").iterdir()]
        return [{"scan": name, "dice": 0.8 if "_hard-" in name else 0.9} for name in scans]

    monkeypatch.setattr(looks, "command", lambda *words: asked.append(words))
    monkeypatch.setattr(looks, "evaluated", evaluated)
    words = [str(tmp_path / "data"), str(out), "--painted", "sub-0", "--study", "s", "--name", "n"]
    monkeypatch.setattr(sys, "argv", ["hard_looks.py", *words])
    looks.main()
    rows = json.loads((out / "hard_looks" / "n.json").read_text())
    assert [(row["half"], row["dice"], row["as_it_was"]) for row in rows] == [
        (0, 0.8, 0.9), (0, 0.8, 0.9), (1, 0.8, 0.9), (1, 0.8, 0.9)
    ]
    assert asked[0][0] == "apply"
    names = {path.name for path in (out / "scans").iterdir()}
    assert {"sub-1_x_hard-child_T1w.nii.gz", "sub-1_x_T1w.nii.gz"} <= names
