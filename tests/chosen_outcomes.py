"""A classifier that says what the test wants: outcomes without a trained network."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from dicom_node.radiograph import PixelLimits
from models.bundle import ModelBundle
from models.calibration import Calibration
from models.classifier import BATCH_SIZE, Classifier
from models.prediction import FloatArray
from tests.unit.models.bundles import identity_head, make_bundle
from worker.screening import Screener

NEGATIVE, POSSIBLE, LIKELY = 0.1, 0.5, 0.9
"""Probabilities below, between and above the operating points 0.3 and 0.7 of the bundle."""
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

_FEATURES = (2, 2, 4)


class ChosenEngine:
    """Gives the probabilities in turn, the last one ever after; see `models.engine.Engine`."""

    label, batch_size = "chosen outcomes", BATCH_SIZE

    def __init__(self, probabilities: Sequence[float]) -> None:
        self._probabilities = list(probabilities)
        self.seen = 0

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        features = np.random.default_rng(7).random((len(batch), *_FEATURES), np.float32)
        logits = np.array([self._next_logit() for _ in batch], np.float32)
        return features, logits

    def _next_logit(self) -> float:
        probability = self._probabilities[min(self.seen, len(self._probabilities) - 1)]
        self.seen += 1
        return float(np.log(probability / (1 - probability)))


def chosen_bundle() -> ModelBundle:
    """Looks at HAND alone; its logits are not recalibrated."""
    estimate = {"value": 0.9, "low": 0.8, "high": 1.0}
    point = {"sensitivity": estimate, "specificity": estimate}
    points = {"sensitive": point, "specific": point}
    metrics = {"radiographs": 2, "fractured": 1, "auc": estimate, "operating_points": points}
    made = make_bundle(weights=identity_head(_FEATURES[-1]))
    return replace(made, calibration=Calibration(), card={"metrics": {"test": metrics}})


def screener_of(
    *probabilities: float,
    limits: PixelLimits | None = None,
    body_parts: Collection[str] | None = None,
) -> Screener:
    """Says of the n-th radiograph what is given n-th. `body_parts`: that the model is for."""
    bundle = chosen_bundle()
    if body_parts is not None:
        bundle = replace(bundle, body_parts=frozenset(body_parts))
    classifier = Classifier(bundle, ChosenEngine(probabilities))
    return Screener(classifier, limits or PixelLimits(), lambda: NOW)
