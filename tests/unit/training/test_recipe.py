"""Recipes: their files, their presets, and those that contradict themselves."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.architectures import BACKBONES, Architecture
from models.preprocessing import Normalization, Preprocessing
from training.errors import RecipeError
from training.freezing import BatchNormalization, Freezing
from training.presets import PRESETS, find_recipe
from training.protocol import protocol
from training.recipe import Recipe, Watched, recipe_from_toml, recipe_to_toml


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_survives_the_way_through_its_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_to_toml(PRESETS[name]))
    assert find_recipe(str(path)) == PRESETS[name] == find_recipe(name)


def test_every_field_survives_the_way_through_a_file() -> None:
    recipe = Recipe(
        architecture=Architecture("resnet50", 64, 7, 0.25, True, 2, "conv4_block6_out"),
        preprocessing=Preprocessing(64, 0.5, 99.5, Normalization.CAFFE),
        freezing=Freezing("conv3_block1", BatchNormalization.TRAINING),
        epochs=3,
        learning_rate=1e-5,
        watched=Watched.LOSS,
        class_weights=False,
        oversampling=True,
        average_decay=0.99,
        seed=11,
    )
    again = recipe_from_toml(recipe_to_toml(recipe))
    assert again == recipe
    assert isinstance(again.preprocessing.normalization, Normalization)
    assert isinstance(again.freezing.batch_normalization, BatchNormalization)


def test_what_a_file_leaves_out_has_its_default() -> None:
    recipe = recipe_from_toml("learning_rate = 1\n[augmentation]\nzoom = 0.5\n")
    assert recipe == replace(
        Recipe(), learning_rate=1.0, augmentation=replace(Recipe().augmentation, zoom=0.5)
    )
    assert isinstance(recipe.learning_rate, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1", "unknown key 'learning_rat'; 'learning_rate'"),
        ("[augmentation]\nzom = 1", "augmentation has an unknown key 'zom'; 'zoom'"),
        ("epochs = 2.5", "epochs is 2.5; int is meant"),
        ("epochs = true", "epochs is True; int is meant"),
        ('class_weights = "yes"', "class_weights is 'yes'; bool is meant"),
        ('watched = "accuracy"', "watched is 'accuracy'; auc, loss, nothing is meant"),
        ("augmentation = 3", "augmentation is 3; Augmentation is meant"),
        ("[architecture]\noutputs = 3", "1 or 2 outputs, not 3"),
        (
            "[architecture]\ninput_size = 384",
            "input is \\(384, 384\\), the preprocessing's \\(224, 224\\)",
        ),
        ("average_decay = 1", r"average_decay is 1\.0, not in \[0, 1\)"),
        ("epochs = ", "my file: Invalid value"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_with_what_is_meant(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as refusal:
        recipe_from_toml(text, "my file")
    assert "my file" in str(refusal.value)


def test_a_name_that_is_neither_preset_nor_file_is_answered_with_the_presets() -> None:
    with pytest.raises(RecipeError, match=r"'paper_c'.*paper_a_mobilenetv2, .*paper_b_balanced"):
        find_recipe("paper_c")


def test_presets_name_networks_that_exist() -> None:
    assert {recipe.architecture.name for recipe in PRESETS.values()} <= set(BACKBONES)
    assert PRESETS["fracture_mobilenetv2"] == Recipe()


def test_the_papers_protocols_are_as_published() -> None:
    """Paper A: PAPER's section on training; paper B: its best trial and its augmentation."""
    a = PRESETS["paper_a_mobilenetv2"]
    assert (a.batch_size, a.epochs, a.learning_rate, a.watched) == (32, 10, 1e-4, Watched.LOSS)
    assert (a.architecture.dropout, a.architecture.outputs) == (0.5, 1)
    assert PRESETS["paper_a_resnet50v2"].architecture.dropout == 0.2
    assert a.augmentation.rotation_degrees == 20
    assert a.class_weights
    b = PRESETS["paper_b_balanced"]
    assert (b.batch_size, b.epochs, b.learning_rate) == (32, 30, 5.52e-4)
    assert (b.architecture.dropout, b.architecture.hidden_units) == (0.3, 512)
    assert (b.architecture.outputs, b.architecture.dropout_before_hidden) == (2, True)
    assert (b.augmentation.rotation_degrees, b.augmentation.vertical_flip) == (15, False)
    assert (b.augmentation.brightness, b.augmentation.contrast) == (0.2, 0.2)
    assert b.oversampling
    assert not PRESETS["paper_b_raw"].oversampling


def test_a_network_and_a_preprocessing_of_different_sizes_are_refused_before_training() -> None:
    with pytest.raises(
        ValueError, match=r"input is \(384, 384\), the preprocessing's \(224, 224\)"
    ):
        replace(Recipe(), architecture=Architecture(input_size=384))


def test_a_protocol_in_words_follows_its_recipe() -> None:
    assert protocol(PRESETS["paper_a_mobilenetv2"]) == (
        "All layers learned, batch normalisation in training mode. Head: global average pooling, "
        "dense 128, dropout 0.5, sigmoid. Adam, learning rate 0.0001, halved after 2 epochs "
        "without a better validation loss, stopped after 5, at most 10; batch 32; seed 7. Binary "
        "cross-entropy with class weights. Input normalised as zero_to_one. Augmentation: "
        "horizontal flip, vertical flip, rotation ≤ 20°, shear ≤ 8°, zoom ± 15 %."
    )
    averaged = replace(PRESETS["paper_b_balanced"], average_decay=0.99)
    assert protocol(averaged) == (
        "The pretrained backbone was frozen. Head: global average pooling, dropout 0.3, dense 512, "
        "softmax over two. Adam, learning rate 0.000552, halved after 30 epochs without a better "
        "validation AUC, stopped after 30, at most 30; batch 32; seed 7. Weights averaged over "
        "steps with decay 0.99. Categorical cross-entropy with class weights; the rarer class "
        "shown again until both are equal. Input normalised as imagenet. Augmentation: horizontal "
        "flip, rotation ≤ 15°, zoom ± 10 %, shift ± 10 %, brightness ± 20 %, contrast ± 20 %."
    )
    partly = replace(Recipe(), freezing=Freezing("block_3"))
    assert protocol(partly).startswith("The layers from block_3 on learned, batch normalisation")
