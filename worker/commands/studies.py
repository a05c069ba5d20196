"""`status` and `retry`: how the studies stand, and one that failed once more."""

from typing import Annotated

import typer

from worker.commands.console import Json, fail, out, print_json, settings_of


def status(context: typer.Context, as_json: Json = False) -> None:
    """Studies per state, outcomes, deliveries, queues and the last activity.

    Example: `fracture-screen --config settings.toml status --json`
    """
    from worker import tables
    from worker.composition import open_ledger

    settings = settings_of(context)
    answer = tables.status_of(settings, open_ledger(settings))
    if as_json:
        print_json(answer)
    else:
        tables.print_status(out, answer)


def retry(
    context: typer.Context,
    study_instance_uid: Annotated[str, typer.Argument(help="Of a study whose state is FAILED.")],
) -> None:
    """Screen a FAILED study once more, as its next revision.

    Example: `fracture-screen retry 1.2.840.113619.2.55.3`
    """
    from worker.composition import open_ledger

    if not open_ledger(settings_of(context)).retry_failed(study_instance_uid):
        fail(f"study {study_instance_uid} is not FAILED; `fracture-screen status` shows which are")
    out.print(f"study {study_instance_uid} will be screened again")
