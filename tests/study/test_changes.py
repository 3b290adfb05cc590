"""Wherever a program is killed or the disk gets full, a study is as before or as after."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import cube, predict, write_volume
from test_kill import check_files

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import STUDY_MARK, refuse_links
from napari_singlestrip.study.changes import PENDING, PLAN, is_pending
from napari_singlestrip.study.drafts import remove_draft, save_draft
from napari_singlestrip.study.lock import StudyLock
from napari_singlestrip.study.round_folder import set_aside
from napari_singlestrip.study.study import Study

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
# What changes a disk, as Python announces it.
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
DONE, KILLED, REFUSED = 0, 9, 3


def stopped_at(n: int, work: Callable[[], object], full: bool) -> int:
    """Do `work` in a process that is killed at its n-th change of the disk, or told it is full."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    counter = itertools.count()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if (event in CHANGES or writes) and next(counter) == n:
            if not full:
                os._exit(KILLED)
            raise OSError(28, "No space left on device", os.fsdecode(arguments[0]))

    sys.addaudithook(hook)
    try:
        work()
    except (UserError, OSError):
        os._exit(REFUSED)
    except BaseException as error:  # noqa: BLE001 - the child must not continue with the tests
        os.write(2, repr(error).encode())
        os._exit(1)
    os._exit(DONE)


@pytest.fixture
def source(tmp_path: Path) -> Study:
    """A study with a painted and two predicted masks, one of them accepted."""
    scans = [write_volume(tmp_path / "scans" / f"{name}.nii.gz") for name in "abc"]
    write_volume(tmp_path / "scans2" / "d.nii.gz")
    painted = write_volume(tmp_path / "painted.nii.gz", cube())
    write_volume(tmp_path / "corrected.nii.gz", cube(2))
    study = Study.create(tmp_path / "source", scans, {"a": painted})
    predict(study, 0, "b", "c")
    predict(study, 1, "b")
    study.decisions.decide("c", "accepted")
    return study


def state(folder: Path) -> dict[str, Any]:
    """All that a person made, as the program that opens the study next sees it."""
    study = Study.open(folder)
    assert not is_pending(folder)
    check_files(folder)
    decisions = {
        n: (d.state, d.round, study.decisions.standing(d))
        for n, d in study.decisions.all().items()
    }
    masks = {
        n: int(load_mask(study.masks.path(n), like=open_scan(study.scans.path(n))).sum())
        for n in study.masks.names()
    }
    kinds = {n: (r.kind, Path(r.source).name) for n, r in study.masks.records().items()}
    aside = sorted(p.relative_to(folder).as_posix() for p in folder.glob("rounds*/*/*/*"))
    return {
        "scans": study.scans.names, "decisions": decisions, "masks": masks, "kinds": kinds,
        "aside": aside, "labelled": study.decisions.labelled(),
    }  # fmt: skip


def correct(study: Study) -> None:
    study.decisions.decide("b", "corrected", "eye", study.folder.parent / "corrected.nii.gz")


def restart(study: Study) -> None:
    with StudyLock(study.folder):
        set_aside(study)


WORK: dict[str, Callable[[Study], object]] = {
    "add": lambda study: study.scans.add([study.folder.parent / "scans2"]),
    "accept": lambda study: study.decisions.decide("b", "accepted"),
    "correct": correct,
    "undo": lambda study: study.decisions.put({"c": None}),
    "remove mask": lambda study: study.masks.remove("a"),
    "remove scan": lambda study: study.scans.remove("b") if "b" in study.scans.names else None,
    "restart": restart,
    "settings": lambda study: study.set_settings({"training.steps": 7}),
}


@needs_fork
@pytest.mark.parametrize("full", [False, True], ids=["killed", "disk full"])
@pytest.mark.parametrize("name", WORK)
def test_a_change_is_made_whole_or_not_at_all(source: Study, name: str, full: bool) -> None:
    folder, work = source.folder.with_name("study"), WORK[name]
    shutil.copytree(source.folder, folder)
    before = state(folder)
    work(Study.open(folder))
    after = state(folder)
    for n in itertools.count():
        shutil.rmtree(folder)
        shutil.copytree(source.folder, folder)
        end = stopped_at(n, lambda: work(Study.open(folder)), full)
        assert end in (DONE, KILLED, REFUSED), f"at change {n}"
        assert state(folder) in (before, after), f"at change {n}"
        work(Study.open(folder))  # the same again
        assert state(folder) == after, f"at change {n}"
        if end == DONE and n > 40:
            break
        if end == DONE and not full:
            break
    assert n > 3


@needs_fork
@pytest.mark.parametrize("full", [False, True], ids=["killed", "disk full"])
@pytest.mark.parametrize("there", [False, True], ids=["no folder", "empty folder"])
def test_a_study_is_made_whole_or_not_at_all(source: Study, there: bool, full: bool) -> None:
    folder, home = source.folder.with_name("study"), source.folder.parent

    def make() -> None:
        Study.create(folder, [home / "scans"], {
            "a": home / "painted.nii.gz", "c": home / "corrected.nii.gz",
        })

    make()
    whole = state(folder)
    for n in itertools.count():
        shutil.rmtree(folder)
        if there:
            folder.mkdir()
        end = stopped_at(n, make, full)
        assert end in (DONE, KILLED, REFUSED), f"at change {n}"
        if (folder / STUDY_MARK).exists():
            assert state(folder) == whole, f"at change {n}"
            with pytest.raises(UserError, match="is a study already"):
                make()
        else:
            make()
        assert state(folder) == whole, f"at change {n}"
        if end == DONE and (not full or n > 60):
            break
    assert n > 10


def test_a_study_that_was_half_made_is_made_anew_with_other_masks(source: Study) -> None:
    folder, home = source.folder.with_name("study"), source.folder.parent
    (folder / PENDING / "files").mkdir(parents=True)
    plan = {"masks/b.nii.gz": True, "decisions.csv": True, "study.json": True}
    (folder / PENDING / PLAN).write_text(json.dumps(plan))
    write_volume(folder / "masks" / "b.nii.gz", cube())
    made = Study.create(folder, [home / "scans"], {"a": home / "painted.nii.gz"})
    assert made.masks.names() == ("a",)
    assert not is_pending(folder)


# --- links and plans in a study that was sent


@pytest.mark.parametrize("plan", [
    "[]", "{", '{"../x": true}', '{"/etc/x": false}', '{"masks/../x": false}', '{"masks/": true}',
    '{"rounds/00/segmenter.pt": false}', '{"masks/a/b": true}', '{"masks\\\\x": true}', "\x00",
])  # fmt: skip
def test_a_plan_that_is_none_of_ours_is_not_carried_out(source: Study, plan: str) -> None:
    (source.folder / PENDING).mkdir()
    (source.folder / PENDING / PLAN).write_text(plan)
    with pytest.raises(UserError) as caught:
        Study.open(source.folder)
    assert PENDING in caught.value.hint
    assert "Delete" in caught.value.hint


@pytest.mark.parametrize("link", ["masks", PENDING, f"{PENDING}/files/masks"])
@pytest.mark.parametrize("whole", [True, False], ids=["study", "without study.json"])
def test_a_plan_does_not_lead_out_of_the_study(
    source: Study, link: str, whole: bool, tmp_path: Path
) -> None:
    outside, folder = tmp_path / "outside", source.folder
    pending = outside if link == PENDING else folder / PENDING
    (pending / "files" / "masks").mkdir(parents=True)
    (pending / PLAN).parent.mkdir(exist_ok=True)
    (pending / PLAN).write_text('{"masks/a.nii.gz": false, "masks/z.nii.gz": true}')
    (pending / "files" / "masks" / "z.nii.gz").write_text("z")
    outside.mkdir(exist_ok=True)
    (outside / "a.nii.gz").write_text("mine")
    shutil.rmtree(folder / link, ignore_errors=True)
    (folder / link).symlink_to(outside)
    if not whole:
        (folder / STUDY_MARK).unlink()
    before = sorted(outside.rglob("*"))
    with pytest.raises(UserError, match="a study holds its own files"):
        Study.open(folder)
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("name", ["masks", "drafts", "decisions.csv", "study.json"])
def test_nothing_is_written_through_links(source: Study, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    place = source.folder / name
    if place.suffix:
        shutil.move(place, outside)
    else:
        outside.mkdir()
        write_volume(outside / "a.npz.nii", cube())
        (outside / "a.npz").write_text("mine")
        shutil.rmtree(place, ignore_errors=True)
    before = {p: p.read_bytes() for p in [outside, *outside.rglob("*")] if p.is_file()}
    place.symlink_to(outside)
    study = Study.open(source.folder)  # to look at
    mask = np.zeros((6, 7, 8), bool)
    mask[2:4, 2:4, 2:4] = True
    works: list[Callable[[], object]] = [
        lambda: study.masks.save("b", mask, "painted"), lambda: study.masks.remove("a"),
        lambda: study.decisions.decide("b", "accepted"), lambda: study.set_settings({"seed": 3}),
        lambda: save_draft(study.folder, "a", mask), lambda: remove_draft(study.folder, "a"),
    ]  # fmt: skip
    refused = 0
    for work in works:
        try:
            work()
        except UserError as error:
            assert "is a link" in error.what
            refused += 1
    assert refused == {"masks": 2, "drafts": 2}.get(name, 0)
    assert {p: p.read_bytes() for p in [outside, *outside.rglob("*")] if p.is_file()} == before


def test_a_study_may_itself_be_reached_through_a_link(source: Study, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source.folder)
    study = Study.open(tmp_path / "link")
    study.decisions.decide("b", "rejected")
    assert source.decisions.all()["b"].state == "rejected"
    (source.folder / "scans").symlink_to(tmp_path / "scans")  # which nothing is written to
    study.decisions.decide("b", "accepted")


def test_a_link_to_another_study_is_no_way_round(source: Study, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(source.folder, other)
    (source.folder / "thumbnails").symlink_to(other)
    with pytest.raises(UserError, match="thumbnails is a link"):
        refuse_links(source.folder / "thumbnails" / "a.png")
