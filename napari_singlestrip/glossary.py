"""The terms of window, report and command line, defined once for all places that explain them.

The window's help shows them, tooltips repeat them, and ``make docs`` writes them to
docs/glossary.md.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A term and its meaning.

    Attributes
    ----------
    word : str
        As it appears in the window.
    meaning : str
        A sentence or two, without markup.
    """

    word: str
    meaning: str


TERMS = (
    Term("accepted", "You reviewed a predicted mask and found it good: it is used for training "
         "unchanged."),
    Term("AE error, autoencoder error", "How poorly the autoencoder reconstructs a mask: 1 - their "
         "overlap. Lower is better. It tells whether the mask is shaped like a brain, not whether "
         "it follows the border of this one."),
    Term("agreement (consistency)", "The network predicts a scan several times, rotated, mirrored "
         "and with another contrast; agreement is the overlap of the masks, with leaks removed and "
         "borders refined, 0 to 1. Higher is better. A network can make the same error each time."),
    Term("autoencoder", "A second, small network that was trained on the painted brain's mask "
         "only, transformed, warped and corrupted, to restore the mask of a brain."),
    Term("corrected", "You changed a predicted mask and kept it: it is used for training, and "
         "counts more than predictions."),
    Term("Dice", "Overlap of two masks: twice their common volume, divided by the sum of both; 0 "
         "to 1. Called Dice here only against a reference mask: then it is accuracy, and higher is "
         "better."),
    Term("expected Dice", "An estimate, from a mask's scores, of its overlap with what a person "
         "would draw, and the interval that holds it in 9 of 10 masks. No measurement: it was "
         "learned from other people's masks whose true Dice is known. Each mask you correct moves "
         "it and narrows the interval. Where the scores are unlike those it was learned from, the "
         "interval is not known. While you set slices, from the fourth on, it comes from how far "
         "the mask was from each of them before you set it."),
    Term("fine-tuning", "Learning on, from the painted, corrected, accepted and, if you like, the "
         "best-ranked masks. Each makes a new round."),
    Term("flag", "A mask whose error or volume is far from those of the others: more than three "
         "robust standard deviations."),
    Term("held out", "A scan that is never used for training, only for evaluation."),
    Term("overlap with the previous round", "The overlap of a mask with the one before "
         "fine-tuning. It tells how much changed, not which of the two is better."),
    Term("painted", "The mask you painted from scratch: the one brain that all training starts "
         "from."),
    Term("place to check", "A connected region that is probably too much, or missing: where the "
         "autoencoder disagrees with the mask with certainty."),
    Term("previous round", "The masks before the latest fine-tuning."),
    Term("pseudo-label", "A predicted mask that is used for training."),
    Term("rank", "The order of the masks by their scores; 1 is the mask most likely to be right."),
    Term("ranking score", "What the rank follows: the geometric mean of the AE error and of 1 - "
         "agreement, or one of the two, as the settings say. Lower is better."),
    Term("reference mask", "A mask from elsewhere that is known to be right; used for evaluation "
         "only, never for training."),
    Term("rejected", "You found a predicted mask bad: it is never used for training, whatever its "
         "rank."),
    Term("round", "One training, with the masks it predicted. Round 0 is the first training."),
    Term("selected, top-ranked", "An undecided mask that the ranking finds good enough for "
         "training. A rejected one never is."),
    Term("usual, look, likely wrong", "A comparison with the other masks of the round, not a "
         "measured accuracy. Usual: scores like those of most, and no large place to check. Look: "
         "scores worse than those of most, or a large place to check. Likely wrong: scores or "
         "volume far from those of the others. If all masks have the same error, all are usual."),
)


def meaning(word: str) -> str:
    """Return the meaning of a word in `TERMS`.

    Parameters
    ----------
    word : str
        One of the words of a term, such as "AE error".

    Raises
    ------
    KeyError
        If no term has it.
    """
    for term in TERMS:
        if word in (term.word, *term.word.split(", "), term.word.split(" (")[0]):
            return term.meaning
    raise KeyError(word)
