"""ONNX Runtime and OpenVINO say of real radiographs what TensorFlow says."""

import pytest

from models.bundle import DEFAULT_BUNDLE, load_bundle
from tests.bench.engines_agree import compare
from tests.radiographs import FRACATLAS
from training.data.layouts import read_labelled_folder

RADIOGRAPHS = 24


@pytest.mark.skipif(not FRACATLAS.is_dir(), reason="needs the real radiographs of ../shared/data")
def test_outcomes_and_peaks_are_those_of_tensorflow() -> None:
    examples = read_labelled_folder(FRACATLAS, "auto").examples
    sample = list(examples[:: len(examples) // RADIOGRAPHS])
    assert any(example.fractured for example in sample)
    agreements = compare(load_bundle(DEFAULT_BUNDLE), sample)
    assert {"onnxruntime", "openvino"} <= set(agreements)
    for name, found in agreements.items():
        assert found.agrees, (name, found)
        assert found.largest_difference < 1e-4, name
