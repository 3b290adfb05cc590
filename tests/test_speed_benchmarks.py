"""What the speed benchmarks time by name exists: a renamed function would end them."""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path

import pytest

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed"
TIMED = (("inference", "STAGES"), ("ranking", "STAGES"), ("synthesis", "STAGES"),
         ("training", "PARTS"), ("screen_watch", "FOLLOWED"))


@pytest.mark.parametrize(("script", "table"), TIMED)
def test_what_is_timed_exists(script: str, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (SPEED, SPEED.parent):
        monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    stages = getattr(importlib.import_module(script), table)
    for name in set(sys.modules) - before:  # "training" and the like are no names for other tests
        if str(SPEED.parent) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    for module, path, words in stages:
        found = functools.reduce(getattr, path.split("."), importlib.import_module(module))
        assert callable(found), words


def test_every_table_of_stages_is_checked() -> None:
    with_stages = {
        path.stem for path in SPEED.glob("*.py")
        if "with stopwatch(" in (text := path.read_text(encoding="utf-8")) or "_after(" in text
    }
    assert {script for script, _ in TIMED} == with_stages
