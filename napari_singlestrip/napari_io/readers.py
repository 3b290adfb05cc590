"""Reading scans, folders and studies for napari's File > Open, and for drag and drop.

A scan becomes a layer in display orientation (see `display_orientation`). A study, or a folder of
scans, is opened in the dock: napari gives readers no viewer, but accepts ``[(None,)]`` for "read,
without a layer".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[Any]]

NO_LAYER: list[Any] = [(None,)]
SAMPLE = "singlestrip://sample/"  # addresses of samples that open in the dock
DEMO = "singlestrip://demo/"  # prefix of a folder, quoted as in a URL, with the guided demo
MAX_ENTRIES = 5000  # limits the search, so that a whole disk is not scanned


def get_reader(path: str | list[str]) -> Reader | None:
    """Choose how to read `path`; None if it is not supported.

    Parameters
    ----------
    path : str or list of str
        Files, a folder, a study, or the address of a sample.
    """
    paths = [path] if isinstance(path, str) else list(path)
    if not paths:
        return None
    if paths[0].startswith((SAMPLE, DEMO)):
        return _open_sample
    if all(_is_study(Path(p)) or _has_scan(Path(p)) for p in paths):
        return _open_in_dock
    from napari_singlestrip.engine.imaging.scan_files import SCAN_EXTENSIONS

    known = all(p.lower().endswith(SCAN_EXTENSIONS) for p in paths)
    return _read_files if known else None


def read_scan(path: str | Path) -> LayerData:
    """Read a scan or a mask as a layer.

    Parameters
    ----------
    path : str or Path
        A file. A 4D file is averaged over its frames.

    Returns
    -------
    data, attributes, layer type
        Axes (I, P, L), scaled to mm. The metadata contain the file, its affine and notes. A file of
        labels becomes a labels layer.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    from napari_singlestrip.engine.imaging.display_orientation import Upright, grey_limits
    from napari_singlestrip.engine.imaging.scan_names import scan_name
    from napari_singlestrip.engine.imaging.volume import open_scan

    scan = open_scan(path)
    turn = Upright(scan.grid.affine)
    attributes: dict[str, Any] = {"name": scan_name(path), "scale": turn.scale}
    if (values := _labels(scan)) is not None:
        data = values.round().astype("int32")
        attributes |= {"opacity": 0.5, "metadata": _metadata(scan, scan.notes)}
        return turn.to_display(data), attributes, "labels"
    volume = scan.load()
    limits, _ = grey_limits(volume.data)
    attributes |= {
        "contrast_limits": limits, "metadata": _metadata(scan, (*scan.notes, *volume.notes)),
    }
    return turn.to_display(volume.data), attributes, "image"


def _metadata(scan: Any, notes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "path": os.path.abspath(scan.path), "affine": scan.grid.affine.tolist(),
        "notes": list(notes),
    }


def _labels(scan: Any) -> Any:
    """Return the values of a file that has the name and content of a mask or labels; else None."""
    from napari_singlestrip.engine.imaging.scan_search import has_mask_word, is_label_image

    if scan.frames > 1 or not has_mask_word(scan.name):
        return None
    values = scan.read_float()
    return values if is_label_image(values) else None


def _read_files(path: Any) -> list[Any]:
    return [read_scan(p) for p in _as_list(path)]


def _open_in_dock(path: Any) -> list[Any]:
    """Open a study, or start one with the scans of a folder; without a viewer, read the scans."""
    from napari_singlestrip.widgets.dock.find_dock import open_dock

    paths = [Path(p) for p in _as_list(path)]
    dock = open_dock()
    if dock is None:
        return _read_folders(paths)
    dock.take_files(paths)
    return NO_LAYER


def _read_folders(paths: list[Path]) -> list[Any]:
    from napari_singlestrip.engine.imaging.volume import find_scans
    from napari_singlestrip.errors import UserError
    from napari_singlestrip.study.study import Study

    if any(_is_study(p) for p in paths):
        study = Study.open(paths[0])
        raise UserError(
            f"{study.name} is a study: there is no window to open it in.",
            "Start napari and open it there.",
        )
    return [read_scan(p) for p in find_scans(paths)]


def _open_sample(path: Any) -> list[Any]:
    from napari_singlestrip.errors import UserError
    from napari_singlestrip.widgets.dock.find_dock import open_dock

    dock = open_dock()
    if dock is None:
        raise UserError("The sample needs a window.", "Start napari and open it there.")
    address = _as_list(path)[0]
    if address.startswith(DEMO):
        dock.guide.begin(Path(unquote(address.removeprefix(DEMO))))
    else:
        dock.open_sample(address.removeprefix(SAMPLE))
    return NO_LAYER


def _as_list(path: Any) -> list[str]:
    return [os.fspath(path)] if isinstance(path, str | os.PathLike) else list(path)


def _is_study(path: Path) -> bool:
    return (path / "study.json").is_file() or (path.name == "study.json" and path.is_file())


def _has_scan(folder: Path) -> bool:
    """Whether a folder contains a scan, at any depth; False for a file."""
    from napari_singlestrip.engine.imaging.scan_files import SCAN_EXTENSIONS

    n = 0
    for _, _, names in os.walk(folder):
        if any(name.lower().endswith(SCAN_EXTENSIONS) for name in names):
            return True
        n += len(names) + 1
        if n > MAX_ENTRIES:
            return False
    return False
