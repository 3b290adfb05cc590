"""Mask all scans of a folder with a trained model, and say what came out.

    python examples/strip_a_folder.py my_study scans/ masks/
"""

import sys

import napari_singlestrip as ss
from napari_singlestrip.events import Finished, Note, Wrote

model, scans, out = sys.argv[1:]

for event in ss.apply(model, [scans], out):
    if isinstance(event, Wrote):
        print("wrote", event.path)
    elif isinstance(event, Note):  # such as a scan that cannot be read: the others continue
        print(event.level, event.text)
    elif isinstance(event, Finished):
        print(event.n_done, "done,", event.n_failed, "failed")
