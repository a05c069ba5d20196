"""`fracture-screen flags`: messages to systems without DICOM, tried out and looked at."""

from pathlib import Path
from typing import Annotated

import typer

from db.records import AnalysisSummary, ResultSummary, purged_on
from db.states import FlagKind
from worker.commands.console import Json, existing_database, fail, out, print_json, settings_of
from worker.errors import NothingToDo

flags_app = typer.Typer(
    no_args_is_help=True, help="HL7 messages and web hooks about results; see also deliveries."
)


@flags_app.command("check")
def check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of one of the [[hl7]] or [[webhooks]].")],
    as_json: Json = False,
) -> None:
    """Send a test message, marked as one (MSH-11 T, "test": true), and print the answer.

    Example: `fracture-screen flags check ris`
    """
    from worker.flag_trial import send_trial

    uid, answer = send_trial(settings_of(context), name)
    told = answer.error or "taken"
    if as_json:
        print_json({"receiver": name, "id": uid, "taken": answer.taken, "answer": told})
        if not answer.taken:
            raise typer.Exit(2)
    elif not answer.taken:
        fail(f"{name}: {told}")
    else:
        out.print(f"{name}: taken (test message {uid})", markup=False, soft_wrap=True)


@flags_app.command("show")
def show(
    context: typer.Context,
    study_instance_uid: Annotated[str, typer.Argument(help="Of a study that was screened.")],
    as_json: Json = False,
) -> None:
    """Print the messages about a study as they were made, or why none was; they name the patient.

    Example: `fracture-screen flags show 1.2.840.113619.2.55.3`
    """
    from db.ledger import Ledger
    from worker.database import utc_now

    settings = settings_of(context)
    summary = Ledger(existing_database(context), utc_now).study_summary(study_instance_uid)
    if summary is None or summary.analysis is None:
        raise NothingToDo(f"study {study_instance_uid} is not known, or not screened yet")
    root = settings.data_folder.resolve()
    messages = [(one, _text(root, one)) for one in _messages(summary.analysis)]
    withheld = summary.analysis.unflagged_reason
    if as_json:
        print_json({"messages": [_as_json(*each) for each in messages], "withheld": withheld})
        return
    for result, text in messages:
        to = ", ".join(f"{one.destination} {one.state}" for one in result.deliveries)
        out.print(f"{result.kind} {result.sop_instance_uid} to {to}", markup=False, soft_wrap=True)
        out.print(text.replace("\r", "\n"), markup=False, soft_wrap=True)
    if withheld:
        out.print(f"no message: {withheld}", markup=False, soft_wrap=True)
    elif not messages:
        out.print("no message: no receiver of the settings hears of this outcome")


def _messages(analysis: AnalysisSummary) -> list[ResultSummary]:
    return [one for one in analysis.results if one.kind in set(FlagKind)]


def _text(root: Path, message: ResultSummary) -> str:
    if message.purged_at is not None:
        return f"({purged_on(message.purged_at)})"
    return (root / message.path).read_text("utf-8")


def _as_json(result: ResultSummary, text: str) -> dict[str, object]:
    states = {one.destination: one.state for one in result.deliveries}
    return {"id": result.sop_instance_uid, "kind": result.kind, "to": states, "message": text}
