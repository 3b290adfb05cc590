from __future__ import annotations

import pytest

from napari_singlestrip.texts import printable, table_cell, without_apostrophe


def test_what_a_terminal_obeys_is_shown_as_its_escape() -> None:
    assert printable("a\x1b]0;owned\x07\nb") == "a\\x1b]0;owned\\x07\\nb"
    assert printable("M\udcfcller") == "M\\udcfcller"  # Latin-1 bytes, as Python keeps them
    assert printable("gpj.\u202etxt") == "gpj.\\u202etxt"


def test_names_in_any_script_stay_as_they_are() -> None:
    for name in ("Müller", "頭部 01", "sub=01 'T1'", "Ärzte", "ά"):
        assert printable(name) == name
        printable(name).encode("utf-8")


@pytest.mark.parametrize("text", ["=1+1", "+a", "-b", "@c", "\td", "plain", "'quoted", "'=x", ""])
def test_a_cell_is_never_a_formula_and_comes_back(text: str) -> None:
    cell = table_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert without_apostrophe(cell) == text
