"""What the commands about models share: their options, and the way to the registry."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from db.registry import ModelRecord, ModelRegistry
from worker.commands.console import err, settings_of
from worker.errors import ExtraMissing
from worker.settings import Settings

Name = Annotated[
    str, typer.Argument(help="As `model list` shows it, or the beginning of its digest.")
]
_ANY_NAME = "As `model list` shows it, or champion, settings, or a folder."
AnyName = Annotated[str, typer.Argument(help=_ANY_NAME)]
AnyNameOption = Annotated[str, typer.Option("--model", help=_ANY_NAME)]
SplitFile = Annotated[
    Path | None, typer.Option("--split", help="Split file: only its part `test` is used.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")]


def say(record: ModelRecord) -> None:
    """Tell what a model is now."""
    err.print(f"{record.label} is {record.state} (digest {record.digest[:12]})", markup=False)


def open_models(context: typer.Context) -> tuple[Settings, ModelRegistry]:
    """The settings in force and the registry."""
    from worker.composition import open_registry

    settings = settings_of(context)
    return settings, open_registry(settings)


def registry_if_there(settings: Settings) -> ModelRegistry | None:
    """None where no data folder was made yet: looking at a model makes none."""
    from worker.composition import open_registry

    if settings.is_embedded_database and not settings.data_folder.is_dir():
        return None
    return open_registry(settings)


def require_training_extra(*packages: str) -> None:
    """ExtraMissing unless these packages of the training extra are installed."""
    for package in packages or ("scipy", "sklearn"):
        if find_spec(package) is None:
            raise ExtraMissing(package, "training")
