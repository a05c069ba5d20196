"""Recipes by name: the shipped model's and the two papers' protocols.

What a paper leaves open is chosen here and said beside it. Paper A: Salman and Abu-Naser,
MobileNetV2 against ResNet50. Paper B: Alabi et al., ResNet-101 with Grad-CAM++.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from models.architectures import Architecture
from models.preprocessing import Normalization, Preprocessing
from training.augmentation import Augmentation
from training.errors import RecipeError
from training.freezing import HEAD, BatchNormalization, Freezing
from training.recipe import Recipe, Schedule, Watched, recipe_from_toml

_PAPER_A = Recipe(
    architecture=Architecture("mobilenet_v2", hidden_units=128, dropout=0.5),
    preprocessing=Preprocessing(normalization=Normalization.ZERO_TO_ONE),
    freezing=Freezing(batch_normalization=BatchNormalization.TRAINING),
    epochs=10,
    learning_rate=1e-4,
    watched=Watched.LOSS,
    class_weights=True,
)
"""Left open by the paper: 128 hidden units; all layers learn, batch normalisation in training mode,
as Keras does unless told otherwise; the learning rate halves after 2 epochs, patience 5."""

_PAPER_B = Recipe(
    architecture=Architecture(
        "resnet101_v2",
        hidden_units=512,
        dropout=0.3,
        dropout_before_hidden=True,
        outputs=2,
        features_from="conv5_block1_preact_relu",
    ),
    preprocessing=Preprocessing(normalization=Normalization.IMAGENET),
    augmentation=Augmentation(
        rotation_degrees=15.0,
        shear_degrees=0.0,
        zoom=0.1,
        shift=0.1,
        brightness=0.2,
        contrast=0.2,
        vertical_flip=False,
    ),
    freezing=Freezing(HEAD),
    epochs=30,
    learning_rate=5.52e-4,
    plateau_epochs=30,
    patience=30,
    class_weights=False,
)
"""Dropout, hidden units and learning rate are those of the paper's search. The paper's ResNet-101
is version 1; the open weights are of version 2 through conv4, so the backbone is cut there. Left
open: the hidden layer is ReLU; zoom and translation ≤ 10 %; the learning rate stays; no early stop,
the epoch of the best validation AUC is kept. By the least validation loss, at the classes' own
shares, the epoch would be kept that balancing has moved least.
"""

_FRACTURE_MAP = Recipe(
    architecture=Architecture(
        "mobilenet_v2", input_size=448, hidden_units=128, dropout=0.3, map_channels=160
    ),
    preprocessing=Preprocessing(input_size=448),
    augmentation=Augmentation(
        rotation_degrees=25.0,
        shear_degrees=6.0,
        zoom=0.2,
        shift=0.06,
        brightness=0.1,
        contrast=0.25,
        gamma=0.35,
    ),
    freezing=Freezing("block_6"),
    epochs=7,
    learning_rate=4e-4,
    watched=Watched.NOTHING,
    schedule=Schedule.COSINE,
    batch_size=16,
    class_weights=False,
    oversampling=True,
    average_decay=0.998,
    map_weight=1.0,
    label_smoothing=0.06,
    weight_decay=1e-3,
)
"""At 448 pixels a fracture of 0.4 % of the area is two cells of the map wide. Up to block_5 the
backbone stays as ImageNet left it, which more than halves the time of a step."""

PRESETS: Mapping[str, Recipe] = {
    "fracture_mobilenetv2": Recipe(),
    "fracture_map_mobilenetv2": _FRACTURE_MAP,
    "paper_a_mobilenetv2": _PAPER_A,
    "paper_a_resnet50v2": replace(
        _PAPER_A, architecture=Architecture("resnet50_v2", hidden_units=128, dropout=0.2)
    ),
    "paper_b_raw": _PAPER_B,
    "paper_b_balanced": replace(_PAPER_B, oversampling=True, class_weights=True),
}
"""Name → recipe."""


def find_recipe(name_or_path: str) -> Recipe:
    """A preset by its name, or a recipe's TOML file.

    Raises:
        RecipeError: neither, or the file is not a recipe.
    """
    if name_or_path in PRESETS:
        return PRESETS[name_or_path]
    try:
        return recipe_from_toml(Path(name_or_path).read_text(), name_or_path)
    except OSError as error:
        raise RecipeError(
            f"{name_or_path!r} is neither a recipe's file ({error.strerror}) nor one of "
            f"{', '.join(PRESETS)}"
        ) from error
