"""Scores and labels drawn by the tests."""

import numpy as np
import numpy.typing as npt


def scored(count: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Unit normals, the fractured third one higher."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3 == 0
    return random.normal(size=count) + labels, labels
