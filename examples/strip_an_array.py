"""Find the brain in an image and in an array, without any file between.

    python examples/strip_an_array.py my_study head.nii.gz brain_mask.nii.gz
"""

import sys

import nibabel as nib
import numpy as np

import napari_singlestrip as ss

model, scan, out = sys.argv[1:]

stripper = ss.load_model(model)
image = nib.load(scan)
mask = stripper.strip(image)  # an image on the same grid
nib.save(mask, out)

values = np.asarray(image.dataobj)
inside = stripper.strip(values, affine=image.affine)  # an array of bool
print("mean inside:", values[inside].mean(), "outside:", values[~inside].mean())
print("from", stripper.card.name, *stripper.notes)
