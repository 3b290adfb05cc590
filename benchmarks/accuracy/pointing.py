"""Which map points best at what is wrong with a mask, and are the places it names wrong?

    python benchmarks/accuracy/pointing.py STUDY MASKS [--round 0] [--out FILE]

STUDY has a ranked round, MASKS the reference masks, named like the scans. For every predicted mask,
maps of doubt (positive where there is probably too much, negative where there is too little) are
compared with the true error: area under the precision-recall curve over all voxels around the
brain. Errors less than 3 mm deep count in one column and are left out of the other: where exactly
the edge of a brain is, reference masks do not agree either. The people are split in halves: what
is chosen is chosen on one, what is told is told of the other.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
import torch
from experiment import LEFT_OUT
from results import person
from sklearn.metrics import average_precision_score

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.imaging.geometry import unconform
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.imaging.volume import Scan, load_mask, open_scan
from napari_singlestrip.engine.judging.consistency import sample_augmentation
from napari_singlestrip.engine.learning.autoencoder import Autoencoder, load_autoencoder
from napari_singlestrip.engine.learning.reconstruction_error import best_views
from napari_singlestrip.engine.learning.segmenter import (
    Segmenter,
    find_window,
    load_segmenter,
    predict,
    predict_array,
)
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.engine.masks.doubt import TOO_LITTLE, TOO_MUCH, doubted, places
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path
from napari_singlestrip.study.round_folder import RoundFolder, heat_map_path
from napari_singlestrip.study.study import Study

DEEP_MM = 3.0
AROUND_MM = 15.0  # of mask and reference: where a map could point
BLURS_MM = (6.0,)
BLURRED = ("reconstruction", "agreement", "reconstruction + agreement")
N_VOXELS = 200_000  # of a scan, drawn at random: sorting all of them tells the same
CPU = torch.device("cpu")

Map = np.ndarray


@dataclass(frozen=True)
class Case:
    """A predicted mask, the truth and maps of doubt, cut out around both."""

    name: str
    mask: Map
    reference: Map
    spacing: tuple[float, float, float]
    maps: dict[str, Map]
    deep: Map  # at least `DEEP_MM` from the surface of the reference


@dataclass(frozen=True)
class Judges:
    """What can doubt a mask."""

    segmenter: Segmenter
    autoencoder: Autoencoder
    settings: Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--round", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    study = Study.open(options.study)
    for case in cases(study, options.masks, options.round):
        found = [measured(case, name) for name in case.maps]
        rows += found
        said = (f"{row['map']} {row['all']:.3f} {row['deep']:.3f};" for row in found)
        print(case.name, *said, flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(rows))
    for least in (0.6, 0.65, 0.7, 0.75, 0.8):
        print(f"least doubt {least}: {judged(study, options.masks, options.round, least)}")


def judged(study: Study, masks: Path, round_: int, least: float) -> str:
    """What marks and places are worth, from the heat maps that ranking kept, for both halves."""
    found = []
    for name in study.scans.names:
        heat, truth = heat_map_path(study, round_, name), masks / f"{name}.nii.gz"
        if heat.is_file() and truth.is_file() and not any(word in name for word in LEFT_OUT):
            scan = open_scan(study.scans.path(name))
            mask = load_mask(study.rounds.pseudo_label_path(round_, name), like=scan)
            reference = load_mask(truth, like=scan)
            marks = doubted(open_scan(heat).read_float(), mask, scan.grid, least)
            found.append((name, *worth(marks, mask, reference, scan)))
    halves = halves_of([row[0] for row in found])
    lines = []
    for half, who in halves.items():
        mine = np.array([row[1:] for row in found if person(row[0]) in who])
        precision, recall, right, n = mine[:, 0].mean(), mine[:, 1].mean(), *mine[:, 2:].sum(0)
        lines.append(f"{half}: right {precision:.2f}, deep errors found {recall:.2f}, "
                     f"{n / len(mine):.1f} places a mask, {right / max(n, 1):.2f} of them right")
    return "; ".join(lines)


def worth(marks: Map, mask: Map, reference: Map, scan: Scan) -> tuple[float, float, int, int]:
    """Share of marks that are right, of deep errors that are marked; places that are right, all."""
    right = ((marks == TOO_MUCH) & ~reference) | ((marks == TOO_LITTLE) & reference)
    deep = (mask != reference) & (np.abs(surface_distance(reference, scan.grid.spacing)) >= DEEP_MM)
    shares = []
    for place in places(marks, mask, scan.grid):
        box = tuple(slice(low, high) for low, high in zip(place.low, place.high, strict=True))
        pieces, _ = scipy.ndimage.label(marks[box] == place.kind)
        at = tuple(v - low for v, low in zip(place.voxel, place.low, strict=True))
        shares.append(right[box][pieces == pieces[at]].mean())
    n_right = sum(share >= 0.5 for share in shares)
    marked = marks != 0
    return (
        float(right.sum() / max(marked.sum(), 1)),
        float((right & deep).sum() / max(deep.sum(), 1)), n_right, len(shares),
    )


def halves_of(names: Sequence[str]) -> dict[str, set[str]]:
    """Every other person is told of, the others are chosen on."""
    people = sorted({person(name) for name in names})
    return {"chosen on": set(people[::2]), "told of": set(people[1::2])}


def cases(study: Study, masks: Path, round_: int) -> Iterator[Case]:
    """All masks of a round, with their maps."""
    folder = RoundFolder(study.rounds.folder(round_))
    judges = Judges(
        load_segmenter(folder.segmenter, CPU),
        load_autoencoder(autoencoder_path(study, round_) or folder.autoencoder, CPU),
        study.settings(),
    )
    for name in study.scans.names:
        path, truth = study.rounds.pseudo_label_path(round_, name), masks / f"{name}.nii.gz"
        left_out = any(word in name for word in LEFT_OUT)
        if path.is_file() and truth.is_file() and not left_out:
            scan = open_scan(study.scans.path(name))
            mask, reference = (load_mask(p, like=scan) for p in (path, truth))
            maps = with_blurs(maps_of(judges, scan, mask), scan.grid.spacing)
            box = around(mask | reference, scan.grid.spacing)
            cut = {key: value[box] for key, value in maps.items()}
            deep = np.abs(surface_distance(reference[box], scan.grid.spacing)) >= DEEP_MM
            yield Case(name, mask[box], reference[box], scan.grid.spacing, cut, deep)


def maps_of(judges: Judges, scan: Scan, mask: Map) -> dict[str, Map]:
    """Every map of doubt, on the grid of the scan."""
    volume, grid = scan.load(), scan.grid
    views = best_views(judges.autoencoder, mask, grid, judges.settings.ranking)
    redrawn = [unconform(v.reconstructed, v.grid, grid) for v in views]
    prediction = predict(judges.segmenter, volume)
    agreed, seen = agreement(judges.segmenter, volume)
    found = {
        "reconstruction": mask - redrawn[0],
        "reconstruction, mean of 8 views": mask - np.mean(redrawn, axis=0),
        "reconstruction, less the mask as coarse": unconform(
            views[0].mask - views[0].reconstructed, views[0].grid, grid
        ),
        "probability": mask - unconform(prediction.probability, prediction.grid, grid),
        "agreement": mask - unconform(agreed, seen, grid),
        "edges": edges(volume.data, mask, grid.spacing),
    }
    found["reconstruction + agreement"] = found["reconstruction"] + found["agreement"]
    found["reconstruction + edges"] = found["reconstruction"] + found["edges"]
    return found


def agreement(segmenter: Segmenter, volume: object, n: int = 8) -> tuple[Map, Grid]:
    """Mean probability of a scan that is turned and tinted, and the grid it is on."""
    view = find_window(segmenter, volume).view
    rng = np.random.default_rng(0)
    chosen = [sample_augmentation(rng) for _ in range(n)]
    found = [a.invert(predict_array(segmenter, a.apply(view.data), flip=False)) for a in chosen]
    return np.mean(found, axis=0), view.grid


def edges(data: Map, mask: Map, spacing: Sequence[float]) -> Map:
    """Doubt at a surface without an edge in the image: too much inside, too little outside."""
    step = np.sqrt(sum(
        np.square(g) for g in np.gradient(scipy.ndimage.gaussian_filter(
            data.astype(np.float32), [1.5 / s for s in spacing]), *spacing)
    ))
    band = surface_distance(mask, spacing)
    near = np.abs(band) < 6
    usual = np.median(step[np.abs(band) < 2]) or 1.0
    doubt = np.where(near, usual / (usual + step), 0) * (1 - np.abs(band).clip(0, 6) / 6)
    return np.where(mask, doubt, -doubt).astype(np.float32)


def surface_distance(mask: Map, spacing: Sequence[float]) -> Map:
    """Signed distance (mm), negative inside."""
    inside = scipy.ndimage.distance_transform_edt(mask, spacing)
    return scipy.ndimage.distance_transform_edt(~mask, spacing) - inside


def with_blurs(maps: dict[str, Map], spacing: Sequence[float]) -> dict[str, Map]:
    """Each map as it is, and smoothed: a thin rim fades, a thick place stays."""
    found = dict(maps)
    for mm in BLURS_MM:
        for name in BLURRED:
            values = maps[name]
            found[f"{name}, {mm:.0f} mm"] = scipy.ndimage.gaussian_filter(
                values.astype(np.float32), [mm / 2.355 / s for s in spacing]
            )
    return found


def around(mask: Map, spacing: Sequence[float]) -> tuple[slice, ...]:
    """The box of a mask, with some room."""
    box = bounding_box(mask)
    assert box is not None
    room = [int(np.ceil(AROUND_MM / s)) for s in spacing]
    return tuple(slice(max(0, b.start - r), b.stop + r) for b, r in zip(box, room, strict=True))


def measured(case: Case, name: str) -> dict[str, object]:
    """Area under precision-recall of a map, for all errors and for deep ones."""
    values, wrong = case.maps[name], case.mask != case.reference
    points = np.where(case.mask, values, -values)  # what is outside can only be missing
    drawn = np.random.default_rng(0).integers(0, wrong.size, N_VOXELS)
    wrong, points, deep = (x.ravel()[drawn] for x in (wrong, points, case.deep))
    counted = ~wrong | deep
    return {
        "scan": case.name, "map": name,
        "all": average(wrong, points), "deep": average(wrong[counted], points[counted]),
        "share": float(wrong.mean()), "deep_share": float((wrong & deep).mean()),
    }


def average(wrong: Map, points: Map) -> float:
    """Average precision; nan where nothing is wrong."""
    return float(average_precision_score(wrong.ravel(), points.ravel())) if wrong.any() else np.nan


def table(rows: Sequence[dict]) -> str:
    """Mean of every map on both halves of the people."""
    halves = halves_of([row["scan"] for row in rows])
    lines = ["| map | " + " | ".join(f"{h}: all, deep" for h in halves) + " |", "|---|---|---|"]
    for name in dict.fromkeys(row["map"] for row in rows):
        cells = []
        for who in halves.values():
            mine = [r for r in rows if r["map"] == name and person(r["scan"]) in who]
            means = (np.nanmean([r[k] for r in mine]) for k in ("all", "deep"))
            cells.append(", ".join(f"{mean:.3f}" for mean in means))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
