"""Writes a bundle's network as the ONNX file that serving runs."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import onnx

from models.architectures import build, log_odds
from models.bundle import ModelBundle, load_bundle, save_bundle
from models.engines.onnx_engine import OnnxRuntimeEngine
from models.folding import with_folded_batch_normalization
from models.keras_weights import set_weights
from models.network_file import NetworkCheck, NetworkFile, draw_pictures, network_inputs, verify
from training.errors import ExportError

OPSET = 17
"""The newest that tf2onnx writes; every engine of ours reads it."""

_EXPORTERS = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}
"""Keras backend → package that writes its networks as ONNX."""


def can_export() -> bool:
    """Whether the exporter of the Keras backend in use is installed."""
    return find_spec(_EXPORTERS[keras.backend.backend()]) is not None


def export_network(bundle: ModelBundle) -> NetworkFile:
    """Return a bundle's network as ONNX, with batch normalisation folded.

    ONNX Runtime is held to what Keras says of drawn pictures before anything is returned.

    Raises:
        ExportError: the exporter of this Keras backend is not installed.
        BundleError: ONNX Runtime computes something else than Keras.
    """
    if not can_export():
        backend = keras.backend.backend()
        raise ExportError(
            f"writing network.onnx on Keras' backend {backend} needs {_EXPORTERS[backend]}: pip "
            f"install {_EXPORTERS[backend]}, or use KERAS_BACKEND=tensorflow"
        )
    network = build(bundle.architecture)
    set_weights(network, bundle.weights)
    network.trainable = False
    folded = with_folded_batch_normalization(network)
    pictures = draw_pictures(bundle.architecture.shape)
    features, logits = folded(network_inputs(pictures, bundle.preprocessing), training=False)
    check = NetworkCheck(
        pictures,
        np.asarray(keras.ops.convert_to_numpy(features), np.float32),
        log_odds(keras.ops.convert_to_numpy(logits)),
    )
    with tempfile.TemporaryDirectory() as folder, _without_noise():
        path = Path(folder) / "network.onnx"
        folded.export(path, format="onnx", opset_version=OPSET, verbose=False)
        exported = NetworkFile(_with_plain_names(path.read_bytes()), check)
    verify(OnnxRuntimeEngine(replace(bundle, network=exported)), check, bundle.preprocessing)
    return exported


def add_network(folder: Path) -> None:
    """Put `network.onnx` into a bundle's folder; see `export_network`."""
    bundle = load_bundle(folder)
    network = export_network(bundle)
    save_bundle(folder, bundle.card, bundle.weights, bundle.scope, network, bundle.position)


def _with_plain_names(exported: bytes) -> bytes:
    """Return the same graph with its operators in an order of our own, and named by it.

    Exporters take names from counters of the process, and their order from the names: a repeated
    export would have another digest.
    """
    model = onnx.load_from_string(exported)
    graph = model.graph
    names = dict(zip((tensor.name for tensor in graph.input), ("input",), strict=True))
    names |= zip((tensor.name for tensor in graph.output), ("features", "logits"), strict=True)
    nodes = _from_inputs_to_outputs(graph)
    for node in nodes:
        for name in (*node.input, *node.output):
            names.setdefault(name, f"tensor{len(names)}" if name else "")  # "": not given
    for number, node in enumerate(nodes):
        node.name = f"node{number}"
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for tensor in (*graph.input, *graph.output, *graph.initializer):
        tensor.name = names[tensor.name]
    for tensor in (*graph.input, *graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "n"
    weights = sorted(graph.initializer, key=lambda tensor: tensor.name)
    inputs, outputs = list(graph.input), list(graph.output)
    model.graph.CopyFrom(onnx.helper.make_graph(nodes, "network", inputs, outputs, weights))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _from_inputs_to_outputs(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Every operator behind those that it takes from, found from the outputs back."""
    made_by = {name: node for node in graph.node for name in node.output}
    ordered: dict[str, onnx.NodeProto] = {}
    waiting = [tensor.name for tensor in reversed(graph.output)]
    while waiting:
        node = made_by.get(waiting[-1])
        missing = [] if node is None else [name for name in node.input if name in made_by]
        missing = [name for name in missing if made_by[name].output[0] not in ordered]
        if missing:
            waiting += reversed(missing)
            continue
        waiting.pop()
        if node is not None:
            ordered.setdefault(node.output[0], node)
    return list(ordered.values())


@contextmanager
def _without_noise() -> Iterator[None]:
    """Exporters warn of NumPy's future and log each step."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
