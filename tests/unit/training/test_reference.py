"""The reference is measured as serving measures: grey values in [0, 1], rows times columns."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.reference import from_card
from training.data.example import Example
from training.reference import reference_card


def test_the_reference_holds_what_serving_would_measure_of_each_radiograph(tmp_path: Path) -> None:
    examples = []
    for number, grey in enumerate((51, 102, 204)):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((10, 10 + number), grey, np.uint8))
        examples.append(Example(path, False, ()))

    made = from_card({"reference": reference_card(examples, np.array([0.25, 0.5, 0.75]))})

    means, sizes = made["mean_intensity"], made["pixels"]
    assert (min(means.edges), max(means.edges)) == pytest.approx((0.24, 0.72))  # the deciles
    assert (min(sizes.edges), max(sizes.edges)) == pytest.approx((102, 118))
    assert sum(made["probability"].counts) == 3
    assert 0.5 in made["probability"].edges
