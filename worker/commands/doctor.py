"""`fracture-screen doctor`: is the installation as it should be, and if not, what is to be done?"""

import io
from typing import Annotated

import typer

from worker.commands.console import Json, err, out, print_json
from worker.doctor.finding import Check, CheckName


def doctor(
    context: typer.Context,
    store: Annotated[
        bool,
        typer.Option(
            "--store", help="Send a synthetic test object to each destination; it stays there."
        ),
    ] = False,
    move: Annotated[
        bool,
        typer.Option(
            "--move",
            help="Store a synthetic test object at each source and have it sent back to us.",
        ),
    ] = False,
    skip: Annotated[
        list[CheckName] | None,
        typer.Option(help="Check to leave out; again for more.", metavar="CHECK"),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=600, help="Seconds to wait for one answer.")
    ] = 10.0,
    as_json: Json = False,
) -> None:
    """Check the installation; each failure names its fix. Exit code 1 if something failed.

    Looks at settings and secrets, data folder, clock, database, broker, certificates, listener,
    remote AEs, receivers, model and processes. Run it as the user that the services run as. It
    changes nothing; with `--store` and `--move`, test objects without a patient go to the PACS.

    Examples: `fracture-screen --config settings.toml doctor`,
    `fracture-screen doctor --store --move --json`,
    `fracture-screen doctor --skip inference --timeout 3`
    """
    from worker.doctor.examination import exit_code
    from worker.doctor.report import as_json as to_json
    from worker.doctor.report import print_findings
    from worker.doctor.run import Wishes, examine_site
    from worker.logs import configure_logging

    # What libraries log while something fails is told by the findings.
    configure_logging("doctor", io.StringIO())
    wishes = Wishes(store, move, tuple(skip or ()), timeout)
    with err.status("") as status:

        def tell(check: Check) -> None:
            status.update(f"{check.name} {check.subject}")

        findings = examine_site(context.find_root().obj, wishes, tell)
    if as_json:
        print_json(to_json(findings))
    else:
        print_findings(out, findings)
    raise typer.Exit(exit_code(findings))
