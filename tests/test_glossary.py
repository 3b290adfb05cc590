"""The words of the program, explained in one place."""

from __future__ import annotations

import pytest

from napari_singlestrip.glossary import TERMS, meaning


def test_each_word_of_a_term_is_found() -> None:
    assert meaning("AE error") == meaning("autoencoder error")
    assert "Lower is better" in meaning("AE error")
    assert "Higher is better" in meaning("agreement")
    assert meaning("place to check").startswith("A connected region")
    with pytest.raises(KeyError):
        meaning("error")


def test_terms_are_in_order_and_told_once_in_plain_text() -> None:
    words = [term.word.casefold() for term in TERMS]
    assert words == sorted(set(words))
    assert not [term.word for term in TERMS if set("*|`[") & set(term.meaning)]
    assert all(term.meaning.endswith(".") for term in TERMS)


def test_states_and_outlooks_of_a_mask_are_explained() -> None:
    from napari_singlestrip.study.outlook import OUTLOOK_TIPS
    from napari_singlestrip.study.tables import STATES

    for word in (*STATES, *OUTLOOK_TIPS):
        assert meaning(word)
