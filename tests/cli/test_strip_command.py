"""The options of `singlestrip strip`, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_singlestrip.cli.app import main
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from conftest import Heads


def test_options_are_those_of_synthstrip(
    trained_study: Study, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SINGLESTRIP_MODEL", str(trained_study.folder))
    files = [tmp_path / f"{name}.nii.gz" for name in ("brain", "mask", "sdt")]
    scan = str(heads.scans[1])
    arguments = ["-i", scan, "-o", str(files[0]), "-m", str(files[1]), "-d", str(files[2])]
    assert main(["strip", *arguments, "-b", "1", "-t", "1", "-q"]) == 0
    assert all(file.is_file() for file in files)


def test_mistakes_end_with_a_sentence(
    trained_study: Study, heads: Heads, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(trained_study.folder)]
    assert main(["strip", "-i", str(heads.scans[1]), *model]) == 2
    assert "-o BRAIN" in " ".join(capsys.readouterr().err.split())
    missing = str(tmp_path / "no.nii.gz")
    assert main(["strip", "-i", missing, "-m", str(tmp_path / "m.nii.gz"), *model]) == 2
    assert "no.nii.gz" in capsys.readouterr().err
