"""Whose a name in a folder of results is: a scan is known by its place and its content."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.imaging.scan_identity import fingerprint
from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.result_names import AppliedNames, applied_names, reserve_names
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import MASK_SUFFIX, TABLE, AppliedRow, add_row

MODEL = Path("model.pt")


def scan(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 900, (6, 7, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


def name(out: Path, *files: Path, overwrite: bool = False, model: Path = MODEL) -> AppliedNames:
    return applied_names(model, files, out, overwrite=overwrite)


def run(out: Path, *files: Path, row: bool = True, overwrite: bool = False) -> list[str]:
    """Name scans, and write what applying writes."""
    named = name(out, *files, overwrite=overwrite)
    for file, scan_name in named.names.items():
        mask = scan_name + MASK_SUFFIX
        known = named.fingerprint(file)
        save_mask(out / mask, np.ones((6, 7, 8)), open_scan(file), known)
        if row:
            add_row(out / TABLE, AppliedRow(
                scan_name, 1.0, 0.1, mask=mask, file=str(file), fingerprint=known
            ))  # fmt: skip
    return list(named.names.values())


@pytest.fixture
def people(tmp_path: Path) -> list[Path]:
    return [scan(tmp_path / f"p{n}" / "T1.nii.gz", n) for n in (1, 2, 3)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_each_person_has_a_name_in_one_call_and_in_many(people: list[Path], out: Path) -> None:
    assert run(out / "once", *people) == ["p1_T1", "p2_T1", "p3_T1"]
    assert [run(out / "loop", one)[0] for one in people] == ["T1", "p2_T1", "p3_T1"]
    for overwrite in (False, True):  # the same commands continue, in any order and grouping
        assert [run(out / "loop", one, overwrite=overwrite)[0] for one in reversed(people)] == [
            "p3_T1", "p2_T1", "T1",
        ]  # fmt: skip
        assert run(out / "loop", *people, overwrite=overwrite) == ["T1", "p2_T1", "p3_T1"]
        assert run(out / "once", people[1], overwrite=overwrite) == ["p2_T1"]


def test_a_killed_job_names_the_rest_as_it_had_begun(people: list[Path], out: Path) -> None:
    for n in range(3):
        whole = run(out / f"whole{n}", *people)
        part = name(out / f"part{n}", *people)
        first = list(part.names.items())[:n]
        for file, scan_name in first:
            add_row(out / f"part{n}" / TABLE, AppliedRow(
                scan_name, 1.0, 0.1, mask=scan_name + MASK_SUFFIX, file=str(file),
                fingerprint=fingerprint(file),
            ))  # fmt: skip
        assert list(name(out / f"part{n}", *people).names.values()) == whole


def test_a_mask_without_a_row_says_whose_it_is(people: list[Path], out: Path) -> None:
    assert run(out, people[0], row=False) == ["T1"]
    assert run(out, people[1], row=False) == ["p2_T1"]
    assert run(out, people[1], row=False) == ["p2_T1"]
    assert run(out, people[0], row=False) == ["T1"]


def test_copies_of_one_file_are_two_scans(tmp_path: Path, out: Path) -> None:
    first, second = scan(tmp_path / "p1/T1.nii.gz", 1), scan(tmp_path / "p2/T1.nii.gz", 1)
    assert [run(out, first), run(out, second)] == [["T1"], ["p2_T1"]]
    assert run(out, second, first) == ["p2_T1", "T1"]


def test_a_moved_file_is_still_its_scan(people: list[Path], out: Path, tmp_path: Path) -> None:
    run(out, people[0])
    run(out, people[1])
    new = tmp_path / "elsewhere" / "T1.nii.gz"
    new.parent.mkdir()
    people[1].rename(new)
    assert run(out, new) == ["p2_T1"]
    assert run(out, people[0], new) == ["T1", "p2_T1"]


def test_a_file_in_the_place_of_a_moved_one_is_another_scan(
    people: list[Path], out: Path, tmp_path: Path
) -> None:
    run(out, people[0])
    people[0].rename(tmp_path / "T1.nii.gz")
    scan(people[0], 9)
    found = name(out, people[0])
    assert not found.names and "has changed since" in found.refused[people[0]]


def test_by_another_way_to_it_it_is_the_same_scan(
    people: list[Path], out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(out, people[0])
    (tmp_path / "link").symlink_to("p1")
    assert run(out, tmp_path / "link" / "T1.nii.gz") == ["T1"]
    monkeypatch.chdir(tmp_path)
    assert run(out, Path("p1/../p1/T1.nii.gz")) == ["T1"]


def test_a_replaced_file_is_refused_until_it_is_asked_for(people: list[Path], out: Path) -> None:
    run(out, *people[:2])
    stat = people[0].stat()
    scan(people[0], 9)
    os.utime(people[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the time is no proof
    found = name(out, *people[:2])
    assert list(found.names) == [people[1]]
    why = found.refused[people[0]]
    assert "p1_T1_desc-brain_mask.nii.gz" in why and "--overwrite" in why
    assert run(out, *people[:2], overwrite=True) == ["p1_T1", "p2_T1"]
    assert not name(out, *people[:2]).refused


def test_a_replaced_file_without_a_mask_is_no_trouble(people: list[Path], out: Path) -> None:
    run(out, people[0])
    (out / f"T1{MASK_SUFFIX}").unlink()
    scan(people[0], 9)
    assert run(out, people[0]) == ["T1"]


def test_tables_of_older_versions(people: list[Path], out: Path) -> None:
    out.mkdir()
    (out / TABLE).write_text(
        "scan,volume_ml,autoencoder_error,flag,mask,file,model\n"
        f"T1,1,0.1,,T1{MASK_SUFFIX},{people[0]},m\n"
    )
    save_mask(out / f"T1{MASK_SUFFIX}", np.ones((6, 7, 8)), open_scan(people[0]))
    assert run(out, people[1]) == ["p2_T1"]
    assert run(out, people[0]) == ["T1"]


def test_a_failure_keeps_its_name(people: list[Path], out: Path) -> None:
    add_row(out / TABLE, AppliedRow("T1", flag="damaged", file=str(people[0])))
    assert run(out, people[1], people[0]) == ["p2_T1", "T1"]


def test_what_no_folder_tells_from_an_earlier_scan_is_refused_alone(
    people: list[Path], out: Path
) -> None:
    run(out, people[0])
    twin = scan(people[0].with_suffix(""), 5)  # T1.nii beside T1.nii.gz
    found = name(out, twin, people[1])
    assert list(found.names) == [people[1]]
    assert "T1.nii has the name and folder of" in found.refused[twin]
    with pytest.raises(UserError, match="Two scans"):
        name(out / "new", twin, people[0])


def test_scans_of_a_study_are_called_as_there_unless_the_name_is_taken(
    people: list[Path], out: Path, tmp_path: Path
) -> None:
    study = Study.create(tmp_path / "study", [people[0]])
    study.scans.add([people[1]])
    assert list(name(out, *people, model=study.folder).names.values()) == [
        "T1", "p2_T1", "p3_T1",
    ]  # fmt: skip
    run(out, people[2])  # by another model: it has the name
    assert list(name(out, *people, model=study.folder).names.values()) == [
        "p1_T1", "p2_T1", "T1",
    ]  # fmt: skip


def test_upper_case_and_unicode_are_one_name(tmp_path: Path, out: Path) -> None:
    first, second = scan(tmp_path / "p1/Zoe\u0308.nii", 1), scan(tmp_path / "p2/ZO\u00cb.nii", 2)
    assert [run(out, first), run(out, second)] == [["Zo\u00eb"], ["p2_ZO\u00cb"]]


def test_files_that_nothing_is_known_of_are_not_read(
    people: list[Path], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_singlestrip.study import result_names as module

    run(out, people[0])
    read: list[Path] = []

    def count(path: Path) -> str:
        read.append(path)
        return fingerprint(path)

    monkeypatch.setattr(module, "fingerprint", count)
    name(out, *people)
    assert read == [people[0]]


def test_jobs_that_begin_at_once_have_names_of_their_own(tmp_path: Path, out: Path) -> None:
    people = [scan(tmp_path / f"p{n}" / "T1.nii.gz", n) for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        named = list(pool.map(lambda one: reserve_names(MODEL, [one], out), people))
    names = [next(iter(one.names.values())) for one in named]
    assert len(set(names)) == len(people) and "T1" in names
    for person, one in zip(people, names, strict=True):  # none is done yet: they continue
        assert list(name(out, person).names.values()) == [one]
        assert list(reserve_names(MODEL, [person], out).names.values()) == [one]


def test_a_job_that_began_with_a_file_that_is_gone_holds_no_name(
    people: list[Path], out: Path
) -> None:
    reserve_names(MODEL, people[:1], out)
    people[0].unlink()
    assert list(reserve_names(MODEL, people[1:2], out).names.values()) == ["T1"]
