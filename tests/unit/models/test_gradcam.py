"""Closed-form explanations against automatic differentiation, and on degenerate features."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from models.architectures import (
    FEATURES_LAYER,
    LOGIT_LAYER,
    Architecture,
    KerasModel,
    build,
    log_odds,
)
from models.bundle import DEFAULT_BUNDLE, load_bundle
from models.engines.tensorflow_engine import TensorFlowEngine
from models.framing import Frame
from models.gradcam import DenseHead, grad_cam, grad_cam_plus_plus, hires_cam, to_saliency_map
from models.head import dense_head
from models.keras_weights import get_weights, set_weights
from models.prediction import FloatArray
from models.preprocessing import Letterbox
from tests.unit.models.bundles import random_weights

TOLERANCE = 1e-5
SEEDS = range(4)

needs_shipped_bundle = pytest.mark.skipif(
    not DEFAULT_BUNDLE.is_dir(), reason=f"no bundle {DEFAULT_BUNDLE.name} is shipped"
)


@dataclass(frozen=True, eq=False)
class Explained:
    """A network that can be differentiated from its features on, and features to explain."""

    head_network: KerasModel
    """Features (n, h, w, K) → logits (n, 1) or (n, 2)."""
    head: DenseHead
    features: FloatArray
    """(n, h, w, K)."""


@pytest.fixture(scope="module")
def random_network(network: KerasModel) -> Explained:
    random = np.random.default_rng(11)
    batch = random.uniform(-1, 1, (len(SEEDS), 64, 64, 3)).astype(np.float32)
    features, _ = network(batch, training=False)
    return Explained(_head_of(network), dense_head(get_weights(network)), features.numpy())


@pytest.fixture(scope="module")
def shipped_network() -> Explained:
    bundle = load_bundle(DEFAULT_BUNDLE)
    size = bundle.architecture.input_size
    network = build(bundle.architecture)
    set_weights(network, bundle.weights)
    random = np.random.default_rng(12)
    batch = random.uniform(-1, 1, (len(SEEDS), size, size, 3)).astype(np.float32)
    features, _ = TensorFlowEngine(bundle).run(batch)
    return Explained(_head_of(network), dense_head(bundle.weights), features)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_closed_form_equals_automatic_differentiation_with_random_weights(
    random_network: Explained, seed: int
) -> None:
    _assert_equals_automatic_differentiation(random_network, random_network.features[seed])


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture("resnet50_v2", 64, hidden_units=16, outputs=2),
        Architecture("mobilenet_v2", 64, 16, dropout_before_hidden=True, outputs=2),
        Architecture("resnet50", 64, hidden_units=16),
        Architecture("resnet101_v2", 64, 16, outputs=2, features_from="conv5_block1_preact_relu"),
    ],
    ids=lambda architecture: architecture.name,
)
def test_the_closed_form_equals_automatic_differentiation_for_every_network_and_head(
    architecture: Architecture,
) -> None:
    """Of two logits, what is explained is the fracture's minus the other."""
    network = build(architecture)
    set_weights(network, random_weights(network, seed=6))
    batch = np.random.default_rng(13).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    features = network(batch, training=False)[0].numpy()
    features /= features.max()  # random residual blocks let them grow until exp(S) overflows
    explained = Explained(_head_of(network), dense_head(get_weights(network)), features)
    for one in features:
        _assert_equals_automatic_differentiation(explained, one)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_closed_form_equals_automatic_differentiation_on_features_of_any_size_and_sign(
    random_network: Explained, seed: int
) -> None:
    random = np.random.default_rng(seed)
    shape = (2, 2, random_network.features.shape[-1])
    features = random.normal(0.2, 10.0 ** (seed - 2), shape).astype(np.float32)
    _assert_equals_automatic_differentiation(random_network, features)


@needs_shipped_bundle
@pytest.mark.parametrize("seed", SEEDS)
def test_the_closed_form_equals_automatic_differentiation_with_the_shipped_bundle(
    shipped_network: Explained, seed: int
) -> None:
    _assert_equals_automatic_differentiation(shipped_network, shipped_network.features[seed])


def test_hidden_units_that_are_off_take_no_part_in_the_gradient() -> None:
    head = DenseHead(
        hidden_kernel=np.array([[1.0, -1.0], [2.0, 3.0]], np.float32),
        hidden_bias=np.array([0.0, -100.0], np.float32),
        logit_kernel=np.array([[0.5], [7.0]], np.float32),
    )
    gradient = head.gradient(np.ones((2, 5, 2), np.float32))
    assert gradient == pytest.approx([0.5 / 10, 1.0 / 10])


def test_the_weights_are_those_of_the_derivatives_of_the_exponential_score() -> None:
    """Equation 10 with the second and third derivative of exp(S) by tape, element for element."""
    random = np.random.default_rng(8)
    features = random.uniform(0, 2, (2, 3, 4)).astype(np.float32)
    head = DenseHead(
        random.normal(size=(4, 6)).astype(np.float32),
        random.normal(size=6).astype(np.float32),
        random.normal(size=(6, 1)).astype(np.float32),
    )
    weights = np.zeros(4)
    for row, column, channel in np.ndindex(*features.shape):
        first, second, third = _derivatives_of_exp_score(head, features, (row, column, channel))
        below = 2 * second + features[:, :, channel].sum(dtype=np.float64) * third
        weights[channel] += second / below * max(first, 0.0)
    score = _score(head, features)
    expected = np.maximum(features.astype(np.float64) @ weights, 0.0)
    assert expected.max() > 0
    found = grad_cam_plus_plus(features, head.gradient(features)) * np.exp(score)
    _assert_close(found, expected)


def test_features_that_are_all_zero_give_a_map_of_zeros() -> None:
    features = np.zeros((7, 7, 5), np.float32)
    gradients = np.array([1.0, -1.0, 0.0, 1e-200, 1e30])
    for explain in (grad_cam, grad_cam_plus_plus):
        assert np.array_equal(explain(features, gradients), np.zeros((7, 7)))


def test_gradients_that_are_all_negative_give_a_map_of_zeros() -> None:
    random = np.random.default_rng(3)
    features = random.uniform(0, 5, (7, 7, 5)).astype(np.float32)
    gradients = -random.uniform(0.1, 3, 5)
    for explain in (grad_cam, grad_cam_plus_plus):
        assert np.array_equal(explain(features, gradients), np.zeros((7, 7)))


@pytest.mark.parametrize("gradient", [-2.0, 0.0, 1e-170, 5e-324])
def test_a_denominator_of_zero_gives_no_weight_and_no_nan(gradient: float) -> None:
    """ΣA·g = −2 makes 2g² + ΣA·g³ vanish; a gradient of about 1e-170 underflows in its square."""
    features = np.full((2, 2, 1), 0.25, np.float32)
    with np.errstate(divide="raise", invalid="raise"):
        activation_map = grad_cam_plus_plus(features, np.array([gradient]))
    assert np.array_equal(activation_map, np.zeros((2, 2)))


def test_a_channel_without_a_denominator_leaves_the_others_their_weight() -> None:
    features = np.stack([np.full((2, 2), 0.25), [[0.0, 1.0], [2.0, 3.0]]], -1).astype(np.float32)
    both = grad_cam_plus_plus(features, np.array([-2.0, 0.5]))
    alone = grad_cam_plus_plus(features[:, :, 1:], np.array([0.5]))
    assert np.allclose(both, alone)
    assert both.max() > 0


def test_grad_cam_and_grad_cam_plus_plus_agree_with_a_hand_reckoned_example() -> None:
    features = np.zeros((1, 2, 2), np.float32)
    features[0, :, 0] = (1.0, 3.0)
    features[0, :, 1] = (2.0, 0.0)
    gradients = np.array([0.5, -0.25])
    assert grad_cam(features, gradients) == pytest.approx(np.array([[0.0, 1.5]]))
    weight = 2 * 0.25 / (2 * 0.25 + 4 * 0.125) * 0.5  # both positions; the negative channel has 0
    assert grad_cam_plus_plus(features, gradients) == pytest.approx(
        np.array([[weight * 1.0, weight * 3.0]])
    )


def test_hires_cam_is_grad_cam_where_all_cells_have_one_gradient() -> None:
    random = np.random.default_rng(5)
    features = random.uniform(0, 1, (3, 4, 6)).astype(np.float32)
    gradients = random.normal(size=6)
    assert hires_cam(features, gradients) == pytest.approx(grad_cam(features, gradients))


def test_hires_cam_leaves_out_what_the_score_does_not_come_from() -> None:
    """A channel is as active in two cells, but the score answers to it in the first one only."""
    features = np.array([[[2.0], [2.0], [0.0]]], np.float32)
    gradients = np.array([[[0.5], [0.0], [0.5]]])
    assert hires_cam(features, gradients) == pytest.approx(np.array([[1.0, 0.0, 0.0]]))
    assert grad_cam(features, gradients)[0, 0] == grad_cam(features, gradients)[0, 1] > 0


def test_a_map_of_zeros_becomes_a_saliency_map_of_zeros() -> None:
    box = Letterbox.fit(Frame.whole(30, 40), (64, 64))
    saliency = to_saliency_map(np.zeros((7, 7)), box, (64, 64), method="m", target_layer="t")
    assert saliency.values.shape == (48, 64)
    assert saliency.values.dtype == np.float32
    assert not saliency.values.any()
    assert saliency.peak(30, 40) == pytest.approx((15, 20), abs=1)


def test_a_saliency_map_is_scaled_by_what_the_radiograph_covers() -> None:
    """A maximum in the border of the letterbox must not dim the radiograph."""
    activation_map = np.zeros((8, 8))
    activation_map[0, :] = 100.0
    activation_map[4, 4] = 1.0
    box = Letterbox.fit(Frame.whole(20, 40), (64, 64))
    saliency = to_saliency_map(activation_map, box, (64, 64), method="m", target_layer="t")
    assert saliency.values.shape == (32, 64)
    assert saliency.values.max() == 1.0
    assert saliency.peak(32, 64) == pytest.approx((4.5 * 8 - 16, 4.5 * 8), abs=1)


def _assert_equals_automatic_differentiation(network: Explained, features: FloatArray) -> None:
    gradients = _gradients_by_tape(network.head_network, features)
    closed = network.head.gradient(features)
    assert np.abs(gradients).max() > 0
    _assert_close(np.broadcast_to(closed, gradients.shape), gradients)
    _assert_close(grad_cam(features, closed), _reference_grad_cam(features, gradients))
    score = float(log_odds(network.head_network(features[np.newaxis]))[0])
    _assert_close(
        grad_cam_plus_plus(features, closed) * np.exp(score),
        _reference_grad_cam_plus_plus(features, gradients, score),
    )


def _assert_close(found: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> None:
    """To TOLERANCE of the largest value."""
    assert np.isfinite(expected).all()
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def _head_of(network: KerasModel) -> KerasModel:
    import keras

    features = network.get_layer(FEATURES_LAYER).output
    return keras.Model(features, network.get_layer(LOGIT_LAYER).output)


def _gradients_by_tape(head_network: KerasModel, features: FloatArray) -> npt.NDArray[np.float64]:
    """dS/dA, (h, w, K)."""
    import tensorflow as tf

    watched = tf.constant(features[np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(watched)
        logits = head_network(watched, training=False)
        score = logits[0, -1] - logits[0, 0] if logits.shape[1] == 2 else logits[0, 0]
    return np.asarray(tape.gradient(score, watched)[0], np.float64)


def _reference_grad_cam(
    features: FloatArray, gradients: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Selvaraju et al. 2017, equations 1 and 2, written out."""
    height, width, channels = features.shape
    total = np.zeros((height, width))
    for channel in range(channels):
        total += gradients[:, :, channel].sum() / (height * width) * features[:, :, channel]
    return np.maximum(total, 0.0)


def _reference_grad_cam_plus_plus(
    features: FloatArray, gradients: npt.NDArray[np.float64], score: float
) -> npt.NDArray[np.float64]:
    """Chattopadhay et al. 2018, equations 10, 11 and 19, with Y = exp(S) left in."""
    height, width, channels = features.shape
    first = np.exp(score) * gradients
    second, third = np.exp(score) * gradients**2, np.exp(score) * gradients**3
    total = np.zeros((height, width))
    for channel in range(channels):
        activation = features[:, :, channel].astype(np.float64)
        below = 2 * second[:, :, channel] + activation.sum() * third[:, :, channel]
        alpha = np.where(below == 0, 0.0, second[:, :, channel] / np.where(below == 0, 1.0, below))
        total += (alpha * np.maximum(first[:, :, channel], 0.0)).sum() * activation
    return np.maximum(total, 0.0)


def _score(head: DenseHead, features: FloatArray) -> float:
    pooled = features.mean(axis=(0, 1), dtype=np.float64)
    hidden = np.maximum(pooled @ head.hidden_kernel + head.hidden_bias, 0.0)
    return float((hidden @ head.logit_kernel)[0])


def _derivatives_of_exp_score(
    head: DenseHead, features: FloatArray, at: tuple[int, int, int]
) -> tuple[float, float, float]:
    """d, d² and d³ of exp(S) by the one feature at `at`, in float64."""
    import tensorflow as tf

    one_hot = np.zeros(features.shape)
    one_hot[at] = 1.0
    step = tf.constant(0.0, tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(step)
        with tf.GradientTape() as middle:
            middle.watch(step)
            with tf.GradientTape() as inner:
                inner.watch(step)
                moved = features.astype(np.float64) + step * one_hot
                pooled = tf.reduce_mean(moved, axis=(0, 1))[tf.newaxis]
                hidden = tf.nn.relu(
                    pooled @ head.hidden_kernel.astype(np.float64) + head.hidden_bias
                )
                score = tf.exp(hidden @ head.logit_kernel.astype(np.float64))
            first = inner.gradient(score, step)
        second = middle.gradient(first, step)
    third = outer.gradient(second, step)
    return float(first), float(second), float(third)
