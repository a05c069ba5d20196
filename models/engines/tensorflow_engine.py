"""The network in Keras on TensorFlow, from architecture and weights: the reference."""

from models.architectures import build, log_odds
from models.bundle import ModelBundle
from models.folding import with_folded_batch_normalization
from models.keras_weights import set_weights
from models.prediction import FloatArray


class TensorFlowEngine:
    """Traces the network once into a graph (`tf.function`); needs no `network.onnx`."""

    batch_size = 16

    def __init__(self, bundle: ModelBundle) -> None:
        import tensorflow as tf

        network = build(bundle.architecture)
        set_weights(network, bundle.weights)
        network.trainable = False
        folded = with_folded_batch_normalization(network)
        self._graph = tf.function(
            lambda batch: folded(batch, training=False),
            input_signature=[tf.TensorSpec((None, *bundle.architecture.shape, 3), tf.float32)],
        )
        gpus = len(tf.config.list_physical_devices("GPU"))
        self.label = f"TensorFlow {tf.__version__} on {f'{gpus} GPU' if gpus else 'the CPU'}"

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Engine.run`."""
        features, logits = self._graph(batch)
        return features.numpy(), log_odds(logits.numpy())
