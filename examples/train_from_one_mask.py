"""Train on one painted scan, and mask and rank the others.

    python examples/train_from_one_mask.py my_study scans/ sub-01_T1w sub-01_brain.nii.gz

Settings may follow, such as ``training.steps=500``. Stopped with Ctrl+C, it goes on when the study
is opened and run again.
"""

import sys

import napari_singlestrip as ss
from napari_singlestrip.engine.overrides import parse_assignments
from napari_singlestrip.events import Progress

folder, scans, painted, mask, *settings = sys.argv[1:]

study = ss.Study.create(folder, [scans], {painted: mask}, overrides=parse_assignments(settings))
for event in ss.run(study):
    if not isinstance(event, Progress) or event.step == event.n_steps:
        print(event)
for row in ss.review(study).rows:
    print(row.score.rank, row.name, f"{row.score.volume_ml:.0f} mL")
