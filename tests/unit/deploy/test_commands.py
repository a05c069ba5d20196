"""What containers, units and pods start is what the program takes."""

import pytest

from tests.unit.deploy.deployment import COMPOSE, MANIFESTS, SYSTEMD, command_lines, parse

LINES = command_lines()


@pytest.mark.parametrize(("where", "arguments"), LINES, ids=[where for where, _ in LINES])
def test_every_command_line_is_one_that_the_program_takes(where: str, arguments: list[str]) -> None:
    parse(arguments)


@pytest.mark.parametrize("platform", ["compose", "kubernetes", "systemd"])
def test_every_platform_runs_every_service_and_the_upgrade(platform: str) -> None:
    started = [tuple(words) for where, words in LINES if where.startswith(platform)]
    for service in [
        ("db", "upgrade"),
        ("listen",),
        ("dispatch",),
        ("work", "--queue", "triage", "--queue", "backlog"),
        ("work", "--queue", "delivery"),
        ("work", "--queue", "sweep"),
        ("worklist",),
        ("monitor",),
    ]:
        assert service in started


def test_all_three_platforms_were_looked_at() -> None:
    assert COMPOSE
    assert MANIFESTS
    assert list(SYSTEMD.glob("*.service"))
    with pytest.raises(AssertionError, match="there is no lisen"):
        parse(["lisen"])
