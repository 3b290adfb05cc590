"""Simulated heads: generated from a seed, in four contrasts, with exact brain masks."""

from __future__ import annotations

from napari_singlestrip.sample_data.contrast import CONTRASTS, TISSUES
from napari_singlestrip.sample_data.heads import (
    SampleHead,
    render_head,
    sample_head,
    sample_heads,
    sample_name,
    write_sample_head,
    write_sample_heads,
)

__all__ = [
    "CONTRASTS",
    "TISSUES",
    "SampleHead",
    "render_head",
    "sample_head",
    "sample_heads",
    "sample_name",
    "write_sample_head",
    "write_sample_heads",
]
