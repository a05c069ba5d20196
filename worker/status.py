"""What `status` shows: studies, outcomes, deliveries, queues, destinations."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from db.ledger import Ledger
from db.records import CircuitSummary
from db.states import CircuitState
from worker.queues import queue_depth
from worker.settings import Settings

Json = dict[str, Any]
"""Any: JSON values."""
MOST_LISTED = 1000
"""FAILED studies."""


def status_of(settings: Settings, ledger: Ledger) -> Json:
    """Return everything that `status` shows."""
    status = ledger.status()
    waiting = status.oldest_waiting
    return {
        "studies": {str(state): count for state, count in status.studies.items()},
        "outcomes": {str(outcome): count for outcome, count in status.analyses.items()},
        "deliveries": {str(state): count for state, count in status.deliveries.items()},
        "sent_with_warning": status.sent_with_warning,
        "destinations": [asdict(circuit) for circuit in _circuits(settings, status.circuits)],
        "queues": _queues(settings),
        "oldest_waiting": None if waiting is None else asdict(waiting),
        "last_activity": status.last_activity,
    }


def _queues(settings: Settings) -> dict[str, int] | None:
    """Return how many messages wait in each queue; None: the broker does not answer."""
    if not settings.broker_url:
        return queue_depth(settings)
    from kombu.exceptions import OperationalError

    try:
        return queue_depth(settings)
    except OperationalError:
        return None


def _circuits(settings: Settings, known: Sequence[CircuitSummary]) -> list[CircuitSummary]:
    """Of each destination in the settings; one that never failed is CLOSED."""
    found = {circuit.destination: circuit for circuit in known}
    return [
        found.get(name, CircuitSummary(name, CircuitState.CLOSED, 0, None, ""))
        for name in settings.destination_names
    ]


def failed_of(ledger: Ledger, config: Path | None) -> list[Json]:
    """Return the FAILED studies, the latest first, each with the command that retries it.

    Args:
        config: the settings file that the present command was given.
    """
    command = ["fracture-screen", *(["--config", str(config)] if config else []), "retry"]
    return [
        asdict(study) | {"retry": shlex.join([*command, study.study_instance_uid])}
        for study in ledger.failed_studies(MOST_LISTED)
    ]


def print_failed(console: Console, failed: Sequence[Json]) -> None:
    """Print a block of lines per study: a UID must never be cut or wrapped."""
    if not failed:
        console.print("no study is FAILED")
    for study in failed:
        accession = study["accession_number"] or "not stated"
        tries = "1 attempt" if study["attempts"] == 1 else f"{study['attempts']} attempts"
        lines = (
            f"{study['study_instance_uid']}  accession {accession}",
            f"  {study['reason']}",
            f"  failed {study['failed_at']:%Y-%m-%d %H:%M:%S} UTC after {tries}",
            f"  retry: {study['retry']}",
        )
        console.print("\n".join(lines), markup=False, soft_wrap=True)
    if len(failed) == MOST_LISTED:
        console.print(f"only the latest {MOST_LISTED} are listed")


def print_status(console: Console, status: Json) -> None:
    """One small table per subject."""
    for subject in ("studies", "outcomes", "deliveries", "queues"):
        if status[subject] is None:
            console.print(f"{subject}: the broker does not answer")
            continue
        table = Table(*status[subject], title=subject, title_justify="left")
        table.add_row(*(str(count) for count in status[subject].values()))
        console.print(table)
    if status["studies"].get("FAILED"):
        console.print("which studies failed, and why: `fracture-screen status --failed`")
    if status["sent_with_warning"]:
        console.print(
            f"{status['sent_with_warning']} sent with a warning: `fracture-screen deliveries list "
            "--warnings`"
        )
    for circuit in status["destinations"]:
        if circuit["failures"]:
            console.print(
                f"destination {circuit['destination']} does not answer "
                f"({circuit['failures']} in a row, circuit {circuit['state']}): "
                f"{circuit['last_error']}",
                markup=False,
                soft_wrap=True,
            )
    waiting = status["oldest_waiting"]
    if waiting:
        console.print(
            f"oldest waiting: {waiting['study_instance_uid']} ({waiting['state']}) since "
            f"{waiting['since']:%Y-%m-%d %H:%M:%S} UTC"
        )
    last = status["last_activity"]
    console.print(f"last activity: {f'{last:%Y-%m-%d %H:%M:%S} UTC' if last else 'none yet'}")
