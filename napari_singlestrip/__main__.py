"""Runs the command line: ``python -m napari_singlestrip``."""

from __future__ import annotations

import os
import sys

# ``python -m`` imports from the working folder first: a file queue.py or json.py among the scans
# would shadow the standard library.
try:
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        del sys.path[0]
except OSError:  # the folder is gone
    pass

from contextlib import suppress

from napari_singlestrip.cli.app import main

if __name__ == "__main__":
    code = main()
    # Everything is saved and reported. Tearing down torch takes a second or more, for which a
    # window that is stopping the job would have to wait.
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)  # reports what could not be written
