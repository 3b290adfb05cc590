"""Runs the command line: ``python -m napari_singlestrip``."""

from __future__ import annotations

import sys

from napari_singlestrip.cli import main

if __name__ == "__main__":
    sys.exit(main())
