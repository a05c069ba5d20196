"""Seconds per training step and milliseconds per classified radiograph, network by network.

Run by hand: `python -m tests.bench.training`. Pictures are noise and weights random: neither
changes the time. Steps and batches are measured apart and the load is printed, since both share
the processors.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from models.architectures import Architecture, build
from models.bundle import ModelBundle
from models.calibration import Calibration
from models.classifier import Classifier
from models.engines.tensorflow_engine import TensorFlowEngine
from models.keras_environment import quieten_tensorflow
from models.keras_weights import get_weights
from models.prediction import ModelIdentity, OperatingPoints
from models.preprocessing import Preprocessing
from training.batches import AugmentedBatches
from training.cache import training_shape
from training.freezing import Freezing, freeze
from training.loop import compiled, train_step
from training.presets import PRESETS
from training.recipe import Recipe

STEPS, WARM_UP = 3, 1
ROUNDS = 12
CASES = (
    (Architecture(), "all"),
    (Architecture(), "block_3"),
    (Architecture("resnet50_v2"), "all"),
    (Architecture("resnet101_v2"), "all"),
    (Architecture("resnet101_v2", features_from="conv5_block1_preact_relu"), "head"),
    (Architecture(input_size=384), "all"),
    (Architecture(input_size=384), "block_3"),
)
"""A network and the layer from which on it learns."""


def main() -> None:
    """Print a line per case."""
    quieten_tensorflow()
    for network, train_from in CASES:
        _measure(_recipe(network, train_from))


def _recipe(network: Architecture, train_from: str) -> Recipe:
    preprocessing = Preprocessing(network.input_size)
    recipe = replace(Recipe(), architecture=network, preprocessing=preprocessing)
    return replace(recipe, freezing=Freezing(train_from))


def _measure(recipe: Recipe) -> None:
    architecture = recipe.architecture
    network = build(architecture)
    freeze(network, recipe.freezing, ())
    model = compiled(network, recipe)
    source = _batches(recipe)
    batches = list(source.epoch(0))
    weights = np.ones(2, np.float32)
    step_s = _median(STEPS, lambda: train_step(model, batches[0], weights))
    paper_b = replace(source, augmentation=PRESETS["paper_b_raw"].augmentation)
    rates = [_pictures_per_second(one) for one in (source, paper_b)]
    bundle = _bundle(recipe, network)
    classifier = Classifier(bundle, TensorFlowEngine(bundle))
    picture = np.random.default_rng(2).random((600, 400), np.float32)
    classify_s = _median(ROUNDS, lambda: classifier.classify([picture]))
    cut = f" cut at {architecture.features_from}" if architecture.features_from else ""
    print(
        f"{architecture.name}{cut} {architecture.input_size}, from {recipe.freezing.train_from}: "
        f"step of {recipe.batch_size} {step_s:.2f} s ({recipe.batch_size / step_s:.0f} pictures/s; "
        f"prepared {rates[0]:.0f}/s, with grey values {rates[1]:.0f}/s); "
        f"classify + Grad-CAM++ {1000 * classify_s:.0f} ms; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def _batches(recipe: Recipe) -> AugmentedBatches:
    shape = training_shape(recipe.preprocessing)
    count = recipe.batch_size * 2
    squares = np.random.default_rng(1).integers(0, 255, (count, *shape)).astype(np.uint8)
    return AugmentedBatches(
        squares,
        np.arange(count),
        np.arange(count) % 2 == 0,
        recipe.augmentation,
        recipe.preprocessing.normalization,
        recipe.preprocessing.shape,
        recipe.batch_size,
        recipe.oversampling,
        recipe.seed,
    )


def _pictures_per_second(batches: AugmentedBatches) -> float:
    started = time.perf_counter()
    shown = [len(batch.inputs) for epoch in range(4) for batch in batches.epoch(epoch)]
    return sum(shown) / (time.perf_counter() - started)


def _bundle(recipe: Recipe, network: object) -> ModelBundle:
    return ModelBundle(
        identity=ModelIdentity("bench", "0", "00" * 32),
        architecture=recipe.architecture,
        preprocessing=recipe.preprocessing,
        calibration=Calibration(),
        operating_points=OperatingPoints(0.3, 0.7),
        body_parts=frozenset(),
        limits=(),
        card={},
        weights=get_weights(network),
    )


def _median(rounds: int, work: Callable[[], object]) -> float:
    taken = []
    for round_number in range(rounds + WARM_UP):
        started = time.perf_counter()
        work()
        if round_number >= WARM_UP:
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
