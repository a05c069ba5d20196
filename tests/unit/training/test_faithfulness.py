"""Insertion and deletion curves, with a model whose answer is known."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.prediction import FloatArray
from training.explanation.faithfulness import STEPS, curves, random_order

ROWS, COLUMNS = 60, 40
PATCH = (slice(10, 20), slice(5, 15))


def radiograph() -> FloatArray:
    """Dark, with a bright patch that blurring takes away."""
    pixels = np.zeros((ROWS, COLUMNS), np.float32)
    pixels[PATCH] = 1.0
    return pixels


def patch_brightness(radiographs: Sequence[FloatArray]) -> np.ndarray:
    """A model that looks at the patch alone."""
    return np.array([float(pixels[PATCH].mean()) for pixels in radiographs])


def marked(where: tuple[slice, slice]) -> FloatArray:
    saliency = np.zeros((ROWS, COLUMNS), np.float32)
    saliency[where] = 1.0
    return saliency


def test_a_map_of_what_the_model_looks_at_inserts_early_and_deletes_early() -> None:
    right = curves(radiograph(), marked(PATCH), patch_brightness)
    wrong = curves(radiograph(), marked((slice(40, 50), slice(25, 35))), patch_brightness)
    assert right.insertion_area > wrong.insertion_area + 0.1
    assert right.deletion_area < wrong.deletion_area - 0.1


def test_both_curves_end_where_the_other_starts() -> None:
    found = curves(radiograph(), marked(PATCH), patch_brightness)
    assert len(found.insertion) == len(found.deletion) == STEPS + 1
    assert found.insertion[-1] == found.deletion[0] == pytest.approx(1.0)
    assert found.insertion[0] == found.deletion[-1] < 0.9


def test_a_coarse_map_covers_the_whole_radiograph() -> None:
    coarse = np.zeros((6, 4), np.float32)
    coarse[1, 1] = 1.0  # its centre is the patch's
    right = curves(radiograph(), coarse, patch_brightness)
    assert right.insertion_area > curves(radiograph(), -coarse, patch_brightness).insertion_area


def test_noise_is_the_same_for_a_seed_and_another_for_another() -> None:
    assert np.array_equal(random_order((30, 20), 1), random_order((30, 20), 1))
    assert not np.array_equal(random_order((30, 20), 1), random_order((30, 20), 2))
