"""A model without a trained network that knows drawn limbs, and so what is none."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np

from models.bundle import ModelBundle
from models.classifier import BATCH_SIZE
from models.prediction import FloatArray
from models.preprocessing import Preprocessing, letterbox
from tests.chosen_outcomes import chosen_bundle
from tests.unit.models.bundles import identity_head
from training.scope import fit_scope

PREPROCESSING = Preprocessing(input_size=64)
_DERIVATIVES = ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 2))


class EdgeNetwork:
    """Its features are coarse pictures of edges; its log-odds are what it is told."""

    label, batch_size = "edge network", BATCH_SIZE

    def __init__(self, logit: float = -3.0) -> None:
        self._logit = logit

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As `models.engine.Engine`: features (n, 4, 4, 6), log-odds (n)."""
        features = np.stack([_edges(picture) for picture in batch[..., 0]])
        return features, np.full(len(batch), self._logit, np.float32)

    def predict_on_batch(self, batch: FloatArray) -> list[FloatArray]:
        """As a Keras model does."""
        return list(self.run(batch))


def draw_limb(seed: int) -> FloatArray:
    """Two bones in soft tissue on a dark ground, (96, 72) in [0, 1]: nobody's radiograph."""
    random = np.random.default_rng(seed)
    limb = np.zeros((96, 72), np.float32)
    lean = random.uniform(-8, 8)
    for x, width, density in ((36, 34, 60), (28, 9, 90), (44, 7, 80)):
        top, bottom = (round(x + lean), -5), (round(x - lean), 100)
        bone = np.zeros_like(limb)
        cv2.line(bone, top, bottom, (float(density),), round(width * random.uniform(0.9, 1.1)))
        limb += cv2.GaussianBlur(bone, (0, 0), float(random.uniform(0.8, 1.2)))
    grain = random.normal(0, 2, limb.shape)
    return np.asarray(np.clip((limb + grain) / 255, 0, 1), np.float32)


@cache
def bundle_that_knows_limbs() -> ModelBundle:
    """For body part HAND or none stated."""
    limbs = np.stack([square(draw_limb(seed)) for seed in range(300)])
    scope = fit_scope(EdgeNetwork(), PREPROCESSING, limbs, range(300), range(300))
    return replace(
        chosen_bundle(), weights=identity_head(6), preprocessing=PREPROCESSING, scope=scope
    )


def square(pixels: FloatArray) -> FloatArray:
    """As the network sees it."""
    return letterbox(pixels, PREPROCESSING)[0]


def _edges(picture: FloatArray) -> FloatArray:
    derived = [np.abs(cv2.Sobel(picture, cv2.CV_32F, *order)) for order in _DERIVATIVES]
    cells = [cv2.resize(one, (4, 4), interpolation=cv2.INTER_AREA) for one in derived]
    return np.stack(cells, axis=-1).astype(np.float32)
