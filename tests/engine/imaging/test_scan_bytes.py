"""A file is called damaged only if it is, and nothing is read, or waited for, without bound."""

from __future__ import annotations

import gzip
import os
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil
import pytest

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_brain, save_mask
from napari_singlestrip.errors import UserError

SHAPE = (20, 24, 22)
AFFINE = np.diag([8.0, 8, 8, 1])
VALUES = np.random.default_rng(0).integers(1, 500, SHAPE).astype(np.int16)
SECONDS, MEMORY = 2.0, 2**28  # within which a file is refused


def header(**fields: Any) -> Any:
    made = nib.Nifti1Header()
    made.set_data_shape(SHAPE)
    made.set_data_dtype(np.int16)
    made.set_sform(AFFINE, 1)
    made.set_qform(AFFINE, 1)
    made["vox_offset"], made["scl_slope"] = 352, 1
    for name, value in fields.items():
        made[name] = value
    return made


def content(extensions: bytes = bytes(4), values: np.ndarray = VALUES, **fields: Any) -> bytes:
    return bytes(header(**fields).binaryblock) + extensions + values.tobytes("F")


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def check_values(path: Path) -> str:
    """The values are right; returns all notes."""
    scan = open_scan(path)
    volume = scan.load()
    np.testing.assert_array_equal(volume.data, VALUES)
    return " | ".join((*scan.notes, *volume.notes))


# --- what is no damage


@pytest.mark.parametrize("tail", [b"more bytes", b"\0\0x", b"\x1f", bytes(2**19) + b"x"])
def test_bytes_after_the_gzip_stream(tmp_path: Path, tail: bytes) -> None:
    path = put(tmp_path / "a.nii.gz", gzip.compress(content()) + tail)
    assert "bytes after its gzip stream were ignored" in check_values(path)


def test_zeros_after_the_gzip_stream_need_no_word(tmp_path: Path) -> None:
    assert check_values(put(tmp_path / "a.nii.gz", gzip.compress(content()) + bytes(999))) == ""


@pytest.mark.parametrize("size", [100, 352, 1000, 7000])
def test_gzip_in_several_members(tmp_path: Path, size: int) -> None:
    whole = content()
    parts = [whole[n : n + size] for n in range(0, len(whole), size)]
    packed = b"".join([gzip.compress(b""), *map(gzip.compress, parts)])
    assert check_values(put(tmp_path / "a.nii.gz", packed)) == ""


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_bytes_after_the_values(tmp_path: Path, name: str) -> None:
    whole = content() + bytes(77)
    path = put(tmp_path / name, gzip.compress(whole) if name.endswith("gz") else whole)
    assert "77 bytes after its values were ignored" in check_values(path)


@pytest.mark.parametrize("name", ["a.mgh", "a.mgz"])
def test_the_footer_of_an_mgh_file_needs_no_word(tmp_path: Path, name: str) -> None:
    """The sequence's times are always there; FreeSurfer's programs add tags."""
    nib.save(nib.MGHImage(VALUES, AFFINE), tmp_path / "b.mgh")
    whole = (tmp_path / "b.mgh").read_bytes() + b"\0\0\0\3" + b"mri_convert".ljust(300)
    assert len(whole) > 284 + VALUES.nbytes + 20
    assert check_values(put(tmp_path / name, gzip.compress(whole) if "z" in name else whole)) == ""


def test_what_expands_far_beyond_its_values_is_not_expanded(tmp_path: Path) -> None:
    packed = gzip.compress(content()) + gzip.compress(bytes(2**26)) * 100
    notes, seconds = timed(lambda: check_values(put(tmp_path / "a.nii.gz", packed)))
    assert "bytes after its values were ignored" in notes
    assert seconds < SECONDS


def test_zeros_after_a_header_extension(tmp_path: Path) -> None:
    extension = b"\1\0\0\0" + struct.pack("<ii", 32, 6) + b"comment".ljust(24, b"\0")
    whole = content(extension.ljust(164, b"\0"), vox_offset=512)
    assert check_values(put(tmp_path / "a.nii.gz", gzip.compress(whole))) == ""


@pytest.mark.parametrize("head", [".hdr", ".HDR", ".Hdr", ".hdr.gz", ".HDR.GZ"])
@pytest.mark.parametrize("image", [".img", ".IMG", ".img.gz", ".IMG.gz"])
def test_pairs_in_any_mixture(tmp_path: Path, head: str, image: str) -> None:
    made = nib.nifti1.Nifti1PairHeader(header().binaryblock, check=False)
    made["vox_offset"], made["magic"] = 0, b"ni1"
    for end, data in ((head, bytes(made.binaryblock)), (image, VALUES.tobytes("F"))):
        put(tmp_path / f"a{end}", gzip.compress(data) if end.lower().endswith("gz") else data)
    for end in (head, image):
        assert check_values(tmp_path / f"a{end}") == ""
    save_mask(tmp_path / "m.nii", VALUES > 250, open_scan(tmp_path / f"a{image}"))
    np.testing.assert_array_equal(
        load_mask(tmp_path / "m.nii", open_scan(tmp_path / f"a{head}")), VALUES > 250
    )


def test_the_missing_half_of_a_pair_is_named(tmp_path: Path) -> None:
    put(tmp_path / "a.img", VALUES.tobytes("F"))
    with pytest.raises(UserError, match=r"a\.img is half of a pair.*header is missing \(a\.hdr"):
        open_scan(tmp_path / "a.img")
    put(tmp_path / "b.hdr", bytes(header().binaryblock))
    with pytest.raises(UserError, match=r"b\.hdr is half of a pair.*values is missing \(b\.img"):
        open_scan(tmp_path / "b.hdr")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgh", "a.mgz"])
def test_compression_against_the_extension(tmp_path: Path, name: str) -> None:
    cls = nib.MGHImage if ".mg" in name else nib.Nifti1Image
    is_gz = name.endswith("z")
    right = tmp_path / (name.replace("mgz", "mgh") if ".mg" in name else "b.nii")
    nib.save(cls(VALUES, AFFINE), right)
    data = right.read_bytes()
    notes = check_values(put(tmp_path / name, data if is_gz else gzip.compress(data)))
    assert "against its extension" in notes
    assert ("not compressed" in notes) == is_gz


def test_values_of_a_pair_that_begin_like_gzip(tmp_path: Path) -> None:
    values = VALUES.copy(order="F")
    values.ravel("K")[:2] = np.frombuffer(b"\x1f\x8b\x08\0", np.int16)
    nib.save(nib.Nifti1Pair(values, AFFINE), tmp_path / "a.img")
    np.testing.assert_array_equal(open_scan(tmp_path / "a.img").load().data, values)


@pytest.mark.parametrize("offset", [0, 348, 352, np.nan, -16])
def test_a_place_of_values_within_the_header(tmp_path: Path, offset: float) -> None:
    path = put(tmp_path / "a.nii", content(vox_offset=offset))
    assert ("byte 352 taken" in check_values(path)) == (offset != 352)


def test_values_right_behind_the_header(tmp_path: Path) -> None:
    for offset in (0, 348):
        path = put(tmp_path / "a.nii", content(b"", vox_offset=offset))
        assert check_values(path) == ""
    check_values(put(tmp_path / "a.nii.gz", gzip.compress(content(b"", vox_offset=348))))


@pytest.mark.parametrize("scaling", [(0, 7), (np.nan, 7), (np.inf, 0), (1, np.nan), (1, 0)])
def test_a_scaling_that_is_none(tmp_path: Path, scaling: tuple[float, float]) -> None:
    path = put(tmp_path / "a.nii", content(scl_slope=scaling[0], scl_inter=scaling[1]))
    assert check_values(path) == ""
    save_brain(tmp_path / "brain.nii", VALUES > 250, open_scan(path))
    brain: Any = nib.load(tmp_path / "brain.nii")
    np.testing.assert_array_equal(brain.get_fdata(), np.where(VALUES > 250, VALUES, 0))


@pytest.mark.parametrize("dim", [[4, *SHAPE, 0, 1, 1, 1], [5, *SHAPE, 1, 0, 1, 1]])
def test_further_axes_of_0_are_1(tmp_path: Path, dim: list[int]) -> None:
    assert check_values(put(tmp_path / "a.nii", content(dim=dim))) == ""


# --- what is damaged


def test_a_wrong_checksum(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(content()))
    packed[-6] ^= 1
    with pytest.raises(UserError, match=r"a\.nii\.gz is damaged.*incorrect data check"):
        open_scan(put(tmp_path / "a.nii.gz", bytes(packed))).load()


@pytest.mark.parametrize("missing", [1, 8, 2000])
def test_a_gzip_that_was_cut(tmp_path: Path, missing: int) -> None:
    packed = gzip.compress(content())[:-missing]
    words = r"a\.nii\.gz is truncated: (\d+ bytes of values, 21120 expected|its gzip stream ends)"
    with pytest.raises(UserError, match=words):
        open_scan(put(tmp_path / "a.nii.gz", packed)).load()


# --- bounds


def timed(action: Any) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = action()
    return result, time.perf_counter() - begin


def check_refused(path: Path, words: str) -> None:
    """Opening or loading says so, within the bounds of time and memory."""
    begin = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(UserError, match=words) as caught:
        open_scan(path).load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() - begin < SECONDS
    assert peak < MEMORY
    assert path.name.split(".")[0] in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "too large.*30000 x 30000 x 30000"),
        ({"dim": [4, 1000, 1000, 1000, 30000, 1, 1, 1]}, "truncated"),
        ({"dim": [4, 20, 24, 22, 30000, 30000, 1, 1]}, "dimensions|truncated"),
        ({"vox_offset": 1e12}, "begin at byte 9999"),
        ({"vox_offset": 3e38}, "begin at byte"),
        ({"dim": [3, 0, 24, 22, 1, 1, 1, 1]}, "is empty"),
        ({"dim": [3, -20, 24, 22, 1, 1, 1, 1]}, "is empty"),
        ({"dim": [3, -20, -24, 22, 1, 1, 1, 1]}, "is empty"),
        ({"dim": [9, 20, 24, 22, 1, 1, 1, 1]}, "9 dimensions"),
        ({"dim": [-3, 20, 24, 22, 1, 1, 1, 1]}, "-3 dimensions"),
        ({"datatype": 77}, "unknown type"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_a_header_claims(
    tmp_path: Path, fields: dict[str, Any], words: str, name: str
) -> None:
    whole = content(**fields)
    check_refused(put(tmp_path / name, gzip.compress(whole) if "gz" in name else whole), words)


@pytest.mark.parametrize("sides", [(0, 24, 22), (-5, 24, 22), (2**31 - 1, 9, 9), (-(2**31), 1, 1)])
@pytest.mark.parametrize("name", ["a.mgh", "a.mgz"])
def test_what_an_mgh_header_claims(tmp_path: Path, sides: tuple[int, ...], name: str) -> None:
    made = nib.freesurfer.mghformat.MGHHeader()
    made["dims"] = [*sides, 1]
    whole = bytes(made.binaryblock)[:284] + VALUES.tobytes()
    path = put(tmp_path / name, gzip.compress(whole) if name.endswith("z") else whole)
    check_refused(path, "is empty|too large")


def test_two_million_extensions_are_not_read(tmp_path: Path) -> None:
    one = struct.pack("<ii", 16, 6) + b"comment\0"
    extensions = b"\1\0\0\0" + one * 2_000_000
    whole = content(extensions, vox_offset=348 + len(extensions))
    path = put(tmp_path / "a.nii.gz", gzip.compress(whole, 1))
    notes, seconds = timed(lambda: check_values(path))
    assert notes == ""
    assert seconds < SECONDS


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_extension_of_a_gigabyte(tmp_path: Path, name: str) -> None:
    start = bytes(header(vox_offset=352 + 2**30).binaryblock) + b"\1\0\0\0"
    start += struct.pack("<ii", 2**30, 6)
    path = tmp_path / name
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(start) + gzip.compress(bytes(2**26)) * 16)
    else:
        with path.open("wb") as file:
            file.write(start)
            file.truncate(352 + 2**30 + VALUES.nbytes)  # sparse: takes no room
    check_refused(path, "begin at byte")


def test_three_megabytes_that_are_gigabytes(tmp_path: Path) -> None:
    dim = [4, 900, 900, 900, 2, 1, 1, 1]
    n_bytes = 900**3 * 2 * 2
    member = gzip.compress(bytes(2**26))
    packed = gzip.compress(content(values=VALUES[:0], dim=dim)) + member * (n_bytes // 2**26 + 1)
    check_refused(put(tmp_path / "a.nii.gz", packed), "would expand to 2.72 GiB")


def test_a_gzip_of_countless_members(tmp_path: Path) -> None:
    packed = gzip.compress(content()[:400]) + gzip.compress(b"") * 300_000
    check_refused(put(tmp_path / "a.nii.gz", packed), "damaged.*10000 gzip streams")


def test_what_does_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = open_scan(put(tmp_path / "a.nii", content()))
    memory = type("Memory", (), {"available": 30_000})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(UserError, match=r"a\.nii needs 61\.9 KiB of memory.*29\.3 KiB are free"):
        scan.load()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_pipes_devices_and_folders_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nii")
    (tmp_path / "b.nii.gz").symlink_to("/dev/zero")
    (tmp_path / "c.nii.gz").mkdir()
    put(tmp_path / "d.img", VALUES.tobytes())
    os.mkfifo(tmp_path / "d.hdr")
    for name, words in (
        ("a.nii", "is no file but a pipe"),
        ("b.nii.gz", "is no file but a pipe or a device"),
        ("c.nii.gz", "is a folder"),
        ("d.img", "not a regular file"),
    ):
        with pytest.raises(UserError, match=words):
            open_scan(tmp_path / name)
