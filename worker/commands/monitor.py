"""`monitor`: health, metrics and alarms on a port of their own."""

import typer

from worker.commands.console import settings_of
from worker.commands.services import SupervisorPid, run_service


def monitor(context: typer.Context, supervisor: SupervisorPid = None) -> None:
    """Serve /live, /ready, /metrics and /alarms, and send alarms to the webhook of the settings.

    One per installation; it only reads. Example: `fracture-screen --config settings.toml monitor`
    """
    from worker.logs import configure_logging
    from worker.ports import monitor_port, require_free

    configure_logging("monitor")
    settings = settings_of(context)
    require_free([monitor_port(settings)])
    from worker.monitor_parts import run_monitor

    run_service(lambda: run_monitor(settings), supervisor)
