"""A logistic regression with all products of its features: inside or outside of a border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from napari_singlestrip.engine.arrays import FloatArray, Mask

PENALTY = 0.014  # weight of the ridge penalty, per training voxel
CONSTANT = 1e-4  # standard deviation below which a feature is rounding error
STEPS = 12  # of Newton's method
FEWEST_VOXELS = 200  # of the rarer class, to learn from
CHUNK = 100_000  # voxels


@dataclass(frozen=True, eq=False)
class BorderClassifier:
    """The fitted regression.

    Attributes
    ----------
    mean, width : ndarray, shape (n,)
        Standardisation of the features.
    weights : ndarray, shape (1 + n + n (n + 1) / 2,)
        Of the constant, the features, and their products.
    """

    mean: FloatArray
    width: FloatArray
    weights: FloatArray

    @classmethod
    def fit(cls, rows: FloatArray, inside: Mask) -> BorderClassifier | None:
        """Fit by Newton's method, with a quadratic penalty.

        Parameters
        ----------
        rows : ndarray of float32, shape (m, n)
            Features of the training voxels.
        inside : ndarray of bool, shape (m,)

        Returns
        -------
        BorderClassifier or None
            None if there are too few voxels inside or outside.
        """
        n_inside = np.count_nonzero(inside)
        if min(n_inside, len(inside) - n_inside) < FEWEST_VOXELS:
            return None
        mean, width = rows.mean(axis=0), rows.std(axis=0)
        width[width < CONSTANT] = 1
        return cls(mean, width, _fitted(_products((rows - mean) / width), inside))

    def log_odds(self, rows: FloatArray) -> FloatArray:
        """Log-odds of being inside, shape (m,), for features of shape (m, n)."""
        n = rows.shape[1]
        square = np.zeros((n, n), np.float32)
        square[np.triu_indices(n)] = self.weights[n + 1 :]
        odds = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            x = (rows[part] - self.mean) / self.width
            # Without storing the products of all columns.
            slope = x @ square + self.weights[1 : n + 1]
            odds[part] = (slope * x).sum(axis=1) + self.weights[0]
        return odds


def _products(x: FloatArray) -> FloatArray:
    """A constant, all columns, and the products of any two, shape (rows, 1 + n + n (n + 1) / 2)."""
    first, second = np.triu_indices(x.shape[1])
    return np.hstack([np.ones((len(x), 1), np.float32), x, x[:, first] * x[:, second]])


def _fitted(x: FloatArray, inside: Mask) -> FloatArray:
    """Weights of the columns of `x`."""
    penalty = np.full(x.shape[1], PENALTY * len(x))
    penalty[0] = 1e-3  # the constant is not penalised
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = scipy.special.expit(x @ weights.astype(np.float32))
        slope = x.T @ (p - inside) + penalty * weights
        bend = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        weights -= step
        if np.abs(step).max() < 1e-3:
            break
    return weights.astype(np.float32)
