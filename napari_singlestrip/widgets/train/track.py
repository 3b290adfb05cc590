"""What the curves of training are drawn of: values of each metric, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

DICES = ("validation_dice", "painted_dice")
METRICS = ("loss", *DICES)


@dataclass
class Track:
    """Points of one stage: step and value of each metric, steps ascending."""

    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    n_steps: int = 0

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add what was measured at a step; a stage that was resumed goes on from there."""
        for name, value in metrics.items():
            if name not in METRICS or not math.isfinite(value):
                continue
            line = self.points.setdefault(name, [])
            while line and line[-1][0] >= step:  # a killed job went back to its checkpoint
                line.pop()
            line.append((step, value))

    def last(self, name: str) -> float | None:
        """The newest value of a metric."""
        line = self.points.get(name)
        return line[-1][1] if line else None
