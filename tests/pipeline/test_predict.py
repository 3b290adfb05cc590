"""The pool's masks: the next scan is read and the last one written while one is predicted."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
from napari_singlestrip.engine.learning.segmenter import strip_volume
from napari_singlestrip.events import Event, Note, Progress, Wrote
from napari_singlestrip.pipeline import predict as predict_stage
from napari_singlestrip.pipeline.stages import run
from napari_singlestrip.study.study import Study

WAIT_SECONDS = 60


def told(study: Study) -> list[Event]:
    """Events of predicting the pool once more."""
    return list(run(study, stages=["predict"], device="cpu"))


def test_the_next_scan_is_read_while_one_is_predicted(
    trained_copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = threading.Semaphore(0)
    n_scans = len(trained_copy.scans.names) - 1
    left = [n_scans]
    threads: dict[str, set[str]] = {"read": set(), "predict": set(), "write": set()}

    def opened(path: Any) -> Any:
        threads["read"].add(threading.current_thread().name)
        read.release()
        return open_scan(path)

    def stripped(*args: Any) -> Any:
        threads["predict"].add(threading.current_thread().name)
        left[0] -= 1
        assert read.acquire(timeout=WAIT_SECONDS)  # this one,
        if left[0]:  # and the next one, before this one is done
            assert read.acquire(timeout=WAIT_SECONDS)
            read.release()
        return strip_volume(*args)

    def saved(*args: Any, **options: Any) -> None:
        threads["write"].add(threading.current_thread().name)
        save_mask(*args, **options)

    monkeypatch.setattr(predict_stage, "open_scan", opened)
    monkeypatch.setattr(predict_stage, "strip_volume", stripped)
    monkeypatch.setattr(predict_stage, "save_mask", saved)
    events = told(trained_copy)
    assert not [e for e in events if isinstance(e, Note) and e.kind]
    assert [e.step for e in events if isinstance(e, Progress)] == list(range(1, n_scans + 1))
    assert not threads["read"] & threads["predict"] and not threads["write"] & threads["predict"]
    assert threads["predict"] == {threading.current_thread().name}


def test_a_scan_is_told_of_once_its_mask_is_written(trained_copy: Study) -> None:
    newest = trained_copy.rounds.current()
    for name in trained_copy.scans.names[1:]:
        trained_copy.rounds.pseudo_label_path(newest, name).unlink(missing_ok=True)
    written = []
    for event in run(trained_copy, stages=["predict"], device="cpu"):
        if isinstance(event, Wrote):
            assert (trained_copy.folder / event.path).is_file()
            written.append(event.path)
        elif isinstance(event, Progress):
            assert len(written) == event.step
    assert len(written) == len(trained_copy.scans.names) - 1


def test_closed_in_the_middle_it_keeps_what_was_predicted(trained_copy: Study) -> None:
    newest, before = trained_copy.rounds.current(), set(threading.enumerate())
    paths = [
        trained_copy.rounds.pseudo_label_path(newest, name)
        for name in trained_copy.scans.names[1:]
    ]
    for path in paths:
        path.unlink(missing_ok=True)
    events = run(trained_copy, stages=["predict"], device="cpu")
    next(event for event in events if isinstance(event, Progress))
    events.close()  # type: ignore[attr-defined]
    assert [path.is_file() for path in paths] == [True, True, *[False] * (len(paths) - 2)]
    assert set(threading.enumerate()) <= before
