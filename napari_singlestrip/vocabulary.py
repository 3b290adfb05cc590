"""Identifiers shared by parts of the program: stages, files a job wrote, parts of a study.

They are stored in study folders and printed by jobs, so their spelling must not change; a wrong one
is caught by mypy, or by `StudyPart`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

# A part of a job; empty for the job as a whole.
StageName = Literal[
    "", "queue", "prepare", "train", "autoencoder", "predict", "rank", "finetune", "apply",
    "estimate", "heads", "report", "export", "masks", "judge", "strip", "dicom",
]
# The kind of a file that a job wrote; empty for any other.
Written = Literal[
    "", "segmenter", "autoencoder", "pseudo-label", "reconstruction", "scores", "preview",
    "answer", "mask", "volumes", "exported", "table", "study", "scan", "report", "export", "strip",
]

STAGES: tuple[StageName, ...] = ("train", "autoencoder", "predict", "rank", "finetune")
# Stages until the first ranking; stages of later rounds.
FIRST_STAGES: tuple[StageName, ...] = ("train", "autoencoder", "predict", "rank")
# Of masks that another program made.
JUDGE_STAGES: tuple[StageName, ...] = ("judge", "autoencoder", "rank")
LATER_STAGES: tuple[StageName, ...] = ("finetune", "autoencoder", "predict", "rank")
# Stages that process scans one by one, so that they can be split into parts.
SCAN_STAGES: tuple[StageName, ...] = ("predict", "rank")
# Stages that train a segmenter, in round 0 and in later rounds; and all stages in metrics.jsonl.
SEGMENTER_STAGES: tuple[StageName, ...] = ("train", "finetune")
LEARNING_STAGES: tuple[StageName, ...] = ("train", "finetune", "autoencoder")
# Kind of the window's job that makes sample heads, and adds them to the study as they are made.
SAMPLES_JOB = "samples"
# Files of jobs that belong to a round.
OF_ROUND: frozenset[Written] = frozenset({"segmenter", "autoencoder", "scores", "pseudo-label"})

STAGE_WORDS: dict[StageName, str] = {
    "": "Starting",
    "queue": "Waiting for the scheduler",
    "prepare": "Preparing the scans",
    "train": "Training the segmenter",
    "autoencoder": "Training the autoencoder",
    "predict": "Predicting masks",
    "rank": "Ranking masks",
    "finetune": "Fine-tuning",
    "apply": "Applying the model",
    "estimate": "Timing a few steps",
    "heads": "Making sample heads",
    "report": "Writing the report",
    "export": "Writing the model",
    "masks": "Writing the masks",
    "judge": "Taking in the masks",
    "strip": "Stripping a scan",
    "dicom": "Converting DICOM series",
}


class StudyPart(StrEnum):
    """The part of a study that changed."""

    STUDY = "study"  # another study was opened, or all of it changed
    SCANS = "scans"
    SETTINGS = "settings"
    MASKS = "masks"
    DECISIONS = "decisions"
    DRAFTS = "drafts"
    ROUNDS = "rounds"
    SCORES = "scores"


SAVED_BY_HAND = frozenset({
    StudyPart.SCANS, StudyPart.SETTINGS, StudyPart.MASKS, StudyPart.DECISIONS, StudyPart.DRAFTS,
})
