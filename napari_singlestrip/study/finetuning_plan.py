"""What fine-tuning would train on, decided by the function that the worker uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.round_facts import (
    Unfinished,
    is_trained,
    learned_masks,
    unfinished_round,
)
from napari_singlestrip.study.round_folder import RoundFolder, first_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.training_set import TrainingMask, masks_of_round

ENOUGH_NEW = 5  # decided masks that no round has learned from: another one is worth its time


@dataclass(frozen=True)
class FinetuningPlan:
    """What "Fine-tune" would train on.

    Attributes
    ----------
    masks : tuple of TrainingMask
        Exactly the masks the worker would train on.
    unfinished : {"", "fine-tuning", "ranking"}
        The unfinished stage of the latest round, if a job was stopped.
    problem : str
        Why it cannot be started, and what to do; empty if it can.
    is_first : bool
        Whether it trains the first network: other programs made the masks so far.
    n_new : int
        Number of masks that a person decided about, and the latest round has not learned from.
    """

    masks: tuple[TrainingMask, ...] = ()
    unfinished: Unfinished = ""
    problem: str = ""
    is_first: bool = False
    n_new: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Number of masks by kind, in the order painted, corrected, accepted, selected."""
        kinds = [mask.kind for mask in self.masks]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def finetuning_plan(study: Study, top_ranked: bool | None = None) -> FinetuningPlan:
    """Return what fine-tuning would train on, with the same function that the worker uses.

    Parameters
    ----------
    study : Study
    top_ranked : bool, optional
        Whether to also use undecided masks that the ranking selects; by default as in the study's
        settings.
    """
    unfinished, first = unfinished_round(study), first_round(study)
    is_first = first > 0 and not is_trained(study, first)
    newest = study.rounds.current()
    config = study.settings().finetuning
    if top_ranked is not None:
        config = config.model_copy(
            update={"pseudo_labels": "selected" if top_ranked else "decided"}
        )
    try:
        masks = tuple(masks_of_round(study, newest + (unfinished == ""), config))
    except UserError as error:
        problem = f"{error.what} Paint one in step 2."
        return FinetuningPlan((), unfinished, problem, is_first)
    problem, new = "", _new_masks(study, masks)
    if not unfinished and not is_first and not new:
        problem = "Nothing new to train on yet: accept or correct a mask."
    n_new = sum(mask.kind != "selected" for mask in new)
    return FinetuningPlan(masks, unfinished, problem, is_first, n_new)


def _new_masks(study: Study, masks: Sequence[TrainingMask]) -> list[TrainingMask]:
    """Masks that were not yet trained on in their present form."""
    learned = learned_masks(RoundFolder(study.rounds.folder(study.rounds.current())))
    if not learned:  # a record that is not required
        return [mask for mask in masks if mask.kind != "painted"]
    return [mask for mask in masks if learned.get((mask.scan, mask.path)) != mask.digest]
