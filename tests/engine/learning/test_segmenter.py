"""The segmenter: what it is trained on, and masks on the scan's own grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.heads.label_bank import Geometry
from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.pose import pitch
from napari_singlestrip.engine.imaging.resampling import resample
from napari_singlestrip.engine.imaging.shading import Shading
from napari_singlestrip.engine.learning import prediction as predicting
from napari_singlestrip.engine.learning import segmenter as segmenting
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.prediction import Prediction, to_mask
from napari_singlestrip.engine.learning.segmenter import (
    Segmenter,
    load_segmenter,
    predict,
    predict_again,
    predict_array,
)
from napari_singlestrip.engine.learning.segmenter_training import segmenter_task, watched_scan
from napari_singlestrip.engine.learning.training import train
from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.engine.overrides import override
from napari_singlestrip.errors import UserError

if TYPE_CHECKING:
    from napari_singlestrip.engine.heads.label_map import LabelBank
    from napari_singlestrip.sample_data import SampleHead

CPU = torch.device("cpu")
ONES = np.ones((1, 48**3))


class Bright(nn.Module):
    """Bright is brain, a little more so on the left: what a mirror would change."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        slope = torch.linspace(0.1, -0.1, x.shape[2]).view(1, 1, -1, 1, 1)
        return 30 * (x - self.level + slope)


class Upright(nn.Module):
    """Bright is brain, and surely so if it is long from back to front."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.nonzero(x[0, 0] > self.level)[:, 1:].float()
        (y, yz), (_, z) = torch.cov(places.T).tolist()
        tilt = 0.5 * np.degrees(np.arctan2(2 * yz, y - z))
        return (1 + 30 * np.exp(-((tilt / 20) ** 2))) * (x - self.level)


def segmenter(settings: Settings) -> Segmenter:
    return Segmenter(Bright().eval(), settings, 8.0, (24, 28, 24))


def volume_of(head: SampleHead) -> Volume:
    return Volume(head.data.astype(np.float32), head.affine)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_masks_follow_the_orientation_of_the_scan(
    phantom: SampleHead, tiny_settings: Settings, codes: str
) -> None:
    """The same head in another orientation gets the same mask, voxel for voxel."""

    def mask_of(volume: Volume) -> Any:
        return to_mask(predict(segmenter(tiny_settings), volume), volume, tiny_settings)

    orientation = nib.orientations.axcodes2ornt(codes)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), orientation)
    data = nib.orientations.apply_orientation(phantom.data, turn).astype(np.float32)
    affine = phantom.affine @ nib.orientations.inv_ornt_aff(turn, phantom.data.shape)
    upright = mask_of(volume_of(phantom))
    turned = mask_of(Volume(data, affine))
    assert upright.shape == phantom.data.shape
    assert turned.shape == data.shape
    assert upright.any()
    assert (nib.orientations.apply_orientation(upright, turn) == turned).mean() > 0.995


def test_prediction_sees_a_grid_that_fits_the_net(
    phantom: SampleHead, tiny_settings: Settings
) -> None:
    prediction = predict(segmenter(tiny_settings), volume_of(phantom))
    multiple = tiny_settings.network.side_multiple
    assert prediction.probability.shape == prediction.conformed.data.shape
    assert all(n % multiple == 0 for n in prediction.probability.shape)
    assert prediction.grid.orientation == "RAS"
    assert prediction.probability.dtype == np.float32
    assert 0 <= prediction.probability.min() <= prediction.probability.max() <= 1


def cigar(degrees: float) -> Volume:
    """Something long, pitched."""
    affine = nib.affines.from_matvec(4 * np.eye(3), [-94, -94, -94])
    index = np.concatenate([np.indices((48, 48, 48)).reshape(3, -1), ONES])
    x, y, z, _ = pitch(-degrees) @ affine @ index
    inside = (x / 40) ** 2 + ((y - 10) / 70) ** 2 + (z / 35) ** 2 < 1
    return Volume(inside.reshape(48, 48, 48).astype(np.float32), affine)


@pytest.mark.parametrize(
    ("degrees", "limit", "turned_by"), [(0, 40, 0), (40, 40, 40), (-38, 40, 40), (40, 20, 20),
                                        (40, 0, 0), (8, 40, 0)],
)
def test_a_pitched_head_is_seen_as_those_that_are_known(
    tiny_settings: Settings, degrees: float, limit: float, turned_by: float
) -> None:
    settings = override(tiny_settings, {"prediction.pitch_deg": limit})
    looks_for = Segmenter(Upright().eval(), settings, 8.0, (24, 28, 24))
    volume = cigar(degrees)
    prediction = predict(looks_for, volume)
    assert prediction.grid.obliquity_deg == pytest.approx(turned_by, abs=0.1)
    mask = to_mask(prediction, volume, settings)
    both = 2 * (mask & (volume.data > 0)).sum() / (mask.sum() + volume.data.sum())
    assert (both > 0.95) == (limit > 0)  # as it lies, it is not known


class SureOf(nn.Module):
    """Bright is brain, surely so if the brain is evenly bright, or surely if it is not."""

    def __init__(self, evenly: bool) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.15))
        self.evenly = evenly

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x > self.level
        along = torch.nonzero(bright)[:, 3].float()
        even = bool(torch.corrcoef(torch.stack([along, x[bright]]))[0, 1].abs() < 0.5)
        return (60 if even == self.evenly else 10) * (x - self.level)


@pytest.mark.parametrize("evenly", [True, False])
def test_shading_is_taken_away_where_the_network_is_surer_without(
    tiny_settings: Settings, evenly: bool
) -> None:
    looks_for = Segmenter(SureOf(evenly).eval(), tiny_settings, 8.0, (24, 28, 24))
    plain, shaded = cigar(0), shaded_cigar()
    prediction = predict(looks_for, shaded)
    assert (prediction.shading is not None) == evenly
    mask = to_mask(prediction, shaded, tiny_settings)
    both = 2 * (mask & (plain.data > 0)).sum() / (mask.sum() + plain.data.sum())
    assert (both > 0.95) == evenly  # the front is dark
    assert predict(looks_for, plain).shading is None
    again = predict_again(looks_for, prediction)
    assert again.shading is prediction.shading and again.conformed is prediction.conformed



def shaded_cigar() -> Volume:
    """30 times as bright at one end as at the other."""
    plain = cigar(0)
    y = plain.affine[1, 3] + 4 * np.arange(48)
    return Volume((plain.data * np.exp(-0.025 * y)[None, :, None]).astype(np.float32), plain.affine)


def test_a_pitched_head_stays_without_its_shading(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenting, "_pitch_of", lambda *_: 10.0)
    looks_for = Segmenter(SureOf(evenly=True).eval(), tiny_settings, 8.0, (24, 28, 24))
    prediction = predict(looks_for, shaded_cigar())
    assert prediction.grid.obliquity_deg == pytest.approx(10, abs=0.1)
    assert prediction.shading is not None


def test_the_border_is_refined_without_the_shading(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def stay(mask: Any, data: Any, _spacing: Any) -> Any:
        seen.append(data)
        return mask

    monkeypatch.setattr(predicting, "refine_border", stay)
    shaded, shading = shaded_cigar(), Shading(np.array([0, -0.025, 0]), np.zeros(3))
    settings = override(tiny_settings, {"prediction.refine_border": True})
    to_mask(Prediction(cigar(0).data, shaded, shading), shaded, settings)
    assert np.allclose(seen[0], cigar(0).data, atol=1e-3)


def test_flip_averages_with_the_mirrored_head(tiny_settings: Settings) -> None:
    data = np.random.default_rng(0).random((8, 8, 8), dtype=np.float32)
    net = segmenter(tiny_settings)
    plain, mirrored = (predict_array(net, d, flip=False) for d in (data, data[::-1]))
    both = predict_array(net, data, flip=True)
    assert np.allclose(both, (plain + mirrored[::-1]) / 2, atol=1e-6)
    assert np.allclose(both, predict_array(net, data[::-1], flip=True)[::-1], atol=1e-6)


def test_threshold_and_border_of_the_settings_count(
    phantom: SampleHead, tiny_settings: Settings
) -> None:
    prediction = predict(segmenter(tiny_settings), volume_of(phantom))
    sizes = []
    for changes in ({"prediction.threshold": 0.8}, {}, {"prediction.border_mm": 6.0}):
        settings = override(tiny_settings, changes)
        sizes.append(to_mask(prediction, volume_of(phantom), settings).sum())
    assert sizes[0] < sizes[1] < sizes[2]


def test_the_border_is_refined_in_the_scan(phantom: SampleHead, tiny_settings: Settings) -> None:
    """A prediction that wobbles about the true surface by some mm."""
    volume = volume_of(phantom)
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=volume.data.shape), 2)
    distance = signed_distance(phantom.mask, volume.grid.spacing)
    wobbling = (distance < 4 * noise / noise.std()).astype(np.float32)
    prediction = Prediction(wobbling, Volume(wobbling, phantom.affine))
    found = []
    for refined in (False, True):
        settings = override(tiny_settings, {"prediction.refine_border": refined})
        found.append(dice(to_mask(prediction, volume, settings), phantom.mask))
    assert found[1] > found[0] + 0.005


def test_leaks_are_removed_where_an_autoencoder_can_tell_them(
    phantom: SampleHead, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = np.zeros_like(phantom.mask)
    leak[:, -3:] = True
    monkeypatch.setattr(predicting, "remove_leaks", lambda mask, *_: mask & ~leak)
    found = (phantom.mask | leak).astype(np.float32)
    prediction = Prediction(found, Volume(found, phantom.affine))
    unrefined = {
        "prediction.refine_border": False, "prediction.largest_component": False,
        "prediction.fill_holes": False,
    }
    able: Any = object()
    for removes, autoencoder, leaks in ((True, able, 0), (False, able, 1), (True, None, 1)):
        settings = override(tiny_settings, {**unrefined, "prediction.remove_leaks": removes})
        mask = to_mask(prediction, volume_of(phantom), settings, autoencoder)
        assert mask[leak].any() == bool(leaks)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_skipping_what_is_below_the_threshold_changes_no_voxel(
    threshold: float, tiny_settings: Settings, phantom: SampleHead
) -> None:
    settings = override(
        tiny_settings,
        {"prediction.threshold": threshold, "prediction.largest_component": False,
         "prediction.fill_holes": False, "prediction.refine_border": False},
    )
    # A sure brain and, far from it, something that is just sure enough.
    field = np.zeros((24, 24, 24), np.float32)
    field[4:9, 4:9, 4:9], field[18:21, 18:21, 18:21] = 1.0, threshold + 0.05
    grid = Grid(field.shape, nib.affines.from_matvec(8 * np.eye(3), phantom.affine[:3, 3]))
    prediction = Prediction(field, Volume(field, grid.affine))
    turned = phantom.affine @ nib.affines.from_matvec(nib.eulerangles.euler2mat(0.2, 0.1, 0.3))
    target = Volume(phantom.data.astype(np.float32), turned)
    everywhere = resample(Volume(prediction.probability, prediction.grid.affine), target.grid)
    mask = to_mask(prediction, target, settings)
    assert ndimage.label(mask)[1] == 2
    np.testing.assert_array_equal(mask, everywhere > threshold)


def test_watched_scan_is_the_window_around_the_brain(
    phantom: SampleHead, geometry: Geometry, tiny_settings: Settings
) -> None:
    image, distance = watched_scan(volume_of(phantom), phantom.mask, geometry, tiny_settings)
    assert image.shape == distance.shape == (1, 1, *geometry.shape)
    inside = np.argwhere(distance[0, 0].numpy() < 0)
    middle = (inside.min(0) + inside.max(0)) / 2 - (np.array(geometry.shape) - 1) / 2
    assert np.abs(middle).max() <= 1.5
    brain_ml = float((distance < 0).sum()) * geometry.spacing_mm**3 / 1000
    i, j, k = phantom.mask.shape
    assert brain_ml == pytest.approx(
        phantom.mask.sum() * Grid((i, j, k), phantom.affine).voxel_ml, rel=0.1
    )


def test_batches_follow_from_the_generator(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings
) -> None:
    settings = override(tiny_settings, {"training.batch_size": 2})
    task = segmenter_task(bank, geometry, settings, CPU)
    (image, distance), (same, _), (other, _) = (
        task.draw(np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert image.shape == distance.shape == (2, 1, *geometry.shape)
    assert torch.equal(image, same)
    assert not torch.equal(image, other)
    assert len(task.held_out) == settings.training.validation_heads


def test_share_of_real_scans(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from napari_singlestrip.engine.heads.synthesis import render
    from napari_singlestrip.engine.learning import segmenter_training as module

    drawn: list[bool] = []

    def record(bank: LabelBank, params: Any, shape: Any) -> Any:
        drawn.extend(p.real for p in params)
        return render(bank, params, shape)

    monkeypatch.setattr(module, "render", record)
    for fraction in (0.0, 0.5, 1.0):
        drawn.clear()
        task = segmenter_task(bank, geometry, tiny_settings, CPU, real_fraction=fraction)
        held_out = len(drawn)
        assert not any(drawn)  # held-out heads are always synthetic
        for seed in range(20):
            task.draw(np.random.default_rng(seed))
        assert np.mean(drawn[held_out:]) == pytest.approx(fraction, abs=0.3 * (fraction == 0.5))


def test_first_weights_are_those_given(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings
) -> None:
    fresh = segmenter_task(bank, geometry, tiny_settings, CPU).net.state_dict()
    same = segmenter_task(bank, geometry, tiny_settings, CPU).net.state_dict()
    assert all(torch.equal(fresh[name], same[name]) for name in fresh)
    given = {name: value + 1 for name, value in fresh.items()}
    tuned = segmenter_task(bank, geometry, tiny_settings, CPU, initial=given).net.state_dict()
    assert all(torch.equal(given[name], tuned[name]) for name in given)


def test_checkpoint_is_enough_to_predict(
    tmp_path: Path, bank: LabelBank, geometry: Geometry, tiny_settings: Settings,
    phantom: SampleHead,
) -> None:  # fmt: skip
    path = tmp_path / "segmenter.pt"
    settings = override(tiny_settings, {"training.steps": 2})
    for _ in train(segmenter_task(bank, geometry, settings, CPU), path, CPU):
        pass
    loaded = load_segmenter(path, CPU)
    assert loaded.settings == settings
    assert loaded.spacing_mm == geometry.spacing_mm
    assert loaded.device == CPU
    assert not loaded.net.training
    average = load_checkpoint(path, "segmenter")["average"]
    assert all(torch.equal(value, average[n]) for n, value in loaded.net.state_dict().items())
    one, two = (predict(loaded, volume_of(phantom)).probability for _ in range(2))
    assert np.array_equal(one, two)


def test_missing_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model"):
        load_segmenter(tmp_path / "nothing.pt", CPU)
