"""Files that make a folder of results a BIDS derivative: sidecars, description and citations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_singlestrip import __version__
from napari_singlestrip.engine.imaging.bids import DESCRIPTION, BidsDataset
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_json, write_json_atomic, write_text_atomic
from napari_singlestrip.study.layout import Layout, Place

BIDS_VERSION = "1.10.0"
NAME = "napari-singlestrip"
CODE_URL = "https://pypi.org/project/napari-singlestrip/"
IGNORE = ".bidsignore"
CITATION = "logs/CITATION"
_IGNORED = ("logs/", "volumes.csv", "masks.csv")

_METHODS = """\
Brain masks were made with *napari-singlestrip* {version}, which learns skull-stripping from one
or a few masks painted by hand [@singlestrip]. {model}A segmentation network was trained on
synthetic images of random contrast, made from label maps of the painted heads [@synthstrip;
@synthseg]. Its predictions were ranked by the error of an autoencoder that reconstructs masks, and
reviewed. Masks lie on the grid of the scan that they were made for. {by_hand}

Images were read and written with *nibabel* [@nibabel]; networks ran in *PyTorch* [@pytorch].
"""
_JUDGED = """\
Brain masks were made by {programs}. *napari-singlestrip* {version} ranked them by the error of an
autoencoder that reconstructs masks [@singlestrip] and had learned from masks known to be good;
`masks.csv` lists which of them were reviewed. Masks lie on the grid of the scan that they were made
for. {by_hand}

Images were read and written with *nibabel* [@nibabel]; the autoencoder ran in *PyTorch* [@pytorch].
"""
_README = """\
# Brain masks

Masks of the brain in MRI scans, made with [napari-singlestrip]({url}). Its version and the dataset
of the scans are in `dataset_description.json`; the model, and what to cite, in `logs/CITATION.md`.

## Files

For each scan, in the folder of its participant (and session), `anat/`:

- `*_desc-brain_mask.nii.gz`: the mask, 1 in the brain and 0 elsewhere, on the grid of its scan.
  The JSON file beside it names the scan (`Sources`); `"Manual": true` stands for a mask that was
  painted or corrected by hand. If a participant has scans of several contrasts, the name without
  `space-` is that of the T1w scan, and the others state theirs, as in
  `sub-01_space-T2w_desc-brain_mask.nii.gz`.
- `*_desc-brain_T1w.nii.gz` (or another contrast): the scan with zeros outside of its mask, if it
  was asked for.
- `*_label-brain_probseg.nii.gz`: the probability of brain, 0 to 1, if it was asked for.

Tables, with a line for each scan:

- `masks.csv`: whether the mask was painted, corrected or accepted by a person, or not reviewed
  (`predicted`, or `imported` if another program made it), and its volume in mL. Rejected masks are
  not here.
- `volumes.csv`: masks that a model made and nobody reviewed: their volume in mL, and a flag for
  those that are unlike the masks the model knows. Look at these first.

To look at a mask, open it over its scan in any viewer of NIfTI files; both have the same voxels.
"""
_READMES = ("README.md", "README", "README.rst", "README.txt")
_BIBTEX = """\
@article{singlestrip,
  title = {{SingleStrip}: learning skull-stripping from a single labeled example},
  author = {Bella Specktor-Fadida and Malte Hoffmann},
  year = {2025}, journal = {arXiv preprint arXiv:2508.10464}
}
@article{synthstrip,
  title = {{SynthStrip}: skull-stripping for any brain image},
  author = {Andrew Hoopes and Jocelyn S. Mora and Adrian V. Dalca and Bruce Fischl and
            Malte Hoffmann},
  year = {2022}, journal = {NeuroImage}, volume = {260}, pages = {119474},
  doi = {10.1016/j.neuroimage.2022.119474}
}
@article{synthseg,
  title = {{SynthSeg}: Segmentation of brain {MRI} scans of any contrast and resolution without
           retraining},
  author = {Benjamin Billot and Douglas N. Greve and Oula Puonti and Axel Thielscher and
            Koen Van Leemput and Bruce Fischl and Adrian V. Dalca and Juan Eugenio Iglesias},
  year = {2023}, journal = {Medical Image Analysis}, volume = {86}, pages = {102789},
  doi = {10.1016/j.media.2023.102789}
}
@software{nibabel,
  title = {nipy/nibabel}, author = {Matthew Brett and Christopher J. Markiewicz and others},
  doi = {10.5281/zenodo.591597}
}
@inproceedings{pytorch,
  title = {{PyTorch}: An Imperative Style, High-Performance Deep Learning Library},
  author = {Adam Paszke and Sam Gross and Francisco Massa and others},
  year = {2019}, booktitle = {Advances in Neural Information Processing Systems 32}
}
"""


def begin(
    out: Path, layout: Layout, model: str = "", by_hand: int = 0, programs: Sequence[str] = ()
) -> None:
    """Write the metadata of a BIDS derivative; nothing for other layouts.

    Other entries of an existing description are kept, and so is an existing README.

    Parameters
    ----------
    out : Path
    layout : Layout
        After all scans were assigned their paths.
    model : str
        The model, for the methods text.
    by_hand : int
        How many of the masks were painted or corrected.
    programs : sequence of str
        Other programs that made some of the masks, or all that are not by hand if no model did.

    Raises
    ------
    UserError
        If the folder is another dataset, or a file cannot be written.
    """
    if layout.kind != "bids":
        return
    before = _description(out)
    write_json_atomic(out / DESCRIPTION, {**before, **_described(out, layout, before)})
    lines = _lines(out / IGNORE)
    write_text_atomic(out / IGNORE, "\n".join([*lines, *(i for i in _IGNORED if i not in lines)])
                      + "\n")  # fmt: skip
    text = _methods(model, by_hand, programs)
    write_text_atomic(out / f"{CITATION}.md", text)
    write_text_atomic(out / f"{CITATION}.bib", _BIBTEX)
    if not any(os.path.lexists(out / name) for name in _READMES):
        write_text_atomic(out / _READMES[0], _README.format(url=CODE_URL))


def _methods(model: str, by_hand: int, programs: Sequence[str]) -> str:
    drawn = f"{by_hand} of them were painted or corrected by hand." if by_hand else ""
    others = " and ".join(programs)
    if others and not model:
        return _JUDGED.format(version=__version__, programs=others, by_hand=drawn)
    said = f"The model was {model}. " if model else ""
    taken = f" Some masks are those of {others}." if others else ""
    return _METHODS.format(version=__version__, model=said, by_hand=f"{drawn}{taken}")


def known_links(out: Path) -> dict[str, Path]:
    """Names of the datasets that results in a folder come from."""
    try:
        links = read_json(out / DESCRIPTION).get("DatasetLinks", {})
        return {
            name: Path(os.path.normpath(out.absolute() / str(link).removeprefix("file://")))
            for name, link in links.items()
        }
    except (OSError, UserError, AttributeError):
        return {}


def write_sidecar(out: Path, image: str, place: Place, content: Mapping[str, Any]) -> None:
    """Write the sidecar of an image; nothing if the layout has no sidecars."""
    if place.source:
        path = out / image.replace(".nii.gz", ".json")
        write_json_atomic(path, {**content, "SpatialReference": place.source})


def of_mask(place: Place, manual: bool = False, program: str = "") -> dict[str, Any]:
    """Sidecar of a mask; `program` is another program that made it."""
    made = f"Brain mask, made by {program}" if program else "Brain mask"
    said: dict[str, Any] = {
        "Description": made, "Type": "Brain", "Sources": [place.source],
    }  # fmt: skip
    return {**said, "Manual": True} if manual else said


def of_brain(place: Place) -> dict[str, Any]:
    """Sidecar of a skull-stripped scan."""
    return {
        "Description": "Scan with zeros outside the brain mask", "SkullStripped": True,
        "Sources": [place.source, f"bids::{place.mask}"],
    }  # fmt: skip


def of_probability(place: Place) -> dict[str, Any]:
    """Sidecar of a brain probability map."""
    return {
        "Description": "Brain probability predicted by the network", "Manual": False,
        "Sources": [place.source],
    }  # fmt: skip


def _described(out: Path, layout: Layout, before: Mapping[str, Any]) -> dict[str, Any]:
    links = {name: _link(out, root) for name, root in layout.links.items()}
    sources = []
    for name, root in layout.links.items():
        said = BidsDataset(root).description
        doi = {"DOI": said["DatasetDOI"]} if isinstance(said.get("DatasetDOI"), str) else {}
        sources.append({"URL": links[name], **doi})
    return {
        "Name": before.get("Name", "Brain masks of napari-singlestrip"),
        "BIDSVersion": BIDS_VERSION, "DatasetType": "derivative",
        "GeneratedBy": [{"Name": NAME, "Version": __version__, "CodeURL": CODE_URL}],
        "SourceDatasets": sources, "DatasetLinks": links,
    }  # fmt: skip


def _link(out: Path, root: Path) -> str:
    """Link to a dataset: a relative path if the results are inside it, so both can be moved."""
    out = out.absolute()
    if out.is_relative_to(root):
        return Path(os.path.relpath(root, out)).as_posix()
    return root.as_uri()


def _description(out: Path) -> dict[str, Any]:
    path = out / DESCRIPTION
    try:
        content = read_json(path)
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict) or content.get("DatasetType") != "derivative":
        raise UserError(
            f"{out} is a dataset of scans, or its {DESCRIPTION} is of no derivative.",
            "Write results to a folder of their own, such as derivatives/singlestrip in it.",
        )
    makers = [m.get("Name") for m in content.get("GeneratedBy", []) if isinstance(m, dict)]
    if makers and NAME not in makers:
        raise UserError(
            f"{out} has the results of another program ({', '.join(map(str, makers))}).",
            "Choose another --out, so that they are not confused.",
        )
    return content


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
