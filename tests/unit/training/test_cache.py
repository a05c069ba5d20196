"""Radiographs decoded once: right, whole, found again, and made anew when a picture changed."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.preprocessing import Framing, Normalization, Preprocessing, letterbox
from tests.unit.training.test_batches import draw_pictures
from training import cache
from training.cache import serving_squares, training_shape, training_squares
from training.data.example import Example
from training.data.pixels import read_pixels
from training.errors import DataError

PREPROCESSING = Preprocessing(input_size=16)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Example]:
    return draw_pictures(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_training_squares_are_prepared_radiographs_at_twice_the_size(
    pictures: list[Example], folder: Path
) -> None:
    ticks: list[None] = []
    squares = training_squares(pictures, PREPROCESSING, folder, lambda: ticks.append(None))
    shape = training_shape(PREPROCESSING)
    assert squares.shape == (3, *shape) == (3, 32, 32)
    assert squares.dtype == np.uint8
    assert len(ticks) == 3
    for row, example in enumerate(pictures):
        square, _ = letterbox(read_pixels(example.path), PREPROCESSING, shape)
        assert np.abs(squares[row] / 255 - square).max() <= 0.51 / 255


def test_serving_squares_are_exactly_what_the_classifier_makes(
    pictures: list[Example], folder: Path
) -> None:
    squares = serving_squares(pictures, PREPROCESSING, folder)
    for row, example in enumerate(pictures):
        assert np.array_equal(squares[row], letterbox(read_pixels(example.path), PREPROCESSING)[0])


def test_what_was_decoded_is_found_again_whatever_the_normalisation(
    pictures: list[Example], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = np.array(training_squares(pictures, PREPROCESSING, folder))
    monkeypatch.setattr(cache, "read_pixels", _refuse)
    other = replace(PREPROCESSING, normalization=Normalization.IMAGENET)
    assert np.array_equal(training_squares(pictures, other, folder), first)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "change", ["picture", "time", "order", "size", "columns", "framing", "percentiles"]
)
def test_a_change_of_what_it_is_made_from_makes_it_anew(
    pictures: list[Example], folder: Path, change: str
) -> None:
    training_squares(pictures, PREPROCESSING, folder)
    preprocessing = PREPROCESSING
    if change == "picture":
        cv2.imwrite(str(pictures[0].path), np.eye(30, dtype=np.uint8) * 255)
    elif change == "time":
        os.utime(pictures[0].path, (1, 1))
    elif change == "order":
        pictures = pictures[::-1]
    elif change == "size":
        preprocessing = replace(preprocessing, input_size=18)
    elif change == "columns":
        preprocessing = replace(preprocessing, input_columns=8)
    elif change == "framing":
        preprocessing = replace(preprocessing, framing=Framing.CONTENT)
    else:
        preprocessing = replace(preprocessing, low_percentile=5.0)
    squares = training_squares(pictures, preprocessing, folder)
    assert len(list(folder.iterdir())) == 2
    shape = training_shape(preprocessing)
    square, _ = letterbox(read_pixels(pictures[0].path), preprocessing, shape)
    assert np.abs(squares[0] / 255 - square).max() <= 0.51 / 255


def test_a_picture_that_cannot_be_read_is_named_and_leaves_no_half_file(
    pictures: list[Example], folder: Path, tmp_path: Path
) -> None:
    broken = Example(tmp_path / "broken.png", False, ())
    broken.path.write_bytes(b"not a picture")
    missing = Example(tmp_path / "nowhere.png", False, ())
    for bad in (broken, missing):
        with pytest.raises(DataError, match=bad.path.name):
            training_squares([*pictures, bad], PREPROCESSING, folder)
    assert list(folder.iterdir()) == []


def _refuse(path: Path) -> None:
    raise AssertionError(f"{path} was read again")
