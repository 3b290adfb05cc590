"""A real SLURM of one node on the loopback address, in a folder of its own, for tests.

Needs Debian's slurm-wlm and munge, and root: slurmd starts the jobs of other users.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue", "sinfo")
SECONDS_TO_START = 30.0

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
KillWait=5
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
"""


def missing() -> str:
    """Why SLURM cannot be started here; empty if it can."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "slurmd needs root"


@contextmanager
def one_node_slurm(folder: Path, cores: int = 2) -> Iterator[dict[str, str]]:
    """Run munged, slurmctld and slurmd while inside.

    Yields
    ------
    dict
        What the environment of its clients needs.
    """
    configuration = _configure(folder, cores)
    environment = {"SLURM_CONF": str(configuration), "PATH": _path()}
    commands = (
        ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
         f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid",
         f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"],
        ["slurmctld", "-D", "-i", "-f", str(configuration)],
        ["slurmd", "-D", "-f", str(configuration), "-N", socket.gethostname()],
    )  # fmt: skip
    with ExitStack() as stack:
        for command in commands:
            stack.callback(_end, _start(command, environment, folder))
            time.sleep(0.5)
        _wait_until_idle(environment, folder)
        stack.callback(_cancel_all, environment)
        yield environment


def _configure(folder: Path, cores: int) -> Path:
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o400)
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(
        folder=folder, host=socket.gethostname(), cores=cores, memory=1000,
        controller_port=ports[0], node_port=ports[1],
    ))
    return configuration


def _path() -> str:
    return os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))


def _start(
    command: list[str], environment: dict[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    with (folder / f"{command[0]}.out").open("wb") as out:
        return subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    until = time.monotonic() + SECONDS_TO_START
    state = ""
    while time.monotonic() < until:
        state = _ask(["sinfo", "--noheader", "--format=%T"], environment)
        if state == "idle":
            return
        time.sleep(0.5)
    said = "\n".join(path.read_text()[-2000:] for path in sorted(folder.glob("*.out")))
    raise RuntimeError(f"SLURM did not start ({state}):\n{said}")


def _cancel_all(environment: dict[str, str]) -> None:
    _ask(["scancel", "--partition=main", "--signal=KILL", "--full"], environment)
    _ask(["scancel", "--partition=main"], environment)
    until = time.monotonic() + 20
    while _ask(["squeue", "--noheader"], environment) and time.monotonic() < until:
        time.sleep(0.5)


def _ask(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        timeout=20,
    )
    return (done.stdout or done.stderr).strip()
