"""OpenVINO on a bundle's `network.onnx`: the fastest on some Intel processors."""

import numpy as np

from models.architectures import log_odds
from models.bundle import ModelBundle
from models.engines.onnx_engine import onnx_of
from models.prediction import FloatArray


class OpenVinoEngine:
    """The network compiled for the CPU in 32-bit floating point, for the shortest latency."""

    batch_size = 1

    def __init__(self, bundle: ModelBundle) -> None:
        import openvino

        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        core = openvino.Core()
        model = core.read_model(onnx_of(bundle))
        self._network = core.compile_model(model, "CPU", options)
        self.label = f"OpenVINO {openvino.__version__.split('-')[0]} on the CPU"

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Engine.run`."""
        found = self._network(batch)
        return np.array(found[0]), log_odds(np.array(found[1]))
