"""A recipe in words, for model cards."""

from collections.abc import Iterator

from training.augmentation import Augmentation
from training.freezing import ALL, HEAD, BatchNormalization
from training.recipe import Recipe, Schedule, Watched


def protocol(recipe: Recipe) -> str:
    """How a network was trained, in a few sentences."""
    return " ".join([_layers(recipe), _head(recipe), _steps(recipe), _data(recipe)])


def _layers(recipe: Recipe) -> str:
    start = recipe.freezing.train_from
    if start == HEAD:
        return "The pretrained backbone was frozen."
    which = "All layers" if start == ALL else f"The layers from {start} on"
    statistics = {
        BatchNormalization.FROZEN: "batch normalisation frozen",
        BatchNormalization.TRAINING: "batch normalisation in training mode",
    }
    return f"{which} learned, {statistics[recipe.freezing.batch_normalization]}."


def _head(recipe: Recipe) -> str:
    architecture = recipe.architecture
    dense, dropout = f"dense {architecture.hidden_units}", f"dropout {architecture.dropout:g}"
    hidden = [dropout, dense] if architecture.dropout_before_hidden else [dense, dropout]
    output = "sigmoid" if architecture.outputs == 1 else "softmax over two"
    words = f"Head: {', '.join(['global average pooling', *hidden, output])}."
    if architecture.map_channels:
        words += (
            f" A fracture map over {architecture.map_channels} channels of fused features, "
            f"learned from boxes by focal loss with weight {recipe.map_weight:g}, adds its peak."
        )
    return words


def _steps(recipe: Recipe) -> str:
    figures = {Watched.AUC: "validation AUC", Watched.LOSS: "validation loss"}
    figure = figures.get(recipe.watched, "")
    kept = f"the best {figure} kept" if figure else "the last kept"
    schedules = {
        Schedule.PLATEAU: f"halved after {recipe.plateau_epochs} epochs without a better {figure}, "
        f"stopped after {recipe.patience}, at most {recipe.epochs}",
        Schedule.COSINE: f"falling along a cosine over {recipe.epochs} epochs, {kept}",
    }
    decay = f", weight decay {recipe.weight_decay:g}" if recipe.weight_decay else ""
    words = (
        f"Adam, learning rate {recipe.learning_rate:g}{decay}, {schedules[recipe.schedule]}; "
        f"batch {recipe.batch_size}; seed {recipe.seed}."
    )
    if recipe.average_decay:
        words += f" Weights averaged over steps with decay {recipe.average_decay:g}."
    return words


def _data(recipe: Recipe) -> str:
    losses = {1: "binary cross-entropy", 2: "categorical cross-entropy"}
    loss = losses[recipe.architecture.outputs]
    weighted = f"{loss} with class weights" if recipe.class_weights else loss
    classes = "; the rarer class shown again until both are equal" if recipe.oversampling else ""
    drawn = ", ".join(_motions(recipe.augmentation)) or "none"
    return (
        f"{weighted.capitalize()}{classes}. Input normalised as "
        f"{recipe.preprocessing.normalization}. Augmentation: {drawn}."
    )


def _motions(augmentation: Augmentation) -> Iterator[str]:
    flips = {
        "horizontal": augmentation.horizontal_flip,
        "vertical": augmentation.vertical_flip,
    }
    for name, is_allowed in flips.items():
        if is_allowed:
            yield f"{name} flip"
    if augmentation.rotation_degrees:
        yield f"rotation ≤ {augmentation.rotation_degrees:g}°"
    if augmentation.shear_degrees:
        yield f"shear ≤ {augmentation.shear_degrees:g}°"
    for name in ("zoom", "shift", "brightness", "contrast", "gamma"):
        if bound := getattr(augmentation, name):
            yield f"{name} ± {100 * bound:g} %"
