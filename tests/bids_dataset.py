"""BIDS datasets as they come from scanners, for tests of several folders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

VERSION = "1.10.0"
CROWDED = (  # sessions, contrasts, runs, echoes, and what is no structural scan
    "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
    "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz",
    "sub-01/ses-b/anat/sub-01_ses-b_acq-mprage_run-1_T1w.nii.gz",
    "sub-01/ses-b/anat/sub-01_ses-b_acq-mprage_run-2_T1w.nii.gz",
    "sub-02/anat/sub-02_echo-1_T2starw.nii.gz",
    "sub-02/anat/sub-02_echo-2_T2starw.nii.gz",
    "sub-02/anat/sub-02_FLAIR.nii",
)
OTHERS = (
    "sub-01/ses-a/func/sub-01_ses-a_task-rest_bold.nii.gz",
    "sub-01/ses-a/dwi/sub-01_ses-a_dwi.nii.gz",
    "sub-01/ses-a/fmap/sub-01_ses-a_phasediff.nii.gz",
    "sub-02/anat/sub-02_part-phase_T2starw.nii.gz",
    "sub-02/anat/sub-02_T1map.nii.gz",
    "sub-02/anat/notes.nii.gz",
    "derivatives/other/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
    "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
    "code/test/sub-01_T1w.nii.gz",
)


def make_dataset(
    root: Path, files: Iterable[str] = (*CROWDED, *OTHERS), description: Any = True
) -> Path:
    """Write a dataset; with sidecars of one field, and ``T1w.json`` for all below the root."""
    root.mkdir(parents=True, exist_ok=True)
    if description is True:
        description = {"Name": "Sample", "BIDSVersion": VERSION, "DatasetType": "raw",
                       "License": "CC0", "Authors": ["A. Person"]}  # fmt: skip
    if description is not False:
        (root / "dataset_description.json").write_text(json.dumps(description))
    (root / "README.md").write_text("Heads that were drawn at random, to try a program on.\n")
    (root / "T1w.json").write_text('{"Modality": "MR"}')
    for n, name in enumerate(files):
        write_scan(root / name, n)
    return root


def write_scan(path: Path, seed: int = 0) -> Path:
    """Write an image of many values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 900, (12, 14, 16)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path
