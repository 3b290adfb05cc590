"""Tables and figures of the accuracy experiment, from the result files kept in the project.

    python benchmarks/accuracy/keep.py OUT real
    python benchmarks/accuracy/tables.py [FOLDER] [--page docs/accuracy_tables.md]
        [--masks OUT] [--data DATA]

FOLDER (measured/, beside this script) holds real/, the experiment on real heads; refined/ and
refined_standard/, its main arms as the program is now; poor/, that with spoiled scans in the
pools; label_maps/, that on heads drawn from label maps; standard/, that of effort standard on real
heads; painted_*/, first masks and a round from other painted scans, and before_painted_*/ those of
the program before it made up for brains that are cut off. What is not there is left out. Peers are
those of real/ and of label_maps/. With --page the tables are put between the marks <!-- NAME -->,
and images into images/ beside it; what stands elsewhere on the page is written by hand. The
mosaic of the worst cases takes the masks that the experiment left in OUT, and the scans and masks
of DATA; without them that section stays as it is.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
import figures
import mosaics
from expected import table_of_expected
from experiment import ALL_CORRECTED, ARMS, CORRECTED, DEFAULT, MAIN, ORDERS
from goals import POOR, goals
from keep import MEASURED
from other_tables import table_of_beyond, table_of_choices, table_of_hard_looks, table_of_painted
from page_sections import has_section, table, with_section
from results import (
    PEERS,
    Results,
    Table,
    column,
    common,
    contrasts,
    in_digits,
    mean,
    of_contrast,
    paired,
    person,
    read,
    spread,
)
from scores import SCORES, by_contrast, points, worth

ROOT = Path(__file__).resolve().parents[2]
BASELINES = ("initial", "control", "control_synthetic", "random_k")
# Beside the peers:
SHOWN = ("initial", "control", DEFAULT, "ae_k", "corrected_4_top", ALL_CORRECTED)
SCORE_NAMES = ("autoencoder", "agreement", "geometric mean of both")
OURS = "ae_k"  # what is compared with the peers: one label, and nobody decides


def main() -> None:
    options = parse_arguments()
    real = options.folder / "real"
    found = {
        "real": read(real), "label_maps": read(options.folder / "label_maps"),
        **{name: read(options.folder / name, peers_too=real)
           for name in ("refined", "refined_standard", "poor", "standard")},
    }
    runs = {name: results for name, results in found.items() if results.unseen}
    if not runs:
        raise SystemExit(f"There are no results of the experiment in {options.folder}.")
    texts = {}
    for name, results in runs.items():
        texts |= {f"{name}: {part}": text for part, text in sections(results, name).items()}
    texts["real: choices"] = table_of_choices(real)
    texts["real: beyond"] = table_of_beyond(real)
    texts["real: hard looks"] = table_of_hard_looks(real)
    texts["expected Dice"] = table_of_expected(options.folder)
    texts["goals"] = goals({**found, POOR: read(options.folder / POOR)}, options.folder)
    painted = sorted(options.folder.glob("*painted_*"))
    texts["painted"] = table_of_painted([read(options.folder / "refined"), *map(read, painted)])
    if options.page:
        for name, results in runs.items():
            add_pictures(texts, results, name, options)
        write_page(options.page, texts)
    else:
        for name, text in texts.items():
            print(f"\n{name}\n\n{text}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=MEASURED)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--masks", type=Path, metavar="OUT")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    return parser.parse_args()


def sections(results: Results, name: str) -> dict[str, str]:
    """All texts of a run, by the part of the page they belong to."""
    parts = {
        "arms": [
            made_how(results), table_of_arms(results.unseen), table_of_differences(results.unseen),
        ],
        "scores": [table_of_scores(results), table_of_score_contrasts(results)],
    }
    if name != "poor":  # measured on the same good scans as "real", with a few of its arms
        parts["contrasts"] = [table_of_contrasts(results)]
        parts["corrections"] = [table_of_corrections(results.unseen)]
    if results.whole_pool:
        parts["arms"] += ["Everybody in the pool, and the pool measured:",
                          table_of_arms(results.whole_pool)]
    return {part: "\n\n".join(text for text in texts if text) for part, texts in parts.items()}


def made_how(results: Results) -> str:
    """Scans, people and pieces, and what the experiment noted of itself."""
    tables = [*results.unseen.values(), *results.whole_pool.values()]
    scans = {key[1] for entries in tables for key in entries}
    # fold-F_seed-S
    folds, seeds = zip(*(piece.split("_") for _, piece in results.pools), strict=True)
    facts = [f"{key.replace('_', ' ')} {value}" for key, value in results.about.items() if value]
    counted = f"{len(scans)} scans of {len({person(s) for s in scans})} people"
    return "; ".join([counted, named("folds", folds), named("seeds", seeds), *facts]) + "."


def named(word: str, parts: Iterable[str]) -> str:
    """Folds or seeds in words."""
    return f"{word} {', '.join(sorted({part.split('-')[1] for part in parts}))}"


def table_of_arms(arms: Mapping[str, Table]) -> str:
    """Each arm's figures."""
    rows = []
    for arm in in_order(arms):
        entries = arms[arm]
        dice = column(entries, "dice")
        rows.append([
            arm, str(len(entries)), in_digits(mean(entries)), in_digits(float(dice.min()), 3),
            in_digits(mean(entries, "hd95_mm"), 1),
            in_digits(mean(entries, "mean_surface_distance_mm"), 2),
            f"{mean(entries, 'volume_difference_percent'):+.1f}",
        ])
    columns = ["arm", "n", "Dice", "worst", "HD95 mm", "surface mm", "volume %"]
    return "\n".join(table(columns, rows))


def table_of_differences(arms: Mapping[str, Table]) -> str:
    """Each arm's paired differences of Dice from the controls."""
    baselines = [baseline for baseline in BASELINES if baseline in arms]
    if not baselines:
        return ""
    rows = [
        [arm, *(paired(arms[arm], arms[baseline]) for baseline in baselines)]
        for arm in in_order(arms)
    ]
    columns = ["Dice of", *(f"less {baseline} [95%]" for baseline in baselines)]
    return "\n".join(table(columns, rows))


def in_order(arms: Iterable[str]) -> list[str]:
    """Arms as the experiment lists them."""
    return sorted(arms, key=lambda arm: (ARMS.index(arm) if arm in ARMS else len(ARMS), arm))


def table_of_contrasts(results: Results) -> str:
    """Mean Dice per contrast, and how ours differs from the peers on the same scans."""
    arms = {arm: results.unseen[arm] for arm in MAIN if arm in results.unseen}
    peers = results.peer_tables()
    names = contrasts(arms.values())
    rows = [
        [arm, *(in_digits(mean(of_contrast(entries, name))) for name in names),
         in_digits(mean(entries))]
        for arm, entries in {**arms, **peers}.items()
    ]
    for peer, entries in peers.items():
        for arm in (OURS, "corrected_4_top"):
            if arm in arms:
                rows.append([
                    f"{arm} less {peer}",
                    *(paired(of_contrast(arms[arm], name), of_contrast(entries, name))
                      for name in names),
                    paired(arms[arm], entries),
                ])
    scans = {key[1] for entries in arms.values() for key in entries}
    counts = [sum(scan.endswith(f"_{name}") for scan in scans) for name in names]
    columns = ["arm", *(f"{name} ({n})" for name, n in zip(names, counts, strict=True)), "all"]
    text = "\n".join(table(columns, rows))
    for peer in PEERS:
        failed = sorted(scans.intersection(results.failures.get(peer, ())))
        if peer not in peers:
            text += f"\n\n{peer} was not run on these scans."
        elif failed:
            text += f"\n\n{peer} failed, with Dice 0, on {', '.join(failed)}."
    return text


def table_of_scores(results: Results) -> str:
    """Rank correlations of both scores with the Dice, before and after fine-tuning."""
    rows = []
    for arm in ("initial", DEFAULT, OURS):
        for whole_pool in (False, True):
            cloud = points(results, arm, whole_pool=whole_pool)
            if not cloud:
                continue
            found = worth(cloud)
            n = len(found.each["consistency"])
            rows.append([
                arm, "everybody" if whole_pool else "half of the people",
                f"{n} of {len(cloud) / n:.0f} scans",
                *(spread(found.each[score]) for score in SCORES),
                *(with_interval(found.pooled[score], found.intervals[score]) for score in SCORES),
                with_interval(
                    found.pooled["autoencoder_error"] - found.pooled["consistency"],
                    found.intervals["difference"],
                ),
            ])
    columns = ["arm", "pool", "pools", *(f"{name}: mean (range)" for name in SCORE_NAMES),
               *(f"{name}, pooled [95%]" for name in SCORE_NAMES),
               "autoencoder less agreement, pooled [95%]"]
    return "\n".join(table(columns, rows))


def with_interval(value: float, bounds: tuple[float, float]) -> str:
    """A correlation with its interval."""
    if math.isnan(value) or math.isnan(bounds[0]):
        return in_digits(value, 2)
    return f"{value:.2f} [{bounds[0]:.2f}, {bounds[1]:.2f}]"


def table_of_score_contrasts(results: Results) -> str:
    """Pooled correlations within each contrast that has enough scans."""
    rows = []
    for arm in ("initial", DEFAULT, OURS):
        cloud = [*points(results, arm, whole_pool=False), *points(results, arm, whole_pool=True)]
        for name, (n, found) in by_contrast(cloud).items():
            rows.append([arm, name, str(n), *(in_digits(found[score], 2) for score in SCORES)])
    if not rows:
        return ""
    columns = ["arm", "contrast", "scans", *(f"{name}, pooled" for name in SCORE_NAMES)]
    return "\n".join(table(columns, rows))


def table_of_corrections(arms: Mapping[str, Table]) -> str:
    """Dice over the number of corrected masks, at the places which all these arms have."""
    wanted = [f"corrected_{n}_{order}" for order in ORDERS for n in CORRECTED]
    tables = common({arm: arms[arm] for arm in ("initial", OURS, *wanted) if arm in arms})
    rows = []
    for order in ORDERS:
        cells = []
        for n in CORRECTED:
            entries = tables.get(f"corrected_{n}_{order}")
            cells.append(
                "-" if entries is None
                else f"{mean(entries):.4f} ({paired(entries, tables.get(OURS, {}))})"
            )
        if any(cell != "-" for cell in cells):
            rows.append([order, *cells])
    if not rows:
        return ""
    columns = ["corrected first", *(f"{n}, less {OURS} [95%]" for n in CORRECTED)]
    return "\n".join(table(columns, rows))


def add_pictures(
    texts: dict[str, str], results: Results, name: str, options: argparse.Namespace
) -> None:
    """Draw the figures that have a place on the page, and name them at the end of their texts."""
    page, folder = options.page.read_text(encoding="utf-8"), options.page.parent / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    draw: dict[str, Callable[[Path], figures.Picture | None]] = {
        "scores": lambda path: figures.scatter(results, path),
        "corrections": lambda path: figures.corrections(results, path),
        "contrasts": lambda path: figures.bars(results, SHOWN, path),
    }
    for part, drawn in draw.items():
        if not has_section(page, f"{name}: {part}"):
            continue
        picture = drawn(folder / f"accuracy_{part}_{name}.svg")
        if picture:
            texts[f"{name}: {part}"] += f"\n\n![{picture.words}](pictures/{picture.path.name})"
    if has_section(page, f"{name}: worst") and options.masks:
        worst = mosaics.worst(results, options.masks, options.data, folder / "accuracy_worst.png")
        if worst is None:
            print("The worst masks stay as they are on the page: scans or masks are not there.")
        else:
            texts[f"{name}: worst"] = worst


def write_page(path: Path, texts: Mapping[str, str]) -> None:
    """Put the texts between the marks of the page; say what has no place there."""
    page = path.read_text(encoding="utf-8")
    for name, text in texts.items():
        if has_section(page, name):
            page = with_section(page, name, text + "\n" if text else "")
        elif text:
            print(f"The page has no section <!-- {name} -->.")
    path.write_text(page, encoding="utf-8")
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()
