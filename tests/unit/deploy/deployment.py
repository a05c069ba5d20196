"""What deploy/ holds, read once for the tests."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
import yaml
from typer.core import TyperGroup

from tests.paths import REPOSITORY
from worker.cli import app

DEPLOY = REPOSITORY / "deploy"
SYSTEMD = DEPLOY / "systemd"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {
    name: service
    for name, service in COMPOSE["services"].items()
    if service["image"].startswith("fracture-screen/")
}
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OBJECTS: list[dict[str, Any]] = [
    one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())
]
PROGRAM = "fracture-screen"


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, pod specification) of each deployment and job."""
    for one in OBJECTS:
        if one["kind"] in ("Deployment", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def command_lines() -> list[tuple[str, list[str]]]:
    """(where, arguments of `fracture-screen`) of all that is started anywhere."""
    lines = [(f"compose {name}", service["command"]) for name, service in OURS.items()]
    for name, service in OURS.items():
        test = service.get("healthcheck", {}).get("test", [])
        if test[1:2] == [PROGRAM]:
            lines.append((f"compose health of {name}", test[2:]))
    lines += [(f"kubernetes {name}", pod["containers"][0]["args"]) for name, pod in pods()]
    for unit in SYSTEMD.glob("*.service"):
        (line,) = [one for one in unit.read_text().splitlines() if one.startswith("ExecStart=")]
        lines.append((f"systemd {unit.name}", shlex.split(line)[1:]))
    return lines


def parse(arguments: list[str]) -> None:
    """Parse them as the program would, running nothing; raises click's errors."""
    command, words = typer.main.get_command(app), list(arguments)
    while isinstance(command, TyperGroup):
        name = words.pop(0)
        found = command.commands.get(name)
        assert found is not None, f"there is no {name}"
        command = found
    command.make_context(command.name, words, resilient_parsing=False)


def make_secrets(folder: Path, *hosts: str) -> Path:
    """Run make-secrets.sh; returns the folder with the secrets."""
    secrets = folder / "secrets"
    subprocess.run(
        ["sh", DEPLOY / "make-secrets.sh", secrets, *hosts], check=True, capture_output=True
    )
    return secrets
