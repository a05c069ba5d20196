"""A scope fitted on radiographs: what it keeps, and what it rejects."""

import numpy as np
import numpy.typing as npt
import pytest

from models.prediction import FloatArray
from models.scope import MOST_AXES, Scope, describe, scope_to_bytes
from tests.scoped_model import (
    PREPROCESSING,
    EdgeNetwork,
    bundle_that_knows_limbs,
    draw_limb,
    square,
)
from training.foreign_pictures import draw_foreign
from training.scope import QUANTILE, VARIATIONS, fit_scope, spread_of, varied


def gaussian(count: int, numbers: int, seed: int) -> FloatArray:
    """Descriptions that hang together, of very different scales."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(numbers, numbers))
    scales = 10.0 ** np.linspace(-3, 3, numbers)
    return np.asarray((random.normal(size=(count, numbers)) @ mixing) * scales, np.float32)


@pytest.mark.parametrize("numbers", [12, MOST_AXES + 40])
def test_about_the_chosen_share_of_unseen_descriptions_lies_beyond_the_threshold(
    numbers: int,
) -> None:
    scope = spread_of(gaussian(5000, numbers, 1), range(5000))
    beyond = (scope.excess(gaussian(4000, numbers, 3)) > 1).mean()
    assert beyond == pytest.approx(1 - QUANTILE, abs=0.005)
    assert scope.axes.shape == (numbers, min(numbers, MOST_AXES))


def test_what_is_ordinary_in_each_number_and_odd_together_is_far_out() -> None:
    random = np.random.default_rng(1)
    along = random.normal(size=(1000, 1))
    together = np.asarray(along + 0.05 * random.normal(size=(1000, 2)), np.float32)
    scope = spread_of(together, range(1000))
    usual, odd = np.float32([[1.0, 1.0]]), np.float32([[1.0, -1.0]])
    assert scope.excess(usual) < 1 < scope.excess(odd) / 3


def test_a_number_that_never_varies_does_not_divide_by_nothing() -> None:
    descriptions = gaussian(100, 4, 1)
    descriptions[:, 2] = 7.0
    assert np.isfinite(spread_of(descriptions, range(100)).distance(descriptions)).all()


def test_the_threshold_is_what_unseen_groups_would_keep() -> None:
    """Each radiograph ten times: a spread that knew them would set it too low."""
    ten_times = np.repeat(gaussian(80, 40, 1), 10, axis=0)
    unseen = gaussian(4000, 40, 2)
    by_group = spread_of(ten_times, np.repeat(np.arange(80), 10).tolist())
    one_by_one = spread_of(ten_times, range(800))
    assert (by_group.excess(unseen) > 1).mean() < 0.1 < (one_by_one.excess(unseen) > 1).mean()


def test_radiographs_of_one_group_are_too_few() -> None:
    with pytest.raises(ValueError, match="of 2 groups, not of 1"):
        spread_of(gaussian(5, 4, 1), [3] * 5)


@pytest.mark.parametrize("kind", ["white noise", "text page", "checkerboard"])
def test_a_scope_of_drawn_limbs_keeps_limbs_and_rejects_other_pictures(kind: str) -> None:
    scope = bundle_that_knows_limbs().scope
    assert scope is not None
    unseen = np.stack([square(draw_limb(seed)) for seed in range(1000, 1040)])
    foreign = np.stack([square(draw_foreign(kind, number, 0)) for number in range(5)])
    assert (excess(scope, unseen) <= 1).mean() >= 0.9
    assert (excess(scope, foreign) > 1).all()


def test_the_same_radiographs_and_seed_give_the_same_bytes() -> None:
    limbs = np.stack([square(draw_limb(seed)) for seed in range(12)])

    def fitted(seed: int) -> bytes:
        return scope_to_bytes(
            fit_scope(EdgeNetwork(), PREPROCESSING, limbs, range(12), range(12), seed=seed)
        )

    assert fitted(1) == fitted(1) != fitted(2)


def test_progress_is_told_once_per_radiograph_and_variation() -> None:
    limbs = np.stack([square(draw_limb(seed)) for seed in range(5)])
    told: list[None] = []
    fit_scope(
        EdgeNetwork(),
        PREPROCESSING,
        limbs,
        [4, 0, 2, 1],
        [0, 1, 2, 3],
        on_progress=lambda: told.append(None),
    )
    assert len(told) == (1 + VARIATIONS) * 4


def test_a_variation_is_a_letterboxed_square_too() -> None:
    limb = square(draw_limb(1))
    for seed in range(20):
        other = varied(limb, PREPROCESSING, np.random.default_rng(seed))
        assert other.shape == limb.shape
        assert (other.min(), other.max()) == (0.0, 1.0)
        assert not np.array_equal(other, limb)


def test_a_black_square_can_be_varied() -> None:
    black = np.zeros((64, 64), np.float32)
    assert np.isfinite(varied(black, PREPROCESSING, np.random.default_rng(1))).all()


def excess(scope: Scope, squares: FloatArray) -> npt.NDArray[np.float64]:
    features, _ = EdgeNetwork().run(2 * squares[..., np.newaxis].repeat(3, -1) - 1)
    return scope.excess(describe(squares, features))
