from __future__ import annotations

import pytest

from napari_singlestrip.texts import (
    path_text,
    plain_name,
    printable,
    table_cell,
    text_path,
    without_apostrophe,
)


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


def test_a_name_is_one_in_every_spelling_and_visible() -> None:
    assert plain_name("Zoe\u0308") == plain_name("Zo\u00eb") == "Zo\u00eb"
    assert plain_name("M\udcfcller") == "M%FCller"  # a Latin-1 byte
    assert plain_name("a\n\x1b[31m\u202eb") == "a%0A%1B[31m%E2%80%AEb"
    assert plain_name("a/b\\c:d") == "a%2Fb%5Cc%3Ad"
    for name in ("sub-01_T1w", "頭部 01", "a=b 'c' d.e ", "می\u200cخواهم"):
        assert plain_name(name) == name


@pytest.mark.parametrize(
    "path", ["/data/a.nii", "M\udcfcller/Zo\u00eb %FC.nii", "a\nb.nii", "percent-encoded:x.nii", ""]
)
def test_a_path_is_written_in_utf8_and_found_again(path: str) -> None:
    text = path_text(path)
    assert text.encode("utf-8").decode() == text and "\n" not in text
    assert text_path(text) == path
