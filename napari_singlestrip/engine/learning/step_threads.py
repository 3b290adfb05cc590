"""The number of threads of training steps on a CPU, chosen again while other programs come and go.

A probe before the training holds for that moment only: with a busy core, threads that wait for each
other are slower than one; a minute later the core may be idle.
"""

from __future__ import annotations

from collections import deque
from statistics import median

import torch

from napari_singlestrip.engine.devices.precision import Precision

EVERY = 300  # steps; then the other number is tried
USUAL, TRIED = 9, 3  # steps to compare; a first one with another number is not counted
LEAST_GAIN = 0.1  # of the time of a step, to change the number


class StepThreads:
    """Times every step, and now and then tries the other number of threads for four of them.

    Parameters
    ----------
    threads : int
        To begin with.
    most : int
        All that may be used; the other number is half of them.
    """

    def __init__(self, threads: int, most: int) -> None:
        self.threads = threads
        self._numbers = (most, max(1, most // 2))
        self._chosen, self._usual = threads, 0.0
        self._taken: deque[float] = deque(maxlen=USUAL)
        self._n_steps = 0

    @property
    def _tries(self) -> bool:
        return self.threads != self._chosen

    def after(self, seconds: float) -> int:
        """Note the time of a step, and return the number of threads of the next one."""
        self._taken.append(seconds)
        self._n_steps += 1
        if self._tries and len(self._taken) > TRIED:
            tried = median(list(self._taken)[1:])
            if tried < (1 - LEAST_GAIN) * self._usual:
                self._chosen = self.threads
            self._begin(self._chosen)
        elif not self._tries and self._n_steps >= EVERY:
            self._usual = median(self._taken)
            most, half = self._numbers
            self._begin(half if self._chosen == most else most)
        return self.threads

    def _begin(self, threads: int) -> None:
        self.threads, self._n_steps = threads, 0
        self._taken.clear()


def choice_of_threads(precision: Precision, device: torch.device) -> StepThreads | None:
    """Return what chooses the number of threads; None where there is no choice."""
    most = torch.get_num_threads()
    if device.type != "cpu" or most < 2:
        return None
    return StepThreads(precision.threads or most, most)
