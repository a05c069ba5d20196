"""What commands share: where they print, how they end, the settings they were started with."""

import json
import sys
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.settings import Settings, load_settings

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def settings_of(context: typer.Context) -> Settings:
    """The settings in force: those of `--config` and the environment."""
    return load_settings(context.find_root().obj)


def print_json(content: Any) -> None:  # Any: JSON
    """Write `content` to standard output; times and paths as text."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def progress_bar() -> Progress:
    """On standard error, so that --json leaves standard output to machines."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=False,
    )


def fail(message: str) -> NoReturn:
    """End the command with exit code 2."""
    err.print(f"error: {message}", markup=False)
    raise SystemExit(2)
