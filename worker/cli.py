"""The command line: parses, calls, prints. What a command does stands in the module it calls."""

import sys
import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.data_cli import data_app
from worker.deliveries_cli import deliveries_app
from worker.printing import print_json
from worker.settings import Settings, load_settings

app = typer.Typer(
    name="fracture-screen",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Screens hospital radiographs for fractures: DICOM in, heatmaps and reports out. "
    "Research use only, not a medical device.",
)
model_app = typer.Typer(no_args_is_help=True, help="The classifier.")
db_app = typer.Typer(no_args_is_help=True, help="The ledger's database.")
settings_app = typer.Typer(no_args_is_help=True, help="The settings in force.")
app.add_typer(model_app, name="model")
app.add_typer(db_app, name="db")
app.add_typer(settings_app, name="settings")
app.add_typer(deliveries_app, name="deliveries")
app.add_typer(data_app, name="data")
certs_app = typer.Typer(no_args_is_help=True, help="Certificates for tests of the TLS port.")
app.add_typer(certs_app, name="certs")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
SupervisorPid = Annotated[int | None, typer.Option(help="Process id to end with.", hidden=True)]


class QueueName(StrEnum):
    """Queues that a worker may take from."""

    TRIAGE = "triage"
    DELIVERY = "delivery"


def main() -> None:
    """Entry point: our own errors end with their message and exit code 2, never with a trace."""
    try:
        app()
    except Exception as error:
        if not _is_ours(error):
            raise
        _fail(str(error))


@app.callback()
def _root(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML).", show_default=False)
    ] = None,
) -> None:
    context.obj = config


@app.command()
def up(context: typer.Context) -> None:
    """Run listener, dispatcher and workers until Ctrl-C; what dies is started again.

    Example: `fracture-screen --config settings.toml up`
    """
    from worker.composition import open_ledger
    from worker.logs import configure_logging
    from worker.services import stop_on_signal
    from worker.supervisor import Supervisor, all_processes

    settings = _settings(context)
    configure_logging("up")
    open_ledger(settings)
    stop = stop_on_signal()
    _announce(settings)
    Supervisor(context.obj, processes=all_processes(settings.listener.processes)).run(stop)
    err.print("stopped")


@app.command()
def listen(
    context: typer.Context,
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Processes on the port; default: listener.processes."),
    ] = None,
    supervisor: SupervisorPid = None,
    share_ports: Annotated[
        bool, typer.Option("--share-ports", help="One of several on the ports.", hidden=True)
    ] = False,
) -> None:
    """Run the DICOM listener alone: C-ECHO, C-STORE and storage commitment.

    Example: `fracture-screen --config settings.toml listen --processes 2`
    """
    from worker import services

    settings = _settings(context)
    count = processes or settings.listener.processes
    if count > 1 and not share_ports:
        _run(
            lambda: services.listen_in_processes(settings, context.find_root().obj, count),
            supervisor,
        )
    else:
        _run(lambda: services.listen(settings, reuse_port=share_ports), supervisor)


@app.command()
def dispatch(context: typer.Context, supervisor: SupervisorPid = None) -> None:
    """Run a dispatcher alone: makes quiet studies ready, queues studies and deliveries.

    Any number may run. Example: `fracture-screen --config settings.toml dispatch`
    """
    from worker import services

    _run(lambda: services.dispatch(_settings(context)), supervisor)


@app.command()
def work(
    context: typer.Context,
    queue: Annotated[
        list[QueueName] | None,
        typer.Option(help="Queue to take from; again for more. Default: all."),
    ] = None,
    supervisor: SupervisorPid = None,
) -> None:
    """Run one worker alone: screens studies and sends results. As many as needed may run.

    Example: `fracture-screen --config settings.toml work --queue triage`
    """
    from worker import services

    queues = [one.value for one in queue or QueueName]
    _run(lambda: services.work(_settings(context), queues), supervisor)


@app.command()
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(help="DICOM, PNG or JPEG files to send; none: synthetic phantoms."),
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where all files are left; default: a new folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch studies travel: C-STORE in, classifier and Grad-CAM++, heatmaps and reports back.

    Starts everything on free loopback ports with a stand-in PACS, and stops it again. Exit code 1
    if any study lacks its outcome or its results.

    Examples: `fracture-screen demo`, `fracture-screen demo radiographs/ --json`
    """
    from worker import demo as demo_module
    from worker import tables

    target = out_folder or Path(tempfile.mkdtemp(prefix="fracture-screen-demo-"))
    with _progress() as progress:
        task = progress.add_task("starting", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        result = demo_module.run_demo(folder, target, on_progress)
    if as_json:
        print_json(demo_module.as_json(result))
    else:
        tables.print_demo(out, result, target)
    complete = result.studies and all(study.complete for study in result.studies)
    raise typer.Exit(0 if complete else 1)


@app.command()
def screen(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files or folders: DICOM, PNG, JPEG.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    objects: Annotated[
        bool, typer.Option("--objects/--no-objects", help="Write heatmaps and reports too.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Screen files without any network: the same pipeline, results in a folder.

    Writes results.csv, one line per image: outcome and probability are the image's own; the peak of
    the saliency map is in pixels of the source. A file that cannot be read is a line with its
    reason.

    Examples: `fracture-screen screen study/ --out results`,
    `fracture-screen screen a.png b.dcm --out results --no-objects`
    """
    from worker import tables
    from worker.composition import make_screener, utc_now
    from worker.logs import configure_logging
    from worker.offline import find_files, screen_files

    settings = _settings(context)
    configure_logging("screen")
    files = find_files(paths)
    with _progress() as progress:
        task = progress.add_task("loading the model", total=len(files))
        screener = make_screener(settings)
        progress.update(task, description="screening")
        rows = screen_files(
            files,
            screener,
            out_folder,
            write_objects=objects,
            clock=utc_now,
            on_file=lambda: progress.advance(task),
        )
    if as_json:
        print_json(tables.screen_summary(rows, out_folder))
    else:
        tables.print_screen(out, rows, out_folder)


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Studies per state, outcomes, deliveries, queues and the last activity.

    Example: `fracture-screen --config settings.toml status --json`
    """
    from worker import tables
    from worker.composition import open_ledger

    settings = _settings(context)
    answer = tables.status_of(settings, open_ledger(settings))
    if as_json:
        print_json(answer)
    else:
        tables.print_status(out, answer)


@app.command()
def retry(
    context: typer.Context,
    study_instance_uid: Annotated[str, typer.Argument(help="Of a study whose state is FAILED.")],
) -> None:
    """Screen a FAILED study once more, as its next revision.

    Example: `fracture-screen retry 1.2.840.113619.2.55.3`
    """
    from worker.composition import open_ledger

    if not open_ledger(_settings(context)).retry_failed(study_instance_uid):
        _fail(f"study {study_instance_uid} is not FAILED; `fracture-screen status` shows which are")
    out.print(f"study {study_instance_uid} will be screened again")


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="FracAtlas folder: images.csv and images/.")],
    weights: Annotated[
        Path, typer.Option(help="ImageNet weights of MobileNetV2 without its top (.weights.h5).")
    ],
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder of the run; goes on where it was stopped.")
    ],
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "fracture-mobilenetv2",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "0.1.0",
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Default: the recipe's.")] = None,
) -> None:
    """Train a classifier and write it as a bundle with its model card.

    Example: `fracture-screen train --data fracatlas --weights mobilenetv2.weights.h5 --out run`
    """
    from worker.composition import quieten_tensorflow

    quieten_tensorflow()
    try:
        from worker import training_run
    except ImportError as error:
        _fail(f"{error.name} is missing; install the training extra: fracture-screen[training]")
    with _progress() as progress:
        bundle = training_run.run(
            data, weights, out_folder, name, version, epochs=epochs, seed=seed, progress=progress
        )
    from worker import tables

    tables.print_card(out, bundle)


@model_app.command("show")
def model_show(
    context: typer.Context,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the model card.")] = False,
) -> None:
    """The model in use: identity, operating points, figures and limits.

    Examples: `fracture-screen model show`, `fracture-screen model show --markdown`
    """
    from models.bundle import load_bundle
    from worker import tables
    from worker.model_card import model_card

    bundle = load_bundle(_settings(context).model.bundle)
    if as_json:
        print_json({**bundle.card, "digest": bundle.identity.digest})
    elif markdown:
        sys.stdout.write(model_card(bundle))
    else:
        tables.print_card(out, bundle)


@db_app.command("upgrade")
def db_upgrade(context: typer.Context) -> None:
    """Bring the database's tables to this version; safe to run twice.

    Example: `fracture-screen --config settings.toml db upgrade`
    """
    from db.session import make_engine, upgrade
    from worker.composition import make_folders

    settings = _settings(context)
    make_folders(settings)
    upgrade(make_engine(settings.effective_database_url))
    out.print("the ledger is up to date")


@app.command()
def conformance(context: typer.Context) -> None:
    """Print the DICOM conformance statement of the settings in force (Markdown).

    Example: `fracture-screen --config settings.toml conformance`
    """
    from worker.conformance import conformance_statement

    typer.echo(conformance_statement(_settings(context)), nl=False)


@certs_app.command("make")
def certs_make(
    folder: Annotated[Path, typer.Argument(help="Where the PEM files go.")],
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="AE title that a pair is for; again for more."),
    ] = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", help="Host name or address in each certificate; again for more."),
    ] = None,
) -> None:
    """Write a test authority, and a certificate with its key per AE title. Needs openssl.

    Not for production: a hospital's own authority should sign there.

    Example: `fracture-screen certs make certs --name FRACTURESCREEN --name CT1`
    """
    from worker.certificates import make_certificates

    wanted = names or ["FRACTURESCREEN", "MODALITY"]
    for pair in make_certificates(folder, wanted, hosts or ["localhost", "127.0.0.1"]):
        out.print(f"{pair.name}: {pair.certificate} {pair.key}", markup=False, soft_wrap=True)
    out.print(f"authority: {folder / 'authority.crt'}", markup=False, soft_wrap=True)


@settings_app.command("show")
def settings_show(context: typer.Context, as_json: Json = False) -> None:
    """Every setting with its value in force and what it means; passwords are left out.

    Example: `fracture-screen settings show`
    """
    from worker import tables

    rows = tables.settings_in_force(_settings(context))
    if as_json:
        print_json({name: value for name, value, _ in rows})
    else:
        tables.print_settings(out, rows)


def _settings(context: typer.Context) -> Settings:
    return load_settings(context.find_root().obj)


def _run(service: Callable[[], None], supervisor: int | None) -> None:
    if supervisor is not None:
        from worker.services import end_with

        end_with(supervisor)
    service()


def _announce(settings: Settings) -> None:
    listener = settings.listener
    err.print(
        f"fracture-screen: {listener.ae_title} listens on {listener.host}:{listener.port}, "
        f"data in {settings.data_folder.resolve()}"
    )
    if not settings.destinations:
        err.print("no destination is set: results stay in the data folder ([[destinations]])")


def _progress() -> Progress:
    """On standard error, so that --json leaves standard output to machines."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=False,
    )


def _is_ours(error: Exception) -> bool:
    from db.errors import LedgerError
    from dicom_node.errors import DicomNodeError
    from models.errors import ModelError
    from training.errors import TrainingError
    from worker.errors import WorkerError

    return isinstance(
        error, (WorkerError, LedgerError, DicomNodeError, ModelError, TrainingError, OSError)
    )


def _fail(message: str) -> NoReturn:
    err.print(f"error: {message}", markup=False)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
