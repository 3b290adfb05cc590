"""Runs the command line: ``python -m napari_singlestrip``."""

from __future__ import annotations

import os
import sys

# ``python -m`` imports from the working folder first: a file queue.py or json.py among a person's
# scans would take the place of Python's own.
try:
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        del sys.path[0]
except OSError:  # the folder is gone
    pass

from contextlib import suppress

from napari_singlestrip.cli.app import main

if __name__ == "__main__":
    code = main()
    # All is saved and told. Python's own tidying up of torch takes a second or more, in which a
    # window that was asked to stop would wait.
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)  # says what could not be written
