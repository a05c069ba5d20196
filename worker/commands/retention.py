"""`fracture-screen purge`: what is older than the settings say goes."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.commands.console import Json, existing_database, out, print_json, settings_of

if TYPE_CHECKING:
    from db.retention import Amount, Kind

MIB = 1024 * 1024


def purge(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would go; change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove what is older than [retention] says; the ledger keeps that it was there.

    Never what is undelivered or unconfirmed, of an unfinished study, reviewed (unless set), named
    by a sweep that goes on, or in the audit trail. May run while everything runs.

    Examples: `fracture-screen purge --dry-run`, `fracture-screen purge --json`
    """
    from db.retention import Retention
    from worker.backup.alone import alone
    from worker.database import utc_now
    from worker.model_updates.actor import present_actor
    from worker.retention.purge import purge as purge_all
    from worker.retention.purge import what_would_go

    settings = settings_of(context)
    retention = Retention(existing_database(context), utc_now)
    if dry_run:
        found = what_would_go(settings.retention, retention)
    else:
        with alone(settings.data_folder, "purge"):
            found = purge_all(settings.retention, retention, settings.data_folder, present_actor())
    if as_json:
        print_json(
            {"dry_run": dry_run, "kinds": {kind.value: asdict(one) for kind, one in found.items()}}
        )
    else:
        _print(found, dry_run)


def _print(found: "Mapping[Kind, Amount]", dry_run: bool) -> None:
    table = Table("kind", "would go" if dry_run else "gone", "MiB")
    for kind, amount in found.items():
        table.add_row(kind.value, str(amount.count), f"{amount.size / MIB:.1f}")
    out.print(table)
    out.print("kinds that are not listed are kept for ever: see the section retention")
