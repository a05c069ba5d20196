"""The synthetic radiograph."""

import numpy as np

from worker.phantom import draw_phantom


def test_the_same_seed_draws_the_same_phantom_and_another_seed_another() -> None:
    first = draw_phantom(1, fractured=True)
    assert first.shape == (1024, 832)
    assert first.dtype == np.uint8
    assert np.array_equal(first, draw_phantom(1, fractured=True))
    assert not np.array_equal(first, draw_phantom(2, fractured=True))


def test_a_fracture_darkens_a_small_part_of_the_bone() -> None:
    broken = draw_phantom(3, fractured=True, rows=512, columns=416).astype(int)
    whole = draw_phantom(3, fractured=False, rows=512, columns=416).astype(int)
    assert broken.shape == (512, 416)
    assert broken.min() < 30
    assert broken.max() > 180
    assert np.sort((whole - broken).ravel())[-50:].min() >= 15
