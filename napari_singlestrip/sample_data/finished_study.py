"""A finished study of sample heads, to look at without waiting for a training.

``sample_data/finished.zip`` holds what a real run left behind: weights in half precision, masks,
scores and curves (``tools/make_sample_study.py`` makes it). The scans are not in it: they are
drawn again from their seeds.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_singlestrip.atomic_files import atomic_path
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.document import DOCUMENT_NAME

PACK = Path(__file__).with_name("finished.zip")
ABOUT = "about.json"  # the heads of the study; the rest of the pack is the study's folder
FOLDER = "finished"


@dataclass(frozen=True)
class Heads:
    """The sample heads of a pack: how many, their seed and their voxel size (mm)."""

    n: int
    seed: int
    spacing_mm: float


def heads_of(pack: Path = PACK) -> Heads:
    """Return which heads the packed study is of."""
    with zipfile.ZipFile(pack) as archive:
        return Heads(**json.loads(archive.read(ABOUT)))


def unfold(folder: Path, pack: Path = PACK) -> Path:
    """Unpack the study to ``folder/finished``, beside the scans that it is of.

    Parameters
    ----------
    folder : Path
        Made if missing. A finished study that is there already stays as it is.
    pack : Path
        The archive.

    Returns
    -------
    Path
        The study.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    target = folder / FOLDER
    if not (target / DOCUMENT_NAME).is_file():
        _extract(pack, target)
    return target


def _extract(pack: Path, target: Path) -> None:
    """Unpack beside, then move: a study is whole or absent."""
    beside = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        with zipfile.ZipFile(pack) as archive:
            names = [name for name in archive.namelist() if name != ABOUT]
            archive.extractall(beside, names)
        os.replace(beside, target)
    except OSError as error:
        raise UserError(
            f"Cannot write the sample study to {target}: {error.strerror}.",
            "Choose another folder.",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def fold(study: Path, heads: Heads, pack: Path) -> None:
    """Pack the folder of a study as it is; its scans must lie in ``../scans``.

    Times are left out, so that the same study gives the same bytes.
    """
    files = sorted(p for p in study.rglob("*") if p.is_file() and not p.name.startswith("."))
    with atomic_path(pack) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, ABOUT, json.dumps(asdict(heads)).encode())
        for path in files:
            _add(archive, path.relative_to(study).as_posix(), path.read_bytes())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, compresslevel=9)
