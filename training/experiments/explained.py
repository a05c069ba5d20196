"""Grad-CAM panels of a trained network, in closed form, of radiographs drawn by outcome."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.architectures import HIDDEN_LAYER, LOGIT_LAYER, KerasModel
from models.gradcam import Float64Array, grad_cam, grad_cam_plus_plus, to_saliency_map
from models.head import dense_head
from models.prediction import FloatArray
from models.preprocessing import letterbox_of, to_network_input
from training.data.example import Example
from training.data.pixels import read_pixels
from training.plots import Panel
from training.recipe import Recipe
from training.scored import ScoredExamples

PER_OUTCOME = 2


@dataclass(frozen=True, slots=True)
class Method:
    """A way from features (h, w, K) and gradients to a map (h, w), and its name."""

    name: str
    activation_map: Callable[[FloatArray, Float64Array], Float64Array]


GRAD_CAM = Method("Grad-CAM", grad_cam)
GRAD_CAM_PLUS_PLUS = Method("Grad-CAM++", grad_cam_plus_plus)


def drawn_by_outcome(scored: ScoredExamples, seed: int) -> Iterator[tuple[str, int]]:
    """Outcome and place in `scored` of two radiographs each, drawn by the seed, not chosen by
    eye; fewer where there are fewer."""
    random = np.random.default_rng(seed)
    called, fractured = scored.logits >= 0.0, scored.fractured
    for name, chosen in (
        ("true positive", called & fractured),
        ("false negative", ~called & fractured),
        ("false positive", called & ~fractured),
        ("true negative", ~called & ~fractured),
    ):
        for place in random.permutation(np.flatnonzero(chosen))[:PER_OUTCOME]:
            yield name, int(place)


def explain(
    network: KerasModel,
    recipe: Recipe,
    method: Method,
    scored: ScoredExamples,
    squares: Mapping[int, FloatArray],
    drawn: Sequence[tuple[str, int]],
) -> list[Panel]:
    """Panels of the drawn places; `squares` are theirs, by place, as serving makes them."""
    head = dense_head(_head_weights(network))
    panels = []
    for outcome, place in drawn:
        example = scored.examples[place]
        features = _features(network, recipe, squares[place])
        cells = method.activation_map(features, head.gradient(features))
        title = f"{outcome}, probability {scored.probabilities[place]:.2f}"
        panels.append(_panel(title, example, cells, recipe, method))
    return panels


def _features(network: KerasModel, recipe: Recipe, square: FloatArray) -> FloatArray:
    inputs = to_network_input(np.asarray(square), recipe.preprocessing.normalization)
    features, _ = network.predict_on_batch(inputs[np.newaxis])
    return np.asarray(features[0], np.float32)


def _head_weights(network: KerasModel) -> dict[str, npt.NDArray[np.float32]]:
    """Of the head alone: a whole ResNet is copied in seconds, but for nothing."""
    return {
        f"{name}/{variable.name}": np.asarray(variable)
        for name in (HIDDEN_LAYER, LOGIT_LAYER)
        for variable in network.get_layer(name).variables
    }


def _panel(
    title: str, example: Example, cells: Float64Array, recipe: Recipe, method: Method
) -> Panel:
    pixels = read_pixels(example.path)
    own = recipe.preprocessing
    saliency = to_saliency_map(
        cells, letterbox_of(pixels, own), own.shape, method=method.name, target_layer="features"
    )
    return Panel(title, pixels, saliency.values, example.boxes)
