"""The command line's table of contents; the commands stand in `worker.commands`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.commands import (
    backup,
    body_parts,
    demo,
    doctor,
    drift,
    engines,
    files,
    model,
    monitor,
    refit,
    registry,
    retention,
    scope,
    services,
    shadow,
    studies,
)
from worker.commands.audit import audit_app
from worker.commands.console import fail
from worker.commands.data import data_app
from worker.commands.deliveries import deliveries_app
from worker.commands.experiments import experiment_app
from worker.commands.explanations import explanations_app
from worker.commands.flags import flags_app
from worker.commands.identity import quarantine_app, study_app
from worker.commands.installation import (
    certs_app,
    conformance,
    db_app,
    reference,
    settings_app,
)
from worker.commands.reviews import reviews_app
from worker.commands.sweeps import sweep_app
from worker.commands.users import users_app
from worker.commands.worklist import worklist

_CONFIG = "--config"

app = typer.Typer(
    name="fracture-screen",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Screens hospital radiographs for fractures: DICOM in, heatmaps and reports out. "
    "Research use only, not a medical device.",
)
app.command()(services.up)
app.command()(services.listen)
app.command()(services.dispatch)
app.command()(services.work)
app.command()(monitor.monitor)
app.command()(doctor.doctor)
app.command()(worklist)
app.command()(demo.demo)
app.command()(files.screen)
app.command()(studies.status)
app.command()(studies.retry)
app.command()(body_parts.body_parts)
app.command()(model.train)
app.command()(model.cross_validate)
app.command()(conformance)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(retention.purge)
app.command()(reference)
model.model_app.command("list")(registry.list_models)
model.model_app.command("import")(registry.import_model)
model.model_app.command("compare")(registry.compare)
model.model_app.command("promote")(registry.promote)
model.model_app.command("rollback")(registry.rollback)
model.model_app.command("retire")(registry.retire)
model.model_app.command("history")(registry.history)
model.model_app.command("engines")(engines.engines)
model.model_app.command("onnx")(engines.onnx)
model.model_app.command("shadow")(shadow.shadow)
model.model_app.command("agreement")(shadow.show_agreement)
model.model_app.command("drift")(drift.show_drift)
model.model_app.command("scope")(scope.check_scope)
model.model_app.command("refit")(refit.refit_bundle)
app.add_typer(model.model_app, name="model")
app.add_typer(reviews_app, name="reviews")
app.add_typer(data_app, name="data")
app.add_typer(explanations_app, name="explanations")
app.add_typer(experiment_app, name="experiment")
app.add_typer(db_app, name="db")
app.add_typer(settings_app, name="settings")
app.add_typer(deliveries_app, name="deliveries")
app.add_typer(flags_app, name="flags")
app.add_typer(certs_app, name="certs")
app.add_typer(sweep_app, name="sweep")
app.add_typer(users_app, name="users")
app.add_typer(audit_app, name="audit")
app.add_typer(study_app, name="study")
app.add_typer(quarantine_app, name="quarantine")


def main() -> None:
    """Entry point: our own errors end with their message and exit code 2, never with a trace."""
    try:
        app(_config_first(sys.argv[1:]))
    except Exception as error:
        if not _is_ours(error):
            raise
        fail(str(error))


def _config_first(arguments: list[str]) -> list[str]:
    """Move `--config FILE` to the front: it may stand before or after the command.

    What follows a lone `--` stays where it is.
    """
    options, rest = [], []
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = iter(arguments[:end])
    for word in words:
        if word == _CONFIG:
            value = next(words, None)
            if value is None:
                fail(f"{_CONFIG} needs the settings file after it: {_CONFIG} settings.toml")
            options += [word, value]
        elif word.startswith(f"{_CONFIG}="):
            options.append(word)
        else:
            rest.append(word)
    return [*options, *rest, *arguments[end:]]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"fracture-screen {version('fracture-screen')}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            _CONFIG,
            help="Settings file (TOML); before or after the command. Default: the file that "
            "FRACTURE_SCREEN_CONFIG names, if any.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    context.obj = config


def _is_ours(error: Exception) -> bool:
    from db.errors import LedgerError
    from dicom_node.errors import DicomNodeError
    from models.errors import ModelError
    from training.errors import TrainingError
    from worker.errors import WorkerError

    return isinstance(
        error, (WorkerError, LedgerError, DicomNodeError, ModelError, TrainingError, OSError)
    )


if __name__ == "__main__":
    main()
