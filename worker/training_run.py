"""`fracture-screen train` and `cross-validate`: data, split, recipe, progress.

Needs the training extra.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from models.bundle import ModelBundle, load_bundle
from training.card import ModelName
from training.cross_validation import CrossValidation, score_folds, write_bundle
from training.data.layouts import read_labelled_folder
from training.errors import DataError
from training.presets import find_recipe
from training.progress import Progress as Step
from training.progress import Report
from training.recipe import Recipe
from training.run_folder import RECIPE_FILE
from training.split_file import load_split
from training.splits import Split, Stratum, folds_plan, make_split
from training.train import train

FOLDS = 5
"""Where no split file gives them."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for; None is what `training.train` does by itself."""

    data: Path
    layout: str
    split: Path | None
    recipe: str | None
    """A preset or a file."""
    epochs: int | None
    seed: int | None
    weights: Path | None
    out: Path
    resume: bool
    cache: Path | None
    name: str | None
    version: str


def choose_recipe(request: Request) -> Recipe:
    """The named one, or that of the run to go on with, or the default; epochs and seed replaced."""
    named, own = request.recipe, request.out / RECIPE_FILE
    if named is None and request.resume and own.is_file():
        named = str(own)
    recipe = Recipe() if named is None else find_recipe(named)
    return replace(
        recipe,
        epochs=recipe.epochs if request.epochs is None else request.epochs,
        seed=recipe.seed if request.seed is None else request.seed,
    )


def run(request: Request, progress: Progress) -> ModelBundle:
    """Train and return the bundle written to `request.out`/bundle."""
    recipe = choose_recipe(request)
    data = read_labelled_folder(request.data, request.layout)
    folder = train(
        data,
        recipe,
        name=ModelName(request.name or _name(recipe), request.version),
        out=request.out,
        backbone_weights=request.weights,
        split=None if request.split is None else load_split(request.split, data),
        resume=request.resume,
        cache=request.cache,
        report=shown(progress),
    )
    return load_bundle(folder)


def cross_validate(
    request: Request, only: Sequence[int], progress: Progress
) -> ModelBundle | list[int]:
    """Go on with what `request.out` holds: the bundle, or the folds that are not finished yet.

    Raises:
        DataError: `only` names a fold that the split does not have.
    """
    recipe = choose_recipe(request)
    data = read_labelled_folder(request.data, request.layout)
    plan = folds_plan(FOLDS, recipe.seed, [Stratum.LABEL])
    folds = load_split(request.split, data) if request.split else make_split(data.examples, plan)
    _refuse_unknown(only, folds)
    validation = CrossValidation(
        data, recipe, folds, plan, request.out, request.weights, request.cache, shown(progress)
    )
    if missing := score_folds(validation, only):
        return missing
    if only:
        return []
    return load_bundle(
        write_bundle(validation, ModelName(request.name or _name(recipe), request.version))
    )


def _refuse_unknown(only: Sequence[int], folds: Split) -> None:
    if unknown := [fold for fold in only if not 0 <= fold < len(folds.parts)]:
        raise DataError(f"--fold {unknown[0]}: the split has the folds 0 to {len(folds.parts) - 1}")


def _name(recipe: Recipe) -> str:
    return f"fracture-{recipe.architecture.name.replace('_', '')}"


def shown(progress: Progress) -> Report:
    """A bar per stage in turn; what an earlier stage took says nothing of the time left."""
    task = progress.add_task("reading", total=None)
    stage = ""

    def report(step: Step) -> None:
        nonlocal stage
        if step.stage != stage:
            # Also for a run that goes on: what was done before the kill took no time now.
            progress.reset(task, total=step.total, completed=step.done)
            stage = step.stage
        description = f"{step.stage} {step.detail}".strip()
        progress.update(task, description=description, completed=step.done, total=step.total)

    return report
