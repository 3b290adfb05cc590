"""The study folder on disk: study.json, atomic changes, and changes by other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from psygnal import Signal

from napari_singlestrip.files.atomic import file_digest
from napari_singlestrip.files.locks import exclusive
from napari_singlestrip.files.stamp import file_stamp
from napari_singlestrip.study.changes import Change, change_together, finish_change
from napari_singlestrip.study.document import (
    DOCUMENT_NAME,
    StudyDocument,
    read_document,
    write_document,
)
from napari_singlestrip.vocabulary import StudyPart

T = TypeVar("T")
Watched = Callable[[], tuple[Path, ...]]


class StudyFolder:
    """The part of a study that all others share: its path, document and changes.

    Only study.json is kept in memory, and tables as long as their files are unchanged. Changes are
    applied to the current state on disk, by one program at a time.

    Attributes
    ----------
    path : Path
        Absolute path of the study folder.
    document : StudyDocument
        The content of study.json.
    changed : psygnal.Signal
        Emitted after a change made through this object, with the `StudyPart` that changed, `STUDY`
        after `reload`; `follow` also emits it for changes by other programs.
    """

    changed = Signal(StudyPart)

    def __init__(self, path: Path, document: StudyDocument) -> None:
        self.path = path
        self.document = document
        # What was read of a file, with the stamp that the file had before.
        self._cache: dict[tuple[str, object], tuple[object, object]] = {}
        self._presumed: dict[Path, tuple[object, str]] = {}  # digests, each with its file's stamp
        self._seen: dict[StudyPart, dict[Path, object]] = {}  # stamps of watched files, by part
        self._watched: dict[StudyPart, Watched] = {}
        self.watch(StudyPart.SCANS, lambda: (path / DOCUMENT_NAME,))

    @classmethod
    def open(cls, path: Path) -> StudyFolder:
        """Open the folder of a study that exists.

        The document counts as read as of now, so that the first look at other programs' changes
        does not read and validate thousands of scans a second time.

        Raises
        ------
        UserError
            As `read_document`.
        """
        file = path / DOCUMENT_NAME
        before = file_stamp(file)
        folder = cls(path, read_document(path))
        if before is not None:
            folder._cache[str(file), _document_at] = before, folder.document
        return folder

    @property
    def name(self) -> str:
        """Name of the study: that of its folder."""
        return self.path.name

    def reload(self) -> None:
        """Read study.json again, after another program may have written it."""
        self._take(read_document(self.path))
        self.changed.emit(StudyPart.STUDY)

    def watch(self, what: StudyPart, files: Watched) -> None:
        """Let `follow` watch files and folders, and report changes as `what`."""
        self._watched[what] = files

    def follow(self) -> None:
        """Check whether another program changed the study since the last call, and report it.

        Raises
        ------
        UserError
            If study.json is damaged or missing; the study in memory is then unchanged.
        """
        for what, files in self._watched.items():
            before = self._seen.get(what)
            stamps: dict[Path, object] = {path: file_stamp(path) for path in files()}
            self._seen[what] = stamps
            if what is StudyPart.SCANS and stamps != before:
                old = self.document
                self._take(self.read(self.path / DOCUMENT_NAME, _document_at))
                if old is not self.document:
                    other_scans = old.scans is not self.document.scans
                    self.changed.emit(StudyPart.SCANS if other_scans else StudyPart.SETTINGS)
            elif before is not None and stamps != before:
                self.changed.emit(what)

    def saw(self, what: StudyPart) -> None:
        """Register a change of our own, while the lock is held, so that `follow` ignores it."""
        self._seen[what] = {path: file_stamp(path) for path in self._watched[what]()}

    @contextmanager
    def changing(self, document: bool = False) -> Iterator[None]:
        """Lock the study against changes by others; within the block, it is up to date.

        Parameters
        ----------
        document : bool
            Whether study.json itself will be changed. It is then read again in any case, as two
            changes within one tick of the disk's clock may look like one.
        """
        with exclusive(self.path / DOCUMENT_NAME):
            finish_change(self.path)
            self._take(
                read_document(self.path) if document
                else self.read(self.path / DOCUMENT_NAME, _document_at)
            )
            yield

    @contextmanager
    def changing_together(self, *what: StudyPart) -> Iterator[Change]:
        """Change several files, all of them or none, and report that `what` changed."""
        with self.changing():
            with change_together(self.path) as change:
                yield change
            for part in what:
                self.saw(part)
        for part in what:
            self.changed.emit(part)

    def write_document(self, **changes: Any) -> None:
        """Change study.json; only within `changing(document=True)`."""
        document = StudyDocument.model_validate({**dict(self.document), **changes})
        write_document(self.path, document)
        self._take(document)
        self.saw(StudyPart.SCANS)

    def read(self, path: Path, read: Callable[[Path], T]) -> T:
        """Read a table, or return the cached one if the file is unchanged."""
        stamp = file_stamp(path)
        if stamp is None:
            return read(path)
        key = str(path), read  # a text: a path is taken apart to be compared
        found = self._cache.get(key)
        if found is None or found[0] != stamp:
            found = self._cache[key] = (stamp, read(path))
        return cast(T, found[1])

    def keep(self, path: Path, read: Callable[[Path], T], content: T) -> None:
        """Let `read` return what was just written, while the lock is held, without reading it."""
        stamp = file_stamp(path)
        if stamp is not None:
            self._cache[str(path), read] = stamp, content

    def digest(self, path: Path) -> str:
        """Return the digest of a mask; empty if there is none."""
        try:
            return self.read(path, file_digest)
        except OSError:  # missing, or unreadable and so not usable for training
            return ""

    def probable_digest(self, path: Path) -> str:
        """Return the digest of a mask as `digest` does, or what it is presumed to be until read."""
        if self._presumed and not self.knows_digest(path):
            stamp, presumed = self._presumed.get(path, (None, ""))
            if stamp is not None and stamp == file_stamp(path):
                return presumed
        return self.digest(path)

    def presume(self, digests: Mapping[Path, str]) -> None:
        """Take these for the digests of masks, as long as their files stay as they are now.

        Of thousands of masks that are read in a thread. It replaces what was presumed before;
        nothing is to be written down that is only presumed.
        """
        self._presumed = {path: (file_stamp(path), digest) for path, digest in digests.items()}

    def knows_digest(self, path: Path) -> bool:
        """Whether `digest` need not read the file."""
        stamp, found = file_stamp(path), self._cache.get((str(path), file_digest))
        return stamp is None or (found is not None and found[0] == stamp)

    def _take(self, document: StudyDocument) -> None:
        """Take the content of study.json, but keep what is the same as before.

        What was made from thousands of scans, such as their index and the rows of a table, is
        kept as long as they are the same object.
        """
        old = self.document
        if document is old or document == old:
            return
        same_scans = document.scans == old.scans
        self.document = (
            document.model_copy(update={"scans": old.scans}) if same_scans else document
        )


def _document_at(path: Path) -> StudyDocument:
    return read_document(path.parent)
