"""`status` and `retry`: how the studies stand, and one that failed once more."""

from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.console import Json, existing_database, fail, out, print_json, settings_of

if TYPE_CHECKING:
    from db.ledger import Ledger


def status(context: typer.Context, as_json: Json = False) -> None:
    """Studies per state, outcomes, deliveries, queues and the last activity.

    Example: `fracture-screen --config settings.toml status --json`
    """
    from worker.status import print_status, status_of

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
    if not _ledger(context).retry_failed(study_instance_uid):
        fail(f"study {study_instance_uid} is not FAILED; `fracture-screen status` shows which are")
    out.print(f"study {study_instance_uid} will be screened again")


def _ledger(context: typer.Context) -> "Ledger":
    from db.ledger import Ledger
    from worker.database import utc_now

    return Ledger(existing_database(context), utc_now)
