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


class _Look(NamedTuple):
    """What the network says of one picture in one position."""

    features: FloatArray
    probability: float
    box: Letterbox
    outside_scope: bool
    lies: float
    """Log-odds that it lies on its side; 0: not known."""


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

        What lies on its side is turned and seen once more, where the bundle has a position head.

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
        seen = self._look(radiographs)
        lying = [number for number, look in enumerate(seen) if look.lies > 0]
        if lying:
            again = self._look([radiographs[number] for number in lying], quarter_turn=True)
            for number, turned in zip(lying, again, strict=True):
                if turned.lies < seen[number].lies:
                    seen[number] = turned
        return [
            self._classification(look, region) for look, region in zip(seen, regions, strict=True)
        ]

    def _look(
        self, radiographs: Sequence[FloatArray], *, quarter_turn: bool = False
    ) -> list[_Look]:
        """One forward pass of radiographs as they come, or turned by a quarter."""
        preprocessing = self.bundle.preprocessing
        prepared = [
            letterbox(pixels, preprocessing, quarter_turn=quarter_turn) for pixels in radiographs
        ]
        squares = np.stack([square for square, _ in prepared])
        features, logits = self._engine.run(to_network_input(squares, preprocessing.normalization))
        position = self.bundle.position
        lies = np.zeros(len(squares)) if position is None else position.lies(features)
        return [
            _Look(maps, float(p), box, out, float(lying))
            for maps, p, (_, box), out, lying in zip(
                features,
                self.bundle.calibration.probability(logits),
                prepared,
                self._outside_scope(squares, features),
                lies,
                strict=True,
            )
        ]

    def _classification(self, look: _Look, region: str) -> Classification:
        prediction = self._prediction(look.probability, region)
        return Classification(
            prediction, self._explain(look.features, look.box), look.outside_scope
        )

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
