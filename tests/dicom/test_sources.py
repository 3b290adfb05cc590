from __future__ import annotations

from pathlib import Path

import pytest

from napari_singlestrip.dicom.series import Person
from napari_singlestrip.dicom.sources import Source, Sources, read_sources, write_sources
from napari_singlestrip.errors import UserError


def test_people_are_known_again_by_digest_alone(tmp_path: Path) -> None:
    one, other = Person(("A^B", "1", "1950")), Person(("A^B", "2", "1950"))
    sources = Sources()
    assert [sources.person(who) for who in (one, other, one)] == ["p01", "p02", "p01"]
    write_sources(tmp_path / "file.json", sources)
    read = read_sources(tmp_path / "file.json")
    assert read.person(other) == "p02"
    assert read.person(Person(("C", "3", ""))) == "p03"
    assert Sources().people != read.people


def test_digests_differ_from_folder_to_folder() -> None:
    who = Person(("A^B", "1", "1950"))
    first, second = Sources(), Sources()
    first.person(who)
    second.person(who)
    assert first.people != second.people


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text('{"scans": {"a": {"person": 3}}}')
    with pytest.raises(UserError, match="is damaged"):
        read_sources(tmp_path / "file.json")


def test_a_series_in_words_names_nobody() -> None:
    source = Source(person="p01", series_uid="1.2", series_number=4, description="t2")
    assert source.words == "series 4 (t2)"
