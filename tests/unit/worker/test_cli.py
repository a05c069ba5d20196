"""The command line: help with examples, errors without a trace, nothing secret on the screen."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from tests.servers.product import run_command
from worker.cli import app

SECRET = "canary-password"


def commands(group: TyperGroup, prefix: str = "") -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{prefix}{name} ")
        elif isinstance(command, TyperCommand):
            yield prefix + name, command


def root() -> TyperGroup:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


COMMANDS = dict(commands(root()))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_an_example_of_itself(name: str) -> None:
    text = COMMANDS[name].help or ""
    assert re.search(r"Examples?: `", text)
    examples = re.findall(r"`([^`]*fracture-screen[^`]*)`", text)
    assert examples
    assert all(name in example for example in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_can_be_parsed(name: str) -> None:
    for example in re.findall(r"`[^`]*fracture-screen ([^`]*)`", COMMANDS[name].help or ""):
        words = example.split()
        if words[0] == "--config":
            words = words[2:]
        arguments = words[len(name.split()) :]
        context = COMMANDS[name].make_context(name, arguments, resilient_parsing=False)
        assert context.command is COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_says_what_it_is(name: str) -> None:
    undescribed = [
        parameter.name for parameter in COMMANDS[name].params if not getattr(parameter, "help", "")
    ]
    assert undescribed == []


def test_an_unknown_command_is_refused_by_name() -> None:
    done = run_command("scren")
    assert done.returncode == 2
    assert "scren" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_for_a_destination_that_is_not_set_is_refused_with_those_that_are(
    tmp_path: Path,
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('[[destinations]]\nname = "pacs"\nae_title = "P"\nhost = "h"\nport = 104\n')
    options = ("--queue", "delivery", "--destination", "pasc")
    done = run_command("--config", str(config), "work", *options)
    assert done.returncode == 2
    event = json.loads(done.stderr)
    assert event["event"] == "service_failed"
    assert event["reason"] == "no destination is called 'pasc'; the settings have: pacs"


def test_settings_that_cannot_be_used_end_every_command_without_a_trace(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("[listener]\nprot = 104\n")
    done = run_command("--config", str(config), "status")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip() == (
        "error: listener.prot is no setting; did you mean listener.port?"
    )


def test_a_database_that_cannot_be_reached_is_told_without_trace_and_password(
    tmp_path: Path,
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        f'data_folder = "{tmp_path / "data"}"\n'
        f'database_url = "postgresql+psycopg://user:{SECRET}@127.0.0.1:1/none"\n'
    )
    done = run_command("--config", str(config), "status")
    assert done.returncode == 2
    assert "check that it runs" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("form", ["table", "json"])
def test_settings_show_hides_the_passwords_of_urls(tmp_path: Path, form: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        f'data_folder = "{tmp_path / "never made"}"\n'
        f'database_url = "postgresql+psycopg://user:{SECRET}@db.local/name"\n'
        f'broker_url = "redis://:{SECRET}@broker.local:6379/0"\n'
    )
    done = run_command(
        "--config", str(config), "settings", "show", *(["--json"] if form == "json" else [])
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    for shown in ("user:***@db.local", "***@broker.local:6379"):
        assert shown in done.stdout
    assert not (tmp_path / "never made").exists()


def test_settings_show_gives_the_values_in_force_to_machines(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        '[listener]\nport = 1104\n[[destinations]]\nname = "pacs"\nae_title = "PACS"\n'
        'host = "h"\nport = 104\n'
    )
    done = run_command("--config", str(config), "settings", "show", "--json")
    values = json.loads(done.stdout)
    assert values["listener.port"] == 1104
    assert values["study.quiet_period_s"] == 5.0
    (destination,) = values["destinations"]
    given = {"name": "pacs", "ae_title": "PACS", "host": "h", "port": 104}
    assert {key: destination[key] for key in given} == given
    assert destination["commitment"] is False
    assert values["peers"] == []


def test_a_bundle_that_is_not_there_is_told_with_the_setting_to_check(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'[model]\nbundle = "{tmp_path}"\n')
    done = run_command("--config", str(config), "model", "show")
    assert done.returncode == 2
    assert "model.bundle" in done.stderr
    assert "Traceback" not in done.stderr


def test_model_show_tells_identity_figures_and_limits() -> None:
    shown = run_command("model", "show").stdout
    card = json.loads(run_command("model", "show", "--json").stdout)
    assert f"{card['name']} {card['version']}" in shown
    assert card["digest"][:16] in shown
    assert all(limit in shown for limit in card["limits"])
    assert f"{card['metrics']['cross_validation']['auc']['value']:.2f}" in shown
