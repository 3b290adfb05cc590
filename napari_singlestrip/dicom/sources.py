"""The origin of converted scans, stored beside them, so that masks can be exported to DICOM.

The file contains no names: patients have a number, and a digest by which they are recognised when
more of their series are converted.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_singlestrip.dicom.series import Person, Series
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_json, write_json_atomic
from napari_singlestrip.texts import path_text, text_path

RECORD = "dicom_sources.json"
_ROUNDS = 200_000  # 0.1 s per hash, which makes guessing identities slow


class Source(BaseModel):
    """The series a scan was converted from.

    Attributes
    ----------
    person : str
        Number in this folder of scans, such as "p01".
    series_uid, study_uid, frame_uid : str
        SeriesInstanceUID, StudyInstanceUID and FrameOfReferenceUID.
    series_number : int
    description : str
    folder : str
        Location of its files, as written by `texts.path_text`.
    """

    model_config = ConfigDict(frozen=True)

    person: str
    series_uid: str
    study_uid: str = ""
    frame_uid: str = ""
    series_number: int = 0
    description: str = ""
    folder: str = ""

    @classmethod
    def of(cls, series: Series, person: str) -> Source:
        """Make the entry of a series."""
        folder = os.path.commonpath([os.path.abspath(path.parent) for path in series.files])
        return cls(
            person=person, series_uid=series.uid, study_uid=series.study_uid,
            frame_uid=series.frame_uid, series_number=series.series_number,
            description=series.description, folder=path_text(folder),
        )

    @property
    def path(self) -> Path:
        """Folder of the files."""
        return Path(text_path(self.folder))

    @property
    def words(self) -> str:
        """Anonymous description of the series."""
        return f"series {self.series_number} ({self.description or 'no description'})"


class Sources(BaseModel):
    """The content of dicom_sources.json.

    Attributes
    ----------
    salt : str
        Prevents matching digests between folders.
    people : dict of str to str
        Digests of the patients, by number.
    scans : dict of str to Source
        By the name of the scan's file, without extension.
    """

    format: int = 1
    salt: str = Field(default_factory=lambda: secrets.token_hex(16))
    people: dict[str, str] = {}
    scans: dict[str, Source] = {}

    def person(self, who: Person) -> str:
        """Return the number of a patient: the existing or the next one."""
        text = "\0".join(who.identity).encode()
        digest = hashlib.pbkdf2_hmac("sha256", text, self.salt.encode(), _ROUNDS).hex()[:32]
        for number, known in self.people.items():
            if known == digest:
                return number
        number = f"p{len(self.people) + 1:02d}"
        self.people[number] = digest
        return number


def read_sources(path: Path) -> Sources:
    """Read the file; empty if it does not exist.

    Raises
    ------
    UserError
        If it is damaged.
    """
    try:
        return Sources.model_validate(read_json(path))
    except FileNotFoundError:
        return Sources()
    except ValidationError as error:
        raise UserError(
            f"{path} is damaged.", "Convert the series again, into another folder."
        ) from error


def write_sources(path: Path, sources: Sources) -> None:
    """Write the file atomically."""
    write_json_atomic(path, sources.model_dump())
