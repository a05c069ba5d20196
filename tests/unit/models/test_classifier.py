"""Radiographs in, predictions with saliency maps out."""

from dataclasses import replace

import numpy as np
import pytest

from models.bundle import ModelBundle
from models.calibration import Calibration
from models.classifier import BATCH_SIZE, Classification, Classifier
from models.engines.tensorflow_engine import TensorFlowEngine
from models.prediction import FloatArray, OperatingPoint, OperatingPoints
from models.preprocessing import Normalization
from tests.unit.models.bundles import FakeEngine, identity_head, make_bundle, make_scope

SHAPES = [(90, 40), (40, 90), (64, 64), (1, 1), (3, 200), (300, 260), (33, 35)]


@pytest.fixture
def classifier(network_bundle: ModelBundle, engine: TensorFlowEngine) -> Classifier:
    return Classifier(network_bundle, engine)


def test_a_batch_of_radiographs_of_all_sizes_gives_what_each_gives_alone(
    classifier: Classifier,
) -> None:
    radiographs = [make_radiograph(*shape, seed) for seed, shape in enumerate(SHAPES)]
    together = classifier.classify(radiographs)
    alone = [classifier.classify([radiograph])[0] for radiograph in radiographs]
    assert len({round(one.prediction.probability, 4) for one in alone}) > 3
    for left, right in zip(together, alone, strict=True):
        assert left.prediction.probability == pytest.approx(right.prediction.probability, abs=1e-5)
        assert left.saliency.values == pytest.approx(right.saliency.values, abs=1e-5)


def test_a_saliency_map_covers_the_radiograph_and_lies_between_zero_and_one(
    classifier: Classifier,
) -> None:
    radiographs = [make_radiograph(*shape, seed) for seed, shape in enumerate(SHAPES)]
    results = classifier.classify(radiographs)
    expected_shapes = [(64, 28), (28, 64), (64, 64), (64, 64), (1, 64), (64, 55), (60, 64)]
    assert [result.saliency.values.shape for result in results] == expected_shapes
    for result in results:
        values = result.saliency.values
        assert values.dtype == np.float32
        assert values.min() >= 0.0
        assert values.max() in (0.0, 1.0)
    assert any(result.saliency.values.max() == 1.0 for result in results)
    assert (results[0].saliency.method, results[0].saliency.target_layer) == (
        "Grad-CAM++",
        "features",
    )


def test_logits_become_probabilities_by_the_calibration_and_cross_the_operating_points() -> None:
    logits = np.array([-9.0, 0.0, 1.5, 9.0], np.float32)
    bundle = _with_calibration(Calibration(2.0, -1.0), OperatingPoints(0.2, 0.9))
    results = _classify_with_logits(bundle, logits)
    assert [result.prediction.probability for result in results] == pytest.approx(
        1 / (1 + np.exp(-(2.0 * logits.astype(float) - 1.0)))
    )
    assert [result.prediction.operating_point for result in results] == [
        None,
        OperatingPoint.SENSITIVE,
        OperatingPoint.SENSITIVE,
        OperatingPoint.SPECIFIC,
    ]
    assert {result.prediction.model for result in results} == {bundle.identity}


def test_a_network_is_shown_pictures_in_its_own_normalization() -> None:
    seen: list[FloatArray] = []
    engine = FakeEngine(lambda batch: seen.append(batch) or _features_of_brightness(batch))
    bundle = make_bundle(weights=identity_head(2))
    preprocessing = replace(bundle.preprocessing, normalization=Normalization.ZERO_TO_ONE)
    Classifier(replace(bundle, preprocessing=preprocessing), engine).classify([_half_bright(0.5)])
    assert (seen[0].min(), seen[0].max()) == (0.0, 1.0)


def test_a_positive_logit_is_more_likely_than_not_only_as_far_as_the_calibration_says() -> None:
    (plain,) = _classify_with_logits(_with_calibration(Calibration()), np.array([1.0]))
    (sober,) = _classify_with_logits(_with_calibration(Calibration(1.0, -3.0)), np.array([1.0]))
    assert plain.prediction.probability == pytest.approx(0.7310586)
    assert sober.prediction.probability == pytest.approx(0.1192029)


@pytest.mark.parametrize("count", [0, 1, BATCH_SIZE, BATCH_SIZE + 1, 2 * BATCH_SIZE + 3])
def test_every_radiograph_gets_its_own_result_in_one_forward_pass_per_batch(count: int) -> None:
    engine = FakeEngine(_features_of_brightness, _logits_of_brightness)
    classifier = Classifier(make_bundle(weights=identity_head(2)), engine)
    shares = np.linspace(0.2, 0.8, count) if count else np.array([])
    results = classifier.classify([_half_bright(share) for share in shares])
    expected = make_bundle(weights=identity_head(2)).calibration.probability(2 * shares - 1)
    found = [result.prediction.probability for result in results]
    assert found == pytest.approx(list(expected), abs=0.01)
    assert sum(engine.batch_sizes) == count
    assert engine.batch_sizes == [BATCH_SIZE] * (count // BATCH_SIZE) + (
        [count % BATCH_SIZE] if count % BATCH_SIZE else []
    )


def test_a_logit_that_is_not_a_number_is_refused_and_never_reads_as_negative() -> None:
    with pytest.raises(ValueError, match="not a probability"):
        _classify_with_logits(_with_calibration(Calibration()), np.array([np.nan]))


def test_a_black_radiograph_is_classified_without_nan(classifier: Classifier) -> None:
    (result,) = classifier.classify([np.zeros((50, 20), np.float32)])
    assert 0.0 <= result.prediction.probability <= 1.0
    assert np.isfinite(result.saliency.values).all()


def test_a_region_with_operating_points_of_its_own_is_judged_by_them() -> None:
    bundle = replace(
        _with_calibration(Calibration(), OperatingPoints(0.2, 0.9)),
        region_operating_points={"WRIST": OperatingPoints(0.6, 0.7)},
    )
    engine = FakeEngine(_features_of_brightness)  # logit 0: probability 0.5
    results = Classifier(bundle, engine).classify(
        [_half_bright(0.5)] * 20, ["", "HAND", "WRIST", "WRIST"] * 5
    )
    points = [result.prediction.operating_point for result in results]
    assert points == [OperatingPoint.SENSITIVE, OperatingPoint.SENSITIVE, None, None] * 5


@pytest.mark.parametrize(("threshold", "outside"), [(1e-3, True), (1e6, False)])
def test_what_lies_beyond_the_scope_is_told_and_scored_all_the_same(
    threshold: float, outside: bool
) -> None:
    bundle = make_bundle(weights=identity_head(2))
    engine = FakeEngine(_features_of_brightness)
    without = Classifier(bundle, engine).classify([_half_bright(0.5)] * 20)
    scoped = replace(bundle, scope=make_scope(2, threshold))
    found = Classifier(scoped, engine).classify([_half_bright(0.5)] * 20)
    assert [one.outside_scope for one in without] == [False] * 20
    assert [one.outside_scope for one in found] == [outside] * 20
    assert [one.prediction for one in found] == [one.prediction for one in without]


def make_radiograph(rows: int, columns: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).random((rows, columns), np.float32)


def _with_calibration(
    calibration: Calibration, points: OperatingPoints | None = None
) -> ModelBundle:
    bundle = make_bundle(weights=identity_head(2))
    return replace(
        bundle, calibration=calibration, operating_points=points or OperatingPoints(0.2, 0.9)
    )


def _classify_with_logits(bundle: ModelBundle, logits: FloatArray) -> list[Classification]:
    engine = FakeEngine(_features_of_brightness, lambda batch: logits)
    return Classifier(bundle, engine).classify([_half_bright(0.5)] * len(logits))


def _half_bright(share: float) -> FloatArray:
    """A square radiograph of which the given share of the columns is bright."""
    pixels = np.zeros((64, 64), np.float32)
    pixels[:, : round(share * 64)] = 1.0
    return pixels


def _features_of_brightness(batch: FloatArray) -> FloatArray:
    cells = batch.reshape(len(batch), 2, 32, 2, 32, 3).mean(axis=(2, 4))
    return np.asarray((cells[..., :2] + 1.0) / 2.0, np.float32)


def _logits_of_brightness(batch: FloatArray) -> FloatArray:
    return np.asarray(batch.mean(axis=(1, 2, 3)), np.float32)
