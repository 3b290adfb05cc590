"""What the benchmarks of speed share: turns, whole processes, the machine in words, tables.

Other programs may be at work on the machine, and its speed changes: what is compared takes turns
within one run, and processor time is told beside the clock's.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))
from source import commit, package_version

ROOT = Path(__file__).resolve().parents[2]
# A process begins with the peak memory of the one it was split off from: so from a small one. What
# it says goes to stderr; stdout is for the numbers.
LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=2)
_, status, used = os.wait4(child.pid, 0)
wall = time.perf_counter() - began
code = os.waitstatus_to_exitcode(status)
print(json.dumps([code, wall, used.ru_utime + used.ru_stime, used.ru_maxrss]), flush=True)
os._exit(0)
"""
PACKAGES = (
    "numpy", "scipy", "torch", "nibabel", "napari", "torchio", "cornucopia", "deepbet",
    "brainextractor",
)


@dataclass
class Timing:
    """Seconds of each call."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def wall_ms(self) -> float:
        """Median, milliseconds of the clock."""
        return 1e3 * float(np.median(self.wall))

    @property
    def cpu_ms(self) -> float:
        """Median, milliseconds of the processor, all threads together."""
        return 1e3 * float(np.median(self.cpu))


@dataclass(frozen=True)
class Usage:
    """What one whole process took."""

    wall: float  # s
    cpu: float  # s, with its children
    peak_mib: float


@dataclass
class Table:
    """One table of the page; cells are text or numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Add a row; numbers get three significant digits."""
        self.rows.append([in_digits(cell) for cell in cells])


def parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments that every script takes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="also write the tables there")
    made.add_argument("--data", type=Path, metavar="DIR", help="folder with scans/ and masks/")
    made.add_argument("--study", type=Path, metavar="DIR", help="a trained study, effort quick")
    made.add_argument("--standard-study", type=Path, metavar="DIR", help="the same, standard")
    made.add_argument("--repeats", type=int, default=5, help="turns of what is compared")
    return made


def in_turns(
    works: Mapping[str, Callable[[], object]],
    repeats: int,
    calls: Mapping[str, int] | None = None,
    warm_ups: int = 1,
) -> dict[str, Timing]:
    """Time each work `repeats` times, one after the other, then all again.

    Parameters
    ----------
    works : mapping of str to callable
    repeats : int
    calls : mapping of str to int, optional
        Calls of a work in each turn, each timed by itself; 1 unless given.
    warm_ups : int
        Calls before the first turn that do not count.
    """
    found = {name: Timing() for name in works}
    for work in works.values():
        for _ in range(warm_ups):
            work()
    for _ in range(repeats):
        for name, work in works.items():
            for _ in range((calls or {}).get(name, 1)):
                wall, cpu = time.perf_counter(), time.process_time()
                work()
                found[name].cpu.append(time.process_time() - cpu)
                found[name].wall.append(time.perf_counter() - wall)
    return found


def process(command: Sequence[str | Path]) -> Usage:
    """Run a process to its end and say what it took (not on Windows, which has no `wait4`)."""
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *(str(part) for part in command)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True,
    )
    code, wall, cpu, peak = json.loads(ran.stdout)
    if code:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{ran.stderr[-2000:]}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Usage(wall, cpu, peak / unit)


def processes_in_turns(
    commands: Mapping[str, Sequence[str | Path]], repeats: int, once: Sequence[str] = ()
) -> dict[str, list[Usage]]:
    """Run whole processes `repeats` times, one after the other, then all again; some only once."""
    found: dict[str, list[Usage]] = {name: [] for name in commands}
    for turn in range(repeats):
        for name, command in commands.items():
            if turn == 0 or name not in once:
                found[name].append(process(command))
    return found


@contextmanager
def stopwatch(
    stages: Sequence[tuple[str, str, str]], rest: str
) -> Iterator[defaultdict[str, float]]:
    """Time functions while they are used, each without those of them that it calls.

    Parameters
    ----------
    stages : sequence of (module, name, words)
        Functions, or methods as "Class.name", where their callers look them up.
    rest : str
        Words for what is left of the time.

    Yields
    ------
    mapping of str to float
        CPU seconds of all threads, by words; complete when the context ends.
    """
    taken: defaultdict[str, float] = defaultdict(float)
    inside = [0.0]  # seconds of the calls within the function running

    def timed(words: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            inside.append(0.0)
            began = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.process_time() - began
                taken[words] += whole - inside.pop()
                inside[-1] += whole

        return call

    usual = []
    for module, name, words in stages:
        *owners, leaf = name.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        usual.append((owner, leaf, getattr(owner, leaf)))
        setattr(owner, leaf, timed(words, getattr(owner, leaf)))
    began = time.process_time()
    try:
        yield taken
    finally:
        taken[rest] += time.process_time() - began - inside[0]
        for owner, leaf, function in usual:
            setattr(owner, leaf, function)


def median(values: Sequence[float]) -> float:
    """Median."""
    return float(np.median(values))


def copy_bandwidth() -> float:
    """Bytes a second that one thread reads and writes, copying far more than the caches hold."""
    source = np.ones(2**26, np.float32)
    target = np.empty_like(source)
    timing = in_turns({"copy": lambda: np.copyto(target, source)}, 5)["copy"]
    return 2 * source.nbytes / min(timing.wall)


def in_digits(cell: object) -> str:
    """Show a number with three significant digits, never in powers of ten."""
    if not isinstance(cell, (int, float)) or isinstance(cell, bool):
        return str(cell)
    if not np.isfinite(cell):
        return "-"
    digits = 2 - int(np.floor(np.log10(abs(cell)))) if cell else 0
    return f"{cell:.{min(max(digits, 0), 4)}f}"


def judged(value: float, asked: float) -> str:
    """Say whether a value is at most what was asked."""
    return "yes" if value <= asked else f"no, {in_digits(value / asked)} times"


def machine() -> dict[str, Any]:
    """The machine and the software, in words: no name, no path, no date."""
    import psutil

    return {
        "commit": commit(),
        "processor": f"{_cores()} core{'s' * (_cores() != 1)} of {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "threads": os.environ.get("OMP_NUM_THREADS", "as the libraries choose"),
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
    }


def report(tables: Sequence[Table], options: argparse.Namespace, load: str) -> None:
    """Print the tables and write them for the page; `load` is that from before the run."""
    facts = {**machine(), "load": load}
    print(f"{facts['processor']}; load at the start {load}; threads {facts['threads']}")
    print(", ".join(f"{name} {found}" for name, found in facts["packages"].items()))
    for table in tables:
        print(f"\n{table.title}")
        print("\n".join(in_columns(table)))
    if options.json is not None:
        content = {
            "script": Path(sys.argv[0]).name, "machine": facts,
            "tables": [asdict(table) for table in tables],
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def in_columns(table: Table) -> list[str]:
    """A table as lines for a terminal."""
    cells = [table.columns, *table.rows]
    widths = [max(len(row[c]) for row in cells) for c in range(len(table.columns))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    return [line.rstrip() for line in lines] + [f"  {note}" for note in table.notes]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """Maker and instruction set of the processor."""
    lines: dict[str, str] = {}
    if (path := Path("/proc/cpuinfo")).is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            lines.setdefault(key.strip(), value.strip())
    flags = lines.get("flags", "").split()
    best = next((f.upper() for f in ("avx512f", "avx2", "avx") if f in flags), "")
    name = lines.get("model name") or platform.processor() or platform.machine()
    return f"{name}, {best}" if best else name
