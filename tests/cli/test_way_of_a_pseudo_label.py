"""From `singlestrip run STUDY` to the file of a pseudo-label: by few modules."""

from __future__ import annotations

import os
import sys

import pytest
from call_path import watch_writes

from napari_singlestrip.cli import app
from napari_singlestrip.study.study import Study

MOST = 12


def test_a_run_writes_a_pseudo_label_by_few_modules(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = trained_copy.rounds.current()
    path = trained_copy.rounds.pseudo_label_path(newest, trained_copy.scans.names[1])
    path.unlink()
    ways = watch_writes(monkeypatch, lambda target: target == os.fspath(path))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main() sets its own
    assert app.main(["run", str(trained_copy.folder), "--device", "cpu"]) == 0

    (way,) = ways
    assert "napari_singlestrip.pipeline.predict" in way
    assert len(way) <= MOST, way
