"""`status` and `retry`: how the studies stand, and one that failed once more."""

from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.console import Json, existing_database, fail, out, print_json, settings_of

if TYPE_CHECKING:
    from db.ledger import Ledger


def status(
    context: typer.Context,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the studies whose state is FAILED instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Studies per state, outcomes, deliveries, queues and the last activity.

    With --failed: each FAILED study with accession number, reason, time, attempts and the command
    that retries it; the patient's name is on the worklist only.
    Example: `fracture-screen --config settings.toml status --json`
    """
    from worker.status import failed_of, print_failed, print_status, status_of

    if failed:
        studies = failed_of(_ledger(context), context.find_root().obj)
        print_json(studies) if as_json else print_failed(out, studies)
        return
    answer = status_of(settings_of(context), _ledger(context))
    if as_json:
        print_json(answer)
    else:
        print_status(out, answer)


def retry(
    context: typer.Context,
    study_instance_uid: Annotated[str, typer.Argument(help="Of a study whose state is FAILED.")],
) -> None:
    """Screen a FAILED study once more, as its next revision.

    Example: `fracture-screen retry 1.2.840.113619.2.55.3`
    """
    from worker.model_updates.actor import present_actor

    if not _ledger(context).retry_failed(study_instance_uid, present_actor()):
        fail(
            f"study {study_instance_uid} is not FAILED; `fracture-screen status --failed` lists "
            "those that are"
        )
    out.print(f"study {study_instance_uid} will be screened again")


def _ledger(context: typer.Context) -> "Ledger":
    from db.ledger import Ledger
    from worker.database import utc_now

    return Ledger(existing_database(context), utc_now)
