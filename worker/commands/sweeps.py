"""`fracture-screen sweep`: backlogs of a PACS, a folder or the ledger, screened in quiet hours."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from db.states import LEGAL_SWEEP_MOVES, SweepState
from worker.commands.console import (
    Json,
    err,
    existing_database,
    fail,
    out,
    print_json,
    progress_bar,
    settings_of,
)

if TYPE_CHECKING:  # the commands import them: they open the database
    from db.sweep_records import SweepRecord
    from db.sweeps import Sweeps
    from worker.settings import Settings
    from worker.sweeps.places import Place
    from worker.sweeps.selection import Selection

sweep_app = typer.Typer(
    no_args_is_help=True,
    help="Backlog runs: what was never screened, or by an older model, is found and screened.",
)

Source = Annotated[str, typer.Option(help="Name of one of the [[sources]] to search.")]
Folder = Annotated[
    Path | None, typer.Option(help="Folder of DICOM files, instead of a source; read only.")
]
Known = Annotated[
    bool, typer.Option("--known", help="Instead of a source: what was screened here before.")
]
From = Annotated[
    datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First Study Date.")
]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last Study Date.")]
Days = Annotated[int | None, typer.Option(min=1, help="Study Dates of the last so many days.")]
Modality = Annotated[
    list[str] | None, typer.Option(help="Modality; again for more. Default: CR and DX.")
]
BodyPart = Annotated[
    list[str] | None,
    typer.Option(help="Body Part Examined; again for more. Default: all that the model knows."),
]
Institution = Annotated[str, typer.Option(help="Part of the Institution Name.")]
OlderThan = Annotated[
    str, typer.Option("--model-older-than", help="Only what a model of a lower version screened.")
]
Since = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Only what was screened since this day."),
]
OnlyNegative = Annotated[
    bool, typer.Option("--only-negative", help="Only what was screened NEGATIVE.")
]
Number = Annotated[int, typer.Argument(help="Of the sweep, as `sweep status` shows it.")]


@sweep_app.command()
def plan(
    context: typer.Context,
    source: Source = "",
    folder: Folder = None,
    known: Known = False,
    first: From = None,
    last: To = None,
    days: Days = None,
    modality: Modality = None,
    body_part: BodyPart = None,
    institution: Institution = "",
    model_older_than: OlderThan = "",
    since: Since = None,
    only_negative: OnlyNegative = False,
    as_json: Json = False,
) -> None:
    """Count what a sweep would do, and why it would leave studies out. Nothing is fetched.

    Example: `fracture-screen sweep plan --source archive --days 30`
    """
    from worker.sweeps.difference import Excluded, Fetch

    settings = settings_of(context)
    selection = _selection(settings, context.params)
    _require_place(settings, source, folder, selection)
    existing_database(context)
    place = _place(settings, source, folder, selection)
    counts: Counter[str] = Counter()
    instances = 0
    with progress_bar() as progress:
        task = progress.add_task("looking at studies", total=None)
        for decision in place.plan():
            if isinstance(decision, Excluded):
                counts[decision.reason] += 1
            elif isinstance(decision, Fetch):
                counts[TO_FETCH] += 1
                instances += len(decision.missing)
            else:
                counts[TO_SCREEN_AGAIN] += 1
            progress.advance(task)
    _print_plan(counts, instances, place.studies_per_hour, as_json=as_json)


@sweep_app.command()
def start(
    context: typer.Context,
    source: Source = "",
    folder: Folder = None,
    known: Known = False,
    first: From = None,
    last: To = None,
    days: Days = None,
    modality: Modality = None,
    body_part: BodyPart = None,
    institution: Institution = "",
    model_older_than: OlderThan = "",
    since: Since = None,
    only_negative: OnlyNegative = False,
    any_time: Annotated[
        bool, typer.Option("--any-time", help="Work outside the time window, too.")
    ] = False,
    no_delivery: Annotated[
        bool, typer.Option("--no-delivery", help="Send no results; `sweep report` writes them.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show its progress to its end.")] = False,
    as_json: Json = False,
) -> None:
    """Begin a sweep; the services do the work (`up`, or `work --queue sweep` and `backlog`).

    Examples: `fracture-screen sweep start --source archive --days 30`,
    `fracture-screen sweep start --folder /archive/2019 --any-time --no-delivery`,
    `fracture-screen sweep start --known --model-older-than 2.0 --only-negative`
    """
    from dataclasses import replace

    from db.sweep_records import NewSweep
    from worker.model_updates.actor import present_actor

    settings = settings_of(context)
    selection = _selection(settings, context.params)
    selection = replace(selection, any_time=any_time, delivers=not no_delivery)
    _require_place(settings, source, folder, selection)
    _place(settings, source, folder, selection)  # which says what is wrong, now
    sweeps = _sweeps(context)
    begun = sweeps.begin(
        NewSweep(
            source=source,
            folder="" if folder is None else str(folder.resolve()),
            selection=selection.to_json(),
            actor=present_actor(),
        )
    )
    if begun is None:
        raise AssertionError("only a schedule's sweep may have begun already")
    if follow:
        _follow(settings, sweeps, begun.id)
    if as_json:
        print_json({"sweep": begun.id})
    else:
        out.print(f"sweep {begun.id} has begun; `fracture-screen sweep status {begun.id}`")


@sweep_app.command()
def pause(context: typer.Context, number: Number) -> None:
    """Stop a sweep after what it is just doing; `resume` lets it go on from there.

    Example: `fracture-screen sweep pause 3`
    """
    _move(context, number, SweepState.PAUSED)


@sweep_app.command()
def resume(context: typer.Context, number: Number) -> None:
    """Let a paused sweep go on.

    Example: `fracture-screen sweep resume 3`
    """
    _move(context, number, SweepState.RUNNING)


@sweep_app.command()
def cancel(
    context: typer.Context,
    number: Number,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Give a sweep up for good; what it has fetched is screened all the same.

    Example: `fracture-screen sweep cancel 3`
    """
    if not yes:
        typer.confirm(f"Give sweep {number} up?", abort=True, err=True)
    _move(context, number, SweepState.CANCELLED)


@sweep_app.command()
def status(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(help="Of one sweep; none: the last ten.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show it until its end.")] = False,
    as_json: Json = False,
) -> None:
    """Show how far sweeps are, what they wait for and when they may be over.

    Examples: `fracture-screen sweep status`, `fracture-screen sweep status 3 --follow`
    """
    settings = settings_of(context)
    sweeps = _sweeps(context)
    if number is None:
        found = [_as_json(sweeps, one) for one in sweeps.latest(10)]
        if as_json:
            print_json(found)
        else:
            out.print(_overview(found))
        return
    if follow and not as_json:
        _follow(settings, sweeps, number)
        return
    content = _as_json(sweeps, _find(sweeps, number))
    if as_json:
        print_json(content)
    else:
        out.print(_details(content))


@sweep_app.command()
def report(
    context: typer.Context,
    number: Number,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder for report.pdf, studies.csv and suspected.csv.")
    ],
    results: Annotated[
        bool, typer.Option("--results", help="Copy heatmaps and reports there, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write what a sweep found: a PDF to read, a line per study, the suspected missed fractures.

    The files name patients: keep them where patient data may lie.

    Example: `fracture-screen sweep report 3 --out /reports/sweep-3`
    """
    from db.ledger import Ledger
    from worker.database import utc_now
    from worker.sweeps.report import write_report

    written = write_report(
        number,
        settings_of(context),
        _sweeps(context),
        Ledger(existing_database(context), utc_now),
        folder,
        now=utc_now(),
        with_results=results,
    )
    if as_json:
        print_json([str(path) for path in written])
    else:
        for path in written:
            out.print(str(path), soft_wrap=True)


TO_FETCH = "to be fetched and screened"
TO_SCREEN_AGAIN = "here already, to be screened again"


def _selection(settings: "Settings", chosen: Mapping[str, Any]) -> "Selection":
    """From the options that `plan` and `start` share, by their names. Any: as typer parsed them."""
    from worker.sweeps.selection import Selection

    first, last, days, since = (chosen[name] for name in ("first", "last", "days", "since"))
    if days is not None and (first is not None or last is not None):
        fail("give either --days or --from and --to")
    if first is not None and last is not None and first > last:
        fail("--from lies after --to")
    today = datetime.now(settings.sweep.zone).date()
    return Selection(
        first_day=_day(first) if days is None else today - timedelta(days=days - 1),
        last_day=_day(last),
        modalities=tuple(one.upper() for one in chosen["modality"] or ("CR", "DX")),
        body_parts=tuple(one.upper() for one in chosen["body_part"] or ()),
        institution=chosen["institution"],
        known_only=chosen["known"],
        model_older_than=chosen["model_older_than"],
        since=None if since is None else since.replace(tzinfo=settings.sweep.zone),
        only_negative=chosen["only_negative"],
    )


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


def _sweeps(context: typer.Context) -> "Sweeps":
    from db.sweeps import Sweeps
    from worker.database import utc_now

    return Sweeps(existing_database(context), utc_now)


def _require_place(
    settings: "Settings", source: str, folder: Path | None, selection: "Selection"
) -> None:
    """End the command unless it names one place, which the settings or the disk have."""
    named = [bool(source), folder is not None, selection.known_only]
    if named.count(True) != 1:
        fail("give one of --source, --folder and --known")
    if folder is not None and not folder.is_dir():
        fail(f"{folder} is no folder")
    if source and source not in (one.name for one in settings.sources):
        fail(_no_source(source, [one.name for one in settings.sources]))


def _no_source(name: str, known: list[str]) -> str:
    if known:
        return f"there is no source {name!r}; [[sources]] of the settings has: {', '.join(known)}"
    return (
        f"there is no source {name!r}: the settings have no [[sources]]. Add the PACS to search:\n"
        f'[[sources]]\nname = "{name}"\nae_title = "ORTHANC"     # of the PACS\n'
        'host = "10.0.0.5"\nport = 4242\n'
        "(`fracture-screen settings show` and docs/settings.md have the other fields)"
    )


def _place(
    settings: "Settings", source: str, folder: Path | None, selection: "Selection"
) -> "Place":
    """Return where a sweep would look; ends the command where that cannot be."""
    from worker.composition import make_places

    try:
        return make_places(settings).at(
            0, source, "" if folder is None else str(folder.resolve()), selection
        )
    except ValueError as error:
        fail(str(error))


def _find(sweeps: "Sweeps", number: int) -> "SweepRecord":
    found = sweeps.find(number)
    if found is None:
        fail(f"there is no sweep {number}; `fracture-screen sweep status` lists them")
    return found


def _move(context: typer.Context, number: int, target: SweepState) -> None:
    from worker.model_updates.actor import present_actor

    _sweeps(context).move(number, target, present_actor())
    out.print(f"sweep {number} is {target}")


def _follow(settings: "Settings", sweeps: "Sweeps", number: int) -> None:
    """Redraw every second until it is over, or Ctrl-C: the sweep goes on without us."""
    with Live(console=err, refresh_per_second=4) as live:
        while True:
            sweep = _find(sweeps, number)
            content = _as_json(sweeps, sweep)
            live.update(_details(content))
            if not LEGAL_SWEEP_MOVES[sweep.state] and not content["to_do"]:
                return
            time.sleep(1)


def _as_json(sweeps: "Sweeps", sweep: "SweepRecord") -> dict[str, Any]:  # Any: JSON
    from worker.database import utc_now
    from worker.sweeps.progress import progress_of

    tally = sweeps.tally(sweep.id)
    progress = progress_of(sweep, tally, utc_now())
    left = progress.left
    return {
        "sweep": sweep.id,
        "schedule": sweep.schedule,
        "place": sweep.source or sweep.folder or "known studies",
        "selection": sweep.selection,
        "state": sweep.state,
        "waits": sweep.remark,
        "begun_at": sweep.created_at,
        "finished_at": sweep.finished_at,
        **asdict(progress),
        "left": None if left is None else round(left.total_seconds()),
        "outcomes": {str(key): count for key, count in tally.outcomes.items()},
        "excluded_by_reason": tally.exclusions,
        "missing_by_reason": tally.missing,
        "unscreened_by_reason": tally.reasons,
    }


def _overview(found: list[dict[str, Any]]) -> Table:
    table = Table("sweep", "place", "state", "found", "done", "positive", "left", "waits for")
    for one in found:
        table.add_row(
            str(one["sweep"]),
            one["place"],
            one["state"],
            f"{one['found']}{'' if one['searched'] else '+'}",
            f"{one['found'] - one['to_do']}",
            str(one["outcomes"]["POSITIVE"]),
            _duration(one["left"]),
            one["waits"],
        )
    return table


def _details(one: dict[str, Any]) -> Table:
    table = Table(show_header=False)
    more = "" if one["searched"] else ", and the search goes on"
    rows = [
        ("sweep", str(one["sweep"])),
        ("place", one["place"]),
        ("state", one["state"] + (f": {one['waits']}" if one["waits"] else "")),
        ("studies found", f"{one['found']}{more}"),
        *((f"  not for it: {reason}", str(n)) for reason, n in one["excluded_by_reason"].items()),
        ("fetched", str(one["fetched"])),
        *((f"  missing: {reason}", str(n)) for reason, n in one["missing_by_reason"].items()),
        ("screened", str(one["screened"])),
        *((f"  {outcome}", str(n)) for outcome, n in one["outcomes"].items() if n),
        *((f"    because: {reason}", str(n)) for reason, n in one["unscreened_by_reason"].items()),
        ("still to do", str(one["to_do"])),
        ("studies an hour", "" if one["per_hour"] is None else f"{one['per_hour']:.0f}"),
        ("time left", _duration(one["left"])),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table


def _duration(seconds: int | None) -> str:
    return "" if seconds is None else str(timedelta(seconds=seconds))


def _print_plan(
    counts: Counter[str], instances: int, per_hour: int | None, *, as_json: bool
) -> None:
    to_do = counts[TO_FETCH] + counts[TO_SCREEN_AGAIN]
    if as_json:
        print_json(
            {
                "to_fetch": counts[TO_FETCH],
                "instances_to_fetch": instances,
                "to_screen_again": counts[TO_SCREEN_AGAIN],
                "excluded_by_reason": {
                    reason: count
                    for reason, count in counts.most_common()
                    if reason not in (TO_FETCH, TO_SCREEN_AGAIN)
                },
            }
        )
        return
    table = Table("what becomes of them", "studies")
    for reason, count in counts.most_common():
        table.add_row(reason, str(count), style="bold" if reason == TO_FETCH else None)
    out.print(table)
    if per_hour:
        hours = to_do / per_hour
        out.print(f"{to_do} studies to do: {hours:.1f} hours at {per_hour} studies an hour at most")
