"""Whether a saliency map depends on what the network learned (Adebayo et al. 2018).

Weights are put out of order from the logit downwards; a map that stays the same afterwards only
shows edges of the picture.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from scipy.stats import spearmanr

from models.architectures import HIDDEN_LAYER
from models.bundle import ModelBundle
from models.prediction import FloatArray


class Depth(StrEnum):
    """How far down weights are put out of order."""

    HEAD = "head"
    """What is not the backbone's."""
    HALF = "half"
    """The upper half of all layers with weights."""
    ALL = "all"


def randomised(bundle: ModelBundle, depth: Depth, seed: int) -> ModelBundle:
    """The bundle with the kernels of its upper layers shuffled: same values, no order.

    Offsets, scales and statistics of normalisation stay, so that activations keep their sizes.
    """
    random = np.random.default_rng(seed)
    layers = list(dict.fromkeys(name.rpartition("/")[0] for name in bundle.weights))
    first = {Depth.HEAD: layers.index(HIDDEN_LAYER), Depth.HALF: len(layers) // 2, Depth.ALL: 0}
    chosen = set(layers[first[depth] :])
    weights = {
        name: random.permutation(array.ravel()).reshape(array.shape)
        if name.rpartition("/")[0] in chosen and array.ndim > 1
        else array
        for name, array in bundle.weights.items()
    }
    return bundle.with_weights(weights)


def mean_rank_correlation(maps: Sequence[FloatArray], others: Sequence[FloatArray]) -> float:
    """Mean Spearman correlation, −1 to 1, of pairs of maps; one that is flat correlates 0."""
    return float(np.mean([_correlation(a, b) for a, b in zip(maps, others, strict=True)]))


def _correlation(first: FloatArray, second: FloatArray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second, axis=None).statistic)
