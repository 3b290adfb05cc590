"""study.json: its content, and how it is read, validated, upgraded and written."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_singlestrip.engine import stored_settings
from napari_singlestrip.errors import FromNewerVersion, UserError
from napari_singlestrip.files.atomic import (
    STUDY_MARK,
    TEMPORARY_PREFIX,
    json_text,
    read_json,
    write_text_atomic,
)
from napari_singlestrip.study.changes import Change, pending_targets
from napari_singlestrip.texts import path_text, text_path

FORMAT = 2
DOCUMENT_NAME = STUDY_MARK
BACKUP_NAME = "study.json.bak"

MAX_PART_BYTES, MAX_PATH_BYTES = 255, 4096  # limits of file systems
MAX_NAME_BYTES = MAX_PART_BYTES - len(".nii.gz")
_APART = re.compile(r"[/\\:]")

Role = Literal["pool", "held_out"]


def _upgrade_1_to_2(content: dict[str, Any]) -> dict[str, Any]:
    """Rename settings to their names since format 2."""
    overrides = content.get("overrides")
    if isinstance(overrides, dict):
        overrides = stored_settings.upgrade_1_to_2(overrides)
        content = {**content, "overrides": overrides}
    return {**content, "format": 2}


# One function per old format, each turning the content of a study.json of format n into that of
# the next.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _upgrade_1_to_2}


class ScanEntry(BaseModel):
    """A scan of the study.

    Attributes
    ----------
    name : str
        File name without extension, prefixed with folders if another scan has the same file name;
        masks and scores are stored under it.
    path : str
        Path of the file as stored: relative to the study folder, or absolute.
    role : {"pool", "held_out"}
        Scans of the pool may be used for training; held-out scans are only predicted and scored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    path: str
    role: Role = "pool"

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, name: str) -> str:
        # Names become file names inside the study folder: in a study from elsewhere they must not
        # lead out of it.
        too_long = len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES
        # Only these characters make folders and drives: a path takes longer than all other checks.
        leads_out = _APART.search(name) and PureWindowsPath(name).name != name
        if name in ("", ".", "..") or leads_out or too_long:
            raise ValueError("a scan's name must be usable as a file name")
        if name.startswith(TEMPORARY_PREFIX):
            raise ValueError("this is what temporary files are called, which are removed")
        return name

    @field_validator("name", "path")
    @classmethod
    def _is_a_path(cls, text: str) -> str:
        return _can_be_opened(text)


class StudyDocument(BaseModel):
    """The content of study.json.

    Attributes
    ----------
    format : int
        Format number of the study folder.
    created : str
        Time of creation (ISO 8601, UTC).
    scans : tuple of ScanEntry
        In the order in which they were added.
    effort : str
        The preset of the settings.
    overrides : dict
        Dotted setting names to values, where they differ from the effort's.
    references : str or None
        Folder of reference masks, for evaluation only; stored like a scan's path.
    removed : tuple of ScanEntry
        Scans that were removed. Their names stay reserved, since their masks are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    created: str
    scans: tuple[ScanEntry, ...] = Field(min_length=1)
    effort: str = "quick"
    overrides: dict[str, Any] = {}
    references: str | None = None
    removed: tuple[ScanEntry, ...] = ()

    @field_validator("scans")
    @classmethod
    def _names_differ(cls, scans: tuple[ScanEntry, ...]) -> tuple[ScanEntry, ...]:
        # Masks and decisions are stored by name, so that scans must not share one.
        (name, n), = Counter(entry.name for entry in scans).most_common(1)
        if n > 1:
            raise ValueError(f"{n} scans are called {name!r}")
        return scans

    @field_validator("references")
    @classmethod
    def _is_a_path(cls, text: str | None) -> str | None:
        return None if text is None else _can_be_opened(text)


def _can_be_opened(text: str) -> str:
    """Refuse invalid paths, for which even testing their existence would raise."""
    content = os.fsencode(text)  # raises for an unpaired surrogate
    longest = max(map(len, content.replace(b"\\", b"/").split(b"/")))
    if not text or b"\0" in content or len(content) > MAX_PATH_BYTES or longest > MAX_PART_BYTES:
        raise ValueError("no path is like this")
    return text


def read_document(folder: Path) -> StudyDocument:
    """Read study.json of a study folder, upgrading an older format.

    Raises
    ------
    UserError
        If it is missing, damaged or from a newer version.
    """
    path = folder / DOCUMENT_NAME
    if folder.exists() and not folder.is_dir():
        raise _missing(folder)
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise _missing(folder) from None
    except UserError as error:
        if not folder.is_dir():
            raise _missing(folder) from None
        if not error.what.startswith(f"{path} "):
            raise UserError(error.what, "Check its permissions, and the disk.") from error
        what = error.what.removeprefix(f"{path} ").removesuffix(".")
        raise _damaged(path, f"it {what}") from error
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise _damaged(path, "it has no format number")
    try:
        return StudyDocument.model_validate(_upgrade(content, path))
    except ValidationError as error:
        if unknown := stored_settings.unknown_in(error):
            raise FromNewerVersion(path, f"entry {unknown}") from error
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise _damaged(path, f"{place}: {problem['msg']}") from error


def write_document(folder: Path, document: StudyDocument) -> None:
    """Write study.json, then study.json.bak as a backup.

    Whatever damages study.json (an editor, a sync client, a bad disk) seldom damages both.
    """
    text = json_text(document.model_dump(mode="json"))
    for name in (DOCUMENT_NAME, BACKUP_NAME):
        write_text_atomic(folder / name, text)


def add_document(change: Change, folder: Path, document: StudyDocument) -> None:
    """Add study.json as the last file of a change that creates a study, which completes it."""
    text = json_text(document.model_dump(mode="json"))
    for name in (BACKUP_NAME, DOCUMENT_NAME):
        write_text_atomic(change.replace(folder / name), text)


def json_values(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as read back from study.json (tuples become lists)."""
    values: dict[str, Any] = json.loads(json.dumps(dict(overrides)))
    return values


def stored_path(path: Path, folder: Path) -> str:
    """Return `path` as it is stored in the study in `folder`.

    Relative if it is inside the study or beside it, so that both can be moved together; otherwise
    absolute. Bytes that are not UTF-8 are escaped.
    """
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    beside_a_root = folder.parent == Path(folder.anchor)
    if path.is_relative_to(folder) or (path.is_relative_to(folder.parent) and not beside_a_root):
        return path_text(Path(os.path.relpath(path, folder)).as_posix())
    return path_text(path)


def resolved_path(stored: str, folder: Path) -> Path:
    """Return the absolute path of a stored path (inverse of `stored_path`)."""
    return Path(os.path.abspath(os.path.join(folder, text_path(stored))))


def new_folder(folder: Path) -> Path:
    """Return the absolute path of a folder for a new study.

    Raises
    ------
    UserError
        If it is a study, a file or not empty, has the name of a file, or is inside another study.
    """
    from napari_singlestrip.engine.imaging.scan_files import check_folder_name

    folder = Path(os.path.abspath(folder.expanduser()))
    other = "Choose another folder for the new study."
    if (folder / DOCUMENT_NAME).exists():
        raise UserError(
            f"{folder} is a study already.",
            "Resume it with `singlestrip run`, or choose another folder for a new one.",
        )
    for parent in folder.parents:
        if (parent / DOCUMENT_NAME).exists():
            raise UserError(f"{folder} is inside another study, {parent}.", other)
    if folder.is_file():
        raise UserError(f"{folder} is a file.", other)
    check_folder_name(folder, "a study is a folder")
    # Hidden files are the system's (.DS_Store); an incomplete study of a killed `singlestrip new`
    # is replaced.
    ours = {Path(target).parts[0] for target in pending_targets(folder)}
    if folder.is_dir() and any(p.name[0] != "." and p.name not in ours for p in folder.iterdir()):
        raise UserError(f"{folder} is not empty.", other)
    return folder


def study_names(model: Path) -> dict[Path, str]:
    """Names of the scans of a study by their files; empty for a model file.

    Raises
    ------
    UserError
        If the study is damaged.
    """
    folder = model.parent if model.name == DOCUMENT_NAME else model
    if not (folder / DOCUMENT_NAME).is_file():
        return {}
    scans = read_document(folder).scans
    return {resolved_path(entry.path, folder): entry.name for entry in scans}


def stored_references(references: str | Path | None, folder: Path) -> str | None:
    """Return the folder of reference masks as it is stored.

    Raises
    ------
    UserError
        If it is not a folder.
    """
    if references is None:
        return None
    path = Path(references).expanduser()
    if not path.is_dir():
        raise UserError(f"There is no folder {path} of reference masks.", "Check the path.")
    return stored_path(path, folder)


def _upgrade(content: dict[str, Any], path: Path) -> dict[str, Any]:
    found = content["format"]
    if found > FORMAT:
        raise FromNewerVersion(path, f"study format {found}, where {FORMAT} is read")
    while content["format"] < FORMAT:
        upgrade = UPGRADES.get(content["format"])
        if upgrade is None:
            raise _damaged(path, f"there is no study format {content['format']}")
        content = upgrade(content)
    return content


def _missing(folder: Path) -> UserError:
    backup = folder / BACKUP_NAME
    if backup.exists():
        return _damaged(folder / DOCUMENT_NAME, "the file is gone")
    hint = "Give the folder of a study, or make one with `singlestrip new STUDY SCAN...`."
    if not folder.exists():
        return UserError(f"There is no study {folder}.", hint)
    return UserError(f"{folder} is not a study: it has no {DOCUMENT_NAME}.", hint)


def _damaged(path: Path, why: str) -> UserError:
    backup = path.with_name(BACKUP_NAME)
    if backup.exists():
        hint = (
            f"Copy {BACKUP_NAME}, the last good version, over it in the same folder; masks, "
            "decisions and rounds are not affected."
        )
    else:
        hint = (
            "Restore it from a backup, or make a new study of the same scans in another folder "
            f"and give it the masks in {path.parent / 'masks'} with --mask."
        )
    return UserError(f"{path} is damaged: {why}.", hint)
