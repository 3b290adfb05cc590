"""The simulated person of the effort benchmark, its tables, and all of it on simulated heads."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FOLDERS = (BENCHMARKS, BENCHMARKS / "accuracy", BENCHMARKS / "effort")
ONE_MM = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """Make the scripts importable, and forget them afterwards: their names are plain words."""
    before, known = list(sys.path), set(sys.modules)
    sys.path[:0] = map(str, FOLDERS)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent in FOLDERS:
            del sys.modules[name]


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


def ball(radius: float, shape: tuple[int, int, int] = (60, 64, 30)) -> np.ndarray:
    i, j, k = np.ogrid[tuple(slice(n) for n in shape)]
    middle = [(n - 1) / 2 for n in shape]
    squares = (i - middle[0]) ** 2 + (j - middle[1]) ** 2 + ((k - middle[2]) * 2) ** 2
    return np.asarray(squares < radius**2)


# --- the person


def test_a_steady_hand_draws_the_reference() -> None:
    hand = script("person").Hand(ball(24), ONE_MM, seed=0, wobble_mm=0)

    drawn, seconds = hand.lasso(2, 15)

    np.testing.assert_array_equal(drawn, ball(24)[..., 15])
    assert 3 + 1 + 0.9 * 150 / 40 < seconds < 3 + 1 + 1.1 * 150 / 40  # 2 pi 24 mm of outline


def test_a_hand_wobbles_as_much_as_stated_and_the_same_for_a_seed() -> None:
    person = script("person")
    true = ball(24)[..., 15]
    drawn = [person.Hand(ball(24), ONE_MM, seed=s).lasso(2, 15)[0] for s in (0, 0, 1)]

    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    # Mean absolute distance of a normal wobble is 0.8 standard deviations.
    wrong = np.mean([np.count_nonzero(d ^ true) for d in (drawn[0], drawn[2])])
    assert 0.4 * 1.5 < wrong / (2 * np.pi * 24) < 1.6 * 1.5


def test_strokes_mend_what_is_visible_and_leave_the_rest() -> None:
    hand = script("person").Hand(ball(24), ONE_MM, seed=0, wobble_mm=0)
    seen = ball(24)[..., 15].copy()
    seen[:18] = False  # a piece is missing
    seen[55, 30] = True  # and a voxel too much, just outside

    mended, seconds = hand.strokes(2, 15, seen)

    assert mended[8, 32]
    assert mended[55, 30] == (abs(55 - 29.5) - 24 < 2)
    assert 4 < seconds < hand.lasso(2, 15)[1] + 2
    same, looked = hand.strokes(2, 15, ball(24)[..., 15])
    np.testing.assert_array_equal(same, ball(24)[..., 15])
    assert looked == 3


# --- the ways and the tables


def test_every_way_keeps_the_slices_and_all_but_one_move_the_rest() -> None:
    ways = script("ways")
    spreading = importlib.import_module("napari_singlestrip.engine.masks.spreading")
    before, after = ball(20), ball(26)
    edited = before.copy()
    edited[..., 15] = after[..., 15]
    slices = [spreading.SetSlice(2, 15)]

    for name, follow in ways.ways(before, after.astype(np.float32), (1.0, 1.0, 2.0)).items():
        out = follow(edited, slices)

        np.testing.assert_array_equal(out[..., 15], after[..., 15])
        moved = np.count_nonzero(out[..., 17]) > 1.2 * np.count_nonzero(before[..., 17])
        assert moved == (name != "slices alone"), name


def test_the_table_has_paired_differences_with_intervals_over_people() -> None:
    rows: list[dict[str, Any]] = [{"n": 0, "dice": 0.9, "hd95_mm": 5.0}]
    for n, who in enumerate("abcd"):
        for way, dice in (("one Gaussian", 0.95), ("surface only", 0.96 + 0.001 * n)):
            rows.append({
                "n": 3, "person": who, "scan": who, "way": way, "order": "even", "seed": 0,
                "hand": "strokes", "dice": dice, "hd95_mm": 4.0, "seconds": 30.0,
            })  # fmt: skip

    page = script("table").page(rows)

    assert "**strokes, even**" in page
    assert "| first mask | 0 | 0.9000 | | 5.0 | 0 |" in page
    assert "| one Gaussian | 3 | 0.9500 |  | 4.0 | 30 |" in page
    assert "| surface only | 3 | 0.9615 | +0.0115 (+0.010" in page


# --- the whole


def test_without_data_it_says_so(tmp_path: Path) -> None:
    line = [sys.executable, str(BENCHMARKS / "effort" / "effort.py"), "--data", str(tmp_path)]

    done = subprocess.run(line, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("skipped: there are no scans in")


def test_curves_of_made_up_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("scans", "masks", "first"):
        (tmp_path / folder).mkdir()
    affine = np.diag([3.0, 3.0, 6.0, 1.0])
    for who in ("sub-1", "sub-2", "sub-3"):
        for folder, data in (
            ("scans", 100 * ball(26).astype(np.int16)), ("masks", ball(26)), ("first", ball(22)),
        ):  # fmt: skip
            picture = nib.Nifti1Image(data.astype(np.int16), affine)
            nib.save(picture, tmp_path / folder / f"{who}_T1w.nii.gz")
    effort = script("effort")
    monkeypatch.setattr(effort, "COUNTS", (1, 3))
    monkeypatch.setattr(sys, "argv", [
        "effort.py", "--data", str(tmp_path), "--first", str(tmp_path / "first"), "--out",
        str(tmp_path / "out"), "--painted", "sub-1_T1w", "--half", "dev", "test",
        "--hands", "strokes", "lasso",
    ])  # fmt: skip

    effort.main()

    rows = json.loads((tmp_path / "out" / "effort.json").read_text())["rows"]
    assert len(rows) == 2 * (1 + 2 * 3 * 4 * 2)  # people; first mask, hands, orders, ways, counts
    best = {n: np.mean([r["dice"] for r in rows if (r["way"], r["n"]) == ("surface only", n)])
            for n in (1, 3)}  # fmt: skip
    assert np.mean([r["dice"] for r in rows if not r["n"]]) < best[1] < best[3]
    assert "**lasso, worst**" in (tmp_path / "out" / "effort.md").read_text()


# --- a whole pool, and what can be told meanwhile


def curve(first: float, *dices: float) -> Any:
    stepwise = script("stepwise")
    steps = tuple(stepwise.Step(k, 10.0, 5, 100, 1.0, 200.0, d) for k, d in enumerate(dices))
    return stepwise.Curve(first, steps)


def test_a_curve_is_kept_and_read_again(tmp_path: Path) -> None:
    affine, files = np.diag([3.0, 3.0, 6.0, 1.0]), {}
    for what, data in (("scan", 100 * ball(26)), ("first", ball(22)), ("reference", ball(26))):
        files[what] = tmp_path / f"{what}.nii.gz"
        nib.save(nib.Nifti1Image(data.astype(np.int16), affine), files[what])
    stepwise, kept = script("stepwise"), tmp_path / "curves" / "a.json"

    found = stepwise.curve_of(*files.values(), 3, kept)

    assert found.first_dice < found.steps[0].dice < found.steps[2].dice
    assert found.steps[0].wrong > found.steps[2].wrong > 0
    assert found.steps[0].off_mm > 5 and len({step.index for step in found.steps}) == 3
    for file in files.values():
        file.unlink()
    assert stepwise.curve_of(*files.values(), 3, kept) == found


def test_where_nothing_was_slices_are_set_round_the_brain(tmp_path: Path) -> None:
    reference = tmp_path / "reference.nii.gz"
    image = nib.Nifti1Image(100 * ball(26).astype(np.int16), np.diag([3.0, 3.0, 6.0, 1.0]))
    nib.save(image, reference)

    found = script("stepwise").curve_of(
        reference, None, reference, 5, tmp_path / "a.json", hand="lasso", order="even"
    )

    assert found.first_dice == 0 and found.steps[4].dice > 0.9
    assert found.steps[0].wrong == found.steps[0].both  # nothing was there


def test_a_person_stops_after_some_slices_or_where_the_mask_is_right() -> None:
    pool = script("pool")
    dices = {"a": (0.98, 0.97, 0.99), "b": (0.9, 0.96, 0.976), "c": (0.9, 0.9, 0.9)}
    curves = {name: curve(*some) for name, some in dices.items()}

    rows = pool.measured("s", "first", curves, 1, {"dev": {"a"}, "test": {"b", "c"}})

    by = {(r["rule"], r["half"]): r for r in rows}
    assert [d["slices"] for d in by["true Dice", "all"]["by_scan"]] == [0, 2, 2]
    assert by["true Dice", "all"]["good"] == 2 and by["1 slices each", "all"]["good"] == 0
    assert by["1 slices each", "test"]["dice"] == pytest.approx(0.93)
    assert by["1 slices each", "test"]["minutes_of_16"] == pytest.approx(16 * 10 / 60)
    line = "| s | first | true Dice | test | 2.0 | 5.3 | 0.9380, 0.900 | 1 of 2 |"
    assert line in pool.page(rows)


def test_masks_that_come_later_are_used_for_what_is_left_by_then() -> None:
    pool = script("pool")
    curves = {name: curve(0.9, 0.95, 0.96, 0.97) for name in "abcdef"}
    options = pool.argparse.Namespace(slices=2, round_seconds=30.0)

    parts = pool.later(curves, [(Path("x"), 0, ["a", "b"])], options)

    assert parts == [(Path("x"), 0, list("abcd")), (Path("x"), 1, list("ef"))]


def test_a_network_learns_on_what_was_corrected_and_the_study_stays(
    trained_study: Any, heads: Any, tmp_path: Path
) -> None:
    pool_module, data = script("pool"), tmp_path / "data"
    for kind, paths in (("scans", heads.scans), ("masks", heads.masks)):
        (data / kind).mkdir(parents=True)
        for name, path in zip(heads.names, paths, strict=True):
            (data / kind / f"{name}.nii.gz").symlink_to(path)
    before = {p: p.stat().st_mtime_ns for p in trained_study.folder.rglob("*") if p.is_file()}
    pool = pool_module.Pool(data, trained_study.folder, tmp_path / "out")
    pool.out.mkdir()

    parts = pool_module.learning(pool, 2, 1, 1)

    (folder, _, first), (_, round_, others) = parts
    assert (len(first), round_, len(others)) == (1, 1, 2) and set(first).isdisjoint(others)
    study = type(trained_study).open(folder)
    assert study.decisions.all()[first[0]].state == "corrected"
    learned = json.loads((study.rounds.folder(1) / "training_set.json").read_text())
    assert {row["kind"] for row in learned} >= {"painted", "corrected"}
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert len(pool_module.joined(pool, [parts[1]])) == 2


def test_only_what_was_finished_in_time_counts() -> None:
    targets, some = script("targets"), [curve(0.9, 0.95, 0.97, 0.98), curve(0.9, 0.93, 0.96, 0.97)]

    assert [targets.reached(some[0], seconds) for seconds in (9, 10, 25)] == [0.9, 0.95, 0.97]
    line = targets.told(some, targets.Target("label", 20, 0.97))
    assert line == "2 | 0.9000 | 0.9650, 0.960 | 1 |"


def test_a_curve_from_slices_to_the_mask_is_found_again() -> None:
    told = script("told")
    rng = np.random.default_rng(0)
    points = []
    for k, seen in enumerate(rng.uniform(0.02, 0.2, 400)):
        dice = 1 - np.exp(-3 + 0.5 * np.log(seen) + rng.normal(0, 0.1))
        better = dice + 0.1 * (1 - dice) / 5
        points.append(told.Point(f"sub-{k % 8}", "first", 5, seen, dice, better))

    fitted = told.fit(points)

    assert fitted.level == pytest.approx(-3, abs=0.1)
    assert fitted.slope == pytest.approx(0.5, abs=0.05)
    assert fitted.half_width == pytest.approx(2.353 * 0.1, rel=0.1)
    assert fitted.gain == pytest.approx(0.1)
    n, off, _, held, *_ = told.told(fitted, points).split(" | ")
    assert n == "400" and float(off) < 0.002 and 0.95 < float(held) <= 1


def test_the_program_tells_what_was_fitted() -> None:
    from napari_singlestrip.engine.judging import dice_so_far

    told = script("told")
    point = told.Point("sub-1", "first", 5, 0.04, 0.0, 0.0)
    fitted = told.Fitted(
        dice_so_far.LEVEL, dice_so_far.SLOPE, dice_so_far.HALF_WIDTH, dice_so_far.GAIN
    )
    found = dice_so_far.dice_so_far([dice_so_far.SliceCheck(400, 10_000)] * 5)
    assert found is not None and told.FIRST == dice_so_far.FEWEST
    assert found.dice == pytest.approx(1 - np.exp(fitted.middle([point])[0]))


@pytest.mark.parametrize("name", [
    "pool.py --study x", "told.py --first a=x", "targets.py --suggestion x --label x",
])
def test_pools_without_scans_are_skipped(name: str, tmp_path: Path) -> None:
    file, *more = name.split()
    line = [sys.executable, str(BENCHMARKS / "effort" / file), "--data", str(tmp_path), *more]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("skipped: there are no scans in")


# --- first masks by lasso


def test_a_first_mask_takes_few_outlines() -> None:
    first, hand = script("first_mask"), script("person").Hand(ball(26), ONE_MM, 0, wobble_mm=0)
    few, many = (first.first_mask(hand, 0, n) for n in (3, 9))
    assert (few.slices, few.outlines, many.outlines) == (3, 3, 9)
    assert few.dice < many.dice
    assert many.dice > 0.97


def test_the_lasso_goes_round_pieces_and_holes_but_not_specks() -> None:
    first = script("first_mask")
    drawn = np.zeros((40, 40), dtype=bool)
    drawn[4:20, 4:20] = drawn[30, 30] = True
    drawn[8:16, 8:16] = False
    made, n = first.by_lasso(drawn, (1.0, 1.0))
    assert n == 2
    assert np.array_equal(np.argwhere(made != drawn), [[30, 30]])


def test_first_masks_without_scans_are_skipped(tmp_path: Path) -> None:
    line = [sys.executable, str(BENCHMARKS / "effort" / "first_mask.py"), "--data", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "skipped" in done.stdout


def test_first_suggestions_are_measured_by_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("first_suggestion")
    monkeypatch.setattr(sys, "argv", ["first_suggestion.py", "--data", str(tmp_path)])
    module.main()
    assert "skipped" in capsys.readouterr().out
    for name in ("sub-07_studyforrest_T1w", "sub-01_T1w", "sub-02_T1w", "sub-03_T1w"):
        path = tmp_path / "scans" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    dev, test = (
        {path.name.split("_")[0] for path in module.scans_of(tmp_path, half)}
        for half in ("dev", "test")
    )
    assert dev == {"sub-07", "sub-01", "sub-03"} and test == {"sub-02"}
