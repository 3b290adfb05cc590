"""Which version of the program, and of the packages it uses, was measured."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def commit() -> str:
    """Short hash of the commit, with a plus for changes; the version where there is no git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=ROOT,
            capture_output=True, text=True, check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return package_version("napari-singlestrip")
    return found.stdout.strip()


def package_version(name: str) -> str:
    """Version of an installed package; empty if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
