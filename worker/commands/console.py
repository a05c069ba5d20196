"""What commands share: where they print, how they end, the settings they were started with."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:  # a command that only shows its help needs none of them
    from rich.progress import Progress
    from sqlalchemy import Engine

    from worker.settings import Settings

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def settings_of(context: typer.Context) -> "Settings":
    """Return the settings in force: those of `--config` and the environment."""
    from worker.settings import load_settings

    return load_settings(context.find_root().obj)


def existing_database(context: typer.Context) -> "Engine":
    """Return the database of an installation that was begun before.

    Ends the command where there is none: whoever asks for what is there makes nothing, and mostly
    forgot to name the settings file.
    """
    from worker.database import open_existing
    from worker.errors import NoInstallation

    settings = settings_of(context)
    try:
        return open_existing(settings)
    except NoInstallation as error:
        fail(f"{error}\n{_where_we_looked(context.find_root().obj, settings)}")


def _where_we_looked(config: Path | None, settings: "Settings") -> str:
    """Return where the settings came from, and how to name others or to begin."""
    from worker.settings.loading import CONFIG_VARIABLE, settings_file
    from worker.settings.root import ENVIRONMENT_PREFIX

    file = settings_file(config)
    if file is None:
        told = "none; name it: fracture-screen --config settings.toml …"
    else:
        told = f"{file.absolute()}{f' (named by {CONFIG_VARIABLE})' if config is None else ''}"
    names = [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]
    variables = ", ".join(sorted(set(names) - {CONFIG_VARIABLE}))
    begin = "--config settings.toml up" if settings.is_embedded_database else "db upgrade"
    return (
        f"  settings file: {told}\n"
        f"  environment: {variables or f'no variable {ENVIRONMENT_PREFIX}…'}\n"
        f"  data_folder: {settings.data_folder.absolute()}\n"
        f"A new installation begins with: fracture-screen {begin}"
    )


def print_json(content: Any) -> None:  # Any: JSON
    """Write `content` to standard output; times and paths as text."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def progress_bar() -> "Progress":
    """Return a bar on standard error, so that --json leaves standard output to machines."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=False,
    )


def fail(message: str) -> NoReturn:
    """End the command with exit code 2; a service whose standard error is no terminal logs why."""
    from worker.logs import log_failure

    if err.is_terminal or not log_failure(message):
        err.print(f"error: {message}", markup=False, soft_wrap=True)
    raise SystemExit(2)
