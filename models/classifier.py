"""Radiographs in, predictions with saliency maps out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.architectures import FEATURES_LAYER
from models.bundle import ModelBundle
from models.engine import Engine
from models.gradcam import to_saliency_map
from models.head import head_of
from models.prediction import FloatArray, Prediction, SaliencyMap
from models.preprocessing import Letterbox, letterbox, to_network_input
from models.scope import describe

BATCH_SIZE = 16
"""Radiographs to hand in at a time where there are many: what is read ahead stays in memory."""


class Classification(NamedTuple):
    """One radiograph's prediction and where it comes from."""

    prediction: Prediction
    saliency: SaliencyMap
    outside_scope: bool = False
    """The picture is of another kind than those that the network learned from: its prediction means
    nothing. Never, with a bundle that knows no scope."""


class Classifier:
    """A loaded bundle, ready to classify; safe to use from one thread at a time."""

    def __init__(self, bundle: ModelBundle, engine: Engine) -> None:
        self.bundle = bundle
        self.engine_label = engine.label
        self._engine = engine
        self._head = head_of(bundle.weights)

    def classify(
        self, radiographs: Sequence[FloatArray], regions: Sequence[str] | None = None
    ) -> list[Classification]:
        """Classify and explain, in one forward pass per `Engine.batch_size` radiographs.

        Args:
            radiographs: float32 (rows, columns) in [0, 1], bone bright, of any size each.
            regions: upper-case Body Part Examined of each, "" where not known; they choose the
                operating points. None: not known of any.
        """
        regions = [""] * len(radiographs) if regions is None else regions
        results: list[Classification] = []
        size = self._engine.batch_size
        for start in range(0, len(radiographs), size):
            end = start + size
            results += self._classify_batch(radiographs[start:end], regions[start:end])
        return results

    def _classify_batch(
        self, radiographs: Sequence[FloatArray], regions: Sequence[str]
    ) -> list[Classification]:
        preprocessing = self.bundle.preprocessing
        prepared = [letterbox(pixels, preprocessing) for pixels in radiographs]
        squares = np.stack([square for square, _ in prepared])
        batch = to_network_input(squares, preprocessing.normalization)
        features, logits = self._engine.run(batch)
        probabilities = self.bundle.calibration.probability(logits)
        outside = self._outside_scope(squares, features)
        return [
            Classification(self._prediction(float(p), region), self._explain(maps, box), out)
            for p, region, maps, (_, box), out in zip(
                probabilities, regions, features, prepared, outside, strict=True
            )
        ]

    def _prediction(self, probability: float, region: str) -> Prediction:
        crossed = self.bundle.points_for(region).crossed(probability)
        return Prediction(probability, crossed, self.bundle.identity)

    def _outside_scope(self, squares: FloatArray, features: FloatArray) -> list[bool]:
        scope = self.bundle.scope
        if scope is None:
            return [False] * len(squares)
        return [bool(excess > 1) for excess in scope.excess(describe(squares, features))]

    def _explain(self, features: FloatArray, box: Letterbox) -> SaliencyMap:
        return to_saliency_map(
            self._head.explain(features),
            box,
            self.bundle.preprocessing.shape,
            method=self._head.method,
            target_layer=FEATURES_LAYER,
        )
