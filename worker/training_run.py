"""`fracture-screen train`: data, recipe, progress. Needs the training extra."""

from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from models.bundle import ModelBundle, load_bundle
from training.card import ModelName
from training.data.layouts import read_labelled_folder
from training.recipe import Recipe
from training.train import Progress as Step
from training.train import train


def run(
    data: Path,
    weights: Path,
    out: Path,
    name: str,
    version: str,
    *,
    epochs: int | None,
    seed: int | None,
    progress: Progress,
) -> ModelBundle:
    """Train on labelled radiographs and return the bundle written to `out`/bundle."""
    recipe = Recipe()
    recipe = replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        seed=recipe.seed if seed is None else seed,
    )
    task = progress.add_task("reading", total=None)

    def report(step: Step) -> None:
        description = f"{step.stage} {step.detail}".strip()
        progress.update(task, description=description, completed=step.done, total=step.total)

    folder = train(
        read_labelled_folder(data),
        recipe,
        name=ModelName(name, version),
        backbone_weights=weights,
        out=out,
        report=report,
    )
    return load_bundle(folder)
