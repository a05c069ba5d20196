"""ONNX Runtime on a bundle's `network.onnx`: no TensorFlow, loaded in a tenth of a second."""

from typing import Any

from models.architectures import log_odds
from models.bundle import ModelBundle
from models.errors import BundleError
from models.prediction import FloatArray

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxRuntimeEngine:
    """A session on the first CUDA GPU where there is one, else on the CPU.

    On a CPU radiographs run one by one: a batch is no faster there and takes 40 MB for each.
    """

    def __init__(self, bundle: ModelBundle) -> None:
        import onnxruntime

        installed = onnxruntime.get_available_providers()
        self._session = onnxruntime.InferenceSession(
            onnx_of(bundle),
            _options(),
            providers=[name for name in (_CUDA, _CPU) if name in installed],
        )
        on_gpu = _CUDA in self._session.get_providers()
        self.batch_size = 16 if on_gpu else 1
        device = "a GPU" if on_gpu else "the CPU"
        self.label = f"ONNX Runtime {onnxruntime.__version__} on {device}"
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Engine.run`."""
        features, logits = self._session.run(None, {self._input: batch})
        return features, log_odds(logits)


def onnx_of(bundle: ModelBundle) -> bytes:
    """The network's ONNX file. BundleError: the bundle has none."""
    if bundle.network is None:
        raise BundleError(
            f"the bundle of {bundle.identity.label} has no network.onnx: set model.engine to "
            '"tensorflow", or add the file with `fracture-screen model onnx`'
        )
    return bundle.network.onnx


def _options() -> Any:  # onnxruntime ships no types
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    # Threads that spin between two layers take the listener's and the sender's processor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
