#!/usr/bin/env python3
"""Make napari_singlestrip/sample_data/first_head.zip: the sample head that is shown at once.

    python tools/make_first_head.py

Half a minute. The scan is stored in 8 bits, steps far below its noise.
"""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from napari_singlestrip.sample_data import SampleHead, sample_head, write_sample_head
from napari_singlestrip.sample_data.first_head import PACK, SPACING_MM

DATE = (2026, 1, 1, 0, 0, 0)  # the same head gives the same bytes


def main() -> None:
    """Draw the head and pack it."""
    head = in_8_bits(sample_head(0, 0, SPACING_MM))
    with TemporaryDirectory() as folder, zipfile.ZipFile(PACK, "w") as archive:
        for path in write_sample_head(Path(folder), head):
            name = path.relative_to(folder).as_posix()
            archive.writestr(zipfile.ZipInfo(name, DATE), path.read_bytes())
    print(f"{PACK}: {PACK.stat().st_size / 1e6:.2f} MB")


def in_8_bits(head: SampleHead) -> SampleHead:
    """Scale intensities to 0 ... 255."""
    return replace(head, data=np.round(head.data * (255 / head.data.max())).astype(np.uint8))


if __name__ == "__main__":
    main()
