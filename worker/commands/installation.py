"""What whoever installs needs: settings, database, certificates, the conformance statement."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from worker.commands.console import Json, out, print_json, settings_of

db_app = typer.Typer(no_args_is_help=True, help="The ledger's database.")
settings_app = typer.Typer(no_args_is_help=True, help="The settings in force.")
certs_app = typer.Typer(no_args_is_help=True, help="Certificates for tests of the TLS port.")


@db_app.command("upgrade")
def db_upgrade(context: typer.Context) -> None:
    """Bring the database's tables to this version; safe to run twice.

    Example: `fracture-screen --config settings.toml db upgrade`
    """
    from db.session import make_engine, upgrade
    from worker.database import make_folders

    settings = settings_of(context)
    make_folders(settings)
    upgrade(make_engine(settings.effective_database_url))
    out.print("the ledger is up to date")


@settings_app.command("show")
def settings_show(context: typer.Context, as_json: Json = False) -> None:
    """Every setting with its value in force and what it means; passwords are left out.

    Example: `fracture-screen settings show`
    """
    from worker.settings_table import print_settings, settings_in_force

    rows = settings_in_force(settings_of(context))
    if as_json:
        print_json({name: value for name, value, _ in rows})
    else:
        print_settings(out, rows)


@certs_app.command("make")
def certs_make(
    folder: Annotated[Path, typer.Argument(help="Where the PEM files go.")],
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="AE title that a pair is for; again for more."),
    ] = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", help="Host name or address in each certificate; again for more."),
    ] = None,
) -> None:
    """Write a test authority, and a certificate with its key per AE title. Needs openssl.

    Not for production: a hospital's own authority should sign there.

    Example: `fracture-screen certs make certs --name FRACTURESCREEN --name CT1`
    """
    from worker.certificates import make_certificates

    wanted = names or ["FRACTURESCREEN", "MODALITY"]
    for pair in make_certificates(folder, wanted, hosts or ["localhost", "127.0.0.1"]):
        out.print(f"{pair.name}: {pair.certificate} {pair.key}", markup=False, soft_wrap=True)
    out.print(f"authority: {folder / 'authority.crt'}", markup=False, soft_wrap=True)


def conformance(context: typer.Context) -> None:
    """Print the DICOM conformance statement of the settings in force (Markdown).

    Example: `fracture-screen --config settings.toml conformance`
    """
    from worker.conformance import conformance_statement

    typer.echo(conformance_statement(settings_of(context)), nl=False)


class Subject(StrEnum):
    """What a reference page tells of."""

    SETTINGS = "settings"
    """Every field of the settings file: docs/settings.md."""
    COMMANDS = "commands"
    """Every command with its options: docs/commands.md."""


def reference(
    context: typer.Context,
    subject: Annotated[Subject, typer.Argument(help="Which page: settings or commands.")],
) -> None:
    """Print a page of the documentation that is written from the code (Markdown).

    Example: `fracture-screen reference settings`
    """
    from worker.commands_page import commands_page
    from worker.settings_page import settings_page

    if subject is Subject.SETTINGS:
        typer.echo(settings_page(), nl=False)
        return
    root = context.find_root().command
    if isinstance(root, TyperGroup):
        typer.echo(commands_page(root), nl=False)
