"""Types of arrays: one name for each kind, everywhere."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float32]
# float32 in fact, which numpy's types do not promise of what is computed from it
FloatingArray: TypeAlias = NDArray[np.floating[Any]]
AnyArray: TypeAlias = NDArray[Any]
