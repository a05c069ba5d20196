"""Backbone weights from files: whole, in part, and of other networks."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from models.architectures import Architecture, KerasModel, build, build_backbone
from models.bundle import Weights
from models.errors import BundleError, PretrainedError
from models.keras_weights import get_weights, set_weights
from models.pretrained import Pretrained, build_pretrained
from tests.unit.models.bundles import random_weights

SMALL = Architecture(input_size=32, hidden_units=4)
RESNET = Architecture("resnet50_v2", input_size=32, hidden_units=4)
FIRST_RANDOM = "conv5_block1_1_conv"


@pytest.fixture(scope="module")
def mobilenet() -> KerasModel:
    return _filled(SMALL)


@pytest.fixture(scope="module")
def through_conv4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the public files are cut: the last blocks are missing, large kernels are float16."""
    resnet = _filled(RESNET)
    names = [layer.name for layer in resnet.layers]
    cut = names.index(FIRST_RANDOM)
    kept = {
        name: array.astype(np.float16) if array.size > 5000 else array
        for name, array in get_weights(resnet).items()
        if names.index(name.partition("/")[0]) < cut
    }
    path = tmp_path_factory.mktemp("weights") / "conv4.npz"
    np.savez(path, **kept)
    return path


def test_a_complete_keras_file_fills_the_whole_backbone(
    mobilenet: KerasModel, tmp_path: Path
) -> None:
    path = tmp_path / "own.weights.h5"
    mobilenet.save_weights(path)
    pretrained = _assert_filled(SMALL, path, get_weights(mobilenet))
    assert (len(pretrained.loaded), pretrained.random) == (104, ())
    assert pretrained.summary.startswith("pretrained weights of own.weights.h5 (SHA-256 ")
    assert pretrained.summary.endswith("…) through Conv_1_bn, the backbone's last")


def test_a_file_with_imagenets_top_fills_the_backbone_alike(tmp_path: Path) -> None:
    import keras

    complete = keras.applications.MobileNetV2(input_shape=(32, 32, 3), weights=None, classes=3)
    set_weights(complete, random_weights(complete, seed=8))
    path = tmp_path / "top.weights.h5"
    complete.save_weights(path)
    expected = get_weights(complete)
    backbone_only = {n: a for n, a in expected.items() if not n.startswith("predictions")}
    assert len(backbone_only) == len(expected) - 2
    _assert_filled(SMALL, path, backbone_only)


@pytest.mark.parametrize("encode", [str.encode, str])
def test_the_public_hubs_older_layout_is_read_too(
    mobilenet: KerasModel, tmp_path: Path, encode: type
) -> None:
    path = tmp_path / "older.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [encode(layer.name) for layer in mobilenet.layers]
        for layer in mobilenet.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{variable.name}:0" for variable in layer.variables]
            group.attrs["weight_names"] = [encode(name) for name in names]
            for name, variable in zip(names, layer.variables, strict=True):
                group[name] = variable.numpy()
    _assert_filled(SMALL, path, get_weights(mobilenet))


def test_a_file_of_the_first_layers_leaves_the_others_random_and_says_which(
    through_conv4: Path,
) -> None:
    with np.load(through_conv4) as stored:
        expected = {name: stored[name].astype(np.float32) for name in stored.files}
    pretrained = _assert_filled(RESNET, through_conv4, expected)
    assert pretrained.loaded[-1] == "conv5_block1_preact_bn"
    assert pretrained.random[0] == FIRST_RANDOM
    assert len(pretrained.loaded) + len(pretrained.random) == 102
    assert all(name.startswith(("conv5", "post_bn")) for name in pretrained.random)
    assert pretrained.summary.endswith(
        "through conv5_block1_preact_bn; 19 layers from conv5_block1_1_conv on started random"
    )


def test_a_network_that_is_cut_there_has_nothing_random(through_conv4: Path) -> None:
    cut = Architecture("resnet50_v2", 32, hidden_units=4, features_from="conv5_block1_preact_relu")
    network, pretrained = build_pretrained(cut, through_conv4)
    assert pretrained.random == ()
    assert network.outputs[0].shape == (None, 1, 1, 1024)
    assert pretrained.summary.endswith("through conv5_block1_preact_bn, the backbone's last")


def test_a_shape_that_differs_is_told_with_layer_and_shapes(tmp_path: Path) -> None:
    import keras

    narrow = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), include_top=False, weights=None, alpha=0.5
    )
    path = tmp_path / "narrow.weights.h5"
    narrow.save_weights(path)
    expected = r"narrow.*mobilenet_v2: layer \S+ \(.*\) has shapes .* in the network and .* in the"
    with pytest.raises(PretrainedError, match=expected):
        build_pretrained(SMALL, path)


def test_a_file_of_another_network_is_told_by_a_layer(
    mobilenet: KerasModel, through_conv4: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mobilenet.weights.h5"
    mobilenet.save_weights(path)
    with pytest.raises(PretrainedError, match="that the network does not have"):
        build_pretrained(RESNET, path)
    deeper = Architecture("resnet101_v2", 32, hidden_units=4)
    with pytest.raises(PretrainedError, match=r"not conv4_block7_preact_bn before it.*shallower"):
        build_pretrained(deeper, through_conv4)
    other_version = Architecture("resnet50", 32, hidden_units=4)
    with pytest.raises(PretrainedError, match="conv2_block1"):
        build_pretrained(other_version, through_conv4)


def test_an_incomplete_layer_is_named(through_conv4: Path, tmp_path: Path) -> None:
    with np.load(through_conv4) as stored:
        kept = {name: stored[name] for name in stored.files if name != "conv1_conv/bias"}
    path = tmp_path / "hole.npz"
    np.savez(path, **kept)
    with pytest.raises(PretrainedError, match=r"conv1_conv holds \['kernel'\], expected"):
        build_pretrained(RESNET, path)


@pytest.mark.parametrize("name", ["weights.pt", "broken.npz", "broken.h5", "empty.h5", "none.npz"])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "empty.h5":
        h5py.File(path, "w").close()
    elif name != "none.npz":
        path.write_bytes(b"PK not weights")
    with pytest.raises(PretrainedError, match=name):
        build_pretrained(SMALL, path)


def test_a_layer_to_cut_at_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BundleError, match=r"no layer 'conv9' .*out_relu"):
        build(Architecture(input_size=32, features_from="conv9"))


def _filled(architecture: Architecture) -> KerasModel:
    backbone = build_backbone(architecture)
    set_weights(backbone, random_weights(backbone, seed=1))
    return backbone


def _assert_filled(architecture: Architecture, path: Path, expected: Weights) -> Pretrained:
    network, pretrained = build_pretrained(architecture, path)
    built = get_weights(network)
    assert {name.partition("/")[0] for name in expected} == set(pretrained.loaded)
    for name, array in expected.items():
        assert np.array_equal(built[name], array), name
    return pretrained
