"""`fracture-screen users` and `audit` as administrators run them."""

import json
import os
import pty
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from db.errors import AccountRefused
from db.session import make_engine
from db.web_sessions import Lifetime, WebSessions
from tests.paths import REPOSITORY
from tests.unit.worklist.audit_schema import check
from worker.cli import app
from worker.composition import utc_now
from worker.settings import load_settings
from worklist.people.passwords import verify_password

PASSWORD = "canary-horse-battery"
LIFETIME = Lifetime(idle=timedelta(hours=1), longest=timedelta(hours=1))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(f'data_folder = "{tmp_path / "data"}"\n[sweep]\ntime_zone = "Europe/Berlin"\n')
    return path


def call(config: Path, *arguments: str, stdin: str = "") -> Result:
    command = ["--config", str(config), *arguments]
    return CliRunner().invoke(app, command, input=stdin, env={"COLUMNS": "250"})


def add(config: Path, name: str = "weber", *options: str) -> Result:
    command = ("users", "add", name, "--password-file", "-", *options)
    return call(config, *command, stdin=f"{PASSWORD}\n")


def stored_hash(config: Path) -> str:
    engine = make_engine(load_settings(config).effective_database_url)
    found = WebSessions(engine, utc_now, LIFETIME).credentials("weber")
    assert found is not None
    return found.password_hash


def test_an_account_is_added_listed_and_changed(config: Path) -> None:
    assert "may sign in as admin" in add(config, "weber", "--role", "admin").output
    assert call(config, "users", "add", "chen", "--by-proxy").exit_code == 0
    listed = json.loads(call(config, "users", "list", "--json").stdout)
    assert [(one["name"], one["role"], one["by_proxy_only"]) for one in listed] == [
        ("chen", "READER", True),
        ("weber", "ADMIN", False),
    ]
    assert PASSWORD not in json.dumps(listed)
    assert "argon2" not in json.dumps(listed)
    for command in ("disable", "enable", "unlock"):
        assert call(config, "users", command, "chen").exit_code == 0
    table = call(config, "users", "list").stdout
    assert "Europe/Berlin" in table
    assert "never" in table


def test_the_only_administrator_cannot_be_disabled(config: Path) -> None:
    add(config, "weber", "--role", "admin")
    refused = call(config, "users", "disable", "weber")
    assert isinstance(refused.exception, AccountRefused)
    assert "add another first" in str(refused.exception)


def test_a_password_is_read_from_the_first_line_of_a_file(config: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f" {PASSWORD} \r\nnot this\n")
    assert call(config, "users", "add", "weber", "--password-file", str(secret)).exit_code == 0
    assert verify_password(stored_hash(config), f" {PASSWORD} ")


def test_a_new_password_replaces_the_old(config: Path) -> None:
    add(config)
    reset = ("users", "reset-password", "weber", "--password-file", "-")
    assert call(config, *reset, stdin="another horse battery\n").exit_code == 0
    assert verify_password(stored_hash(config), "another horse battery")
    assert not verify_password(stored_hash(config), PASSWORD)


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (("add", "weber", "--password-file", "-"), "short\n", "at least 12"),
        (("add", "weber"), f"{PASSWORD}\n", "--password-file"),
        (("add", "weber", "--by-proxy", "--password-file", "-"), "", "exclude each other"),
        (("reset-password", "nobody", "--password-file", "-"), "", "no account nobody"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    config: Path, arguments: tuple[str, ...], stdin: str, told: str
) -> None:
    assert call(config, "db", "upgrade").exit_code == 0
    refused = call(config, "users", *arguments, stdin=stdin)
    assert refused.exit_code == 2
    assert told in refused.output
    assert json.loads(call(config, "users", "list", "--json").stdout) == []


def test_a_name_that_is_taken_is_refused_before_a_password_is_asked_for(config: Path) -> None:
    add(config)
    refused = call(config, "users", "add", "weber")
    assert refused.exit_code == 2
    assert "there is an account weber already" in refused.output


@pytest.mark.parametrize(("again", "code"), [(PASSWORD, 0), ("something else", None)])
def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(
    config: Path, again: str, code: int | None
) -> None:
    command = [sys.executable, "-m", "worker.cli", "--config", str(config), "users", "add", "weber"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        for question, answer in ((b"Password: ", PASSWORD), (b"confirmation: ", again)):
            while not shown.endswith(question):
                shown += os.read(ours, 1024)
            os.write(ours, f"{answer}\n".encode())
        if code is None:
            while b"do not match" not in shown:
                shown += os.read(ours, 1024)
            process.kill()
        else:
            assert process.wait(60) == code
    os.close(ours)
    assert PASSWORD.encode() not in shown


def test_the_trail_is_listed_in_the_sites_time(config: Path) -> None:
    add(config)
    shown = call(config, "audit", "list", "--action", "account added").stdout
    assert "weber" in shown
    assert "Europe/Berlin" in shown
    found = json.loads(call(config, "audit", "list", "--json").stdout)
    assert [one["action"] for one in found] == ["viewed audit trail", "account added"]
    assert PASSWORD not in json.dumps(found)


def test_the_export_is_one_message_a_line_for_our_eyes_and_ends_with_itself(
    config: Path, tmp_path: Path
) -> None:
    add(config)
    out = tmp_path / "audit.txt"
    told = json.loads(call(config, "audit", "export", "--out", str(out), "--json").stdout)
    assert told == {"messages": 2, "out": str(out)}
    assert out.stat().st_mode & 0o777 == 0o600
    messages = [ElementTree.fromstring(line) for line in out.read_text().splitlines()]  # noqa: S314
    for message in messages:
        check(message)
    kinds = [message[0][0].get("originalText") for message in messages]
    assert kinds == ["Security Alert", "Audit Log Used"]
    assert [path.name for path in tmp_path.glob("*.unfinished")] == []


def test_an_export_of_a_period_that_holds_nothing_is_empty_and_recorded(config: Path) -> None:
    add(config)
    nothing = call(config, "audit", "export", "--until", "2020-01-01")
    assert nothing.stdout == ""
    assert "0 messages" in nothing.stderr
    (newest,) = json.loads(call(config, "audit", "list", "--limit", "1", "--json").stdout)
    assert newest["action"] == "exported audit trail"
    assert newest["details"]["until"] == "2020-01-01 00:00:00+01:00"
