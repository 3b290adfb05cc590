"""The autoencoder: a brain is reconstructed as it is, a damaged one is not, wherever it lies."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_singlestrip.engine.config import AutoencoderConfig, RankingConfig, Settings
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.heads.label_bank import Geometry
from napari_singlestrip.engine.imaging.geometry import unconform
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.imaging.pose import pitch
from napari_singlestrip.engine.learning.autoencoder import (
    Autoencoder,
    Frame,
    MaskAutoencoder,
    autoencoder_task,
    damage,
    frame_grid,
    load_autoencoder,
    mask_frame,
    reconstruct,
    sample_damage,
)
from napari_singlestrip.engine.learning.reconstruction_error import autoencoder_error, best_views
from napari_singlestrip.engine.learning.training import train
from napari_singlestrip.engine.overrides import override

if TYPE_CHECKING:
    from napari_singlestrip.engine.heads.label_map import LabelBank
    from napari_singlestrip.sample_data import SampleHead

Array = np.ndarray[Any, Any]
CPU = torch.device("cpu")


def grid_of(mask: Array, affine: Array) -> Grid:
    i, j, k = mask.shape
    return Grid((i, j, k), affine)


@pytest.fixture(scope="module")
def learning_settings(tiny_settings: Settings) -> Settings:
    """Enough training to know a brain from a bitten one."""
    return override(tiny_settings, {
        "autoencoder.channels": (8, 16), "autoencoder.latent": 16, "autoencoder.steps": 150,
        "autoencoder.batch_size": 4, "autoencoder.max_side": 16,
    })  # fmt: skip


@pytest.fixture(scope="module")
def autoencoder(
    tmp_path_factory: pytest.TempPathFactory, bank: LabelBank, geometry: Geometry,
    learning_settings: Settings,
) -> Autoencoder:  # fmt: skip
    path = tmp_path_factory.mktemp("autoencoder") / "autoencoder.pt"
    for _ in train(autoencoder_task(bank, geometry, learning_settings, CPU), path, CPU):
        pass
    return load_autoencoder(path, CPU)


def ball(phantom: SampleHead, direction: tuple[int, int, int], radius_mm: float) -> Array:
    """A ball around the place where the brain ends in a direction."""
    where = np.argwhere(phantom.mask)
    end = where[np.argmax(where @ np.array(direction))]
    offset = (np.indices(phantom.mask.shape).T - end) * 6.0
    inside: Array = (np.sqrt((offset**2).sum(-1)) < radius_mm).T
    return inside


DIRECTIONS = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)]


@pytest.mark.parametrize("kind", ["dice", "mse", "surface"])
def test_damaged_masks_have_larger_errors(
    autoencoder: Autoencoder, phantom: SampleHead, kind: str
) -> None:
    grid = grid_of(phantom.mask, phantom.affine)

    def error(mask: Array) -> float:
        return autoencoder_error(reconstruct(autoencoder, mask, grid), kind)

    # Between voxels of 14 mm, surfaces tell large damage only.
    size = 45 if kind == "surface" else 28
    clean = error(phantom.mask)
    bitten = [error(phantom.mask & ~ball(phantom, d, size)) for d in DIRECTIONS]
    lumpy = [error(phantom.mask | ball(phantom, d, size)) for d in DIRECTIONS]
    assert clean < min(bitten)
    assert clean < min(lumpy)


def test_bigger_bites_have_larger_errors(autoencoder: Autoencoder, phantom: SampleHead) -> None:
    grid = grid_of(phantom.mask, phantom.affine)
    masks = [phantom.mask & ~ball(phantom, (0, 1, 0), r) for r in (0, 30, 60)]
    errors = [autoencoder_error(reconstruct(autoencoder, m, grid), "dice") for m in masks]
    assert errors == sorted(errors)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_place_in_the_scan_does_not_matter(
    autoencoder: Autoencoder, phantom: SampleHead, i: int, j: int, k: int
) -> None:
    (here,) = reconstruct(autoencoder, phantom.mask, grid_of(phantom.mask, phantom.affine))
    moved = np.pad(phantom.mask, ((i, 9 - i), (j, 9 - j), (k, 9 - k)))
    (there,) = reconstruct(autoencoder, moved, grid_of(moved, phantom.affine))
    assert np.allclose(here.mask, there.mask, atol=1e-4)
    assert np.allclose(here.reconstructed, there.reconstructed, atol=1e-3)


@pytest.mark.parametrize("codes", ["LPS", "PIR", "SAL", "IRA", "RAI"])
def test_orientation_of_the_file_does_not_matter(
    autoencoder: Autoencoder, phantom: SampleHead, codes: str
) -> None:
    (upright,) = reconstruct(autoencoder, phantom.mask, grid_of(phantom.mask, phantom.affine))
    orientation = nib.orientations.axcodes2ornt(codes)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), orientation)
    mask = nib.orientations.apply_orientation(phantom.mask, turn)
    affine = phantom.affine @ nib.orientations.inv_ornt_aff(turn, phantom.mask.shape)
    (turned,) = reconstruct(autoencoder, mask, grid_of(mask, affine))
    assert np.allclose(upright.mask, turned.mask, atol=1e-4)
    assert np.allclose(upright.reconstructed, turned.reconstructed, atol=1e-3)


@pytest.mark.parametrize("degrees", [-30, 30])
def test_pitched_masks_are_no_worse(
    autoencoder: Autoencoder, phantom: SampleHead, degrees: float
) -> None:
    grid = grid_of(phantom.mask, pitch(degrees) @ phantom.affine)
    still = RankingConfig(views=2, pitch_deg=0)

    def error(config: RankingConfig) -> float:
        return autoencoder_error(best_views(autoencoder, phantom.mask, grid, config), config.error)

    upright = reconstruct(autoencoder, phantom.mask, grid_of(phantom.mask, phantom.affine), 2)
    right, unturned = autoencoder_error(upright, "dice"), error(still)
    turned = error(still.model_copy(update={"pitch_deg": 40}))
    assert turned == pytest.approx(right, abs=0.1 * right)
    assert turned < 0.8 * unturned

    view = best_views(autoencoder, phantom.mask, grid, RankingConfig(views=2, pitch_deg=40))[0]
    there = unconform(view.reconstructed, view.grid, grid, fill=0.0) > 0.5
    upright_there = unconform(
        upright[0].reconstructed, upright[0].grid, grid_of(phantom.mask, phantom.affine), fill=0.0
    ) > 0.5
    assert (there != upright_there).sum() < 0.05 * phantom.mask.sum()


def test_reconstruction_is_centred_on_the_mask(
    autoencoder: Autoencoder, phantom: SampleHead
) -> None:
    (seen,) = reconstruct(autoencoder, phantom.mask, grid_of(phantom.mask, phantom.affine))
    middle = (np.array(seen.mask.shape) - 1) / 2
    centre = np.argwhere(seen.mask > 0.5).mean(0)
    assert np.abs(centre - middle).max() < 0.75
    assert seen.mask.shape == seen.reconstructed.shape == autoencoder.frame.shape
    for values in (seen.mask, seen.reconstructed):
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6


@given(st.tuples(*[st.integers(0, 19)] * 3))
def test_frame_is_around_the_centre_of_mass(voxel: tuple[int, int, int]) -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[voxel] = True
    affine = np.array([[0, -2, 0, 5], [3, 0, 0, -7], [0, 0, 4, 1], [0, 0, 0, 1.0]])
    grid = frame_grid(Frame(5.0, (8, 10, 12)), mask, grid_of(mask, affine))
    middle = grid.affine @ [*((np.array(grid.shape) - 1) / 2), 1]
    assert np.allclose(middle, affine @ [*voxel, 1])
    assert grid.orientation == "RAS"


@given(
    st.tuples(*[st.integers(1, 40)] * 3), st.integers(16, 128),
    st.sampled_from([(8, 16), (8, 16, 32), (4, 8, 16, 32)]),
)  # fmt: skip
def test_frame_covers_the_training_grid(
    eighths: tuple[int, int, int], max_side: int, channels: tuple[int, ...]
) -> None:
    i, j, k = (8 * n for n in eighths)
    config = AutoencoderConfig(max_side=max_side, channels=channels)
    frame = mask_frame(Geometry(4.0, (i, j, k), 2), config)
    multiple = 2 ** len(channels)
    assert all(n % multiple == 0 for n in frame.shape)
    assert max(frame.shape) <= max_side + multiple
    assert frame.spacing_mm >= 4.0
    for side, n in zip(frame.shape, (i, j, k), strict=True):
        assert side * frame.spacing_mm >= n * 4.0 - 1e-6


def test_net_keeps_the_shape() -> None:
    net = MaskAutoencoder((8, 16, 24), (4, 8), 5)
    assert net(torch.zeros(2, 1, 8, 16, 24)).shape == (2, 1, 8, 16, 24)
    assert net.squeeze(net.encode(torch.zeros(1, 1, 8, 16, 24))).shape == (1, 5)


@given(st.integers(0, 2**31))
def test_damage_changes_a_mask_and_keeps_the_original(seed: int) -> None:
    axis = torch.arange(12) - 5.5
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    distance = ((x**2 + y**2 + z**2).sqrt() - 4).float()[None]
    before = distance.clone()
    drawn = sample_damage(np.random.default_rng(seed), (12, 12, 12))
    wobble = torch.from_numpy(drawn.wobble)
    one, two = (damage(distance, drawn, wobble) for _ in range(2))
    assert torch.equal(distance, before)
    assert torch.equal(one, two)
    assert one.shape == distance.shape
    assert torch.isfinite(one).all()
    assert not torch.equal(one, distance)


def test_batches_are_damaged_masks_and_the_clean_truth(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings
) -> None:
    made = autoencoder_task(bank, geometry, tiny_settings, CPU)
    seen, clean = made.draw(np.random.default_rng(0))
    again, _ = made.draw(np.random.default_rng(0))
    assert torch.equal(seen, again)
    assert seen.shape == clean.shape
    assert seen.shape[0] == tiny_settings.autoencoder.batch_size
    assert 0 <= float(seen.min()) <= float(seen.max()) <= 1
    assert (clean < 0).any()


def test_undamaged_training_masks_lie_where_reconstruct_puts_them(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings
) -> None:
    """Training and use agree on what is in the middle: the mask's centre of mass."""
    still = override(tiny_settings, {
        f"autoencoder.{name}": 0 for name in
        ("corruption_probability", "rotation_deg", "scaling", "shear", "translation", "warp_std")
    })  # fmt: skip
    made = autoencoder_task(bank, geometry, still, CPU)
    _, clean = made.draw(np.random.default_rng(0))
    for distance in clean[:, 0]:
        centre = torch.nonzero(distance < 0).double().mean(0).numpy()
        assert np.abs(centre - (np.array(distance.shape) - 1) / 2).max() < 0.75


def test_masks_that_are_not_centred_are_seen_where_they_are_in_the_scan(
    autoencoder: Autoencoder, phantom: SampleHead
) -> None:
    frame = replace(autoencoder.frame, centred=False)
    resting = Autoencoder(autoencoder.net, frame)
    grid = grid_of(phantom.mask, phantom.affine)
    (here,) = reconstruct(resting, phantom.mask, grid)
    middle = phantom.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + phantom.affine[:3, 3]
    seen = here.grid.affine @ [*((np.array(here.grid.shape) - 1) / 2), 1]
    assert np.allclose(seen[:3], middle)
    moved = np.roll(phantom.mask, 3, 0)
    (there,) = reconstruct(resting, moved, grid)
    apart = there.grid.affine[:3, :3] @ (
        np.argwhere(there.mask > 0.5).mean(0) - np.argwhere(here.mask > 0.5).mean(0)
    )
    assert np.linalg.norm(apart) == pytest.approx(3 * grid.spacing[0], rel=0.2)


def test_an_autoencoder_that_does_not_centre_is_trained_that_way(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings, tmp_path: Path
) -> None:
    still = override(tiny_settings, {
        f"autoencoder.{name}": 0 for name in
        ("corruption_probability", "rotation_deg", "scaling", "shear", "translation", "warp_std")
    } | {"autoencoder.centred": False, "autoencoder.steps": 1})  # fmt: skip
    moved = replace(bank, distance=torch.roll(bank.distance, 1, 1))  # by a tile
    centres = []
    for each in (bank, moved):
        _, clean = autoencoder_task(each, geometry, still, CPU).draw(np.random.default_rng(0))
        centres.append(torch.nonzero(clean[0, 0] < 0).double().mean(0))
    assert float((centres[0] - centres[1]).norm()) > 0.5
    path = tmp_path / "autoencoder.pt"
    for _ in train(autoencoder_task(bank, geometry, still, CPU), path, CPU):
        pass
    assert not load_autoencoder(path, CPU).frame.centred


def test_damage_is_as_frequent_as_configured(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings
) -> None:
    from napari_singlestrip.engine.learning.losses import partial_volume

    never = override(tiny_settings, {"autoencoder.corruption_probability": 0})
    seen, clean = autoencoder_task(bank, geometry, never, CPU).draw(np.random.default_rng(0))
    assert torch.equal(seen, partial_volume(clean))
    always = override(tiny_settings, {"autoencoder.corruption_probability": 1})
    seen, clean = autoencoder_task(bank, geometry, always, CPU).draw(np.random.default_rng(0))
    assert not torch.equal(seen, partial_volume(clean))


def test_bank_of_two_scans_is_centred_on_each(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings
) -> None:
    moved = torch.roll(bank.distance, 1, 1)  # by a tile
    two = replace(
        bank, labels=torch.cat([bank.labels] * 2), distance=torch.cat([bank.distance, moved]),
        intensities=torch.cat([bank.intensities] * 2), backgrounds=bank.backgrounds * 2,
        twins=bank.twins * 2,
        weights=np.array([0.5, 0.5]),
    )  # fmt: skip
    still = override(tiny_settings, {
        f"autoencoder.{name}": 0 for name in
        ("corruption_probability", "rotation_deg", "scaling", "shear", "translation", "warp_std")
    } | {"autoencoder.batch_size": 6})  # fmt: skip
    _, clean = autoencoder_task(two, geometry, still, CPU).draw(np.random.default_rng(0))
    for distance in clean[:, 0]:
        centre = torch.nonzero(distance < 0).double().mean(0).numpy()
        assert np.abs(centre - (np.array(distance.shape) - 1) / 2).max() < 0.75


def test_views_differ_by_fractions_of_a_voxel(
    autoencoder: Autoencoder, phantom: SampleHead
) -> None:
    grid = grid_of(phantom.mask, phantom.affine)
    views = reconstruct(autoencoder, phantom.mask, grid, 4)
    again = reconstruct(autoencoder, phantom.mask, grid, 4)
    for first, second in zip(views, again, strict=True):
        np.testing.assert_array_equal(first.reconstructed, second.reconstructed)
        offset = (first.grid.affine - views[0].grid.affine)[:3, 3] / first.grid.spacing
        assert np.abs(offset).max() <= 0.5
        # A mirrored view is turned back: both arrays show the same brain.
        assert np.corrcoef(first.mask.ravel(), views[0].mask.ravel())[0, 1] > 0.8
    assert len({view.reconstructed.tobytes() for view in views}) == 4


class Copy(torch.nn.Module):
    """Redraws what it sees; counts how many masks it saw at once."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(20.0))
        self.batches: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(x))
        return (x - 0.5) * self.weight


def test_every_view_is_redrawn_where_it_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirrored views are turned back, whatever the number that goes through the net at once."""
    monkeypatch.setattr("napari_singlestrip.engine.learning.autoencoder.VIEWS_AT_ONCE", 2)
    grid = Grid((12, 12, 12), np.eye(4))
    mask = np.zeros(grid.shape, bool)
    mask[2:5, 2:9, 2:9] = mask[5:10, 2:5, 2:9] = True  # an L: not its own mirror image
    net = Copy()
    views = reconstruct(Autoencoder(net, Frame(1.0, grid.shape)), mask, grid, 5)
    assert net.batches == [2, 2, 1]
    for view in views:
        inside = view.mask > 0.5
        np.testing.assert_array_equal(view.reconstructed > 0.5, inside)
        assert not np.array_equal(inside, inside[::-1])


def test_without_memory_on_its_device_a_mask_is_redrawn_on_the_cpu(
    autoencoder: Autoencoder, phantom: SampleHead
) -> None:
    grid = grid_of(phantom.mask, phantom.affine)
    (expected,) = reconstruct(autoencoder, phantom.mask, grid)

    def full(net: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    net = copy.deepcopy(autoencoder.net)
    with pytest.MonkeyPatch.context() as patch:
        net.to("meta").register_forward_pre_hook(full)
        patch.setattr(transfer, "copy_on_cpu", lambda _: autoencoder.net)
        (found,) = reconstruct(replace(autoencoder, net=net), phantom.mask, grid)
    assert np.array_equal(found.reconstructed, expected.reconstructed)
