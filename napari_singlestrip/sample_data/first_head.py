"""The first sample head, generated in advance, so that it is shown at once.

``sample_data/first_head.zip`` contains its scan and its exact mask as written by
`making.make_samples` with `SPACING_MM`, the scan in 8 bits (made by ``tools/make_first_head.py``).
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import atomic_path

PACK = Path(__file__).with_name("first_head.zip")
SPACING_MM = 1.5  # finer takes minutes to generate; coarser looks blocky


def unfold_first_head(folder: Path) -> Path:
    """Write ``folder/scans`` and ``folder/masks`` with the first head, unless they exist.

    Returns
    -------
    Path
        The scan.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    with zipfile.ZipFile(PACK) as archive:
        mask, scan = sorted(archive.namelist())  # the scan is written last
        try:
            for name in (mask, scan):
                if not (folder / name).is_file():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    with atomic_path(folder / name) as file:
                        file.write_bytes(archive.read(name))
        except OSError as error:
            raise UserError(
                f"Cannot write the sample head in {folder}: {error.strerror}.",
                "Free some space, or make room for it in your home folder.",
            ) from error
    return folder / scan
