"""The guided demo: the next instruction follows from the state of study and window.

It uses three studies of the same heads: one to paint in, and a finished and a fine-tuned one to
jump to, since training would take minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from napari_singlestrip.study.round_facts import is_trained
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import APPLIED, TABLE

Part = Literal["", "painting", "finished", "tuned"]
REPORT = "report.html"
ENOUGH_OUTLINES = 3
A_WHOLE_BRAIN = 10  # slices, without a gap
ENOUGH_CORRECTED = 2  # slices


@dataclass(frozen=True)
class Seen:
    """State of the window that the study does not hold.

    Attributes
    ----------
    part : {"", "painting", "finished", "tuned"}
        Which of the demo's studies is open; "" for another one, or none.
    step : str
        The step of the dock that is open.
    job : str
        Purpose of the running job; empty for none.
    slices : int
        Number of painted slices, in the plane with the fewest.
    is_whole : bool
        Whether there is no empty slice between painted ones.
    places : int
        How many places to check were visited.
    corrected : int
        How many slices of the mask on screen were corrected, with the rest following them.
    """

    part: Part = ""
    step: str = ""
    job: str = ""
    slices: int = 0
    is_whole: bool = False
    places: int = 0
    corrected: int = 0


@dataclass(frozen=True)
class GuideStep:
    """An instruction of the guide.

    Attributes
    ----------
    key : str
    part : {"painting", "finished", "tuned"}
        The study it applies to.
    step : str
        The step of the dock it applies to.
    words : str
        What to do, as rich text; at most two lines of the dock.
    done : callable
        Whether it was done, given the open study and the window's state.
    """

    key: str
    part: Part
    step: str
    words: str
    done: Callable[[Study, Seen], bool]


def is_done(step: GuideStep, study: Study | None, seen: Seen) -> bool:
    """Whether a step was done; always False for a study other than its own."""
    return study is not None and seen.part == step.part and step.done(study, seen)


def next_open(at: int, study: Study | None, seen: Seen) -> int:
    """Return the first step from `at` on that is not done; the number of steps when all are.

    Parameters
    ----------
    at : int
        Steps before this one were done, or skipped.
    study : Study or None
        The study that is open.
    seen : Seen
    """
    while at < len(STEPS) and is_done(STEPS[at], study, seen):
        at += 1
    return at


def _outlined(study: Study, seen: Seen) -> bool:
    return seen.slices >= ENOUGH_OUTLINES or _kept(study, seen)


def _filled(study: Study, seen: Seen) -> bool:
    return (seen.is_whole and seen.slices >= A_WHOLE_BRAIN) or _kept(study, seen)


def _kept(study: Study, _seen: Seen) -> bool:
    return bool(study.masks.names())


def _trains(study: Study, seen: Seen) -> bool:
    return seen.job == "run" or is_trained(study, 0)


def _followed(study: Study, seen: Seen) -> bool:
    kept = any(one.state == "corrected" for one in study.decisions.all().values())
    return seen.corrected >= ENOUGH_CORRECTED or kept


def _decided(study: Study, _seen: Seen) -> bool:
    return any(one.state != "painted" for one in study.decisions.all().values())


def _applied(study: Study, seen: Seen) -> bool:
    return seen.job == "apply" or any((study.folder / APPLIED).glob(f"*/{TABLE}"))


def _reported(study: Study, _seen: Seen) -> bool:
    return (study.folder / REPORT).is_file()


def _tuned(study: Study, seen: Seen) -> bool:
    return seen.job == "run" or study.rounds.current() > 0


def _never(_study: Study, _seen: Seen) -> bool:
    return False


STEPS: tuple[GuideStep, ...] = (
    GuideStep(
        "outline", "painting", "paint",
        "Draw round the brain with the lasso (<b>L</b>) on 3 or more slices, a thumb's breadth "
        "apart. The arrow keys change the slice.", _outlined,
    ),
    GuideStep(
        "interpolate", "painting", "paint",
        "Press <b>I</b>: the slices between are filled. <b>Ctrl+Z</b> takes any step back.",
        _filled,
    ),
    GuideStep(
        "keep", "painting", "paint",
        "<b>K</b> shows all planes and the surface, and one plane again. Press <b>Done</b>: this "
        "one mask is the only training label.", _kept,
    ),
    GuideStep(
        "train", "painting", "train",
        "Choose <i>Quick</i> and press <b>Train</b>: the network trains on synthetic images made "
        "from your mask.", _trains,
    ),
    GuideStep(
        "jump", "finished", "review",
        "Training takes minutes: jump to a finished study of these heads. Yours is saved, and "
        "resumes when you reopen it.", lambda _study, _seen: True,
    ),
    GuideStep(
        "places", "finished", "review",
        "The best masks are on top. Click a row, then press <b>Tab</b> on the image: it goes to "
        "the next place to check.",
        lambda _study, seen: seen.places > 0,
    ),
    GuideStep(
        "follow", "finished", "review",
        "Correct 2 or 3 slices with the lasso (<b>L</b>; Shift removes): the rest follows each "
        "stroke, or when you press <b>W</b>.", _followed,
    ),
    GuideStep(
        "decide", "finished", "review",
        "Press <b>S</b> to keep the corrected mask, or <b>A</b> to accept one unchanged.", _decided,
    ),
    GuideStep(
        "apply", "finished", "apply",
        "Choose scans (<i>This study's scans</i>, or a file of your own) and press "
        "<b>Apply</b>: each gets its brain mask.", _applied,
    ),
    GuideStep(
        "report", "finished", "apply",
        "Double click a scan in the table, once it has a mask. Then press <b>Write report</b>: one "
        "page with the results.", _reported,
    ),
    GuideStep(
        "finetune", "finished", "review",
        "Press <b>Fine-tune</b>: the network trains on your decisions, for some minutes. "
        "<b>Skip</b> shows a study where it did.", _tuned,
    ),
    GuideStep(
        "compare", "tuned", "review",
        "Hold <b>Q</b> to see the mask of the previous round; sort by <i>Change</i> to see where "
        "most happened. Thank you!", _never,
    ),
)
