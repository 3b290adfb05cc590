"""The set-up scripts, with stand-ins for apt-get, sudo and python: nothing is installed here."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """A folder that comes first in PATH; nothing is installed, apt-get notes what it is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    _command(folder, "dpkg-query", "exit 1")
    _command(folder, "apt-get", f'echo "$@" >> {tmp_path}/apt.log')
    _command(folder, "sudo", "exit 1")
    _command(folder, "id", "echo 0")
    return folder


def _command(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _run(script: str, *arguments: str, first: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{first}:{os.environ['PATH']}"}
    command = [str(TOOLS / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_root_installs_what_is_missing(stand_ins: Path, tmp_path: Path) -> None:
    done = _run("system_packages.sh", "python", first=stand_ins)
    assert done.returncode == 0, done.stderr
    install = (tmp_path / "apt.log").read_text().splitlines()[-1]
    assert install.startswith("install") and install.endswith("python3 python3-venv")


def test_nothing_missing_installs_nothing(stand_ins: Path, tmp_path: Path) -> None:
    _command(stand_ins, "dpkg-query", "echo installed")
    done = _run("system_packages.sh", "window", first=stand_ins)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "apt.log").exists()


def test_without_rights_a_sentence_says_what_to_install(stand_ins: Path, tmp_path: Path) -> None:
    _command(stand_ins, "id", "echo 1000")
    done = _run("system_packages.sh", "make", first=stand_ins)
    assert done.returncode == 1
    assert "Please install the system packages: make (sudo apt-get install make)." in done.stderr
    assert not (tmp_path / "apt.log").exists()


def test_apt_that_fails_is_told(stand_ins: Path) -> None:
    _command(stand_ins, "apt-get", "exit 100")
    done = _run("system_packages.sh", "make", first=stand_ins)
    assert done.returncode == 1
    assert "apt-get could not install them. Please install" in done.stderr


def test_old_python_is_told(stand_ins: Path, tmp_path: Path) -> None:
    old = 'case "$*" in *version_info*) exit 1;; -V) echo Python 3.9.2;; esac'
    _command(stand_ins, "python3", old)
    done = _run("make_venv.sh", str(tmp_path / "venv"), first=stand_ins)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed; python3 is Python 3.9.2" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_interrupted_installation_is_made_anew(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    make = functools.partial(_run, "make_venv.sh", str(venv), sys.executable, first=tmp_path)
    assert make().returncode == 0
    packages = next(venv.glob("lib/python*/site-packages"))
    kept, half = packages / "kept", packages / "half_written-1.0.dist-info"
    kept.touch()
    assert make().returncode == 0
    assert kept.exists()  # it works, so it stays
    half.mkdir()
    assert make().returncode == 0
    assert not half.exists()


def test_missing_venv_module_is_installed_first(stand_ins: Path, tmp_path: Path) -> None:
    """Debian has no ensurepip until python3-venv is there."""
    python = f'case "$*" in *ensurepip*) exit 1;; *--clear*) echo made > {tmp_path}/made;; esac'
    _command(stand_ins, "python3", python)
    done = _run("make_venv.sh", str(tmp_path / "venv"), first=stand_ins)
    assert done.returncode == 0, done.stderr
    assert "python3-venv" in (tmp_path / "apt.log").read_text()
    assert (tmp_path / "made").exists()
