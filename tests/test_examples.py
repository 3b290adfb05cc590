"""Each script of examples/ does what it says, on sample heads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from conftest import TINY

from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.sample_data.finished_study import unfold
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import MASK_SUFFIX

if TYPE_CHECKING:
    from conftest import Heads

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study in the package: trained, without its scans."""
    return unfold(tmp_path_factory.mktemp("finished"))


def run(folder: Path, name: str, *arguments: object) -> str:
    """Run a script as a person does, with a warning as an error."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def load(path: Path) -> Any:
    return nib.load(path)  # nibabel's own types do not know of values


def test_strip_a_folder(tmp_path: Path, finished: Path, heads: Heads) -> None:
    said = run(tmp_path, "strip_a_folder.py", finished, heads.scans[0].parent, "masks")
    assert "4 done, 0 failed" in said
    for name, reference in zip(heads.names, heads.masks, strict=True):
        mask = np.asarray(load(tmp_path / "masks" / f"{name}{MASK_SUFFIX}").dataobj) > 0
        assert dice(mask, np.asarray(load(reference).dataobj) > 0) > 0.8


def test_strip_an_array(tmp_path: Path, finished: Path, heads: Heads) -> None:
    said = run(tmp_path, "strip_an_array.py", finished, heads.scans[0], "mask.nii.gz")
    assert "mean inside" in said and "from finished" in said
    mask, scan = load(tmp_path / "mask.nii.gz"), load(heads.scans[0])
    assert mask.shape == scan.shape
    np.testing.assert_array_equal(mask.affine, scan.affine)


def test_train_from_one_mask(tmp_path: Path, heads: Heads) -> None:
    changes = {**TINY, "training.steps": 10, "autoencoder.steps": 4, "finetuning.rounds": 0}
    settings = [f"{name}={value}" for name, value in changes.items()]
    mine = tmp_path / "mine"
    said = run(
        tmp_path, "train_from_one_mask.py", mine, heads.scans[0].parent, heads.names[0],
        heads.masks[0], *settings,
    )
    study = Study.open(mine)
    assert study.masks.names() == (heads.names[0],)
    assert study.rounds.numbers() == [0] and "Finished" in said


def test_review_in_a_script(tmp_path: Path, trained_copy: Study) -> None:
    said = run(tmp_path, "review_in_a_script.py", trained_copy.folder, 2)
    decided = trained_copy.decisions.labelled()
    scores = trained_copy.rounds.scores(trained_copy.rounds.current())
    flagged = {row.scan for row in scores if row.flag}
    assert set(decided.rejected) == flagged
    assert set(decided.accepted) == {r.scan for r in scores if 0 < r.rank <= 2} - flagged
    assert decided.rejected or decided.accepted
    assert len(said.splitlines()) == len(scores)


def test_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    path = ROOT / "examples" / "from_one_mask.ipynb"
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    assert not [c for c in notebook.cells if c.get("outputs")], "outputs are not committed"
    (parameters,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    less = {**TINY, "training.steps": 10, "autoencoder.steps": 4, "finetuning.rounds": 0}
    parameters.source = f"settings = {less}\nn_heads = 3"
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    said = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", ()))
    assert "autoencoder error" in said and said.rstrip().endswith("mL")
    outputs = [o for c in notebook.cells for o in c.get("outputs", ())]
    assert sum("image/png" in o.get("data", ()) for o in outputs) == 2


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_short_and_known(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 25
    assert f"python examples/{path.name} " in text
    assert path.name in (ROOT / "docs" / "scripting.md").read_text(encoding="utf-8")
    assert f"def test_{path.stem}(" in Path(__file__).read_text(encoding="utf-8")


def test_page_names_all_that_scripts_may_use() -> None:
    import napari_singlestrip as ss

    page = (ROOT / "docs" / "scripting.md").read_text(encoding="utf-8")
    unnamed = {"Stripper", "__version__"}  # what load_model returns; told by `singlestrip doctor`
    assert not [name for name in set(ss.__all__) - unnamed if f"ss.{name}" not in page]
