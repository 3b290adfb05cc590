"""The statistics of the accuracy benchmark, the heads it draws, and its other tools."""

from __future__ import annotations

import importlib
import json
import math
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import scipy.stats

from napari_singlestrip.engine.judging.ranking_score import ranked_by

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FOLDERS = (BENCHMARKS, BENCHMARKS / "accuracy")


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


def row(dice: float, **others: float) -> dict[str, Any]:
    return {"dice": dice, "hd95_mm": 5.0, "mean_surface_distance_mm": 1.0,
            "volume_difference_percent": 2.0, **others}


def table(**dices: float) -> dict[tuple[str, str], dict[str, Any]]:
    """A table of one piece; names are `person_contrast`."""
    return {("fold-0_seed-0", name): row(dice) for name, dice in dices.items()}


# --- paired differences and their intervals


def of_people(values: Iterable[float]) -> dict[tuple[str, str], list[float]]:
    """A difference of each of some people, each of a network of their own."""
    return {(f"p{i}", f"piece{i}"): [value] for i, value in enumerate(values)}


def test_differences_are_paired_and_kept_by_person() -> None:
    results = script("results")
    first = table(a_T1w=0.9, a_T2w=0.8, b_T1w=0.7, c_T1w=0.6)
    second = table(a_T1w=0.8, a_T2w=0.9, b_T1w=0.5, d_T1w=0.1)
    found = results.differences(first, second)
    assert {k: pytest.approx(v) for k, v in found.items()} == {
        ("a", "fold-0_seed-0"): [0.1, -0.1], ("b", "fold-0_seed-0"): [0.2],
    }
    assert results.mean_of(found) == pytest.approx(0.2 / 3)


def test_scans_of_one_person_do_not_narrow_the_interval() -> None:
    """Twenty scans of each person are worth no more than one."""
    results = script("results")
    few = of_people([0.01, 0.02, -0.01, 0.03])
    many = {cell: values * 20 for cell, values in few.items()}
    assert results.interval(many) == pytest.approx(results.interval(few))
    expected = scipy.stats.ttest_1samp([v for (v,) in few.values()], 0).confidence_interval()
    assert results.interval(few) == pytest.approx((expected.low, expected.high))


def test_people_of_one_network_do_not_narrow_the_interval() -> None:
    """A network that is 0.02 better than another is so for all its people."""
    results = script("results")
    shared = {(f"p{i}", f"fold-{i % 2}"): [0.02 * (i % 2) + 0.001 * i] for i in range(8)}
    alone = {(name, name): values for (name, _), values in shared.items()}
    (low, high), (narrow, wide) = results.interval(shared), results.interval(alone)
    assert high - low > 1.3 * (wide - narrow)


def test_interval_of_equal_differences_is_that_difference() -> None:
    found = script("results").interval(of_people([0.01] * 5))
    assert found == pytest.approx((0.01, 0.01))


def test_interval_holds_95_percent() -> None:
    """With many people it is that of the normal distribution."""
    values = np.random.default_rng(0).normal(0.01, 0.02, 400)
    low, high = script("results").interval(of_people(values))
    mean, half = values.mean(), 1.96 * values.std() / np.sqrt(len(values))
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)


def test_too_few_people_have_no_interval() -> None:
    results = script("results")
    assert all(map(math.isnan, results.interval(of_people([0.1, 0.3]))))
    one, other = table(a_T1w=0.9, a_T2w=0.9), table(a_T1w=0.8, a_T2w=0.8)
    assert results.paired(one, other) == "+0.1000 (1 person)"
    assert results.paired(one, table(z_T1w=0.5)) == "-"


def test_common_keeps_the_places_that_all_have() -> None:
    found = script("results").common({
        "one": table(a_T1w=0.9, b_T1w=0.8), "other": table(b_T1w=0.7, c_T1w=0.6),
    })
    assert {name: [key[1] for key in part] for name, part in found.items()} == {
        "one": ["b_T1w"], "other": ["b_T1w"],
    }


# --- what the scores are worth


def cloud(shifts: dict[str, float], slope: float) -> list[Any]:
    """Pieces in which the Dice follows the score, each piece shifted as a whole."""
    scores = script("scores")
    return [
        scores.Point(piece, f"p{i}_T1w", {"autoencoder_error": 0.01 * i, "consistency": 0.5},
                     0.8 + slope * 0.01 * i + shift)
        for piece, shift in shifts.items() for i in range(6)
    ]


def test_pooled_correlation_is_that_within_the_pieces() -> None:
    """The better piece has the worse scores, yet within each the ranking is perfect."""
    scores = script("scores")
    points = cloud({"one": 0.0, "two": 0.1}, slope=1.0)
    points = [
        scores.Point(p.piece, p.scan, {
            **p.scores, "autoencoder_error": p.scores["autoencoder_error"] - (p.piece == "two"),
        }, p.dice)
        for p in points
    ]
    found = scores.worth(points)
    assert found.pooled["autoencoder_error"] == pytest.approx(1)
    assert found.each["autoencoder_error"] == pytest.approx([1, 1])
    assert found.intervals["autoencoder_error"] == pytest.approx((1, 1))


def test_score_that_does_not_vary_is_worth_nothing() -> None:
    found = script("scores").worth(cloud({"one": 0.0}, slope=-1.0))
    assert math.isnan(found.pooled["consistency"])
    assert all(map(math.isnan, found.intervals["consistency"]))
    falling = [
        script("scores").Point(p.piece, p.scan, {**p.scores, "consistency": i}, p.dice)
        for i, p in enumerate(cloud({"one": 0.0}, slope=-1.0))
    ]
    assert script("scores").worth(falling).pooled["consistency"] == pytest.approx(-1)


def test_mean_of_both_is_what_the_ranking_takes() -> None:
    """The same order as `ranking.score=mean`, of the same scores."""
    errors, agreements = [0.02, 0.10, 0.03], [0.99, 0.95, 0.80]
    ours = [
        script("scores").Point("one", "p_T1w", {"autoencoder_error": -e, "consistency": c}, 0.9)
        for e, c in zip(errors, agreements, strict=True)
    ]
    assert [-p.score("mean") for p in ours] == pytest.approx(
        ranked_by(errors, agreements, "mean").tolist()
    )


def test_contrasts_with_few_scans_have_no_figure() -> None:
    scores = script("scores")
    points = [
        scores.Point("one", f"p{i}_{contrast}", {"autoencoder_error": i, "consistency": -i}, i)
        for contrast, n in (("T1w", 6), ("T2w", 5)) for i in range(n)
    ]
    n, worth = scores.by_contrast(points)["T1w"]
    assert n == 6 and worth["autoencoder_error"] == pytest.approx(1)
    assert worth["consistency"] == pytest.approx(-1)
    assert set(scores.by_contrast(points)) == {"T1w"}
    # The same five scans in two pieces are still five scans.
    again = [scores.Point("two", p.scan, p.scores, p.dice) for p in points]
    assert set(scores.by_contrast([*points, *again])) == {"T1w"}


# --- the whole page, from result files


ARMS = {"initial": 0.92, "control": 0.93, "default": 0.94, "ae_k": 0.94, "random_k": 0.935,
        "corrected_1_top": 0.945, "corrected_4_top": 0.95, "labels_99": 0.96}
SCANS = [f"sub-{i}_x_{contrast}" for i in range(4) for contrast in ("T1w", "T2w")]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Result files of two folds and a peer."""
    out = tmp_path / "kept" / "real"
    for fold in ("0", "1", "all"):
        folder = out / f"fold-{fold}_seed-0"
        folder.mkdir(parents=True)
        for arm, dice in ARMS.items():
            steps = [0.001 * i for i in range(len(SCANS))]
            content = {
                "unseen": [{"scan": s, **row(dice + d)} for s, d in zip(SCANS, steps, strict=True)],
                "pool": {s: dice + d for s, d in zip(SCANS, steps, strict=True)},
                "errors": {s: 0.1 - d for s, d in zip(SCANS, steps, strict=True)},
                "consistency": dict(zip(SCANS, reversed(steps), strict=True)),
            }
            (folder / f"{arm}.json").write_text(json.dumps(content))
    peers = [{"scan": s, **row(0.9)} for s in SCANS[1:]]
    peers.append({"scan": SCANS[0], "dice": 0.0, "problem": "It found no brain."})
    (out / "peers").mkdir()
    (out / "peers" / "bet.json").write_text(json.dumps({"unseen": peers}))
    unseen = [{"scan": s, **row(0.9)} for s in SCANS]
    others: dict[str, Any] = {
        "network/default": {"words": "", "unseen": unseen},
        "network/a": {"words": "a=1", "unseen": [{**r, "dice": 0.92} for r in unseen]},
        "network/a2": {"words": "seed=2 a=1", "unseen": unseen},
        "../beyond/beyond": {"EPI": {"round 0": [{"scan": "b_EPI", "dice": 0.9}]},
                             "mouse": {"round 1": [{"scan": "mouse_0", "dice": None}]}},
        "../hard_looks/4_a_round": [
            {"look": "child", "scan": f"s{i}", "half": i % 2, "dice": 0.8 + 0.01 * i,
             "as_it_was": 0.9} for i in range(4)
        ],
        "ranking/default": {"words": "", "spearman": {"0": {"autoencoder_error": 0.5}}},
    }
    for name, content in others.items():
        file = out / "choices" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return out


def test_choices_are_measured_with_more_seeds() -> None:
    choices = script("choices")
    assert choices.wanted(["", "a=1", "b=2 c=3"], None, [0]) == ["", "a=1", "b=2 c=3"]
    again = choices.wanted(["", "a=1", "b=2 c=3"], ["nothing", "b=2 c=3"], [0, 2])
    assert again == ["", "b=2 c=3", "seed=2", "seed=2 b=2 c=3"]
    assert choices.seed_and_changes("seed=2 b=2 c=3") == (2, ["b=2", "c=3"])
    assert choices.seed_and_changes("b=2") == (0, ["b=2"])
    with pytest.raises(SystemExit, match="No such choice: d=4"):
        choices.wanted(["", "a=1"], ["d=4"], [0])


def test_the_whole_pool_is_not_mixed_with_unseen_people(out: Path) -> None:
    found = script("results").read(out)
    assert len(found.unseen["ae_k"]) == 2 * len(SCANS)
    assert len(found.whole_pool["ae_k"]) == len(SCANS)


def test_page_is_written_between_its_marks(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script("scores"), "N_DRAWS", 50)
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    parts = ("arms", "contrasts", "scores", "corrections", "worst", "choices", "beyond")
    marks = "".join(f"Mine.\n<!-- real: {part} -->\nbefore\n<!-- end -->\n" for part in parts)
    page.write_text(marks)
    monkeypatch.setattr(sys, "argv", ["tables.py", str(out.parent), "--page", str(page),
                                      "--masks", str(out), "--data", str(tmp_path / "none")])
    script("tables").main()
    text = page.read_text()
    # The worst masks were not kept, and their section is left alone.
    assert text.count("Mine.") == len(parts) and text.count("before") == 1
    assert "<!-- real: worst -->\nbefore\n" in text
    assert all(f"<!-- real: {part} -->" in text for part in parts)
    assert text.count("<!-- end -->") == len(parts)
    assert "| ae_k | 16 | 0.9435 | 0.940 | 5.0 | 1.00 | +2.0 |" in text
    assert "| ae_k | +0.0200 [+0.0200, +0.0200] | +0.0100 [+0.0100, +0.0100] | +0.0050 [" in text
    assert "bet failed, with Dice 0, on sub-0_x_T1w." in text
    assert "deepbet was not run" in text
    assert "| initial | half of the people | 2 of 8 scans | 1.00 (1.00 to 1.00) | -1.00" in text
    # Seed 2 has no counterpart in which nothing was changed, and is in no difference.
    assert "| `a=1` | 16 | 0.9200, 0.9000 | 0.900 | 5.0 | +0.0200 [+0.0200, +0.0200] |" in text
    assert "| nothing | 1 | 0.50 (0.50 to 0.50) | - |" in text
    assert "| EPI | b_EPI | 0.900 | - |" in text and "| mouse | mouse_0 | - | - |" in text
    for picture in ("scores", "contrasts", "corrections"):
        file = page.parent / "pictures" / f"accuracy_{picture}_real.svg"
        assert f"pictures/{file.name}" in text
        assert file.read_text().startswith("<?xml")


def test_what_was_asked_is_told_with_what_was_found(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script("scores"), "N_DRAWS", 5)
    refined = out.parent / "refined"
    shutil.copytree(out, refined)
    for piece in ("fold-0_seed-0", "fold-1_seed-0", "fold-all_seed-0"):
        first = json.loads((refined / piece / "initial.json").read_text())
        fine = json.loads((refined / piece / "ae_k.json").read_text())
        fine["unseen"][0]["dice"] = first["unseen"][0]["dice"] - 0.006  # made worse
        (refined / piece / "default.json").write_text(json.dumps(fine))
    read = script("results").read
    text = script("goals").goals({"refined": read(refined)}, out.parent)
    lines = dict(re.findall(r"^\| (.+?) \| (.+) \|$", text, re.M))
    n = 2 * len(SCANS)
    dices = [row["dice"] for row in read(refined).unseen["default"].values()]
    assert lines["quick, nobody decides: mean Dice"] == (
        f"at least 0.963 | {np.mean(dices):.4f} | no"
    )
    worse = f"quick, other people: masks worse than first masks by more than 0.005, of {n}"
    assert lines[worse] == "none | 2 | no"
    # Of the scores of `out` one falls with the Dice and one rises: the worst mask is not the last.
    last = "quick, first masks: pools whose worst mask is among the last 3"
    assert lines[last].startswith("all 3 | ")
    assert lines["quick, hard looks after a round: scans under 0.92, of 4"] == "none | 4 | no"
    assert not any(what.startswith(("standard", "pools with poor")) for what in lines)


def test_the_place_of_the_worst_mask_counts_from_the_end() -> None:
    goals, point = script("goals"), script("scores").Point
    cloud = [
        point("a", f"s{n}", {"autoencoder_error": -0.1 * n, "consistency": 0.5}, dice)
        for n, dice in ((1, 0.9), (2, 0.95), (3, 0.7), (4, 0.8))  # the lowest error comes first
    ]
    assert list(goals._places_of_worst(cloud)) == [2]


def test_other_painted_scans_stand_beside_the_first(tmp_path: Path) -> None:
    read, of_painted = script("results").read, script("other_tables").table_of_painted

    def run(painted: str, arm: str, **dices: float) -> Path:
        piece = tmp_path / painted / "fold-all_seed-0"
        piece.mkdir(parents=True, exist_ok=True)
        (piece.parent / "about.json").write_text(json.dumps({"painted": painted}))
        rows = [{"scan": scan, **row(dice)} for scan, dice in dices.items()]
        (piece / f"{arm}.json").write_text(json.dumps({"unseen": rows}))
        return piece.parent

    usual = run("a_T1w", "initial", b_T1w=0.98, c_T1w=0.90, c_T2w=0.92)
    assert of_painted([read(usual)]) == ""  # nothing to compare
    better = run("b_T2w", "initial", a_T1w=0.98, c_T1w=0.93, c_T2w=0.97)
    run("b_T2w", "default", a_T1w=0.99, c_T1w=0.96, c_T2w=0.96)
    head, _, first, second = of_painted([read(usual), read(better)]).splitlines()
    assert head.count("less a [95%]") == 2
    assert first == "| b_T2w | 3 | 0.9600 (0.930) | +0.0400 (1 person) | 0.9700 (0.960) | - |"
    assert second == "| a_T1w | 3 | 0.9333 (0.900) | - | - | - |"


def test_our_page_has_a_place_for_every_text(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script("scores"), "N_DRAWS", 5)
    page = tmp_path / "docs" / "accuracy_tables.md"
    page.parent.mkdir()
    page.write_text((BENCHMARKS.parent / "docs" / "accuracy_tables.md").read_text(encoding="utf-8"))
    for name in ("label_maps", "poor", "standard"):
        shutil.copytree(out, out.parent / name)
    monkeypatch.setattr(sys, "argv", ["tables.py", str(out.parent), "--page", str(page)])
    script("tables").main()
    assert "has no section" not in capsys.readouterr().out
    assert {path.name for path in (page.parent / "pictures").iterdir()} == {
        f"accuracy_{part}_{name}.svg"
        for name in ("real", "label_maps", "standard")
        for part in ("scores", "corrections", "contrasts")
    } | {"accuracy_scores_poor.svg"}


def test_page_is_what_the_kept_result_files_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No figure in its tables was typed by hand, and none is left of another version."""
    page, ours = tmp_path / "accuracy_tables.md", BENCHMARKS.parent / "docs" / "accuracy_tables.md"
    page.write_text(ours.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["tables.py", "--page", str(page)])
    script("tables").main()
    assert page.read_text(encoding="utf-8") == ours.read_text(encoding="utf-8")


def test_the_short_page_says_what_the_others_say() -> None:
    docs = BENCHMARKS.parent / "docs"
    short, *others = (
        (docs / name).read_text(encoding="utf-8")
        for name in ("accuracy.md", "accuracy_tables.md", "trials.md")
    )
    said = set(re.findall(r"\b0\.\d{4}\b", short))
    assert len(said) > 10
    assert said <= set(re.findall(r"\b0\.\d{4}\b", " ".join(others)))


def test_the_pages_say_how_many_masks_the_expected_dice_was_fitted_on() -> None:
    fitted = json.loads(script("expected").FILE.read_text(encoding="utf-8"))
    n = sum(fitted["masks"].values())
    for name in ("method.md", "accuracy.md"):
        said = (BENCHMARKS.parent / "docs" / name).read_text(encoding="utf-8")
        assert f" {n} masks" in said, name


# --- what to expect of a mask


def test_the_program_s_curve_is_what_the_kept_result_files_give() -> None:
    """No number of it was typed by hand, and none is left of another version."""
    expected, curve = script("expected"), script("napari_singlestrip.engine.judging.expected_dice")
    masks = list(expected.masks_of(script("keep").MEASURED))
    found = json.loads(json.dumps(expected.fitted(masks)))
    known = json.loads(curve.FILE.read_text(encoding="utf-8"))
    for name in ("levels", "seen", "masks"):
        assert found[name] == pytest.approx(known[name], rel=1e-2) if name == "levels" else (
            found[name] == known[name]
        )
    for name in ("slopes", "within", "between"):
        assert found[name] == pytest.approx(known[name], rel=1e-2)
    assert found["spread"].keys() == known["spread"].keys() == {"quick", "standard"}
    for effort, edges in found["spread"].items():
        assert edges == pytest.approx(known["spread"][effort], rel=1e-2)


def simulated(n_people: int, between: float, within: float) -> list[Any]:
    """Masks whose Dice lies beside a curve by as much as is said."""
    expected, rng, masks = script("expected"), np.random.default_rng(0), []
    for study in range(30):
        level = rng.normal(0, between)
        for one in range(n_people):
            error, doubt = np.exp(rng.normal((-3.6, -3.4), 0.3))
            log_error = 0.3 + 0.4 * np.log(error) + 0.5 * np.log(doubt) + level
            dice = 1 - np.exp(log_error + rng.normal(0, within))
            group = expected.GROUPS[study % len(expected.GROUPS)]
            scan = f"p{one}_T1w"
            masks.append(expected.Mask("refined", f"{study}", scan, group, error, 1 - doubt, dice))
    return masks


def test_the_curve_finds_what_it_was_drawn_from() -> None:
    found = script("expected").fitted(simulated(40, 0.2, 0.1))
    assert found["slopes"] == pytest.approx([0.4, 0.5], abs=0.05)
    assert found["within"] == pytest.approx(0.1, rel=0.2)
    assert 0.05 < found["between"] < 0.3


def test_intervals_hold_on_people_that_were_not_seen_and_corrections_help() -> None:
    expected = script("expected")
    masks = simulated(40, 0.2, 0.1)
    held, wrong = [], []
    for n_corrected in (0, 4):
        told = [t for found in expected.told_of_others(masks, n_corrected).values() for t in found]
        held.append(np.mean([t.held for t in told]))
        wrong.append(np.mean([abs(t.wrong_by) for t in told]))
    assert 0.8 < held[0] < 0.97 and 0.8 < held[1] < 0.97
    assert wrong[1] < 0.8 * wrong[0]


def test_corrected_masks_are_left_out_of_the_fit(tmp_path: Path) -> None:
    piece = tmp_path / "refined" / "fold-0_seed-0"
    piece.mkdir(parents=True)
    (tmp_path / "refined" / "about.json").write_text(json.dumps({"painted": "p0_T1w"}))
    names = [f"p{n}_T1w" for n in range(4)]
    content = {
        "pool": dict.fromkeys(names, 0.95), "consistency": dict.fromkeys(names, 0.97),
        "errors": {name: 0.02 + 0.01 * n for n, name in enumerate(names)},
    }
    for arm in ("initial", "corrected_1_worst"):
        (piece / f"{arm}.json").write_text(json.dumps(content))
    masks = list(script("expected").masks_of(tmp_path))
    by_group = {(mask.group, mask.scan) for mask in masks}
    assert by_group == {("quick first", name) for name in names[1:]} | {
        ("quick corrected", name) for name in names[1:3]
    }


def test_studies_of_other_painted_scans_are_told_apart(tmp_path: Path) -> None:
    for name in "ab":
        piece = tmp_path / f"painted_{name}" / "fold-all_seed-0"
        piece.mkdir(parents=True)
        (piece.parent / "about.json").write_text(json.dumps({"painted": f"{name}_T1w"}))
        pool = dict.fromkeys(("a_T1w", "b_T1w", "c_T1w"), 0.95)
        content = {"pool": pool, "consistency": pool, "errors": pool}
        (piece / "initial.json").write_text(json.dumps(content))
    masks = list(script("expected").masks_of(tmp_path))
    assert {(mask.run, mask.study, mask.scan) for mask in masks} == {
        ("painted_*", f"painted_{name} fold-all_seed-0 initial", scan)
        for name in "ab" for scan in ("a_T1w", "b_T1w", "c_T1w") if not scan.startswith(name)
    }


def test_the_readme_says_what_was_measured() -> None:
    results = script("results")
    measured = ("real", "refined", "refined_standard")
    read = {name: results.read(script("keep").MEASURED / name) for name in measured}
    refined, peers = read["refined"].unseen, read["real"].peer_tables()
    readme = (BENCHMARKS.parent / "README.md").read_text(encoding="utf-8")
    for words, table_ in {
        "effort quick": refined["default"],
        "effort quick, four masks corrected": refined["corrected_4_top"],
        "effort standard": read["refined_standard"].unseen["default"],
        "effort standard, four masks corrected": read["refined_standard"].unseen["corrected_4_top"],
        "BET": peers["bet"],
        "deepbet, trained on 568 labelled scans": peers["deepbet"],
    }.items():
        lowest = results.column(table_, "dice").min()
        assert f"| {words} | {results.mean(table_):.3f} | {lowest:.3f} |" in readme


def test_a_figure_that_was_not_measured_is_left_out_of_means(out: Path) -> None:
    """A peer that failed has Dice 0, which counts, and no distances, which do not."""
    results = script("results")
    bet = results.read(out).peer_tables()["bet"]
    assert results.mean(bet) == pytest.approx(0.9 * 7 / 8)
    assert results.mean(bet, "hd95_mm") == 5


def test_worst_masks_are_drawn_and_explained(
    out: Path, tmp_path: Path, heads: Any
) -> None:
    """Masks of one scan were kept: too large below, by as much as the table says."""
    mosaics, results = script("mosaics"), script("results")
    scan, mask = heads.scans[0], heads.masks[0]
    for part, file in (("scans", scan), ("masks", mask)):
        (tmp_path / "data" / part).mkdir(parents=True)
        (tmp_path / "data" / part / f"{SCANS[3]}.nii.gz").write_bytes(file.read_bytes())
    image: Any = nib.load(mask)
    brain = np.asanyarray(image.dataobj) > 0
    lowest = np.flatnonzero(brain.any(axis=(0, 1)))[0]  # the first head lies along RAS
    brain[20:26, 18:24, lowest - 2 : lowest] = True
    for arm in mosaics.ARMS:
        folder = out / "fold-0_seed-0" / f"applied_{arm}"
        folder.mkdir()
        changed = nib.Nifti1Image(brain.astype(np.uint8), image.affine)
        nib.save(changed, folder / f"{SCANS[3]}_desc-brain_mask.nii.gz")
    text = mosaics.worst(results.read(out), out, tmp_path / "data", tmp_path / "worst.png")
    added_ml = 6 * 6 * 2 * 6**3 / 1000
    assert f"| 1 | {SCANS[3]} | 0.923, 0.943 |" in text and "| 2 |" not in text
    too_much, missing = (float(cell) for cell in text.splitlines()[-1].split("|")[4:6])
    assert too_much == pytest.approx(added_ml, rel=0.25) and missing < 2
    assert "lower third (100%)" in text
    assert (tmp_path / "worst.png").stat().st_size > 1000


# --- what is kept in the project


def test_result_files_are_kept_with_fewer_digits(out: Path, tmp_path: Path) -> None:
    (out / "fold-0_seed-0" / "study").mkdir()
    (out / "fold-0_seed-0" / "study" / "study.json").write_text("{}")
    first = out / "fold-0_seed-0" / "ae_k.json"
    first.write_text(first.read_text().replace("0.94,", "0.9400000001,"))
    kept = tmp_path / "again"
    assert script("keep").keep(out, kept) == len(list(kept.rglob("*.json"))) == 3 * len(ARMS) + 7
    assert "0.94," in (kept / "fold-0_seed-0" / "ae_k.json").read_text()
    before, after = map(script("results").read, (out, kept))
    assert (before.unseen.keys(), before.peers) == (after.unseen.keys(), after.peers)
    assert before.unseen["ae_k"].items() == {
        key: pytest.approx(row, abs=1e-5) for key, row in after.unseen["ae_k"].items()
    }.items()
    with pytest.raises(SystemExit, match="no result files"):
        script("keep").keep(tmp_path / "none", kept)


# --- heads drawn from label maps


@pytest.fixture(scope="module")
def label_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Balls in balls, 3 mm voxels: skin, soft tissue, bone, fluid, cortex, white matter; a neck."""
    x, y, z = np.indices((44, 44, 44)) - 21.5
    away = np.sqrt(x**2 + y**2 + z**2)
    labels = np.zeros((44, 44, 44), np.int16)
    for radius, label in ((18, 511), (17, 507), (15, 515), (13.5, 24), (12.5, 3), (9, 2)):
        labels[away < radius] = label
    canal = (np.hypot(x, y) < 2) & (z < 0) & (labels > 499)
    labels[canal] = 24
    affine = np.diag([-3.0, 3, 3, 1])
    affine[:3, 3] = 3 * 21.5, -3 * 21.5, -3 * 21.5
    path = tmp_path_factory.mktemp("label_maps") / "head-01_labels.nii.gz"
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


@pytest.fixture(scope="module")
def drawn(label_map: Path) -> list[Any]:
    return list(script("label_map_heads").heads([label_map], seed=0))


def test_every_contrast_is_drawn_under_the_person_s_name(drawn: list[Any]) -> None:
    assert [head.name for head in drawn] == [
        f"head-01_labels_{contrast}" for contrast in ("T1w", "T2w", "FLAIR", "PDw")
    ]


def test_mask_is_the_brain_of_the_label_map_without_the_canal(
    label_map: Path, drawn: list[Any]
) -> None:
    x, y, z = np.indices((44, 44, 44)) - 21.5
    away = np.sqrt(x**2 + y**2 + z**2)
    # The mask ends with the lowest cortex: fluid below it is that of the canal.
    ball_ml = ((away < 13.5) & (z > -12.5)).sum() * 3**3 / 1000
    for head in drawn:
        volume = head.mask.sum() * abs(np.linalg.det(head.affine[:3, :3])) / 1000
        assert volume == pytest.approx(ball_ml, rel=0.02), head.name
    k = np.flatnonzero(drawn[0].mask.any(axis=(0, 1)))[0]
    assert (drawn[0].affine @ [0, 0, k, 1])[2] == pytest.approx(-3 * 12.5, abs=3)


def test_fluid_around_the_cord_is_not_brain() -> None:
    labels = np.full((9, 9, 20), 24, np.int16)
    labels[3:6, 3:6, 10:] = 16  # the stem, and a cerebellum as low as the scan goes
    labels[3:6, 3:6, :10] = 512
    labels[0, 0, 0] = 8
    brain = script("label_map_heads").brain_of(labels)
    assert brain[:, :, 10:].all() and not brain[4, :, :8].any()


def test_first_is_clean_and_upright_others_are_as_scanners_make_them(drawn: list[Any]) -> None:
    first, *others = drawn
    assert np.allclose(first.affine[:3, :3], np.eye(3))
    spacings = [np.linalg.norm(head.affine[:3, :3], axis=0) for head in drawn]
    assert [bool(s.max() > 2.9) for s in spacings] == [False, False, True, False]
    assert {nib.aff2axcodes(head.affine) for head in others} != {("R", "A", "S")}


def test_contrasts_are_told_apart_by_their_tissues(drawn: list[Any]) -> None:
    """White matter over fluid: bright on T1w, dark on T2w, bright on FLAIR."""
    from napari_singlestrip.sample_data import TISSUES

    def ratio(head: Any) -> float:
        white, fluid = (head.data[head.labels == TISSUES[name]].mean()
                        for name in ("white_matter", "csf"))
        return float(white / fluid)

    t1w, t2w, flair, _ = map(ratio, drawn)
    assert t1w > 2 and t2w < 0.7 and flair > 1.5


def test_same_seed_same_heads_another_seed_others(label_map: Path, drawn: list[Any]) -> None:
    again = next(script("label_map_heads").heads([label_map], seed=0))
    assert np.array_equal(again.data, drawn[0].data)
    other = next(script("label_map_heads").heads([label_map], seed=1))
    assert other.data.shape != again.data.shape or not np.array_equal(other.data, again.data)


# --- spoiled scans


@pytest.fixture
def ball() -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """A scan of a bright ball, its brain, in a fainter one; thick slices."""
    x, y, z = np.indices((40, 44, 16)) - np.array([19.5, 21.5, 7.5])[:, None, None, None]
    away = np.sqrt((1.5 * x) ** 2 + (1.5 * y) ** 2 + (4 * z) ** 2)
    data = 60 * (away < 28) + 40 * (away < 22)
    affine = np.diag([-1.5, 1.5, 4, 1])
    brain = nib.Nifti1Image((away < 22).astype(np.uint8), affine)
    return nib.Nifti1Image(data.astype(np.int16), affine), brain


@pytest.mark.parametrize(
    "how", ["moved", "ghosts", "low field", "surface coil", "folded", "cut"]
)
def test_a_spoiled_scan_is_worse_and_stays_on_its_grid(
    how: str, ball: tuple[nib.Nifti1Image, nib.Nifti1Image]
) -> None:
    poor_scans = script("poor_scans")
    scan, mask = ball
    poor, its_mask = poor_scans.spoil(scan, mask, how, np.random.default_rng(0))
    assert how in poor_scans.SPOILED and poor.shape == its_mask.shape
    if how == "cut":  # part of both, where they were
        assert np.prod(poor.shape) < 0.9 * np.prod(scan.shape)
        first = np.rint(np.linalg.solve(scan.affine, poor.affine)[:3, 3]).astype(int)
        part = tuple(slice(i, i + n) for i, n in zip(first, poor.shape, strict=True))
        for whole, piece in ((scan, poor), (mask, its_mask)):
            assert np.array_equal(np.asarray(whole.dataobj)[part], np.asarray(piece.dataobj))
        return
    assert its_mask is mask and np.array_equal(poor.affine, scan.affine)
    before, after = scan.get_fdata().ravel(), poor.get_fdata().ravel()
    assert 0.2 < np.corrcoef(before, after)[0, 1] < 0.998


def test_folding_moves_what_lies_beyond_to_the_other_side() -> None:
    poor_scans, line = script("poor_scans"), np.zeros((20, 20, 20), np.float32)
    line[...] = 1.0
    folded = poor_scans.folded(line, (1, 1, 1), np.random.default_rng(0))
    assert folded.sum() == line.sum()  # nothing is lost
    assert set(np.unique(folded)) == {0, 1, 2}


def test_poor_scans_are_in_pools_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, data = script("experiment"), tmp_path / "data"
    image = nib.Nifti1Image(np.ones((6, 6, 6), np.uint8), np.eye(4))
    names = [f"sub-{n}_x_T1w.nii.gz" for n in range(5)] + ["mouse-01_x_T1w.nii.gz"]
    for part in ("scans", "masks"):
        (data / part).mkdir(parents=True)
        for name in names:
            nib.save(image, data / part / name)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["poor_scans.py", str(data), str(out)])
    script("poor_scans").main()
    assert {path.name for path in (out / "scans").iterdir()} == {
        path.name for path in (out / "masks").iterdir()
    } == {*names[:-1], *(name.replace("_T1w", "_poor_T1w") for name in names[:-1])}
    options = experiment.arguments("").parse_args([str(out), str(out), "--painted", "sub-0_x_T1w"])
    piece = experiment.Piece(options, "0", 0)
    assert [path.name for path in piece.pool] == [
        "sub-1_x_T1w.nii.gz", "sub-1_x_poor_T1w.nii.gz",
        "sub-3_x_T1w.nii.gz", "sub-3_x_poor_T1w.nii.gz",
    ]
    assert [path.name for path in piece.measured] == ["sub-2_x_T1w.nii.gz", "sub-4_x_T1w.nii.gz"]


def test_a_painted_scan_as_it_might_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scan and mask change alike, and the brain stays where it is in the world."""
    data, out = tmp_path / "data", tmp_path / "out"
    brain = np.zeros((60, 60, 60), np.uint8)
    brain[20:40, 22:38, 15:45] = 1
    affine = np.array([[-2.0, 0, 0, 9], [0, 1, 0, -5], [0, 0, 1, 7], [0, 0, 0, 1]])
    for part, values in (("scans", 100 * brain), ("masks", brain)):
        (data / part).mkdir(parents=True)
        for name in ("a_x_T1w", "a_x_T2w", "b_x_T1w"):
            nib.save(nib.Nifti1Image(values, affine), data / part / f"{name}.nii.gz")
    arguments = ["painted_scans.py", str(data), str(out), "--painted", "a_x_T1w"]
    monkeypatch.setattr(sys, "argv", arguments)
    script("painted_scans").main()
    variants = {
        "a_cropped_T1w": (30, 36, 50), "a_thick_T1w": (60, 60, 20), "a_cut_T1w": (60, 60, 33),
    }
    assert {p.name for p in (out / "scans").iterdir()} == {
        f"{name}.nii.gz" for name in (*variants, "b_x_T1w")
    }
    middle = nib.affines.apply_affine(affine, np.argwhere(brain).mean(0))
    for name, shape in variants.items():
        scan, mask = (nib.Nifti1Image.from_filename(out / part / f"{name}.nii.gz")
                      for part in ("scans", "masks"))
        found = np.asarray(mask.dataobj) > 0
        assert scan.shape == mask.shape == shape
        np.testing.assert_array_equal(np.asarray(scan.dataobj) > 50, found)
        where = nib.affines.apply_affine(mask.affine, np.argwhere(found).mean(0))
        cut = [0, 0, 6 if name == "a_cut_T1w" else 0]  # 12 mm off the top: 6 mm from the middle
        np.testing.assert_allclose(where, middle - cut, atol=0.1)


# --- other tools


@pytest.fixture
def one_head(tmp_path: Path, heads: Any) -> Path:
    """DATA with one sample head."""
    for part, file in (("scans", heads.scans[0]), ("masks", heads.masks[0])):
        (tmp_path / "data" / part).mkdir(parents=True)
        (tmp_path / "data" / part / file.name).write_bytes(file.read_bytes())
    return tmp_path / "data"


def run_peers(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["peers.py", *map(str, arguments)])
    script("peers").main()


def test_a_tool_that_is_missing_is_skipped_with_a_note(
    one_head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(script("peers"), "is_installed", lambda package: False)
    run_peers(monkeypatch, one_head, tmp_path / "out")
    assert "skipped: bet, since brainextractor is not installed" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_no_data_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_peers(monkeypatch, tmp_path / "none", tmp_path / "out")
    assert capsys.readouterr().out.startswith("skipped: there are no scans")


def test_a_tool_is_measured_once_and_a_failure_has_dice_0(
    one_head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stand-ins: one tool copies the reference, one breaks off."""
    peers, out = script("peers"), tmp_path / "out"
    reference = next((one_head / "masks").iterdir())
    copy = f"import shutil, sys; shutil.copy({str(reference)!r}, sys.argv[2])"
    monkeypatch.setattr(peers, "is_installed", lambda package: True)
    monkeypatch.setattr(peers, "COMMANDS", {
        "deepbet": [sys.executable, "-c", copy],
        "brainextractor": [sys.executable, "-c", "raise ValueError('no brain here')"],
    })
    run_peers(monkeypatch, one_head, out)
    (good,) = json.loads((out / "peers" / "deepbet.json").read_text())["unseen"]
    (bad,) = json.loads((out / "peers" / "bet.json").read_text())["unseen"]
    assert good["dice"] == 1 and good["hd95_mm"] == 0
    assert (bad["dice"], bad["problem"]) == (0, "ValueError: no brain here")
    # What is there is not run again.
    monkeypatch.setattr(peers, "COMMANDS", {})
    run_peers(monkeypatch, one_head, out)


def test_masks_of_a_tool_are_judged_and_compared_with_the_references(
    tmp_path: Path, heads: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tool that loses half of one brain: the references call it worst, at its place."""
    from conftest import TINY, make_other_masks

    data, out = tmp_path / "data", tmp_path / "out"
    for part, files in (("scans", heads.scans), ("masks", heads.masks)):
        (data / part).mkdir(parents=True)
        for file, name in zip(files, heads.names, strict=True):
            (data / part / f"{name}.nii.gz").write_bytes(file.read_bytes())
    made = make_other_masks(tmp_path / "made", heads)
    (out / "peers").mkdir(parents=True)
    made.rename(out / "peers" / "bet")
    for mask in sorted((out / "peers" / "bet").iterdir()):
        mask.rename(mask.with_name(mask.name.replace("_mask", "")))
    worst = out / "peers" / "bet" / f"{heads.names[-1]}.nii.gz"
    image: Any = nib.load(worst)
    values = np.asanyarray(image.dataobj).copy()
    values[:, values.shape[1] // 2 :] = 0
    nib.save(nib.Nifti1Image(values, image.affine, image.header), worst)
    settings = (f"{name}={json.dumps(value)}" for name, value in TINY.items())
    monkeypatch.setattr(sys, "argv", [
        "judged.py", str(data), str(out), "--painted", heads.names[0], "--set", *settings,
    ])
    script("judged").main()
    said = capsys.readouterr().out
    assert "skipped: deepbet" in said and f"bet: {len(heads.names) - 1} masks" in said
    found = json.loads((out / "judged.json").read_text())["bet"]
    dices = {row["scan"]: row["dice"] for row in found["rows"]}
    assert dices[heads.names[-1]] < 0.9 < min(d for n, d in dices.items() if n != heads.names[-1])


def test_masks_come_back_from_cubes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan with thick slices: the tool sees 1 mm cubes with room, its mask fits the scan."""
    from napari_singlestrip.engine.imaging.volume import open_scan
    from napari_singlestrip.engine.masks.metrics import dice

    peers = script("peers")
    x, y, z = np.meshgrid(*(np.arange(n) for n in (40, 40, 12)), indexing="ij")
    ball = (1.5 * x - 30) ** 2 + (1.5 * y - 30) ** 2 + (5 * z - 28) ** 2 < 20**2
    path = tmp_path / "ball.nii.gz"
    nib.save(nib.Nifti1Image(100 * ball.astype(np.int16), np.diag([-1.5, 1.5, 5, 1])), path)
    threshold = (
        "import sys, nibabel as n, numpy as p; i = n.load(sys.argv[1]); d = i.get_fdata(); "
        "assert p.allclose(i.header.get_zooms(), 1); assert d.shape[0] == 60 + 2 * 15; "
        "n.save(n.Nifti1Image((d > 50).astype(p.uint8), i.affine), sys.argv[2])"
    )
    monkeypatch.setattr(peers, "COMMANDS", {"brainextractor": [sys.executable, "-c", threshold]})
    found = peers.mask_of("bet", open_scan(path), tmp_path / "mask.nii.gz")
    assert dice(found, ball) > 0.97
