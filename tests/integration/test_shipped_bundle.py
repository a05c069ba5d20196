"""What the shipped bundle says of the shipped radiographs, turned and foreign."""

import numpy as np
import pytest

from models.bundle import DEFAULT_BUNDLE, load_bundle
from models.classifier import Classifier
from models.engines.onnx_engine import OnnxRuntimeEngine
from models.prediction import FloatArray
from training.foreign_pictures import draw_foreign
from worker.demonstration.studies import PICTURES, DemoPicture, _pixels

RADIOGRAPHS = [picture for picture in PICTURES if picture.file]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    bundle = load_bundle(DEFAULT_BUNDLE)
    return Classifier(bundle, OnnxRuntimeEngine(bundle))


def grey(picture: DemoPicture) -> FloatArray:
    return _pixels(picture).astype(np.float32) / 255


@pytest.mark.parametrize("picture", RADIOGRAPHS, ids=lambda picture: picture.name)
def test_a_radiograph_reaches_the_same_operating_point_however_it_is_turned(
    classifier: Classifier, picture: DemoPicture
) -> None:
    turned = [np.ascontiguousarray(np.rot90(grey(picture), quarters)) for quarters in range(4)]
    results = classifier.classify(turned)
    assert len({result.prediction.operating_point for result in results}) == 1
    assert not any(result.outside_scope for result in results)
    for pixels, result in zip(turned, results, strict=True):
        rows, columns = result.saliency.values.shape
        assert (rows > columns) == (pixels.shape[0] > pixels.shape[1])


@pytest.mark.parametrize("kind", ["chest film, drawn", "CT slice, drawn", "white noise"])
def test_what_is_no_limb_is_outside_the_scope_however_it_is_turned(
    classifier: Classifier, kind: str
) -> None:
    drawn = draw_foreign(kind, 3, seed=5)
    turned = [np.ascontiguousarray(np.rot90(drawn, quarters)) for quarters in range(4)]
    assert all(result.outside_scope for result in classifier.classify(turned))
