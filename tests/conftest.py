"""The vocabulary of the tests: a head, settings that are soon done, and studies to work on.

Everything heavy is imported inside the fixtures, so that tests of small modules stay quick.
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

if TYPE_CHECKING:
    from napari_singlestrip.engine.config import Settings
    from napari_singlestrip.engine.heads.label_bank import Example, Geometry
    from napari_singlestrip.engine.heads.label_map import LabelBank
    from napari_singlestrip.sample_data import SampleHead
    from napari_singlestrip.study.study import Study

# The same examples in every run: a red test can be run again. Fixtures here are never changed by
# a test, so that the examples of a property may share them.
hypothesis_settings.register_profile(
    "singlestrip", derandomize=True, deadline=None, max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
hypothesis_settings.load_profile("singlestrip")

# A shell starts jobs in its background with SIGINT ignored, which children inherit: Ctrl+C is
# tested all the same.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Set before anything imports napari: it reads and writes no settings of the person's.
os.environ["NAPARI_CONFIG"] = ""
pytest.register_assert_rewrite("gui_fixtures", "gui_leaks")

# Seconds for a whole run: 8 mm voxels, and a network that learns roughly where the brain is.
TINY: dict[str, Any] = {
    "conform.spacing_mm": 8,
    "label_map.n_bins": [[2, 3], [3, 4]],
    "network.channels": [8, 16, 32],
    "training.steps": 60,
    "training.learning_rate": 5e-3,
    "training.validate_every": 30,
    "training.validation_heads": 1,
    "autoencoder.channels": [4, 8],
    "autoencoder.latent": 8,
    "autoencoder.steps": 30,
    "autoencoder.batch_size": 2,
    "ranking.n_augmentations": 2,
    "finetuning.rounds": 1,
    "finetuning.steps": 8,
}


@dataclass(frozen=True)
class Heads:
    """Sample heads on disk; the first is the one that is painted."""

    scans: tuple[Path, ...]
    masks: tuple[Path, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scans."""
        return tuple(path.name.removesuffix(".nii.gz") for path in self.scans)


@pytest.fixture(scope="session")
def phantom() -> SampleHead:
    """A small head with its exact brain mask."""
    from napari_singlestrip.sample_data import render_head

    return render_head(1, "T1w", spacing_mm=6.0)


@pytest.fixture(scope="session")
def tiny_settings() -> Settings:
    """Settings that are soon done."""
    from napari_singlestrip.engine.overrides import settings_for

    return settings_for("quick", TINY)


@pytest.fixture(scope="session")
def geometry(phantom: SampleHead, tiny_settings: Settings) -> Geometry:
    """The training grid that the phantom gives."""
    from napari_singlestrip.engine.heads.label_bank import training_geometry
    from napari_singlestrip.engine.imaging.grid import Grid

    i, j, k = phantom.mask.shape
    return training_geometry(phantom.mask, Grid((i, j, k), phantom.affine), tiny_settings)


@pytest.fixture(scope="session")
def example(phantom: SampleHead, geometry: Geometry) -> Example:
    """The phantom, cut out around its brain."""
    import numpy as np

    from napari_singlestrip.engine.heads.label_bank import make_example
    from napari_singlestrip.engine.imaging.grid import Volume

    volume = Volume(phantom.data.astype(np.float32), phantom.affine)
    return make_example(phantom.name, volume, phantom.mask, geometry)


@pytest.fixture(scope="session")
def bank(example: Example, geometry: Geometry, tiny_settings: Settings) -> LabelBank:
    """The phantom's label maps."""
    import numpy as np

    from napari_singlestrip.engine.heads.label_bank import BankBuilder

    builder = BankBuilder(geometry, tiny_settings, np.random.default_rng(0))
    builder.add(example)
    return builder.build()


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    """Four sample heads of mixed contrasts, orientations and slices."""
    from napari_singlestrip.sample_data import write_sample_heads

    scans, masks = write_sample_heads(tmp_path_factory.mktemp("heads"), 4, seed=3, spacing_mm=6.0)
    return Heads(tuple(scans), tuple(masks))


@pytest.fixture
def study(tmp_path: Path, heads: Heads) -> Study:
    """A study of the sample heads with the first one painted, not yet run."""
    return make_study(tmp_path / "study", heads)


@pytest.fixture(scope="session")
def trained_study(tmp_path_factory: pytest.TempPathFactory, heads: Heads) -> Study:
    """A study that ran to its end, with one round of fine-tuning; to look at, not to change."""
    from napari_singlestrip.pipeline import stages

    made = make_study(tmp_path_factory.mktemp("trained") / "study", heads)
    for _ in stages.run(made, device="cpu"):
        pass
    return made


@pytest.fixture
def trained_copy(tmp_path: Path, trained_study: Study) -> Study:
    """A copy of the trained study, to be changed."""
    from napari_singlestrip.study.study import Study

    shutil.copytree(trained_study.folder, tmp_path / "study")
    return Study.open(tmp_path / "study")


def make_predicted_study(folder: Path, heads: Heads, n: int) -> Study:
    """Make a study of copies of one head (s00, s01, ...), each with its mask as predicted."""
    from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
    from napari_singlestrip.study.study import Study

    scans = folder / "scans"
    scans.mkdir()
    for k in range(n):
        shutil.copyfile(heads.scans[0], scans / f"s{k:02d}.nii.gz")
    study = Study.create(folder / "study", [scans])
    scan = open_scan(heads.scans[0])
    mask = open_scan(heads.masks[0]).read_float() > 0
    for name in study.scans.names:
        save_mask(study.rounds.pseudo_label_path(0, name), mask, scan)
    return study


def make_other_masks(folder: Path, heads: Heads) -> Path:
    """Make a folder of another program's masks of all heads."""
    folder.mkdir()
    for name, mask in zip(heads.names, heads.masks, strict=True):
        shutil.copyfile(mask, folder / f"{name}_mask.nii.gz")
    return folder


def make_study(folder: Path, heads: Heads, **overrides: Any) -> Study:
    """Create a tiny study; double underscores in `overrides` stand for dots."""
    from napari_singlestrip.study.study import Study

    changes = {name.replace("__", "."): value for name, value in overrides.items()}
    painted = {heads.names[0]: heads.masks[0]}
    return Study.create(folder, heads.scans, painted, overrides={**TINY, **changes})
