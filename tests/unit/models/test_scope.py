"""What is unlike the radiographs that a network learned from."""

from dataclasses import replace
from io import BytesIO

import cv2
import numpy as np
import pytest

from models.prediction import FloatArray
from models.scope import (
    TEXTURE_MEASURES,
    Description,
    Scope,
    Spread,
    describe,
    scope_from_bytes,
    scope_to_bytes,
    texture,
)
from tests.unit.models.bundles import make_scope, make_spread


def whole_spread(covariance: FloatArray, mean: FloatArray) -> Spread:
    variances, axes = np.linalg.eigh(covariance)
    ones = np.ones(len(mean), np.float32)
    return Spread(mean, ones, axes.astype(np.float32), variances.astype(np.float32), 1.0, 2.0)


def test_the_distance_along_all_axes_is_that_of_mahalanobis() -> None:
    random = np.random.default_rng(1)
    root = random.normal(size=(5, 5))
    covariance = np.asarray(root @ root.T + np.eye(5), np.float32)
    mean = random.normal(size=5).astype(np.float32)
    points = random.normal(size=(7, 5)).astype(np.float32)

    found = whole_spread(covariance, mean).distance(points)

    off = points - mean
    expected = np.sqrt(np.einsum("ni,ij,nj->n", off, np.linalg.inv(covariance), off))
    assert found == pytest.approx(expected, rel=1e-4)


def test_what_lies_at_right_angles_to_the_axes_counts_by_the_variance_of_the_rest() -> None:
    axes = np.eye(4, dtype=np.float32)[:, :1]
    one = np.ones(4, np.float32)
    scope = Spread(np.zeros(4, np.float32), 2 * one, axes, np.float32([9.0]), 0.25, 2.0)
    along, across = np.float32([[6, 0, 0, 0]]), np.float32([[0, 0, 6, 0]])
    assert scope.distance(along) == pytest.approx([1.0])
    assert scope.distance(across) == pytest.approx([6.0])
    assert scope.excess(across) == pytest.approx([3.0])


def test_numbers_that_are_none_are_infinitely_far_out() -> None:
    assert make_spread(3).excess(np.full((2, 3), np.nan, np.float32)).tolist() == [np.inf, np.inf]


def test_numbers_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="3 numbers cannot judge 5"):
        make_spread(3).distance(np.zeros((1, 5), np.float32))


def test_a_picture_is_outside_if_either_its_features_or_its_texture_are() -> None:
    scope = Scope(features=make_spread(3, threshold=10), texture=make_spread(TEXTURE_MEASURES, 10))
    near, odd = (scope.features.mean, scope.texture.mean), 1000.0
    described = Description(
        np.stack([near[0], near[0] + odd, near[0]]), np.stack([near[1], near[1], near[1] + odd])
    )
    assert (scope.excess(described) > 1).tolist() == [False, True, True]


def test_a_description_has_neither_the_pictures_contrast_nor_the_strength_of_features() -> None:
    square, features = picture(1), np.random.default_rng(2).random((1, 4, 4, 6), np.float32)
    plain = describe(square[np.newaxis], features)
    fainter = describe(0.5 * square[np.newaxis], 3 * features)
    assert (plain.features.shape, plain.texture.shape) == ((1, 6), (1, TEXTURE_MEASURES))
    assert fainter.features == pytest.approx(plain.features, abs=1e-5)
    assert fainter.texture == pytest.approx(plain.texture, abs=0.1)


def test_the_letterbox_border_is_no_part_of_the_texture() -> None:
    bordered = np.zeros((96, 96), np.float32)
    bordered[:, 16:80] = picture(1)[:, 16:80]
    assert texture(bordered) == pytest.approx(texture(picture(1)[:, 16:80]))


def test_noise_print_and_smooth_pictures_differ_in_texture() -> None:
    smooth = picture(1)
    noise = np.random.default_rng(3).random((96, 96), np.float32)
    page = np.zeros((96, 96), np.uint8)
    for row in range(12, 96, 12):
        cv2.putText(page, "radiograph", (2, row), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,))
    kinds = [texture(one) for one in (smooth, noise, np.float32(page) / 255)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(kinds[first] - kinds[second]).max() > 0.5


@pytest.mark.parametrize("shade", [0.0, 1.0])
def test_a_blank_square_has_a_finite_description(shade: float) -> None:
    square = np.full((1, 32, 32), shade, np.float32)
    described = describe(square, np.zeros((1, 2, 2, 4), np.float32))
    assert np.isfinite(np.concatenate(described, axis=1)).all()


def test_a_scope_survives_its_bytes() -> None:
    scope = make_scope(channels=3)
    back = scope_from_bytes(scope_to_bytes(scope))
    random = np.random.default_rng(1)
    described = Description(
        *(random.normal(size=(4, n)).astype(np.float32) for n in (3, TEXTURE_MEASURES))
    )
    assert back.excess(described) == pytest.approx(scope.excess(described), rel=1e-6)


def test_arrays_that_are_missing_or_too_many_are_refused() -> None:
    with np.load(BytesIO(scope_to_bytes(make_scope(channels=3)))) as stored:
        arrays = dict(stored)
    for changed, told in (
        ({name: arrays[name] for name in arrays if name != "texture/axes"}, "texture/axes"),
        ({**arrays, "other": np.zeros(1)}, "unknown arrays: other"),
    ):
        buffer = BytesIO()
        np.savez(buffer, **changed)
        with pytest.raises(ValueError, match=told):
            scope_from_bytes(buffer.getvalue())


@pytest.mark.parametrize("stored", [b"", b"PK\x03\x04", b"no archive at all"])
def test_bytes_that_are_no_archive_of_arrays_are_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a file of arrays|pickled"):
        scope_from_bytes(stored)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"axes": np.zeros((5, 3), np.float32)}, "shapes"),
        ({"variances": np.zeros(3, np.float32)}, "above 0"),
        ({"threshold": float("nan")}, "above 0"),
        ({"mean": np.full(12, np.inf, np.float32)}, "finite"),
    ],
    ids=["shape", "no variance", "no threshold", "infinite"],
)
def test_a_spread_of_senseless_numbers_is_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(make_spread(12), **change)  # type: ignore[arg-type]


def picture(seed: int) -> FloatArray:
    rough = np.random.default_rng(seed).random((8, 8), np.float32)
    smooth = cv2.resize(rough, (96, 96), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(smooth, 0.05, 1), np.float32)
