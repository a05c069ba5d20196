"""docs/deploy.md: what it tells to type is there."""

import re
import shlex

import pytest

from tests.paths import REPOSITORY
from tests.unit.deploy.deployment import COMPOSE, DEPLOY, OURS, SYSTEMD, parse

PAGE = (REPOSITORY / "docs" / "deploy.md").read_text()


def test_every_path_that_it_names_is_there_or_made_by_its_commands() -> None:
    paths = set(re.findall(r"deploy/[\w./-]+", PAGE))
    assert len(paths) > 5
    for path in paths:
        assert (REPOSITORY / path.rstrip("./")).exists() or path.startswith("deploy/secrets"), path


@pytest.mark.parametrize("line", re.findall(r"run --rm (.*)", PAGE))
def test_a_command_in_a_container_is_one_that_the_program_takes(line: str) -> None:
    service, *arguments = shlex.split(line)
    assert service in OURS
    parse(arguments)


def test_its_table_has_the_commands_of_compose() -> None:
    table = dict(re.findall(r"^\| (\w+) \| `fracture-screen ([^`]*)` \|", PAGE, re.M))
    commands = {name: " ".join(service["command"]) for name, service in OURS.items()}
    assert table == {name: line for name, line in commands.items() if name != "screening-gpu"}


def test_profiles_arguments_units_and_ports_that_it_names_are_there() -> None:
    assert {"gpu"} == set(re.findall(r"--profile (\w+)", PAGE)) == set(profiles())
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    for argument in re.findall(r"--build-arg (\w+)", PAGE):
        assert f"ARG {argument}\n" in dockerfile
    for unit in re.findall(r"fracture-screen-[a-z]+@?", PAGE):
        assert (SYSTEMD / f"{unit}.service").is_file(), unit
    published = " ".join(p for one in COMPOSE["services"].values() for p in one.get("ports", []))
    for port in re.findall(r"\((\d{4,5})[,)]", PAGE):
        assert port in published


def profiles() -> list[str]:
    return [one for service in COMPOSE["services"].values() for one in service.get("profiles", [])]
