"""scipy is loaded where there is room for it, and else that is said at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_singlestrip.engine.imaging import scipy_parts

# As much room as there is, and a little: OpenBLAS would ask for more without end.
LITTLE_ROOM = """
import resource, sys
import numpy, psutil
from napari_singlestrip.engine.imaging.scipy_parts import load_scipy_parts
used = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (used + 60 * 2**20, -1))
try:
    load_scipy_parts()
except MemoryError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits on addresses count on Linux")
def test_little_room_is_said_and_not_waited_for() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_ROOM], capture_output=True, text=True, timeout=60, check=False
    )
    assert "no room for" in done.stderr
    assert done.returncode == 1


def test_with_room_it_is_loaded() -> None:
    scipy_parts.load_scipy_parts()
    assert "scipy.ndimage" in sys.modules
    with pytest.raises(MemoryError):
        scipy_parts._make_sure_of(2**62)


@pytest.mark.parametrize(
    ("variables", "n"),
    [({"OMP_NUM_THREADS": "3"}, 3), ({"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "3"}, 2),
     ({"OMP_NUM_THREADS": "999"}, 64)],
)  # fmt: skip
def test_each_thread_needs_room(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], n: int
) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert scipy_parts._n_threads() == n
