"""`fracture-screen worklist`: the web page for readers, as a process of its own."""

import typer

from worker.commands.console import settings_of
from worker.commands.services import SupervisorPid, run_service


def worklist(context: typer.Context, supervisor: SupervisorPid = None) -> None:
    """Serve the worklist: studies, pictures and feedback for readers who sign in.

    Any number may run, each on a port of its own.

    Example: `fracture-screen --config settings.toml worklist`
    """
    from worker.logs import configure_logging
    from worker.ports import require_free, worklist_port

    configure_logging("worklist")
    settings = settings_of(context)
    require_free([worklist_port(settings)])
    from worker.worklist_parts import run_worklist

    run_service(lambda: run_worklist(settings), supervisor)
