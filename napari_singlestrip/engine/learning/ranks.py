"""Several processes that train one network, each on heads of its own.

Process 0 does everything that a single process does, and alone writes files. The others take the
same steps when it says so; torch's DistributedDataParallel averages the gradients, so that all keep
the same weights. What process 0 says goes through a group of its own on the CPU (gloo), which
notices within a second when a process ends, since the system closes its connections.
"""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import distributed, nn

from napari_singlestrip.engine.devices import launch
from napari_singlestrip.engine.devices.launch import Place
from napari_singlestrip.engine.learning.device import choose_device
from napari_singlestrip.errors import UserError

T = TypeVar("T")

STEP_MINUTES = 10.0  # for all to finish a step or to listen: longer if one is stuck, but not ended
WAIT_DAYS = 7  # for process 0 to say something: it may be paused, or predict many scans
HEADS = 8  # of the seeds that start with a training's seed, those of the other processes' heads
INTERFACE = "GLOO_SOCKET_IFNAME"  # what gloo reads
LOOPBACK = {"lo", "lo0"}  # of Linux; of macOS and BSD
# What gloo, NCCL and the store say of a process that is gone.
_GONE = re.compile("gloo|nccl|connection|peer|timed out|timeout|socket", re.IGNORECASE)


class Over(Exception):
    """Raised in the other processes when process 0 has nothing more to train."""


@dataclass(frozen=True)
class Ranks:
    """A process among those that train together; alone by default.

    Attributes
    ----------
    place : Place
    control : process group
        What process 0 says to the others goes through it; None if it is alone.
    """

    place: Place = launch.ALONE
    control: Any = None

    @property
    def first(self) -> bool:
        """Whether this process decides and writes."""
        return self.place.first

    def tell(self, value: Any) -> None:
        """Say something to all other processes, from the first; None ends their work.

        Raises
        ------
        UserError
            If one of them is gone.
        """
        if self.control is not None:
            with self.answering():
                distributed.broadcast_object_list([value], src=0, group=self.control)

    def hear(self) -> Any:
        """Return what the first process says, however long that takes.

        Raises
        ------
        Over
            If that is the end.
        UserError
            If it is gone.
        """
        heard: list[Any] = [None]
        with self.answering():
            distributed.broadcast_object_list(heard, src=0, group=self.control)
        if heard[0] is None:
            raise Over
        return heard[0]

    def shared(self, value: T) -> T:
        """Return the first process's value in all of them."""
        if not self.first:
            found: T = self.hear()[0]
            return found
        self.tell((value,))
        return value

    def joined(self, net: nn.Module) -> nn.Module:
        """Wrap a net so that its gradients are the mean over all processes.

        Its weights become those of the first process. The wrapper has the net itself within: the
        names of its weights in a checkpoint are those of a single process.
        """
        if self.control is None:
            return net
        device = next(net.parameters()).device
        # Of weights with one input channel: both layouts put the same numbers in the same order.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        with self.answering():
            return nn.parallel.DistributedDataParallel(
                net, device_ids=None if device.type == "cpu" else [device]
            )

    def heads(self, rng: np.random.Generator, seed: int, step: int) -> np.random.Generator:
        """Return the generator of a step's heads.

        Parameters
        ----------
        rng : numpy.random.Generator
            That of the training, which the first process uses, as if it were alone. The others'
            follow from seed, step and rank, so that a checkpoint need not hold them.
        seed, step : int
        """
        if self.first:
            return rng
        return np.random.default_rng([seed, HEADS, self.place.rank, step])

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Explain when another process is gone."""
        try:
            yield
        except RuntimeError as error:
            if self.control is None or not _GONE.search(str(error)):
                raise
            raise UserError(
                f"Another of the {self.place.n} training processes has ended, or has not answered "
                f"for {STEP_MINUTES:g} minutes.",
                "If it said why, that is above. The same command goes on from the last checkpoint, "
                "also with another number of processes.",
            ) from error


ALONE = Ranks()


def device_of(name: str, place: Place) -> torch.device:
    """Choose the device of a process: of several, each has a graphics card of its own.

    Raises
    ------
    UserError
        If the device is unknown, missing, or cannot be shared out.
    """
    device = choose_device(name)
    if place.n == 1 or device.type == "cpu":
        return device
    if name not in ("auto", "cuda"):
        raise UserError(
            f"{place.n} processes cannot train on {name}: each needs a graphics card of its own.",
            "Use --device cuda, and CUDA_VISIBLE_DEVICES to choose cards; or --device cpu.",
        )
    device = choose_device(f"cuda:{place.local_rank}")
    torch.cuda.set_device(device)
    return device


@contextmanager
def meeting(place: Place, rendezvous: str = "env://") -> Iterator[Ranks]:
    """Meet the other processes; at the end, and if the work is closed, the first dismisses them.

    After an error it does not, since they may be in the middle of a step: its process ends, which
    they notice.

    Parameters
    ----------
    place : Place
    rendezvous : str
        Where they meet: by default at the address that torchrun gives.

    Raises
    ------
    UserError
        If they do not come.
    """
    if place.n == 1:
        yield ALONE
        return
    ranks = Ranks(place, _groups(place, rendezvous))
    try:
        yield ranks
    except GeneratorExit:
        _dismiss(ranks)
        raise
    _dismiss(ranks)


def _groups(place: Place, rendezvous: str) -> Any:
    """Make the group for gradients, torch's default, and return the other."""
    _stay_here(place)
    backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    step, long = timedelta(minutes=STEP_MINUTES), timedelta(days=WAIT_DAYS)
    with Ranks(place, control=rendezvous).answering():
        distributed.init_process_group(
            backends, init_method=rendezvous, rank=place.rank, world_size=place.n,
            timeout=step,
        )
        # Speaking takes until all have listened.
        return distributed.new_group(backend="gloo", timeout=step if place.first else long)


def _stay_here(place: Place) -> None:
    """Let gloo connect the processes of one computer by its loopback interface.

    Otherwise it looks up the computer's own name, which takes until all name servers have been
    waited for where none knows it, and connects through a network that may be shut off.
    """
    if place.n_local == place.n and INTERFACE not in os.environ:
        here = {name for _, name in socket.if_nameindex()}
        for name in LOOPBACK & here:
            os.environ[INTERFACE] = name


def _dismiss(ranks: Ranks) -> None:
    if ranks.first:
        with suppress(UserError):  # all is done: it does not matter if one is gone
            ranks.tell(None)
    distributed.destroy_process_group()
