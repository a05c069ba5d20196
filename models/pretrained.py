"""Pretrained backbones from a file that the user names: Keras' HDF5 or an npz archive.

What a file does not hold stays random, and `Pretrained` says which layers these are, so that every
table and card can.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from models.architectures import (
    Architecture,
    KerasLayer,
    KerasModel,
    add_head,
    build_backbone,
)
from models.errors import PretrainedError

LayerArrays = Mapping[str, Sequence[npt.NDArray[Any]]]
"""Layer → its arrays in the order of the layer's variables. Any: float16 or float32, as stored."""

TOP_LAYERS = frozenset({"predictions", "probs"})
"""ImageNet's own classifier, which a complete file may hold and a backbone has no use for."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What a backbone got from which file; layers that hold no weights are not listed."""

    file: str
    sha256: str
    loaded: tuple[str, ...]
    random: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line for cards and tables."""
        if not self.loaded:
            return "no pretrained weights: all layers started random"
        source = f"pretrained weights of {self.file} (SHA-256 {self.sha256[:16]}…)"
        through = f"{source} through {self.loaded[-1]}"
        if not self.random:
            return f"{through}, the backbone's last"
        return f"{through}; {len(self.random)} layers from {self.random[0]} on started random"


def build_pretrained(
    architecture: Architecture, path: Path | None
) -> tuple[KerasModel, Pretrained]:
    """The network with its backbone filled from `path`; the head is random.

    Args:
        path: `.h5` as Keras saves weights, or `.npz` with arrays `layer/variable`. Either may hold
            a backbone's first layers only, and ImageNet's top, which is passed over. None: all is
            random.

    Raises:
        PretrainedError: the file is missing, damaged or not of this backbone.
        BundleError: unknown architecture.
    """
    backbone = build_backbone(architecture)
    network = add_head(backbone, architecture)
    kept = {layer.name for layer in network.layers}
    names = [layer.name for layer in backbone.layers if layer.variables and layer.name in kept]
    if path is None:
        return network, Pretrained("", "", (), tuple(names))
    try:
        arrays = _read(path, backbone)
        _fill(backbone, arrays)
        loaded, random = _told_apart(names, arrays)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise PretrainedError(
            f"cannot use {path} as weights of {architecture.name}: {error}"
        ) from error
    return network, Pretrained(path.name, _digest(path), loaded, random)


def folded_batch_normalizations(network: KerasModel) -> list[KerasLayer]:
    """BatchNormalization layers whose statistics were folded into the affine part.

    Mean 0 and variance 1 − epsilon: exact at inference, but in training mode the batch's own
    statistics take their place and the layer's output is another.
    """
    import keras

    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization) and _is_folded(layer)
    ]


def _is_folded(layer: KerasLayer) -> bool:
    variance = np.asarray(layer.moving_variance)
    return bool(
        np.all(np.asarray(layer.moving_mean) == 0)
        and np.all(np.abs(variance - (1.0 - layer.epsilon)) < layer.epsilon / 10)
    )


def _read(path: Path, backbone: KerasModel) -> LayerArrays:
    readers = {".npz": _read_npz, ".h5": _read_h5}
    if path.suffix not in readers:
        raise ValueError(f"it ends in neither {' nor '.join(readers)}")
    arrays = readers[path.suffix](path, backbone)
    return {name: found for name, found in arrays.items() if name not in TOP_LAYERS}


def _read_npz(path: Path, backbone: KerasModel) -> LayerArrays:
    """Arrays `layer/variable`, put in the order of each layer's variables."""
    with np.load(path, allow_pickle=False) as stored:
        named = {name: stored[name] for name in stored.files}
    grouped: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for name, array in named.items():
        layer, _, variable = name.rpartition("/")
        grouped.setdefault(layer, {})[variable] = array
    orders = {layer.name: [v.name for v in layer.variables] for layer in backbone.layers}
    for layer, variables in grouped.items():
        expected = orders.get(layer, list(variables))
        if set(expected) != set(variables):
            raise ValueError(f"layer {layer} holds {sorted(variables)}, expected {expected}")
    return {
        layer: [variables[name] for name in orders.get(layer, variables)]
        for layer, variables in grouped.items()
    }


def _read_h5(path: Path, backbone: KerasModel) -> LayerArrays:
    """Both of Keras' layouts: `.weights.h5` (Keras 3) and the older one of the public hub."""
    import h5py

    with h5py.File(path) as file:
        weights = file.get("model_weights", file)
        found = dict(_older_layers(weights) if "layer_names" in weights.attrs else _layers(weights))
    if not found:
        raise ValueError("it holds no named layers; save it again with Keras 3")
    return found


def _layers(file: Any) -> Iterator[tuple[str, list[npt.NDArray[Any]]]]:  # Any: h5py ships no types
    for group in file["layers"].values():
        variables = group["vars"]
        if len(variables) and "name" in variables.attrs:
            arrays = [np.asarray(variables[str(number)]) for number in range(len(variables))]
            yield variables.attrs["name"], arrays


def _older_layers(weights: Any) -> Iterator[tuple[str, list[npt.NDArray[Any]]]]:  # Any: as above
    for layer in _texts(weights.attrs["layer_names"]):
        names = _texts(weights[layer].attrs["weight_names"])
        if names:
            yield layer, [np.asarray(weights[layer][name]) for name in names]


def _texts(values: Any) -> list[str]:  # Any: an HDF5 attribute
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _fill(backbone: KerasModel, arrays: LayerArrays) -> None:
    layers = {layer.name: layer for layer in backbone.layers}
    if unknown := [name for name in arrays if name not in layers]:
        raise ValueError(
            f"it holds a layer {unknown[0]} ({len(unknown)} such in all) that the network does not "
            "have; is it of another network?"
        )
    for name, stored in arrays.items():
        _refuse_other_shapes(layers[name], stored)
    for name, stored in arrays.items():
        for variable, array in zip(layers[name].variables, stored, strict=True):
            variable.assign(array.astype(np.float32))


def _refuse_other_shapes(layer: KerasLayer, stored: Sequence[npt.NDArray[Any]]) -> None:
    expected = [tuple(variable.shape) for variable in layer.variables]
    found = [array.shape for array in stored]
    if expected != found:
        names = ", ".join(variable.name for variable in layer.variables)
        raise ValueError(
            f"layer {layer.name} ({names}) has shapes {expected} in the network and {found} in the "
            "file; is it of another network or width?"
        )


def _told_apart(
    names: Sequence[str], arrays: LayerArrays
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Loaded and random ones of the layers with weights, which must be parted by one cut."""
    loaded = tuple(name for name in names if name in arrays)
    random = tuple(name for name in names if name not in arrays)
    if not loaded:
        raise ValueError("it holds no layer of the network")
    if random and names.index(random[0]) < names.index(loaded[-1]):
        raise ValueError(
            f"it holds {loaded[-1]} but not {random[0]} before it; is it of a shallower network?"
        )
    return loaded, random


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
