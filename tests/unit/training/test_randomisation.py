"""Weights put out of order, and how alike maps stay."""

import numpy as np
import pytest

from models.architectures import HIDDEN_LAYER, LOGIT_LAYER
from models.bundle import ModelBundle
from tests.unit.models.bundles import make_bundle
from training.explanation.randomisation import Depth, mean_rank_correlation, randomised


@pytest.fixture
def weighted() -> ModelBundle:
    random = np.random.default_rng(0)
    names = ["conv1", "conv2", HIDDEN_LAYER, LOGIT_LAYER]
    weights = {
        f"{name}/{kind}": random.normal(size=(8, 8) if kind == "kernel" else 8)
        for name in names
        for kind in ("kernel", "bias")
    }
    return make_bundle(weights=weights)


@pytest.mark.parametrize(
    ("depth", "changed"),
    [
        (Depth.HEAD, {HIDDEN_LAYER, LOGIT_LAYER}),
        (Depth.HALF, {HIDDEN_LAYER, LOGIT_LAYER}),
        (Depth.ALL, {"conv1", "conv2", HIDDEN_LAYER, LOGIT_LAYER}),
    ],
)
def test_kernels_lose_their_order_from_the_top_and_keep_their_values(
    weighted: ModelBundle, depth: Depth, changed: set[str]
) -> None:
    after = randomised(weighted, depth, seed=1).weights
    differing = {
        name for name in weighted.weights if not np.array_equal(weighted.weights[name], after[name])
    }
    assert differing == {f"{layer}/kernel" for layer in changed}
    for name in differing:
        assert np.array_equal(
            np.sort(after[name], axis=None), np.sort(weighted.weights[name], None)
        )


def test_a_map_is_like_itself_and_unlike_its_reverse() -> None:
    map_ = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert mean_rank_correlation([map_, map_], [map_, -map_]) == pytest.approx(0.0)
    assert mean_rank_correlation([map_], [map_**3]) == pytest.approx(1.0)


def test_a_flat_map_is_like_nothing() -> None:
    map_ = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert mean_rank_correlation([map_], [np.zeros_like(map_)]) == 0.0
