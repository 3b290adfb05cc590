"""study.json: what goes into it, and how it is read, checked, upgraded and written."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_singlestrip.atomic_files import (
    STUDY_MARK,
    TEMPORARY_PREFIX,
    read_json,
    write_json_atomic,
)
from napari_singlestrip.errors import UserError
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.study.changes import Change, pending_targets
from napari_singlestrip.texts import path_text, text_path

if TYPE_CHECKING:
    from napari_singlestrip.engine.imaging.scan_search import FoundScans

FORMAT = 1
DOCUMENT_NAME = STUDY_MARK
BACKUP_NAME = "study.json.bak"

MAX_PART_BYTES, MAX_PATH_BYTES = 255, 4096  # file systems take nothing longer
MAX_NAME_BYTES = MAX_PART_BYTES - len(".nii.gz")

Role = Literal["pool", "held_out"]

# One function per old format, named `_upgrade_<n>_to_<n+1>`, each turning the content of a
# study.json of format n into that of the next. Empty while there is only one format.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


class ScanEntry(BaseModel):
    """A scan of the study.

    Attributes
    ----------
    name : str
        File name without extension, with folders in front where another scan has the same file
        name; masks and scores are filed under it.
    path : str
        Where the file is, as stored: relative to the study folder, or absolute.
    role : {"pool", "held_out"}
        Scans of the pool may be learned from; those held out are predicted and scored only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    path: str
    role: Role = "pool"

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, name: str) -> str:
        # Names become file names below the study folder: one from a study that was sent by
        # somebody must not lead out of it.
        too_long = len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES
        if name in ("", ".", "..") or PureWindowsPath(name).name != name or too_long:
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
        When the study was made (ISO 8601, UTC).
    scans : tuple of ScanEntry
        In the order in which they were added.
    effort : str
        The one dial.
    overrides : dict
        Dotted setting names to values: what differs from the effort's settings.
    references : str or None
        Folder of reference masks, only for evaluation; stored like a scan's path.
    removed : tuple of ScanEntry
        Scans that were taken out. Their names stay theirs, since their masks are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    created: str
    scans: tuple[ScanEntry, ...] = Field(min_length=1)
    effort: str = "quick"
    overrides: dict[str, Any] = {}
    references: str | None = None
    removed: tuple[ScanEntry, ...] = ()

    @field_validator("scans")
    @classmethod
    def _names_differ(cls, scans: tuple[ScanEntry, ...]) -> tuple[ScanEntry, ...]:
        # Masks and decisions are filed by name: those of one scan would be another's.
        (name, n), = Counter(entry.name for entry in scans).most_common(1)
        if n > 1:
            raise ValueError(f"{n} scans are called {name!r}")
        return scans

    @field_validator("references")
    @classmethod
    def _is_a_path(cls, text: str | None) -> str | None:
        return None if text is None else _can_be_opened(text)


def _can_be_opened(text: str) -> str:
    """Refuse what no system takes for a path: asking whether it exists would raise."""
    content = os.fsencode(text)  # half a surrogate pair cannot be in any
    longest = max(map(len, content.replace(b"\\", b"/").split(b"/")))
    if not text or b"\0" in content or len(content) > MAX_PATH_BYTES or longest > MAX_PART_BYTES:
        raise ValueError("no path is like this")
    return text


def read_document(folder: Path) -> StudyDocument:
    """Read study.json of a study folder, upgrading an older format.

    Raises
    ------
    UserError
        If there is none, or it is damaged, or a newer version made it.
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
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise _damaged(path, f"{place}: {problem['msg']}") from error


def write_document(folder: Path, document: StudyDocument) -> None:
    """Write study.json, then the same as study.json.bak to go back to.

    Two files, because what damages a study.json (an editor, a synchronising client, a bad disk)
    seldom damages both.
    """
    content = document.model_dump(mode="json")
    write_json_atomic(folder / DOCUMENT_NAME, content)
    write_json_atomic(folder / BACKUP_NAME, content)


def add_document(change: Change, folder: Path, document: StudyDocument) -> None:
    """Make study.json the last file of a change that makes a study: with it, it is one."""
    for name in (BACKUP_NAME, DOCUMENT_NAME):
        write_json_atomic(change.replace(folder / name), document.model_dump(mode="json"))


def json_values(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from study.json (tuples become lists)."""
    values: dict[str, Any] = json.loads(json.dumps(dict(overrides)))
    return values


def stored_path(path: Path, folder: Path) -> str:
    """Return how `path` is written down in the study in `folder`.

    Relative when it lies in the study or beside it, so that both can be copied to another place
    or machine together; else absolute. Bytes that are not UTF-8 are escaped.
    """
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    beside_a_root = folder.parent == Path(folder.anchor)
    if path.is_relative_to(folder) or (path.is_relative_to(folder.parent) and not beside_a_root):
        return path_text(Path(os.path.relpath(path, folder)).as_posix())
    return path_text(path)


def resolved_path(stored: str, folder: Path) -> Path:
    """Return the absolute path that `stored_path` wrote down."""
    return Path(os.path.abspath(folder / text_path(stored)))


def new_folder(folder: Path) -> Path:
    """Return the absolute path of a folder that may become a study.

    Raises
    ------
    UserError
        If it is a study, a file or in use, has the name of a file, or lies within another study.
    """
    from napari_singlestrip.engine.imaging.scan_files import check_folder_name

    folder = Path(os.path.abspath(folder.expanduser()))
    other = "Choose another folder for the new study."
    if (folder / DOCUMENT_NAME).exists():
        raise UserError(
            f"{folder} is a study already.",
            "Go on with `singlestrip run`, or choose another folder for a new one.",
        )
    for parent in folder.parents:
        if (parent / DOCUMENT_NAME).exists():
            raise UserError(f"{folder} is inside another study, {parent}.", other)
    if folder.is_file():
        raise UserError(f"{folder} is a file.", other)
    check_folder_name(folder, "a study is a folder")
    # Hidden files are those of the system (.DS_Store), not a person's; and what a killed
    # `singlestrip new` left half made is made anew.
    ours = {Path(target).parts[0] for target in pending_targets(folder)}
    if folder.is_dir() and any(p.name[0] != "." and p.name not in ours for p in folder.iterdir()):
        raise UserError(f"{folder} is not empty.", other)
    return folder


def find_scan_files(
    paths: Sequence[str | Path], masks: Iterable[str | Path] = ()
) -> FoundScans:
    """Return the absolute paths of scan files, and of those in folders; each once.

    Parameters
    ----------
    paths : sequence of str or Path
        Or one alone. What was found already (`FoundScans`) stays as it is.
    masks : iterable of str or Path
        Files that are masks by a person's word.

    Raises
    ------
    UserError
        If there are none.
    """
    from napari_singlestrip.engine.imaging.scan_search import FoundScans, search

    if isinstance(paths, FoundScans):
        return paths
    if isinstance(paths, str | Path):  # a string is a sequence, too: of letters
        paths = [paths]
    given = [Path(p).expanduser() for p in paths]
    found = search(given, masks) if given else FoundScans(())
    if not found:
        where = f" in {', '.join(str(p) for p in paths)}" if paths else ""
        raise UserError(
            f"There are no scans{where}.",
            "Name scan files (.nii, .nii.gz, .mgz, .mgh, .img) or a folder that holds some.",
        )
    return FoundScans(dict.fromkeys(Path(os.path.abspath(p)) for p in found), found.notes)


def scans_among(
    paths: Sequence[str | Path], masks: Iterable[str | Path] = ()
) -> tuple[FoundScans, list[Failure]]:
    """Return the scan files, as `find_scan_files`, and why some of the paths have none.

    Raises
    ------
    UserError
        If none has any.
    """
    from napari_singlestrip.engine.imaging.scan_files import real_file
    from napari_singlestrip.engine.imaging.scan_search import FoundScans

    masks = tuple(masks)
    found: dict[str, Path] = {}
    notes: list[str] = []
    problems: list[Failure] = []
    for path in paths:
        files = attempt(find_scan_files, [path], masks)
        if isinstance(files, Failure):
            problems.append(files)
            continue
        notes += files.notes
        for file in files:
            found.setdefault(real_file(file), file)
    if not found:
        find_scan_files(paths[:1], masks)
    return FoundScans(sorted(found.values()), notes), problems


def scan_entries(
    files: Sequence[Path], folder: Path, role: Role, existing: Mapping[str, Path] | None = None
) -> tuple[ScanEntry, ...]:
    """Make the entries of scan files for the study in `folder`.

    Parameters
    ----------
    existing : mapping of str to Path, optional
        Names that are taken. A file among them gets its name back.

    Raises
    ------
    UserError
        If two cannot be told apart by name and folders.
    """
    entries = []
    for file, name in _names(files, existing or {}).items():
        try:
            entries.append(ScanEntry(name=name, path=stored_path(file, folder), role=role))
        except ValidationError as error:
            raise UserError(
                f"{file} has a name that cannot be used.",
                "Rename it, or its folder, to letters and digits.",
            ) from error
    return tuple(entries)


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


def _names(files: Sequence[Path], known: Mapping[str, Path]) -> dict[Path, str]:
    from napari_singlestrip.engine.imaging.scan_names import name_scans

    named = {path: name for name, path in known.items()}
    new = name_scans((file for file in files if file not in named), known).checked()
    return {file: named[file] if file in named else new[file] for file in files}


def stored_references(references: str | Path | None, folder: Path) -> str | None:
    """Return how the folder of reference masks is written down.

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
        raise UserError(
            f"{path} was made by a newer version of napari-singlestrip "
            f"(study format {found}; this version reads up to {FORMAT}).",
            "Update with `pip install --upgrade napari-singlestrip`.",
        )
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
