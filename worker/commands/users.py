"""`fracture-screen users`: who may sign in to the worklist."""

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table

from db.states import Role
from worker.commands.console import (
    Json,
    err,
    existing_database,
    fail,
    out,
    print_json,
    settings_of,
)
from worker.model_updates.actor import present_actor

if TYPE_CHECKING:
    from db.accounts import AccountRecord, Accounts

users_app = typer.Typer(
    no_args_is_help=True, help="Accounts of the worklist: add, list, disable, unlock."
)

_STDIN = Path("-")


class RoleName(StrEnum):
    """Roles as people write them."""

    READER = "reader"
    ADMIN = "admin"


Name = Annotated[str, typer.Argument(help="Of the account, as `users list` shows it.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        help="File whose first line is the password, - for standard input. Without it the "
        "password is asked for, twice."
    ),
]


@users_app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="a-z, 0-9, dot, underscore, @, hyphen.")],
    role: Annotated[
        RoleName, typer.Option(help="reader: studies and reviews. admin: people and trail, too.")
    ] = RoleName.READER,
    password_file: PasswordFile = None,
    by_proxy: Annotated[
        bool,
        typer.Option("--by-proxy", help="No password: signs in by the trusted reverse proxy only."),
    ] = False,
) -> None:
    """Add an account.

    Examples: `fracture-screen users add weber --role admin`,
    `fracture-screen users add reader7 --password-file secret.txt`,
    `fracture-screen users add m.chen --by-proxy`
    """
    if by_proxy and password_file is not None:
        fail("--by-proxy and --password-file exclude each other")
    from db.accounts import BY_PROXY_ONLY, Accounts
    from worker.database import open_database, utc_now

    accounts = Accounts(open_database(settings_of(context)), utc_now)
    if accounts.find(name) is not None:
        fail(f"there is an account {name} already; `fracture-screen users list` shows all")
    password_hash = BY_PROXY_ONLY if by_proxy else _hash_of_new_password(name, password_file)
    added = accounts.add(name, Role[role.name], password_hash, present_actor())
    err.print(f"{added.name} may sign in as {role}", markup=False)


@users_app.command("list")
def list_accounts(context: typer.Context, as_json: Json = False) -> None:
    """All accounts: role, state and last use.

    Example: `fracture-screen users list --json`
    """
    from worker.database import utc_now

    accounts, zone = _accounts(context).all(), settings_of(context).sweep.zone
    if as_json:
        print_json([asdict(one) for one in accounts])
        return
    table = Table("name", "role", "state", f"last used ({zone})", "signs in by")
    for one in accounts:
        used = one.last_used_at
        table.add_row(
            one.name,
            one.role.lower(),
            "locked" if one.is_locked(utc_now()) and not one.disabled_at else _state(one),
            f"{used.astimezone(zone):%Y-%m-%d %H:%M}" if used else "never",
            "proxy" if one.by_proxy_only else "password",
        )
    out.print(table)
    if not accounts:
        err.print("no account yet: `fracture-screen users add NAME --role admin`", markup=False)


@users_app.command()
def disable(context: typer.Context, name: Name) -> None:
    """Refuse an account from now on; its sessions end at once.

    Example: `fracture-screen users disable weber`
    """
    _say(_accounts(context).disable(name, present_actor()), "is disabled and signed out")


@users_app.command()
def enable(context: typer.Context, name: Name) -> None:
    """Let a disabled account sign in again.

    Example: `fracture-screen users enable weber`
    """
    _say(_accounts(context).enable(name, present_actor()), "may sign in again")


@users_app.command()
def unlock(context: typer.Context, name: Name) -> None:
    """Forget wrong passwords, and the lock that they brought.

    Example: `fracture-screen users unlock weber`
    """
    _say(_accounts(context).unlock(name, present_actor()), "is not locked")


@users_app.command("reset-password")
def reset_password(context: typer.Context, name: Name, password_file: PasswordFile = None) -> None:
    """Set another password. The account is unlocked, and signed out everywhere.

    Examples: `fracture-screen users reset-password weber`,
    `fracture-screen users reset-password weber --password-file -`
    """
    accounts = _accounts(context)
    if accounts.find(name) is None:
        fail(f"there is no account {name}; `fracture-screen users list` shows all")
    password_hash = _hash_of_new_password(name, password_file)
    _say(accounts.set_password(name, password_hash, present_actor()), "has another password")


def _accounts(context: typer.Context) -> "Accounts":
    from db.accounts import Accounts
    from worker.database import utc_now

    return Accounts(existing_database(context), utc_now)


def _hash_of_new_password(name: str, password_file: Path | None) -> str:
    from worklist.people.passwords import PasswordRefused, hash_password

    try:
        return hash_password(_new_password(password_file), name)
    except PasswordRefused as refusal:
        fail(str(refusal))


def _new_password(password_file: Path | None) -> str:
    if password_file is None:
        if not sys.stdin.isatty():
            _fail_without_terminal()
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    if password_file == _STDIN:
        return sys.stdin.readline().rstrip("\r\n")
    with password_file.open(encoding="utf-8") as lines:
        return lines.readline().rstrip("\r\n")


def _fail_without_terminal() -> NoReturn:
    fail("there is no terminal to ask for the password at: give --password-file")


def _state(one: "AccountRecord") -> str:
    return "disabled" if one.disabled_at else "enabled"


def _say(account: "AccountRecord", told: str) -> None:
    err.print(f"{account.name} {told}", markup=False)
