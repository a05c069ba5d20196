"""`fracture-screen audit`: the audit trail, for people and for the hospital's collector."""

import os
import socket
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO
from zoneinfo import ZoneInfo

import typer
from rich.table import Column, Table
from rich.text import Text

from worker.commands.console import (
    Json,
    err,
    existing_database,
    out,
    print_json,
    settings_of,
)
from worker.model_updates.actor import present_actor

if TYPE_CHECKING:
    from db.audit import Trail, Wanted

audit_app = typer.Typer(
    no_args_is_help=True, help="Who signed in, saw, reviewed, exported and changed what."
)

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
_STDOUT = Path("-")

Action = Annotated[str, typer.Option(help='What was done, as the list shows it: "signed in".')]
Actor = Annotated[str, typer.Option(help="Part of who did it.")]
Subject = Annotated[str, typer.Option(help="Part of what it was done to: a UID, an account.")]
Since = Annotated[
    datetime | None, typer.Option(formats=_FORMATS, help="From this time of the site on.")
]
Until = Annotated[
    datetime | None,
    typer.Option(formats=_FORMATS, help="Up to this time of the site, itself excluded."),
]


@audit_app.command("list")
def list_events(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    action: Action = "",
    actor: Actor = "",
    subject: Subject = "",
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """The last lines of the audit trail. That it was read is its next line.

    Examples: `fracture-screen audit list --action reviewed --since 2026-01-31`,
    `fracture-screen audit list --actor weber --limit 500 --json`
    """
    from db.audit import Wanted
    from worklist.people.audit_messages import AUDIT_TRAIL, VIEWED_TRAIL

    trail, zone = _trail(context), settings_of(context).sweep.zone
    wanted = Wanted(action, actor, subject, _at(since, zone), _at(until, zone))
    events = trail.page(wanted, limit)
    trail.note(present_actor(), VIEWED_TRAIL, AUDIT_TRAIL, _period(wanted))
    if as_json:
        print_json([asdict(event) for event in events])
        return
    when = Column(f"when ({zone})", no_wrap=True)
    table = Table(when, "who", "what", "to what", "details")
    for event in events:
        moment = f"{event.happened_at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        told = (event.actor, event.action, event.subject, event.in_words)
        table.add_row(moment, *(Text(one) for one in told))
    out.print(table)


@audit_app.command("export")
def export(
    context: typer.Context,
    since: Since = None,
    until: Until = None,
    out_file: Annotated[
        Path, typer.Option("--out", help="File to write; - is standard output.")
    ] = _STDOUT,
    as_json: Json = False,
) -> None:
    """Write the trail as audit messages of DICOM PS3.15 A.5, one XML document a line.

    Oldest first; the export itself is recorded before. Studies are named with their Patient ID, as
    the standard demands: keep the file as you keep those.

    Examples: `fracture-screen audit export --since 2026-01-31 --until 2026-02-01 --out day.txt`,
    `fracture-screen audit export`
    """
    from db.audit import Wanted
    from worklist.people.audit_messages import AUDIT_TRAIL, EXPORTED_TRAIL, Source, message_lines

    trail, zone = _trail(context), settings_of(context).sweep.zone
    wanted = Wanted(since=_at(since, zone), until=_at(until, zone))
    told = {**_period(wanted), "out": str(out_file.absolute()) if out_file != _STDOUT else "-"}
    trail.note(present_actor(), EXPORTED_TRAIL, AUDIT_TRAIL, told)
    lines = message_lines(trail.all(wanted), Source(socket.gethostname(), trail.patient_id))
    count = _write(lines, sys.stdout) if out_file == _STDOUT else _write_file(lines, out_file)
    if as_json and out_file != _STDOUT:
        print_json({"messages": count, "out": told["out"]})
    else:
        err.print(f"{count} messages in {out_file}", markup=False, soft_wrap=True)


def _trail(context: typer.Context) -> "Trail":
    from db.audit import Trail
    from worker.database import utc_now

    return Trail(existing_database(context), utc_now)


def _at(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=zone)


def _period(wanted: "Wanted") -> dict[str, str]:
    filled = {key: value for key, value in asdict(wanted).items() if value}
    return {key: str(value) for key, value in filled.items()}


def _write(lines: Iterable[str], file: TextIO) -> int:
    count = 0
    for line in lines:
        file.write(line)
        count += 1
    return count


def _write_file(lines: Iterable[str], path: Path) -> int:
    """Whole or not at all, for our own eyes: a collector must not find half a file."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        count = _write(lines, file)
    unfinished.replace(path)
    return count
