"""A finished study of sample heads, to explore without training first.

``sample_data/finished.zip`` contains the results of a real run: weights in half precision, masks,
scores and curves (made by ``tools/make_sample_study.py``). The scans are not included: they are
generated again from their seeds.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import atomic_path
from napari_singlestrip.files.portable import rename
from napari_singlestrip.study.document import DOCUMENT_NAME

PACK = Path(__file__).with_name("finished.zip")
TUNED_PACK = Path(__file__).with_name("finetuned.zip")  # what one more round adds and changes
ABOUT = "about.json"  # the heads of the study; the rest of the archive is the study folder
FOLDER, TUNED_FOLDER = "finished", "finetuned"


@dataclass(frozen=True)
class Heads:
    """The sample heads of an archive: their number, seed and voxel size (mm)."""

    n: int
    seed: int
    spacing_mm: float


def heads_of(pack: Path = PACK) -> Heads:
    """Return the heads of the packed study."""
    with zipfile.ZipFile(pack) as archive:
        return Heads(**json.loads(archive.read(ABOUT)))


def unfold(folder: Path, pack: Path = PACK) -> Path:
    """Unpack the study to ``folder/finished``, beside its scans.

    Parameters
    ----------
    folder : Path
        Created if missing. An existing finished study is kept.
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
    return _extract((pack,), folder / FOLDER)


def unfold_tuned(folder: Path, packs: Sequence[Path] = (PACK, TUNED_PACK)) -> Path:
    """Unpack the same study after a round of fine-tuning to ``folder/finetuned``.

    Parameters
    ----------
    folder : Path
        As in `unfold`.
    packs : sequence of Path
        The study before, and what the round added and changed.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    return _extract(packs, folder / TUNED_FOLDER)


def _extract(packs: Sequence[Path], target: Path) -> Path:
    """Unpack to a temporary folder, then move it: the study is complete or absent."""
    if (target / DOCUMENT_NAME).is_file():
        return target
    beside = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        for pack in packs:
            with zipfile.ZipFile(pack) as archive:
                names = [name for name in archive.namelist() if name != ABOUT]
                archive.extractall(beside, names)
        rename(beside, target)
    except OSError as error:
        raise UserError(
            f"Cannot write the sample study to {target}: {error.strerror}.",
            "Choose another folder.",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def fold(study: Path, heads: Heads, pack: Path, over: Path | None = None) -> None:
    """Pack the folder of a study; its scans must be in ``../scans``.

    Times are omitted, so that the same study gives the same bytes.

    Parameters
    ----------
    study : Path
    heads : Heads
    pack : Path
        Written.
    over : Path, optional
        An archive whose files are omitted where they are the same.
    """
    known = {} if over is None else _content(over)
    files = sorted(p for p in study.rglob("*") if p.is_file() and not p.name.startswith("."))
    with atomic_path(pack) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, ABOUT, json.dumps(asdict(heads)).encode())
        for path in files:
            name, content = path.relative_to(study).as_posix(), path.read_bytes()
            if known.get(name) != content:
                _add(archive, name, content)


def _content(pack: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(pack) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, compresslevel=9)
