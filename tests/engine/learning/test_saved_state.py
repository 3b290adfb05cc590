"""Models and checkpoints that parse but are wrong: each is told in a sentence, none is built."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_singlestrip.engine.learning import archive
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.learning.model import load_model
from napari_singlestrip.engine.learning.model_card import read_card
from napari_singlestrip.engine.learning.training import is_done
from napari_singlestrip.engine.stored_settings import settings_content, settings_from
from napari_singlestrip.errors import UserError
from napari_singlestrip.pipeline.stages import run
from napari_singlestrip.pipeline.trained_model import export_model
from napari_singlestrip.sample_data.finished_study import unfold
from napari_singlestrip.study.study import Study

CPU = torch.device("cpu")
State = dict[str, Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the packaged study."""
    folder = tmp_path_factory.mktemp("model")
    export_model(Study.open(unfold(folder)), folder / "model.pt")
    return folder / "model.pt"


# --- flipped bits


def test_a_flipped_bit_is_noticed_or_does_no_harm(model: Path, tmp_path: Path) -> None:
    """Anywhere in the file; what lies between the records may be anything."""
    whole, path = bytearray(model.read_bytes()), tmp_path / "m.pt"
    truth = load_checkpoint(model, "model")
    rng = np.random.default_rng(0)
    noticed = 0
    for place in rng.integers(len(whole), size=120):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            same(load_checkpoint(path, "model"), truth)
        except UserError as error:
            assert "m.pt" in str(error)
            noticed += 1
    assert noticed > 100


def same(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same(a[key], b[key])
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_a_flipped_weight_is_damage_with_a_way_out(model: Path, tmp_path: Path) -> None:
    content = bytearray(model.read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as records:
        largest = max(records.infolist(), key=lambda r: r.file_size)
    content[largest.header_offset + largest.file_size // 2] ^= 1
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.pt is damaged: its weights do not match") as caught:
        load_model(tmp_path / "m.pt", CPU)
    assert "Restore it" in caught.value.hint and "train again" in caught.value.hint


def test_a_weight_that_others_changed_is_damage(model: Path, tmp_path: Path) -> None:
    """Written again by another program, the records match their CRCs; the checksum does not."""
    state = torch.load(model, weights_only=True)
    state["segmenter"]["average"]["down.0.0.bias"][0] += 1
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(UserError, match="do not match their checksum"):
        load_model(tmp_path / "m.pt", CPU)
    del state["checksum"]  # as files of earlier versions are
    torch.save(state, tmp_path / "m.pt")
    assert load_model(tmp_path / "m.pt", CPU).card == load_model(model, CPU).card


def test_the_checksum_costs_next_to_nothing(tmp_path: Path) -> None:
    from napari_singlestrip.engine.learning.checkpoint import checksum

    state = {str(n): torch.zeros(500_000) for n in range(4)}  # 8 MB, as the quick network
    begin = time.process_time()
    checksum(state)
    assert time.process_time() - begin < 0.1


@pytest.mark.parametrize("name", ["segmenter", "autoencoder"])
def test_a_damaged_checkpoint_stops_the_run_and_is_not_trained_anew(
    tmp_path: Path, name: str
) -> None:
    study = Study.open(unfold(tmp_path))
    path = study.rounds.folder(0) / f"{name}.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}\.pt is damaged") as caught:
        list(run(study, device="cpu"))
    assert "--restart" in caught.value.hint
    assert path.read_bytes() == content


# --- values that are wrong


def put(place: str, value: Any) -> Callable[[State], None]:
    def change(state: State) -> None:
        *parts, last = place.split("/")
        for part in parts:
            state = state[part]
        state[last] = value

    return change


def drop(place: str) -> Callable[[State], None]:
    def change(state: State) -> None:
        *parts, last = place.split("/")
        for part in parts:
            state = state[part]
        del state[last]

    return change


def each(what: str, place: str, values: list[Any]) -> dict[str, Callable[[State], None]]:
    return {f"{what} {n} {value!r:.20}": put(place, value) for n, value in enumerate(values)}


def settings_of(state: State, **network: Any) -> None:
    import json

    for part in ("segmenter", "autoencoder"):
        content = json.loads(state[part]["settings"])
        content["network"] |= network
        state[part]["settings"] = json.dumps(content)


BIAS = "segmenter/average/down.0.0.bias"
WRONG: dict[str, Callable[[State], None]] = {
    **each("spacing", "segmenter/spacing_mm", [
        0, 0.0, float("nan"), -4.0, "4", 1e-300, float("inf"), None, [4.0], True,
    ]),
    **each("mask spacing", "autoencoder/spacing_mm", [0.0, float("nan")]),
    **each("shape", "segmenter/shape", [
        [0, 56, 40], [-48, 56, 40], ["48", 56, 40], [48, 56], [49, 56, 40], 48, None,
        [2**40, 8, 8], [4096, 4096, 4096], [48.0, 56, 40], [True, 56, 40],
    ]),
    **each("mask shape", "autoencoder/shape", [[0, 8, 8], [2048, 2048, 8], [8, 8, 9]]),
    **each("offset", "segmenter/offset", [
        [float("nan"), 0, 0], [1e300, 0, 0], [0, 0], "none", None,
    ]),
    **each("settings", "segmenter/settings", [
        "", "{", "[]", "null", "[" * 100_000, '{"seed": -1}', '{"x": 1}', None, {},
    ]),
    "channels of another network": lambda state: settings_of(state, channels=[8, 16]),
    "channels without end": lambda state: settings_of(state, channels=[8] * 30),
    "huge channels": lambda state: settings_of(state, channels=[10**6, 10**6, 16, 16]),
    "no channels": lambda state: settings_of(state, channels=[0, -5, 16, 16]),
    "another architecture": lambda state: settings_of(state, architecture="synthstrip"),
    "weights of another shape": put(BIAS, torch.zeros(3)),
    "weights that are NaN": put(BIAS, torch.full((16,), float("nan"))),
    "weights that are infinite": put("autoencoder/average/squeeze.bias",
                                     torch.full((32,), float("inf"))),
    "weights that are whole numbers": put(BIAS, torch.zeros(16, dtype=torch.int64)),
    "weights that are a text": put(BIAS, "none"),
    "weights that are a list": put("segmenter/average", []),
    "weights too many": put("segmenter/average/more", torch.zeros(3)),
    "weights too few": drop(BIAS),
    "no weights": drop("segmenter/average"),
    "no settings": drop("segmenter/settings"),
    "no shape": drop("autoencoder/shape"),
    "no segmenter": drop("segmenter"),
    "no autoencoder": drop("autoencoder"),
    "segmenter a list": put("segmenter", []),
    "autoencoder a list": put("autoencoder", []),
    "autoencoder a text": put("autoencoder", "none"),
    "no card": drop("card"),
    **each("card", "card", [
        None, {}, "", "[]", "null", "{", "[" * 100_000, '["study"]', '{"study": ["a"]}',
        '{"study": {"a": {}}}', *(f'{{"study": "s", {part}}}' for part in (
            '"round": "two"', '"round": null', '"round": 1e400', '"round": -1', '"round": true',
            '"training_scans": "abc"', '"training_scans": [[[]]]', '"training_scans": [1]',
            '"volume_ml": [1]', '"volume_ml": [NaN, 1]', '"volume_ml": null',
            '"max_error": "none"', '"max_error": -1', '"validation_dice": {}', '"created": 5',
        )),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_told(
    model: Path, tmp_path: Path, change: Callable[[State], None]
) -> None:
    state = load_checkpoint(model, "model")
    change(state)
    path = tmp_path / "wrong.pt"
    save_checkpoint(path, "model", state)
    with pytest.raises(UserError, match=r"wrong\.pt") as caught:
        load_model(path, CPU)
    assert caught.value.hint and len(str(caught.value)) < 1000


@pytest.mark.parametrize("part", ["segmenter", "autoencoder"])
def test_a_model_of_a_newer_version_says_so(model: Path, tmp_path: Path, part: str) -> None:
    state = load_checkpoint(model, "model")
    content = settings_content(settings_from(json.loads(state[part]["settings"])))  # of today
    content["network"]["attention"] = 3
    state[part]["settings"] = json.dumps(content)
    path = tmp_path / "newer.safetensors"
    save_checkpoint(path, "model", state)
    with pytest.raises(UserError, match=r"newer version.*network\.attention") as caught:
        load_model(path, CPU)
    assert "Update" in caught.value.hint and "train again" not in caught.value.hint


def test_tensors_that_are_not_there_are_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.pt"
    gigantic = torch.zeros(1).expand(2**20, 2**20)
    for tensor in (gigantic, torch.zeros(16, device="meta"), torch.zeros(16).to_sparse()):
        state = load_checkpoint(model, "model")
        state["segmenter"]["average"]["down.0.0.bias"] = tensor
        torch.save({**state, "kind": "model", "format": 1}, path)
        with pytest.raises(UserError, match="cannot be read as a model"):
            load_model(path, CPU)


def test_more_numbers_than_a_record_has_are_refused(tmp_path: Path) -> None:
    """torch's own reader believes the claim, and reads what lies beyond."""
    path = tmp_path / "m.pt"
    torch.save({"format": 1, "kind": "model", "a": torch.zeros(1000)}, path)
    claims = struct.pack("<H", 1000)
    content = repacked(path, lambda pickled: pickled.replace(claims, struct.pack("<H", 60_000)))
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a model"):
        load_checkpoint(path, "model")


def repacked(path: Path, change: Callable[[bytes], bytes], compress: int = 0) -> bytes:
    """The archive with another pickle."""
    content = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(content, "w", compress) as target:
        for name in source.namelist():
            record = source.read(name)
            target.writestr(name, change(record) if name.endswith("data.pkl") else record)
    return content.getvalue()


# --- training that is resumed


LOOP: dict[str, Callable[[State], None]] = {
    **each("step", "step", [-1, "7", None, 1.5, []]),
    **each("seconds", "seconds", [-1.0, float("nan"), "1", None]),
    **each("rng", "rng", [
        "", "{}", "[]", "null", "[" * 100_000, '{"bit_generator": "MT19937"}', None,
        '{"bit_generator": "PCG64", "state": {"state": -1, "inc": 2}}',
    ]),
    **each("precision", "precision", [
        None, [], {"threads": "many"}, {"threads": -3}, {"threads": 10**9},
    ]),
    "weights": put("weights/down.0.0.bias", torch.zeros(3)),
    "average": put("average", {}),
    "optimiser a list": put("optimiser", []),
    "optimiser without a state": put("optimiser/state", {}),
    "optimiser of another network": put("optimiser/state", {0: {"step": torch.tensor(1.0)}}),
    "no groups": put("optimiser/param_groups", []),
    "no rate": put("optimiser/param_groups", [{"lr": "fast"}]),
    "no optimiser": drop("optimiser"),
    "not said whether it is done": drop("done"),
    "done in words": put("done", "yes"),
}  # fmt: skip


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, heads: Any) -> Study:
    """A study whose training was stopped after two steps."""
    from conftest import make_study

    study = make_study(tmp_path_factory.mktemp("begun") / "study", heads)
    events = run(study, device="cpu")
    for event in events:
        if getattr(event, "step", 0) == 2 and getattr(event, "stage", "") == "train":
            break
    events.close()  # type: ignore[attr-defined]
    return study


@pytest.mark.parametrize("change", LOOP.values(), ids=LOOP)
def test_a_wrong_value_of_a_training_is_told(
    begun: Study, change: Callable[[State], None]
) -> None:
    path = begun.rounds.folder(0) / "segmenter.pt"
    kept = path.with_name("kept.pt")
    shutil.copy(path, kept)
    state = load_checkpoint(path, "segmenter")
    change(state)
    save_checkpoint(path, "segmenter", state)
    wrong = path.read_bytes()
    try:
        with pytest.raises(UserError, match=r"segmenter\.pt is not what it should be"):
            is_done(path, "segmenter")
            resumed(begun)
        assert path.read_bytes() == wrong
    finally:
        shutil.move(kept, path)


def resumed(study: Study) -> None:
    """Go on with the training, as far as its checkpoint."""
    from napari_singlestrip.engine.devices.precision import Precision
    from napari_singlestrip.engine.learning.checkpoint import load_checkpoint as load
    from napari_singlestrip.engine.learning.networks import build_segmenter
    from napari_singlestrip.engine.learning.training import TrainingState
    from napari_singlestrip.engine.stored_settings import settings_from

    path = study.rounds.folder(0) / "segmenter.pt"
    settings = settings_from(json.loads(load(path, "segmenter")["settings"]))
    net = build_segmenter(settings.network)
    optimiser = torch.optim.AdamW(net.parameters(), fused=True)
    scaler = Precision().scaler(CPU)
    state = TrainingState(net, {}, optimiser, np.random.default_rng(), CPU, scaler)
    assert state.restore(load(path, "segmenter"), path)


def test_the_stopped_training_itself_is_resumed(begun: Study) -> None:
    resumed(begun)


# --- bombs


def test_a_compressed_archive_is_refused_before_it_is_unpacked(
    model: Path, tmp_path: Path
) -> None:
    def bomb(pickled: bytes) -> bytes:
        return pickled + bytes(50 * 2**20)

    path = tmp_path / "m.pt"
    path.write_bytes(repacked(model, bomb, zipfile.ZIP_DEFLATED))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"m\.pt"):
        read_card(path)
    with pytest.raises(UserError, match=r"m\.pt"):
        load_model(path, CPU)
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("card", ["x" * 3 * 2**20, '{"study": "' + "x" * 3 * 2**20 + '"}'])
def test_a_huge_card_is_refused(model: Path, tmp_path: Path, card: str) -> None:
    path = tmp_path / "m.pt"
    save_checkpoint(path, "model", {**load_checkpoint(model, "model"), "card": card})
    for load in (read_card, lambda path: load_model(path, CPU)):
        begin = time.process_time()
        with pytest.raises(UserError, match=r"m\.pt") as caught:
            load(path)
        assert time.process_time() - begin < 1
        assert len(str(caught.value)) < 1000


HOSTILE = {
    "a table of gigabytes": b"\x80\x02}r\xff\xff\xff\x3f.",
    "opcodes without end": b"\x80\x02" + b"N0" * 600_000 + b"N.",
    "many values": b"\x80\x02](" + b"N" * 600_000 + b"e.",
    "a terabyte of bytes": b"\x80\x02c__builtin__\nbytearray\n(J\xff\xff\xff\x7ftR.",
    "shared lists": b"\x80\x02]q\x00" + b"".join(
        b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(60)) + b".",
    "an own class": pickle.dumps(State.__origin__, 2),  # type: ignore[attr-defined]
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
}  # fmt: skip


@pytest.mark.parametrize("pickled", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_pickle_is_refused_soon(model: Path, tmp_path: Path, pickled: bytes) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(repacked(model, lambda _: pickled))
    begin = time.process_time()
    for load in (read_card, lambda path: load_model(path, CPU)):
        with pytest.raises(UserError, match=r"m\.pt"):
            load(path)
    assert time.process_time() - begin < 5


def test_records_beyond_count_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as target:
        for n in range(archive.MAX_RECORDS + 2):
            target.writestr(f"archive/data/{n}", b"")
        target.writestr("archive/data.pkl", b"\x80\x02N.")
    with pytest.raises(UserError, match=r"m\.pt"):
        read_card(path)


def test_a_pipe_and_a_folder_are_no_models(tmp_path: Path) -> None:
    import os

    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    for path in tmp_path.iterdir():
        with pytest.raises(UserError):
            read_card(path)
        with pytest.raises(UserError):
            load_model(path, CPU)
