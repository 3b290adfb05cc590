"""Small files beside a study: a window's memory, a demo's record, tables of volumes, images."""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from qtpy.QtCore import QSize

from napari_singlestrip.cli.output import show_demo
from napari_singlestrip.demo.record import RECORD_NAME, open_record
from napari_singlestrip.engine.learning.checkpoint import save_checkpoint
from napari_singlestrip.engine.learning.model_card import ModelCard, card_to_json
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import MAX_DEPTH, read_json
from napari_singlestrip.report.page import element, page, table
from napari_singlestrip.report.pictures import stored_png
from napari_singlestrip.study.volumes_table import read_table
from napari_singlestrip.widgets.apply.model_list import file_choice
from napari_singlestrip.widgets.common.png_file import read_png
from napari_singlestrip.widgets.session import user_settings as preferences
from napari_singlestrip.widgets.session.window_file import read_window_file

WRONG = ["", "null", "[]", "1e400", '"abc"', "{", "[" * 100_000, "\xff\xfe", '{"a": NaN}',
         '{"a":' * (MAX_DEPTH + 2) + "1" + "}" * (MAX_DEPTH + 2)]  # fmt: skip


# --- JSON


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH + 1])
def test_what_is_nested_deeply_is_refused(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * depth + "]" * depth)
    if depth < MAX_DEPTH:
        assert isinstance(read_json(path), list)
        return
    with pytest.raises(UserError, match=r"deep\.json is nested too deeply"):
        read_json(path)


@pytest.mark.parametrize("text", WRONG)
def test_a_windows_memory_is_never_worth_a_word(tmp_path: Path, text: str) -> None:
    path = tmp_path / "window.json"
    path.write_text(text, encoding="latin-1")
    assert read_window_file(path) == {}


def test_a_windows_memory_has_the_types_that_are_relied_on(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    good = {"seconds": {"train": 3.5}, "overrides": {}}
    path.write_text(json.dumps({
        "step": ["train"], "scan": None, "watch": {"a": 1}, "model_files": ["m.pt", 3, None],
        "notes": {"a": "good", "b": ["x"]},
        "estimates": {"quick": good, "standard": {"seconds": {"train": "3"}}, "thorough": 7},
        "slice": [1, 2, 3],
    }))
    assert read_window_file(path) == {
        "model_files": ["m.pt"], "notes": {"a": "good"}, "estimates": {"quick": good},
        "slice": [1, 2, 3],
    }
    for text in ('{"notes": [], "model_files": "m.pt", "estimates": 1, "slice": [1, 2]}',
                 '{"scan": "\\ud800", "slice": [NaN, 1, 2], "learns_on": 1}'):  # fmt: skip
        path.write_text(text)
        assert read_window_file(path) == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_window_file(tmp_path / "pipe") == {}
    assert read_png(tmp_path / "pipe").isNull()
    with pytest.raises(UserError, match="not a regular file"):
        read_table(tmp_path / "pipe")


@pytest.mark.parametrize("kept", ["[]", "{", '{"study": "ssh"}', "null", "[" * 100_000, 7])
def test_launchers_that_are_none_are_passed_over(
    kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kept:
        def value(self, name: str) -> Any:
            return kept

    monkeypatch.setattr(preferences, "settings", Kept)
    assert preferences.launcher_of(Path("study")) == []


# --- a demo


RECORD: dict[str, Any] = {
    "version": "1", "effort": "quick", "seed": 0, "overrides": {}, "seconds": {"train": 3.0},
}  # fmt: skip
WRONG_SECONDS: list[Any] = [
    None, [], {"train": "x"}, {"train": float("inf")}, {"train": -1}, {"train": True},
]  # fmt: skip
WANTED = {"effort": "quick", "seed": 0, "overrides": {}}


@pytest.mark.parametrize("text", [
    *WRONG, *(json.dumps({**RECORD, "seconds": value}) for value in WRONG_SECONDS),
])  # fmt: skip
def test_a_damaged_record_of_a_demo_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD_NAME).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"demo\.json is damaged"):
        open_record(tmp_path, WANTED)
    (tmp_path / RECORD_NAME).write_text(json.dumps(RECORD))
    assert open_record(tmp_path, WANTED).seconds == {"train": 3.0}


@pytest.mark.parametrize("text", [
    *WRONG, '{"unseen": []}', '{"unseen": {"before": 1, "after": {}}}',
])  # fmt: skip
def test_damaged_figures_of_a_demo_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"summary\.json"):
        show_demo(tmp_path)


# --- tables


@pytest.mark.parametrize("text", [
    "\xff", "other\n1\n", "scan,volume_ml,autoencoder_error\na,many,0\n",
    "scan,volume_ml,autoencoder_error\na\nb,1,0\n",  # a short last line is a job's that writes it
    'scan,volume_ml,autoencoder_error,mask\na,1,1,"../../other.nii.gz"\n',
    "scan,volume_ml,autoencoder_error,flag\na,1,1," + "x" * 200_000 + "\n",
])  # fmt: skip
def test_a_damaged_table_of_volumes_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "volumes.csv"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"volumes\.csv"):
        read_table(path)


# --- images


def png(width: int, height: int) -> bytes:
    """A black image: a few kB, whatever its size."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    rows = zlib.compress(bytes((width // 8 + 2) * min(height, 2000)), 9)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_picture_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(png(48, 48))
    assert read_png(path).width() == 48
    assert not read_png(path, QSize(48, 48)).isNull()
    assert read_png(path, QSize(96, 96)).isNull()
    assert stored_png(path).startswith("data:image/png")
    for content in (png(100_000, 100_000), b"", b"GIF89a", png(48, 48)[:30]):
        path.write_bytes(content)
        assert read_png(path).isNull()
    for content in (png(100_000, 100_000), b"", b"GIF89a"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"p\.png is not a preview image"):
            stored_png(path)


# --- a card in the window


def test_a_large_card_is_shown_in_short(tmp_path: Path) -> None:
    """Three megabytes of names: all are read, a few are shown."""
    card = ModelCard("x" * 2000, 1, training_scans=("\x1b[2J" + "n" * 50,) * 50_000)
    state = {"segmenter": {"average": {"a": torch.zeros(3)}}, "autoencoder": {}}
    save_checkpoint(tmp_path / "m.pt", "model", {**state, "card": card_to_json(card)})
    begin = time.process_time()
    choice = file_choice(tmp_path / "m.pt")
    assert time.process_time() - begin < 1
    assert "50000 scans" in choice.facts and "and 49980 more" in choice.tip
    assert len(choice.facts) < 500 and len(choice.tip) < 5000
    assert "\x1b" not in choice.tip


# --- the report


def test_odd_letters_become_their_escapes() -> None:
    made = page("a\ud800", [element("p", "b\x00\x1b\u202e", title="c\ud800"),
                            table(("d",), [["e\ud800"]])])
    made.encode("utf-8")
    assert "\x00" not in made and "\\ud800" in made
