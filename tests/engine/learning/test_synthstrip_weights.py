"""Weights in the names and axes of SynthStrip's own program, shown by its network."""

from __future__ import annotations

import pytest
import torch
from restated_synthstrip import Restated, to_lia

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.synthstrip_weights import CHANNELS, synthstrip_weights
from napari_singlestrip.errors import UserError

CONFIG = NetworkConfig(architecture="synthstrip", channels=CHANNELS, target="distance")


def test_the_same_head_gets_the_same_answer() -> None:
    torch.manual_seed(0)
    ours = build_segmenter(CONFIG).eval()
    theirs = Restated().eval()
    theirs.load_state_dict(synthstrip_weights(ours.state_dict(), CONFIG, 1.0), strict=True)
    x = torch.rand(1, 1, 64, 128, 64)
    with torch.inference_mode():
        expected = to_lia(ours(x))
        found = theirs(to_lia(x))
    assert found.shape == expected.shape
    assert expected.std() > 1e-4
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "spacing_mm"),
    [({"architecture": "unet"}, 1.0), ({"channels": (8, 16, 32)}, 1.0),
     ({"target": "probability"}, 1.0), ({}, 2.0)],
)  # fmt: skip
def test_another_network_is_refused(change: dict[str, object], spacing_mm: float) -> None:
    config = CONFIG.model_copy(update=change)
    with pytest.raises(UserError, match="SynthStrip's architecture"):
        synthstrip_weights({}, config, spacing_mm)
