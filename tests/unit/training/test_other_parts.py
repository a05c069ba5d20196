"""Limbs are told from other parts of the body."""

import numpy as np
import pytest

from models.prediction import FloatArray
from models.scope import Description, OtherParts, Scope, scope_from_bytes, scope_to_bytes
from tests.unit.models.bundles import make_scope
from training.other_parts import QUANTILE, fit_other_parts, rejected_sources

FEATURES = 12


def shares(count: int, middle: float, seed: int) -> FloatArray:
    """Numbers around `middle`, which limbs have at 0."""
    random = np.random.default_rng(seed)
    return (random.normal(size=(count, FEATURES)) + middle).astype(np.float32)


def groups(count: int) -> list[int]:
    return [number // 10 for number in range(count)]


def test_other_parts_are_told_and_few_limbs_are_taken_for_them() -> None:
    head = fit_other_parts(shares(400, 0, 1), groups(400), [shares(5, 2, 2)])
    assert (head.excess(shares(50, 2, 3)) > 1).mean() > 0.9
    assert (head.excess(shares(1000, 0, 4)) > 1).mean() < 3 * (1 - QUANTILE)


def test_a_source_is_judged_by_a_head_that_did_not_see_it() -> None:
    limbs = shares(400, 0, 1)
    alike, unlike = shares(6, 2, 2), shares(6, -2, 3)
    found = rejected_sources(limbs, groups(400), [alike, unlike])
    assert not found[0].any()
    assert not found[1].any()
    assert all(one.all() for one in rejected_sources(limbs, groups(400), [alike, alike]))


def test_one_group_has_no_threshold() -> None:
    with pytest.raises(ValueError, match="2 groups"):
        fit_other_parts(shares(5, 0, 1), [1] * 5, [shares(5, 2, 2)])


def test_a_scope_that_knows_other_parts_rejects_what_its_distances_let_pass() -> None:
    plain = make_scope(3, threshold=1e6)
    head = OtherParts(np.array([1.0, 0.0, 0.0], np.float32), -0.5)
    scope = Scope(plain.features, plain.texture, head)
    features = np.array([[0.4, 0, 0], [0.6, 0, 0], [np.nan, 0, 0]], np.float32)
    described = Description(features, np.tile(plain.texture.mean, (3, 1)))
    assert (scope.excess(described) > 1).tolist() == [False, True, True]
    back = scope_from_bytes(scope_to_bytes(scope))
    assert back.excess(described) == pytest.approx(scope.excess(described))
    assert scope_from_bytes(scope_to_bytes(plain)).other_parts is None


def test_a_head_of_another_network_is_refused() -> None:
    head = OtherParts(np.ones(3, np.float32), 0.0)
    with pytest.raises(ValueError, match="cannot judge 4"):
        head.excess(np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="finite"):
        OtherParts(np.array([np.nan], np.float32), 0.0)
