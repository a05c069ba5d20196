"""`monitor`: health, metrics and alarms on a port of their own."""

import typer

from worker.commands.console import settings_of
from worker.commands.services import SupervisorPid


def monitor(context: typer.Context, supervisor: SupervisorPid = None) -> None:
    """Serve /live, /ready, /metrics and /alarms, and send alarms to the webhook of the settings.

    One per installation; it only reads. Example: `fracture-screen --config settings.toml monitor`
    """
    from worker.monitor_parts import run_monitor
    from worker.services import end_with

    settings = settings_of(context)
    if supervisor is not None:
        end_with(supervisor)
    run_monitor(settings)
