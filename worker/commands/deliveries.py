"""`fracture-screen deliveries`: what went out, what did not and why; sent again or discarded."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from db.records import DeliveryFilter, DeliveryRecord
from db.states import DeliveryState, FlagKind
from worker.commands.console import Json, existing_database, out, print_json
from worker.errors import NothingToDo

if TYPE_CHECKING:
    from db.ledger import Ledger

deliveries_app = typer.Typer(
    no_args_is_help=True, help="Results on their way to destinations; dead letters."
)

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
To = Annotated[str | None, typer.Option("--destination", help="Only to this destination.")]
Of = Annotated[str | None, typer.Option("--study", help="Only of this Study Instance UID.")]
Ids = Annotated[
    list[int] | None, typer.Argument(help="Numbers as `deliveries list` shows them; none: all.")
]


@deliveries_app.command("list")
def list_deliveries(
    context: typer.Context,
    destination: To = None,
    state: Annotated[
        list[DeliveryState] | None, typer.Option("--state", help="Again for more. Default: any.")
    ] = None,
    study: Of = None,
    warnings: Annotated[
        bool, typer.Option("--warnings", help="Only those stored with a warning.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 100,
    as_json: Json = False,
) -> None:
    """List deliveries, newest first.

    Example: `fracture-screen deliveries list --state FAILED --destination pacs`
    """
    ledger = _ledger(context)
    chosen = DeliveryFilter(destination, tuple(state or ()), study, with_warning=warnings)
    found = ledger.deliveries(chosen, limit)
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    table = Table("number", "destination", "state", "kind", "tries", "status", "reason", "study")
    for one in found:
        table.add_row(
            str(one.delivery_id),
            one.destination,
            one.state,
            one.kind,
            str(one.attempts),
            _status(one),
            one.last_error,
            one.study_instance_uid,
        )
    out.print(table)
    total = ledger.count_deliveries(chosen)
    if total > len(found):
        out.print(f"{len(found)} of {total}; --limit shows more")


@deliveries_app.command("show")
def show_delivery(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="As `deliveries list` shows it.")],
    as_json: Json = False,
) -> None:
    """Show all that is known of one delivery.

    Example: `fracture-screen deliveries show 17`
    """
    found = _ledger(context).deliveries(DeliveryFilter(delivery_ids=(number,)))
    if not found:
        raise NothingToDo(f"there is no delivery {number}: see `fracture-screen deliveries list`")
    content = _as_json(found[0])
    if as_json:
        print_json(content)
        return
    table = Table(show_header=False)
    for name, value in content.items():
        table.add_row(name, "" if value is None else str(value))
    out.print(table)


@deliveries_app.command("replay")
def replay(
    context: typer.Context,
    numbers: Ids = None,
    destination: To = None,
    study: Of = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Send dead letters (FAILED) again, as if never tried.

    Example: `fracture-screen deliveries replay --destination pacs`
    """
    chosen = DeliveryFilter(
        destination, (DeliveryState.FAILED,), study, delivery_ids=tuple(numbers or ())
    )
    ledger = _ledger(context)
    count = _confirm(ledger, chosen, "send {} again", yes)
    done = ledger.replay_deliveries(chosen) if count else 0
    _tell(done, "will be sent again", as_json)


@deliveries_app.command("discard")
def discard(
    context: typer.Context,
    numbers: Ids = None,
    destination: To = None,
    state: Annotated[
        list[DeliveryState] | None,
        typer.Option("--state", help="FAILED or PENDING; again for both. Default: FAILED."),
    ] = None,
    study: Of = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give deliveries up for good: they become WITHDRAWN; the files stay.

    A later analysis of the study that makes the same object wants it sent again.

    Example: `fracture-screen deliveries discard --destination oldpacs --state FAILED`
    """
    states = tuple(state or (DeliveryState.FAILED,))
    if not set(states) <= {DeliveryState.FAILED, DeliveryState.PENDING}:
        raise NothingToDo("only FAILED and PENDING deliveries can be discarded: see --state")
    chosen = DeliveryFilter(destination, states, study, delivery_ids=tuple(numbers or ()))
    ledger = _ledger(context)
    count = _confirm(ledger, chosen, "discard {}", yes)
    done = ledger.discard_deliveries(chosen) if count else 0
    _tell(done, "discarded", as_json)


def _ledger(context: typer.Context) -> "Ledger":
    from db.ledger import Ledger
    from worker.database import utc_now

    return Ledger(existing_database(context), utc_now)


def _confirm(ledger: "Ledger", chosen: DeliveryFilter, question: str, yes: bool) -> int:
    count = ledger.count_deliveries(chosen)
    where = "all destinations" if chosen.destination is None else chosen.destination
    what = f"{count} {'delivery' if count == 1 else 'deliveries'} to {where}"
    if count and not yes:
        typer.confirm(question.format(what).capitalize() + "?", abort=True, err=True)
    return count


def _tell(count: int, done: str, as_json: bool) -> None:
    if as_json:
        print_json({"deliveries": count})
    else:
        out.print(f"{count} {'delivery' if count == 1 else 'deliveries'} {done}")


def _as_json(delivery: DeliveryRecord) -> dict[str, Any]:  # Any: JSON
    return {**asdict(delivery), "last_status": _status(delivery) or None}


def _status(delivery: DeliveryRecord) -> str:
    """DIMSE's in hexadecimal, as the standard has it; HTTP's as people know it."""
    if delivery.last_status is None:
        return ""
    if delivery.kind in set(FlagKind):
        return str(delivery.last_status)
    return f"0x{delivery.last_status:04X}"
