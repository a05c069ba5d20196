"""The long-running processes: `up` for all of them, `listen`, `dispatch` and `work` for one."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from worker.commands.console import err, fail, settings_of
from worker.settings import Settings

SupervisorPid = Annotated[int | None, typer.Option(help="Process id to end with.", hidden=True)]


class QueueName(StrEnum):
    """Queues that a worker may take from."""

    TRIAGE = "triage"
    DELIVERY = "delivery"
    BACKLOG = "backlog"
    SWEEP = "sweep"


_WITHOUT_SWEEPS = tuple(name for name in QueueName if name is not QueueName.SWEEP)


def up(context: typer.Context, supervisor: SupervisorPid = None) -> None:
    """Run listener, dispatcher, workers and worklist until Ctrl-C; what dies is started again.

    Example: `fracture-screen --config settings.toml up`
    """
    from worker.composition import open_database
    from worker.logs import configure_logging
    from worker.stopping import signal_pipe
    from worker.supervisor import Supervisor, all_processes

    settings = settings_of(context)
    configure_logging("up")
    open_database(settings).dispose()
    signals = signal_pipe()
    _announce(settings)
    processes = all_processes(settings.listener.processes, settings.destination_names)
    product = Supervisor(context.obj, processes=processes)
    run_service(lambda: product.run(signals), supervisor)
    err.print("stopped")


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

    settings = settings_of(context)
    count = processes or settings.listener.processes
    if count > 1 and not share_ports:
        run_service(
            lambda: services.listen_in_processes(settings, context.find_root().obj, count),
            supervisor,
        )
    else:
        run_service(lambda: services.listen(settings, reuse_port=share_ports), supervisor)


def dispatch(context: typer.Context, supervisor: SupervisorPid = None) -> None:
    """Run a dispatcher alone: makes quiet studies ready, queues studies and deliveries.

    Any number may run. Example: `fracture-screen --config settings.toml dispatch`
    """
    from worker import services

    run_service(lambda: services.dispatch(settings_of(context)), supervisor)


def work(
    context: typer.Context,
    queue: Annotated[
        list[QueueName] | None,
        typer.Option(help="Queue to take from; again for more. Default: all but sweep."),
    ] = None,
    destination: Annotated[
        list[str] | None,
        typer.Option(help="Destination to send to, by name; again for more. Default: all."),
    ] = None,
    supervisor: SupervisorPid = None,
) -> None:
    """Run one worker alone: screens studies and sends results. As many as needed may run.

    Of several queues, it empties triage before delivery and delivery before backlog. For the queue
    delivery alone, a process per destination: none waits for another. The queue sweep is what moves
    sweeps on, by the clock: it waits for a PACS, so it wants a worker of its own.

    Example: `fracture-screen --config settings.toml work --queue triage`
    """
    from worker import services

    settings = settings_of(context)
    queues = [one.value for one in queue or _WITHOUT_SWEEPS]
    names = _destinations(settings, destination)
    if queues == [QueueName.DELIVERY] and len(names) > 1:
        config = context.find_root().obj
        run_service(lambda: services.deliver_in_processes(settings, config, names), supervisor)
    else:
        run_service(lambda: services.work(settings, queues, names), supervisor)


def _destinations(settings: Settings, wanted: list[str] | None) -> tuple[str, ...]:
    known = settings.destination_names
    for name in wanted or ():
        if name not in known:
            fail(f"no destination is called {name!r}; the settings have: {', '.join(known)}")
    return tuple(wanted or known)


def run_service(service: Callable[[], None], supervisor: int | None) -> None:
    """Run it to its end, which comes with the supervisor's at the latest."""
    if supervisor is not None:
        from worker.stopping import end_with

        end_with(supervisor)
    service()


def _announce(settings: Settings) -> None:
    listener = settings.listener
    err.print(
        f"fracture-screen: {listener.ae_title} listens on {listener.host}:{listener.port}, "
        f"data in {settings.data_folder.resolve()}"
    )
    worklist = settings.worklist
    scheme = "https" if worklist.tls_certificate_file else "http"
    err.print(f"worklist: {scheme}://{worklist.host}:{worklist.port}")
    if not settings.destination_names:
        err.print("no destination is set: results stay in the data folder ([[destinations]])")
