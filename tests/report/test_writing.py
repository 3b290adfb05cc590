"""The report: one file, whatever the state of the study; images of any grid; all text escaped."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from matplotlib.image import imread
from scipy import ndimage

from napari_singlestrip.cli.app import main
from napari_singlestrip.engine.masks.evaluation import EvaluationRow
from napari_singlestrip.files.atomic import write_json_atomic
from napari_singlestrip.report import DemoResults, UnseenHead, charts, ranking, write_report
from napari_singlestrip.report.page import Html, element, number, table
from napari_singlestrip.report.pictures import HeadView
from napari_singlestrip.sample_data import SampleHead, render_head
from napari_singlestrip.study.round_folder import RoundFolder, heat_map_path
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow

SPACING_MM = 8.0
NASTY = "c&lt;&$x$_日"  # "<" itself is escaped in the names of scans


def write_volume(path: Path, values: np.ndarray[Any, Any], affine: np.ndarray[Any, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


@pytest.fixture(scope="module")
def heads() -> dict[str, SampleHead]:
    """Return a painted head, one of thick slices, and one that is oblique with a nasty name."""
    thick = (SPACING_MM, 14.0, SPACING_MM)
    return {
        "a": render_head(1, "T1w", SPACING_MM),
        "b": render_head(2, "T2w", thick, "LIP"),
        NASTY: render_head(3, "FLAIR", SPACING_MM, "PSR", oblique_deg=7),
    }


@pytest.fixture(autouse=True)
def quick_charts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no charts, which takes seconds, but in the test that counts them."""
    if request.node.name != "test_file_needs_nothing_else":
        monkeypatch.setattr(charts, "_render", lambda *_: "data:image/png;base64,")


@pytest.fixture
def study(tmp_path: Path, heads: dict[str, SampleHead]) -> Study:
    """Return a study with references and two rounds, as the worker would leave it."""
    for name, head in heads.items():
        write_volume(tmp_path / "scans" / f"{name}.nii.gz", head.data, head.affine)
        mask = head.mask.astype(np.uint8)
        write_volume(tmp_path / "references" / f"{name}.nii.gz", mask, head.affine)
    references = tmp_path / "references"
    made = Study.create(
        tmp_path / "study", [tmp_path / "scans"], masks={"a": references / "a.nii.gz"},
        references=references, overrides={"training.steps": 7},
    )
    for round_ in (0, 1):
        write_round(made, round_, {n: h for n, h in heads.items() if n != "a"})
    return made


def write_round(study: Study, round_: int, heads: dict[str, SampleHead]) -> None:
    """Write what the worker writes; masks are too large before fine-tuning."""
    rows = []
    for rank, (name, head) in enumerate(heads.items(), 1):
        mask = ndimage.binary_dilation(head.mask, iterations=2 - round_)
        path = study.rounds.pseudo_label_path(round_, name)
        write_volume(path, mask.astype(np.uint8), head.affine)
        heat = mask.astype(np.float32) - head.mask
        write_volume(heat_map_path(study, round_, name), heat, head.affine)
        flag = "volume far from the others" if rank == 2 else ""
        rows.append(ScoreRow(name, 0.1 * rank, 0.9, 1500.0, rank, rank == 1, flag))
    study.rounds.save_scores(round_, rows)
    folder = RoundFolder(study.rounds.folder(round_))
    folder.write_settings(study.settings(), "CPU, 1 threads")
    kinds = [{"scan": "a", "kind": "painted", "path": "masks/a.nii.gz", "weight": 1.0}]
    write_json_atomic(folder.training_set, kinds)
    stage = "finetune" if round_ else "train"
    lines = [
        {"stage": stage, "step": 10, "loss": 0.5},
        {"stage": stage, "step": 20, "loss": 0.4, "validation_dice": 0.8, "painted_dice": 0.9},
        {"stage": "autoencoder", "step": 20, "loss": 0.1, "validation_dice": 0.95},
    ]
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))


class Tags(HTMLParser):
    """Checks that tags are closed in order, and collects titles, text and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [v or "" for name, v in attrs if name in ("src", "srcset", "href")]
        if tag not in ("meta", "img", "source", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.titles.append(data)
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def report_of(study: Study, extra: DemoResults | None = None) -> Tags:
    path = study.folder / "report.html"
    write_report(study, path, extra)
    return Tags(path.read_text(encoding="utf-8"))


def test_everything_is_there(study: Study) -> None:
    page = report_of(study)
    assert [t for t in page.titles if t not in study.scans.names] == [
        "Report: study", "Results", "Masks to inspect: 1", "The ranking, best to worst (round 1)",
        "Methods and figures", "What was done", "Scores and true Dice",
        "Fine-tuning, before and after", "Largest changes", "The painted brain and its label maps",
        "Learning curves", "Training masks",
    ]  # fmt: skip
    for words in ("volume far from the others", "selected", "training.steps = 7", "painted"):
        assert any(words in text for text in page.words)


def test_file_needs_nothing_else(study: Study) -> None:
    """One to look at, two a card, one painted scan, two a change; charts for light and dark."""
    page = report_of(study)
    pictures = [link for link in page.links if not link.startswith("#")]
    assert len(pictures) == 1 + 2 * 2 + 1 + 2 * 2 + 2 * (3 + 1 + 3)
    assert all(link.startswith("data:image/png;base64,") for link in pictures)
    assert "http" not in (study.folder / "report.html").read_text(encoding="utf-8")


def test_a_rejected_mask_is_not_called_selected(study: Study) -> None:
    (name,) = [row.scan for row in study.rounds.scores(1) if row.selected]
    before = report_of(study).words
    study.decisions.decide(name, "rejected")
    after = report_of(study).words
    assert after.count("selected") == before.count("selected") - 1  # the chip of its card
    assert "rejected" in after


def test_results_come_first_with_a_reason_to_look(study: Study) -> None:
    page = report_of(study)
    first = page.words[: page.words.index("Methods and figures")]
    assert "Volume far from the others." in first
    assert "median brain volume (1500 to 1500 mL)" in first
    assert not any("Spearman" in words for words in first)
    links = [link for link in page.links if link.startswith("#")]
    text = (study.folder / "report.html").read_text(encoding="utf-8")
    assert len(links) == 2 and all(f'id="{link[1:]}"' in text for link in links)


def test_state_and_volume_are_those_of_the_mask_as_it_stands(
    study: Study, heads: dict[str, SampleHead]
) -> None:
    study.decisions.decide("b", "rejected")
    page = report_of(study)
    assert "Rejected: there is no mask to use yet." in page.words
    assert "Masks to inspect: 2" in page.titles
    reference = study.folder.parent / "references" / "b.nii.gz"
    study.decisions.decide("b", "corrected", mask=reference)
    page = report_of(study)
    assert "Masks to inspect: 1" in page.titles
    millilitres = heads["b"].mask.sum() * SPACING_MM**2 * 14.0 / 1000
    assert f"{millilitres:.0f}" in page.words and "corrected" in page.words


def test_nothing_stands_out(study: Study) -> None:
    for name in ("b", NASTY):
        study.decisions.decide(name, "accepted")
    page = report_of(study)
    assert "Masks to inspect: 0" in page.titles
    assert "No mask stands out. Inspect all of them anyway." in page.words


def test_names_are_escaped(study: Study) -> None:
    page = report_of(study)
    assert NASTY in page.titles
    text = (study.folder / "report.html").read_text(encoding="utf-8")
    assert "c&amp;lt;&amp;$x$" in text and "c&lt;&$x$" not in text


def test_without_references(study: Study) -> None:
    study.references.set_folder(None)
    page = report_of(study)
    assert "Scores and true Dice" not in page.titles
    assert "Fine-tuning, before and after" in page.titles
    assert "reference mask" not in page.words


def test_without_consistency_and_later_rounds(study: Study) -> None:
    for round_ in (0, 1):
        study.rounds.save_scores(round_, [ScoreRow("b", 0.1, rank=1)] if round_ == 0 else [])
    page = report_of(study)
    assert "The ranking, best to worst (round 0)" in page.titles
    assert "Fine-tuning, before and after" not in page.titles


def test_new_study(tmp_path: Path, heads: dict[str, SampleHead]) -> None:
    scan = write_volume(tmp_path / "a.nii.gz", heads["a"].data, heads["a"].affine)
    page = report_of(Study.create(tmp_path / "study", [scan]))
    assert page.titles == [
        "Report: study", "Nothing was trained yet", "Methods and figures", "What was done",
    ]


def test_what_is_missing_or_damaged_leaves_a_gap(study: Study) -> None:
    study.scans.path("b").unlink()
    folder = RoundFolder(study.rounds.folder(0))
    folder.settings.write_text("{")
    folder.training_set.write_text("{}")
    page = report_of(study)
    assert "What could not be shown" in page.titles
    problems = " ".join(page.words[-5:])
    assert "b.nii.gz" in problems
    assert any("settings.json is not JSON" in words for words in page.words)
    assert any("training_set.json is damaged" in words for words in page.words)
    assert NASTY in page.titles


def test_large_studies_show_both_ends(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "MAX_CARDS", 0)
    page = report_of(study)
    assert any("2 scans in the middle are left out" in words for words in page.words)


def test_unseen_heads_of_a_demo(study: Study, tmp_path: Path) -> None:
    scan, reference = tmp_path / "scans" / "b.nii.gz", tmp_path / "references" / "b.nii.gz"
    rows = EvaluationRow("b", 0.0), EvaluationRow("b", 0.9, 2.5)
    head = UnseenHead(scan, reference, tmp_path / "none.nii.gz", reference, *rows)
    page = report_of(study, DemoResults((head,), {"train": 60.0, "rank": 6.0}))
    assert page.titles[0] == "Demo of napari-singlestrip"
    assert "Unseen heads" in page.titles
    assert "0.900" in page.words
    assert any("In total 66 seconds" in words for words in page.words)


def test_command(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study.rounds.save_scores(1, [])
    study.rounds.save_scores(0, [])
    assert main(["report", str(study.folder)]) == 0
    assert main(["report", str(study.folder), "--out", str(tmp_path / "mine.html")]) == 0
    assert (study.folder / "report.html").is_file()
    assert (tmp_path / "mine.html").is_file()
    assert "mine.html" in capsys.readouterr().out


def picture_of(head: SampleHead, folder: Path) -> np.ndarray[Any, Any]:
    scan = write_volume(folder / "scan.nii.gz", head.data, head.affine)
    mask = write_volume(folder / "mask.nii.gz", head.mask.astype(np.uint8), head.affine)
    uri = HeadView(scan, through=mask).with_masks(mask)
    content = base64.b64decode(uri.partition(",")[2])
    return np.asarray(imread(io.BytesIO(content), format="png"))[..., :3]


def test_orientation_does_not_matter(tmp_path: Path) -> None:
    """The same head, stored in another order and direction, gives the same image."""
    upright = picture_of(render_head(4, "T1w", 6.0, noise=0), tmp_path)
    turned = picture_of(render_head(4, "T1w", 6.0, "PSL", noise=0), tmp_path)
    assert upright.shape == turned.shape
    assert np.abs(upright - turned).mean() < 0.01


def test_anterior_is_left_and_up_is_up(tmp_path: Path) -> None:
    """A bright spot at the front top right of the head lands where radiologists expect it."""
    data = np.ones((20, 20, 20), np.float32)
    data[:2] = data[-2:] = data[:, :2] = data[:, -2:] = data[:, :, :2] = data[:, :, -2:] = 0
    mask = np.zeros(data.shape, np.uint8)
    mask[14:16, 14:16, 14:16] = 1
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    scan = write_volume(tmp_path / "scan.nii.gz", data, affine)
    spot = write_volume(tmp_path / "spot.nii.gz", mask, affine)
    uri = HeadView(scan, through=spot).with_masks(spot)
    picture = np.asarray(imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])), format="png"))
    red_not_blue = picture[..., 0] - picture[..., 2] > 0.5
    third = picture.shape[1] // 3
    for n in range(3):  # sagittal: front is left; coronal and axial: right is left
        rows, columns = np.nonzero(red_not_blue[:, n * third : (n + 1) * third])
        assert columns.mean() < third / 2
        assert rows.mean() < picture.shape[0] / 2


def test_elements_escape_text() -> None:
    assert element("p", "<b>", class_='"x"') == '<p class="&quot;x&quot;">&lt;b&gt;</p>'
    assert element("p", Html("<i>")) == "<p><i></p>"
    assert "<td>&lt;</td>" in table(("a",), [("<",)])


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (float("nan"), "–"), (0.12345, "0.123"), (22.09, "22.1"), (1234.5, "1234"),
     (True, "yes"), (3, "3"), ("x", "x")],
)  # fmt: skip
def test_numbers_as_people_read_them(value: object, words: str) -> None:
    assert re.fullmatch(words, number(value))
