"""Runs the command line: ``python -m napari_singlestrip``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from napari_singlestrip.cli import main

if __name__ == "__main__":
    code = main()
    # All is saved and told. Python's own tidying up of torch takes a second or more, in which a
    # window that was asked to stop would wait.
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)  # says what could not be written
