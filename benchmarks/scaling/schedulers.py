"""Two ways to share scans out: submitit with shares that are fixed, dask.distributed task by task.

    python benchmarks/scaling/schedulers.py [--n 200] [--workers 2] [--kill]

Strips N small scans (hard links to eight sample heads of 6 mm) with the model of a study that is
trained in seconds: by one process, by `singlestrip submit --scheduler local`, and by a LocalCluster
whose workers keep the model. With --kill, one worker is killed when 20 masks are there.
Takes turns in one run; processor time, of all processes together, is told beside the clock's.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "speed"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from conftest import Heads, make_study
from measuring import machine

from napari_singlestrip.sample_data import write_sample_heads

SINGLESTRIP = [sys.executable, "-P", "-m", "napari_singlestrip"]
MASKS = "*_mask.nii.gz"
DASK = """
import sys
from pathlib import Path
from dask.distributed import Client, LocalCluster, as_completed, get_worker

def strip(model, scan, out):
    from napari_singlestrip.pipeline.stripper import Stripper
    from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
    from napari_singlestrip.engine.learning.device import choose_device
    from napari_singlestrip.engine.learning.segmenter import strip_volume
    from napari_singlestrip.pipeline.trained_model import open_model
    worker = get_worker()
    if not hasattr(worker, "model"):  # loaded once
        worker.model = open_model(Path(model), choose_device("cpu"), None)
    opened = open_scan(scan)
    mask = strip_volume(worker.model.segmenter, opened.load())
    name = Path(scan).name.removesuffix(".nii.gz")
    save_mask(Path(out) / f"{name}_desc-brain_mask.nii.gz", mask, like=opened)
    return name

if __name__ == "__main__":
    model, scans, out, workers = sys.argv[1:]
    Path(out).mkdir()
    files = sorted(map(str, Path(scans).glob("*.nii.gz")))
    with LocalCluster(n_workers=int(workers), threads_per_worker=1, dashboard_address=None) as c:
        with Client(c) as client:
            futures = [client.submit(strip, model, file, out, pure=False) for file in files]
            failed = sum(future.status != "finished" for future in as_completed(futures))
    print("failed", failed, flush=True)
"""


def main() -> None:
    options = _options()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="singlestrip-scaling-") as folder:
        home = Path(folder)
        study, scans = prepare(home, options.n)
        (home / "by_dask.py").write_text(DASK)
        ways: dict[str, Callable[[Path], Any]] = {
            "one process": lambda out: one_process(study, scans, out),
            "submitit": lambda out: by_submitit(study, scans, out, options.workers),
            "dask.distributed": lambda out: subprocess.run(
                [sys.executable, home / "by_dask.py", study, scans, out, str(options.workers)],
                check=True,
            ),
        }
        if options.kill:
            del ways["one process"]
        print("| way | masks | clock, s | processors, s | first mask, s | peak of all, MB |")
        for name, way in ways.items():
            print("|", name, "|", *measured(way, home / name, options.kill), "|", flush=True)
    for package in ("submitit", "distributed"):
        print(package, *sizes(package))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", action="store_true")
    return parser.parse_args()


def prepare(home: Path, n: int) -> tuple[Path, Path]:
    """A trained study, and a folder of N scans."""
    scans, masks = write_sample_heads(home / "heads", 8, seed=3, spacing_mm=6.0)
    study = make_study(home / "study", Heads(tuple(scans[:2]), tuple(masks[:2])))
    subprocess.run(
        [*SINGLESTRIP, "run", study.folder, "--rounds", "0", "-q", "--device", "cpu"], check=True
    )
    many = home / "many"
    many.mkdir()
    for k in range(n):
        os.link(scans[k % len(scans)], many / f"s{k:05d}.nii.gz")
    return study.folder, many


def one_process(study: Path, scans: Path, out: Path) -> None:
    words = ["apply", study, scans, "--out", out, "--device", "cpu", "-q"]
    subprocess.run([*SINGLESTRIP, *words], check=True)


def by_submitit(study: Path, scans: Path, out: Path, workers: int) -> None:
    shutil.rmtree(study / "submissions", ignore_errors=True)
    words = ["submit", study, "--scheduler", "local", "-n", str(workers), "--device", "cpu"]
    quiet = {"check": False, "stdout": subprocess.DEVNULL}
    subprocess.run([*SINGLESTRIP, *words, "--apply", scans, "--out", out], **quiet)
    subprocess.run([*SINGLESTRIP, "follow", study], **quiet)


def measured(way: Callable[[Path], Any], out: Path, kill: bool) -> list[str]:
    watch = Watch(out, kill)
    before, began = _processors(), time.perf_counter()
    watch.start()
    way(out)
    wall = time.perf_counter() - began
    watch.over.set()
    watch.join()
    # What was started and left alone is not counted by the system as ours: the watch has it.
    cpu = max(_processors() - before, sum(watch.cpu.values()))
    n = len(list(out.glob(MASKS)))
    first = watch.first - began if watch.first else float("nan")
    numbers = (f"{n}", f"{wall:.1f}", f"{cpu:.1f}", f"{first:.1f}", f"{watch.peak / 2**20:.0f}")
    return [" | ".join(numbers)]


def _processors() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Watch(threading.Thread):
    """Sees the first mask, the memory of all processes, and kills one of those that compute."""

    def __init__(self, out: Path, kill: bool) -> None:
        super().__init__(daemon=True)
        self._out, self._kill = out, kill
        self.over = threading.Event()
        self.first = 0.0
        self.peak = 0
        self.cpu: dict[int, float] = {}

    def run(self) -> None:
        mine = str(self._out.parent)
        while not self.over.wait(0.2):
            masks = len(list(self._out.glob(MASKS))) if self._out.is_dir() else 0
            self.first = self.first or (time.perf_counter() if masks else 0.0)
            found = [p for p in psutil.process_iter() if _is_of(p, mine)]
            self.peak = max(self.peak, sum(_memory(p) for p in found))
            for process in found:
                self.cpu[process.pid] = _seconds(process)
            if self._kill and masks >= 20:
                self._kill = False
                max(found, key=_seconds).kill()


def _is_of(process: psutil.Process, home: str) -> bool:
    try:
        words = process.cmdline()
        return process.pid != os.getpid() and any(
            home in word or "multiprocessing" in word or "submitit" in word for word in words
        )
    except psutil.Error:
        return False


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def _seconds(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
        return float(used.user + used.system)
    except psutil.Error:
        return 0.0


def sizes(package: str) -> tuple[str, str]:
    """How much a package and what it needs weigh, without what is there already."""
    seen: set[str] = set()

    def weigh(name: str) -> int:
        if name.lower() in seen or name.lower() in ("numpy", "psutil", "pyyaml", "packaging"):
            return 0
        seen.add(name.lower())
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return 0
        files = sum(path.stat().st_size for f in found.files or ()
                    if (path := Path(str(f.locate()))).is_file())
        needs = [need.split(";")[0] for need in found.requires or () if "extra ==" not in need]
        return files + sum(weigh(_bare(need)) for need in needs)

    total = weigh(package)
    return f"{total / 2**20:.1f} MB", f"{len(seen)} packages"


def _bare(need: str) -> str:
    for n, char in enumerate(need):
        if not (char.isalnum() or char in "-_."):
            return need[:n]
    return need


if __name__ == "__main__":
    main()
