"""The head of a bundle's network, read from its weights: what the closed-form explanation needs."""

import numpy as np

from models.architectures import HIDDEN_LAYER, LOGIT_LAYER, MAP_LAYER, PEAK_LAYER, log_odds
from models.bundle import Weights
from models.gradcam import DenseHead, Head, MapHead


def head_of(weights: Weights) -> Head:
    """Return the head between features and score, for the closed-form explanation."""
    dense = dense_head(weights)
    if f"{MAP_LAYER}/kernel" not in weights:
        return dense
    return MapHead(
        dense,
        weights[f"{MAP_LAYER}/kernel"][0, 0, :, 0].astype(np.float32),
        float(weights[f"{MAP_LAYER}/bias"][0]),
        float(weights[f"{PEAK_LAYER}/kernel"][0, 0]),
    )


def dense_head(weights: Weights) -> DenseHead:
    """The head's weights, for the closed-form explanation.

    Where the head has two logits, the score that is explained is their difference, the log-odds of
    fracture: it is linear in the hidden units as one logit is, with the difference of the kernels.
    """
    return DenseHead(
        weights[f"{HIDDEN_LAYER}/kernel"].astype(np.float32),
        weights[f"{HIDDEN_LAYER}/bias"].astype(np.float32),
        log_odds(weights[f"{LOGIT_LAYER}/kernel"].astype(np.float32))[:, np.newaxis],
    )
