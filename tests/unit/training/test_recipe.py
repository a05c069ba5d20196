"""Recipes that contradict themselves."""

from dataclasses import replace

import pytest

from models.architectures import Architecture
from models.preprocessing import Preprocessing
from training.recipe import Recipe


def test_the_default_recipe_is_consistent() -> None:
    recipe = Recipe()
    assert recipe.architecture.input_size == recipe.preprocessing.input_size


def test_a_network_and_a_preprocessing_of_different_sizes_are_refused_before_training() -> None:
    with pytest.raises(ValueError, match=r"input size is 384, the preprocessing's 224"):
        replace(Recipe(), architecture=Architecture(input_size=384))
    larger = replace(
        Recipe(),
        architecture=Architecture(input_size=384),
        preprocessing=Preprocessing(input_size=384),
    )
    assert larger.preprocessing.input_size == 384
