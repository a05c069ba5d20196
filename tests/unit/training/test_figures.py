"""Figures on hand-made scores, and against scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from training.statistics.figures import auc, confusion, sensitivity, specificity

SCORED = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30).filter(
    lambda rows: len({label for _, label in rows}) == 2
)
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.8, 0.2])
LABELS = np.array([False, False, True, True, False, True])


def test_the_area_under_the_curve_counts_the_pairs_in_order_and_ties_as_half() -> None:
    """Of 9 pairs 0.35 beats 0.1, 0.8 beats 0.1 and 0.4 and ties 0.8, 0.2 beats 0.1."""
    assert auc(SCORES, LABELS) == pytest.approx((1 + 2.5 + 1) / 9)
    assert auc(np.array([0.1, 0.9]), np.array([False, True])) == 1.0
    assert auc(np.array([0.9, 0.1]), np.array([False, True])) == 0.0


@pytest.mark.parametrize(
    ("threshold", "found", "spared"),
    [(0.0, 3, 0), (0.2, 3, 1), (0.21, 2, 1), (0.35, 2, 1), (0.8, 1, 2), (0.81, 0, 3)],
)
def test_reaching_the_threshold_counts_as_found_and_staying_below_as_spared(
    threshold: float, found: int, spared: int
) -> None:
    assert sensitivity(SCORES, LABELS, threshold) == pytest.approx(found / 3)
    assert specificity(SCORES, LABELS, threshold) == pytest.approx(spared / 3)


@given(SCORED)
def test_the_area_is_scikit_learns_ties_and_all(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], np.float64)
    labels = np.array([label for _, label in rows])
    assert auc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores))


@given(SCORED)
def test_swapped_labels_give_one_minus_the_area(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], np.float64)
    labels = np.array([label for _, label in rows])
    assert auc(scores, ~labels) == pytest.approx(1 - auc(scores, labels))
    assert auc(-scores, labels) == pytest.approx(1 - auc(scores, labels))


@pytest.mark.parametrize("label", [True, False])
def test_an_area_without_both_labels_is_no_number(label: bool) -> None:
    assert np.isnan(auc(np.array([0.1, 0.2]), np.full(2, label)))


@given(SCORED, st.integers(0, 7))
def test_what_follows_from_the_confusion_matrix_is_scikit_learns(
    rows: list[tuple[int, bool]], threshold: int
) -> None:
    scores = np.array([score for score, _ in rows], np.float64)
    labels = np.array([label for _, label in rows])
    found, called = confusion(scores, labels, threshold), scores >= threshold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an undefined precision
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            labels, called, labels=[False, True], zero_division=np.nan
        )
    assert [found.negative_precision, found.precision] == pytest.approx(precision, nan_ok=True)
    assert [found.specificity, found.sensitivity] == pytest.approx(recall, nan_ok=True)
    assert [found.negative_f1, found.f1] == pytest.approx(f1, nan_ok=True)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, called))
    assert found.macro_f1 == pytest.approx(f1.mean(), nan_ok=True)
    assert found.count == len(rows)


def test_paper_bs_raw_confusion_matrix_gives_its_recalls_and_not_its_accuracy() -> None:
    """57 of 167 fractures and 414 of 434 others: 78.4 %, where the paper states 74 %."""
    labels = np.arange(601) < 167
    called = np.concatenate([np.arange(167) < 57, np.arange(434) >= 414]).astype(np.float64)
    found = confusion(called, labels, 0.5)
    assert found.sensitivity == pytest.approx(0.341, abs=5e-4)
    assert found.specificity == pytest.approx(0.954, abs=5e-4)
    assert found.accuracy == pytest.approx(0.784, abs=5e-4)
