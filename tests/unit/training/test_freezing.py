"""Which layers learn, by policy."""

import pytest

from models.architectures import Architecture, KerasModel, build
from training.errors import RecipeError
from training.freezing import (
    ALL,
    HEAD,
    BatchNormalization,
    Freezing,
    batch_normalizations_that_learn,
    freeze,
)

HEAD_LAYERS = {"hidden", "logit"}


@pytest.fixture(scope="module")
def network() -> KerasModel:
    return build(Architecture(input_size=32, hidden_units=4))


def test_the_default_lets_all_layers_learn_but_batch_normalisation(network: KerasModel) -> None:
    learning = _learning(network, Freezing())
    assert {"Conv1", "block_16_project"} | HEAD_LAYERS <= learning
    assert not any("bn" in name.lower() for name in learning)


def test_batch_normalisation_learns_where_it_is_told_to(network: KerasModel) -> None:
    learning = _learning(network, Freezing(ALL, BatchNormalization.TRAINING))
    assert {"bn_Conv1", "Conv_1_bn"} <= learning
    assert len(batch_normalizations_that_learn(network)) == 52


def test_a_frozen_backbone_leaves_the_head_to_learn(network: KerasModel) -> None:
    for statistics in BatchNormalization:
        assert _learning(network, Freezing(HEAD, statistics)) == HEAD_LAYERS
    assert not batch_normalizations_that_learn(network)


@pytest.mark.parametrize("train_from", ["block_3", "block_3_expand"])
def test_a_block_and_all_behind_it_learn(network: KerasModel, train_from: str) -> None:
    learning = _learning(network, Freezing(train_from, BatchNormalization.TRAINING))
    assert {"block_3_expand", "block_3_expand_BN", "block_16_project"} | HEAD_LAYERS <= learning
    assert not learning & {"Conv1", "block_1_expand", "block_2_project_BN"}
    assert "block_13_expand" in learning


def test_batch_normalisation_without_pretrained_statistics_always_learns(
    network: KerasModel,
) -> None:
    learning = _learning(network, Freezing(), random=["Conv_1", "Conv_1_bn"])
    assert "Conv_1_bn" in learning
    assert "bn_Conv1" not in learning


@pytest.mark.parametrize("name", ["block_99", "block_3_expand_x", "hidden", ""])
def test_a_layer_that_the_backbone_does_not_have_is_refused(network: KerasModel, name: str) -> None:
    with pytest.raises(RecipeError, match=f"train_from is {name!r}"):
        freeze(network, Freezing(name), ())


def _learning(
    network: KerasModel, freezing: Freezing, random: tuple[str, ...] | list[str] = ()
) -> set[str]:
    freeze(network, freezing, random)
    return {layer.name for layer in network.layers if layer.trainable_variables}


def test_layers_that_started_random_are_never_frozen_in_that_state() -> None:
    network = build(Architecture(input_size=32, hidden_units=4))
    names = [layer.name for layer in network.layers]
    random = names[names.index("block_16_expand") :]
    with pytest.raises(RecipeError, match=r"from block_16_expand on, started random"):
        freeze(network, Freezing(HEAD), random)
    freeze(network, Freezing("block_16"), random)
    assert network.get_layer("block_16_expand_BN").trainable
