"""The long-running processes: `up` for all of them, `listen`, `dispatch` and `work` for one."""

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.console import err, fail, settings_of

if TYPE_CHECKING:
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
    from worker.database import make_folders, open_database
    from worker.folder_lock import only_up
    from worker.logs import configure_logging
    from worker.ports import all_ports, require_free
    from worker.stopping import signal_pipe
    from worker.supervisor import Supervisor, all_processes

    configure_logging("up", catch_prints=False)
    settings = settings_of(context)
    make_folders(settings)
    with only_up(settings.data_folder):
        require_free(all_ports(settings))
        open_database(settings).dispose()
        signals = signal_pipe()
        _announce(settings)
        processes = all_processes(settings.listener.processes, settings.destination_names)
        product = Supervisor(context.find_root().obj, processes=processes)
        run_service(lambda: product.run(signals), supervisor)
        _say("up_stopped", "stopped")


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
    from worker.logs import configure_logging
    from worker.ports import listener_ports, require_free

    configure_logging("listen", catch_prints=False)
    settings = settings_of(context)
    if not share_ports:
        require_free(listener_ports(settings))
    from worker import services

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
    from worker.logs import configure_logging

    configure_logging("dispatch", catch_prints=False)
    settings = settings_of(context)
    from worker import services

    run_service(lambda: services.dispatch(settings), supervisor)


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
    from worker.logs import configure_logging

    queues = [one.value for one in queue or _WITHOUT_SWEEPS]
    configure_logging("work:" + ",".join(queues), catch_prints=False)
    settings = settings_of(context)
    names = _destinations(settings, destination)
    from worker import services

    if queues == [QueueName.DELIVERY] and len(names) > 1:
        config = context.find_root().obj
        run_service(lambda: services.deliver_in_processes(settings, config, names), supervisor)
    else:
        run_service(lambda: services.work(settings, queues, names), supervisor)


def _destinations(settings: "Settings", wanted: list[str] | None) -> tuple[str, ...]:
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


def _announce(settings: "Settings") -> None:
    listener, worklist = settings.listener, settings.worklist
    scheme = "https" if worklist.tls_certificate_file else "http"
    page, data = f"{scheme}://{worklist.host}:{worklist.port}", settings.data_folder.resolve()
    _say(
        "up_started",
        f"fracture-screen: {listener.ae_title} listens on {listener.host}:{listener.port}, "
        f"data in {data}\nworklist: {page}",
        ae_title=listener.ae_title,
        listener=f"{listener.host}:{listener.port}",
        data_folder=str(data),
        worklist=page,
        destinations=list(settings.destination_names),
    )
    if not settings.destination_names and err.is_terminal:
        err.print("no destination is set: results stay in the data folder ([[destinations]])")


def _say(event: str, words: str, **details: object) -> None:
    """Tell people at a terminal by `words`; a log by an event."""
    if err.is_terminal:
        err.print(words, markup=False, soft_wrap=True)
    else:
        import structlog

        structlog.get_logger(__name__).info(event, **details)
