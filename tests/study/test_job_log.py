"""job.log: what can be sent along with a question."""

from __future__ import annotations

import logging
import os
from contextlib import closing
from pathlib import Path

import pytest

from napari_singlestrip.events import Cancelled, Failed, Finished, Note, Progress, Started
from napari_singlestrip.study.job_log import LOGGER, JobLog


def test_log_holds_what_happened(tmp_path: Path) -> None:
    (tmp_path / "study.json").touch()
    with closing(JobLog(tmp_path)) as log:
        log(Started("train", "cpu"))
        log(Progress("train", 1, 2))
        log(Note("Größe", "warning"))
        logging.getLogger("napari_singlestrip.engine").info("from the engine")
        log(Failed("what", "hint", "Traceback ..."))
        log(Finished(2.0, {"dice": 0.9}))
        log(Cancelled())
    text = (tmp_path / "job.log").read_text(encoding="utf-8")
    for words in (
        "Started(stage='train'", "WARNING Größe", "from the engine", "ERROR what hint",
        "Traceback ...", "Finished in 2 s {'dice': 0.9}", "Cancelled in the beginning",
    ):  # fmt: skip
        assert words in text
    assert "Progress" not in text
    assert LOGGER.handlers == []


def test_nothing_is_written_where_there_is_no_study(tmp_path: Path) -> None:
    with closing(JobLog(tmp_path)) as log:
        log(Note("hello"))
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    study, outside = tmp_path / "study", tmp_path / "outside.log"
    study.mkdir()
    (study / "study.json").touch()
    outside.write_text("mine")
    (study / "job.log").symlink_to(outside)
    with closing(JobLog(study)) as log:
        log(Note("hello"))
    assert outside.read_text() == "mine"
    assert LOGGER.handlers == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "study.json").touch()
    os.mkfifo(tmp_path / "job.log")
    with closing(JobLog(tmp_path)) as log:
        log(Note("hello"))
