"""The reference is measured as serving measures: grey values in [0, 1], rows times columns."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.reference import from_card
from training.card import ScoredExamples
from training.data.example import Example
from training.reference import reference_card
from training.splits import as_split


def test_the_reference_is_measured_on_the_validation_part_alone(tmp_path: Path) -> None:
    examples = []
    for number, grey in enumerate((51, 102, 204, 255)):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((10, 10 + number), grey, np.uint8))
        examples.append(Example(path, False, ()))
    parts = ["validation", "validation", "validation", "train"]
    split = as_split(examples, ["train", "validation"], parts, [0, 1, 2, 3])
    flags = np.zeros(3, np.bool_)
    scored = ScoredExamples(np.array([-1.0, 0.0, 1.0]), flags, flags, np.zeros(3, np.int32))
    calibration = {"calibration": {"scale": 1.0, "offset": 0.0}}

    made = from_card({"reference": reference_card(examples, split, calibration, scored)})

    means, sizes = made["mean_intensity"], made["pixels"]
    assert (min(means.edges), max(means.edges)) == pytest.approx((0.24, 0.72))  # the deciles
    assert (min(sizes.edges), max(sizes.edges)) == pytest.approx((102, 118))
    assert sum(made["probability"].counts) == 3
    assert 0.5 in made["probability"].edges
