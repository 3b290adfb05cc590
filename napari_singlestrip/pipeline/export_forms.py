"""Export of a trained model to other formats: ONNX, and weights for SynthStrip."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any, Literal

import torch

from napari_singlestrip.engine.learning.model_card import ModelCard, card_to_json
from napari_singlestrip.engine.learning.segmenter import Segmenter
from napari_singlestrip.engine.learning.synthstrip_weights import synthstrip_weights
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import atomic_path

Form = Literal["singlestrip", "onnx", "synthstrip"]


def write_form(path: Path, form: Form, segmenter: Segmenter, card: ModelCard) -> None:
    """Write the segmenter of a round for other programs.

    Parameters
    ----------
    path : Path
        The file to write.
    form : {"onnx", "synthstrip"}
    segmenter : Segmenter
        On the CPU.
    card : ModelCard

    Raises
    ------
    UserError
        If the file cannot be written, the form does not suit the network, or a library is missing.
    """
    content = _onnx(segmenter, card) if form == "onnx" else _synthstrip(segmenter)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _synthstrip(network: Segmenter) -> bytes:
    weights = synthstrip_weights(
        network.net.state_dict(), network.settings.network, network.spacing_mm
    )
    content = io.BytesIO()
    torch.save({"model_state_dict": weights}, content)
    return content.getvalue()


def _onnx(network: Segmenter, card: ModelCard) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise UserError(
            f"ONNX files need a library that is not installed ({error.name}).",
            'Install it: pip install "napari-singlestrip[onnx]"',
        ) from error
    side = network.settings.network.side_multiple
    dynamic = dict.fromkeys((2, 3, 4), torch.export.Dim.AUTO)
    picture = torch.zeros(1, 1, *(max(n, 2 * side) for n in network.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # from deprecated code in the exporter
        program = torch.onnx.export(
            network.net, (picture,), dynamo=True, verbose=False,
            input_names=["picture"], output_names=["output"], dynamic_shapes=(dynamic,),
        )
    made: Any = program.model_proto  # type: ignore[union-attr]
    for key, value in _properties(network, card).items():
        onnx.helper.set_model_props(made, {**{p.key: p.value for p in made.metadata_props},
                                           key: value})  # fmt: skip
    content: bytes = made.SerializeToString()
    return content


def _properties(network: Segmenter, card: ModelCard) -> dict[str, str]:
    """Metadata that other programs need to prepare the input and interpret the output."""
    target = network.settings.network.target
    return {
        "made_by": "napari-singlestrip",
        "input": "RAS axes, isotropic; 0 at the 1st percentile, 1 at the 99.5th of the foreground",
        "output": "logit of brain" if target == "probability"
        else "signed distance to the surface in voxels, negative inside",
        "spacing_mm": f"{network.spacing_mm:.6g}",
        "side_multiple": str(network.settings.network.side_multiple),
        "settings": network.settings.model_dump_json(),
        "card": json.dumps(json.loads(card_to_json(card))),
    }
