"""The head that tells lying radiographs, fitted on turned copies."""

import numpy as np

from models.prediction import FloatArray
from training.position import TURNS, fit_position, judged_by_others, seen_as
from training.scope import processed


def turned_shares(count: int, seed: int) -> FloatArray:
    """Shares (count, 4, 6) whose first feature is weaker where the radiograph lies."""
    random = np.random.default_rng(seed)
    shares = random.uniform(0.4, 0.6, (count, len(TURNS), 6)).astype(np.float32)
    shares[:, 1::2, 0] -= 0.3
    return shares


def test_a_fitted_head_tells_lying_from_standing() -> None:
    head = fit_position(turned_shares(200, 1))
    unseen = turned_shares(50, 2)
    log_odds = unseen @ head.kernel + head.offset
    assert ((log_odds > 0) == [False, True, False, True]).mean() > 0.97


def test_a_group_is_judged_by_a_head_that_did_not_see_it() -> None:
    shares = turned_shares(100, 3)
    shares[:20] = shares[:20, [1, 0, 3, 2]]  # the first group is the wrong way round
    groups = [row // 20 for row in range(100)]
    log_odds = judged_by_others(shares, groups)
    right = (log_odds > 0) == [False, True, False, True]
    assert right[:20].mean() < 0.05
    assert right[20:].mean() > 0.95


def test_what_lies_is_seen_turned_by_a_quarter_unless_it_lies_then_even_more() -> None:
    log_odds = np.array([[-3.0, 2.0, -3.0, 2.0], [1.0, 2.0, -1.0, 0.5]])
    assert seen_as(log_odds).tolist() == [[0, 2, 2, 0], [0, 2, 2, 3]]


def test_processing_keeps_the_range_and_sharpens_edges() -> None:
    picture = np.full((64, 48), 0.3, np.float32)
    picture[:, 20:28] = 0.6
    for seed in range(12):
        seen = processed(picture, np.random.default_rng(seed))
        assert seen.dtype == np.float32
        assert seen.shape == picture.shape
        assert 0 <= seen.min() < seen.max() <= 1
        assert not np.array_equal(seen, picture)
