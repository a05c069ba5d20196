"""What the commands about models share: their options, and the way to the registry."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.console import err, existing_database, settings_of
from worker.errors import ExtraMissing, NoInstallation

if TYPE_CHECKING:
    from db.registry import ModelRecord, ModelRegistry
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


def say(record: "ModelRecord") -> None:
    """Tell what a model is now."""
    err.print(f"{record.label} is {record.state} (digest {record.digest[:12]})", markup=False)


def open_models(context: typer.Context) -> tuple["Settings", "ModelRegistry"]:
    """Return the settings in force and the registry of an installation that was begun before."""
    from db.registry import ModelRegistry
    from worker.database import utc_now

    return settings_of(context), ModelRegistry(existing_database(context), utc_now)


def registry_if_there(settings: "Settings") -> "ModelRegistry | None":
    """Return the registry; None without an installation: looking at a model begins none."""
    from db.registry import ModelRegistry
    from worker.database import open_existing, utc_now

    try:
        return ModelRegistry(open_existing(settings), utc_now)
    except NoInstallation:
        return None


def require_training_extra(*packages: str) -> None:
    """ExtraMissing unless these packages of the training extra are installed."""
    for package in packages or ("scipy", "sklearn"):
        if find_spec(package) is None:
            raise ExtraMissing(package, "training")
