"""What compose.yaml starts, started outside containers: commands, environment, settings as there.

Only paths, host names and ports differ. PostgreSQL is the tests' own; Redis and Orthanc run by the
commands and files of compose.yaml.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from tests.servers.dcmtk import wait_until_listening
from tests.servers.orthanc import ORTHANC
from tests.servers.ports import free_port
from tests.servers.postgresql import PrivatePostgresql
from tests.servers.product import clean_environment, command
from tests.unit.deploy.deployment import COMPOSE, DEPLOY, OURS, make_secrets

SERVICES: dict[str, Any] = COMPOSE["services"]
RUNNING = sorted(set(OURS) - {"upgrade", "screening-gpu"})
"""Ours that go on."""
NEIGHBOURS = {"redis": "6379", "pacs": "4242"}
"""Service → its port in compose.yaml."""


@dataclass
class Site:
    """One machine in the place of all containers."""

    folder: Path
    ports: dict[str, int]
    database_port: int
    database: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """What compose.yaml or a file of it says, for this machine."""
        for there, path in self._paths().items():
            text = text.replace(there, str(path))
        for port, ours in self.ports.items():
            text = text.replace(port, str(ours))
        text = text.replace("172.30.77.0/24", "127.0.0.0/8")
        for host in ("listener", "pacs"):
            text = text.replace(f'ost": "{host}"', 'ost": "127.0.0.1"')
            text = text.replace(f'host = "{host}"', 'host = "127.0.0.1"')
        return text

    def environment(self, name: str) -> dict[str, str]:
        """Of a service."""
        stated: Mapping[str, str] = SERVICES[name].get("environment", {})
        hosts = {"listener": "127.0.0.1"}
        mapped = {key: hosts.get(value, self.here(value)) for key, value in stated.items()}
        return {**clean_environment(), **mapped, "HOME": str(self.folder)}

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A service that ends by itself; with arguments, those in the place of its command."""
        words = arguments or map(self.here, SERVICES[name]["command"])
        return self._run(command(*words), name)

    def start(self, name: str) -> None:
        """A service that goes on, ours or a neighbour; it ends when we do."""
        words = {"redis": self._redis, "pacs": self._pacs}.get(name, lambda: self._ours(name))()
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *words],
                env=self.environment(name),
                stdout=log if name in NEIGHBOURS else None,
                stderr=log,
                start_new_session=True,
            )
        if name in NEIGHBOURS:
            wait_until_listening(self.ports[NEIGHBOURS[name]])

    def stop(self, name: str) -> int:
        """As `docker compose stop` does; its exit code, or TimeoutExpired."""
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(int(SERVICES[name]["stop_grace_period"].removesuffix("s")))

    def kill(self, name: str) -> None:
        """With all that it started, as `docker compose kill` does."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a service's health check as the engine would."""
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        if kind == "CMD-SHELL":
            return self._run(["sh", "-c", self.here(words[0])], name)
        words = [self.here(word) for word in words]
        if words[0] == "fracture-screen":
            words = command(*words[1:])
        elif words[0] == "python":
            words[0] = sys.executable
        return self._run(words, name)

    def healthy(self, name: str) -> bool:
        """Whether it passes its health check."""
        return self.health(name).returncode == 0

    def log(self) -> str:
        """The end of what each wrote."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{path.name}: {path.read_text()[-800:]}" for path in logs)

    def pacs(self) -> httpx.Client:
        """Orthanc's pages, as its administrator."""
        users = json.loads((self.folder / "secrets" / "orthanc-users.json").read_text())
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.ports['8042']}",
            auth=("admin", users["RegisteredUsers"]["admin"]),
            headers={"Connection": "close"},
            trust_env=False,
            timeout=60,
        )

    def _ours(self, name: str) -> list[str]:
        return command(*map(self.here, SERVICES[name]["command"]))

    def _redis(self) -> list[str]:
        words = [self.here(word) for word in SERVICES["redis"]["command"]]
        words[words.index("/data")] = str(self.folder / "redis")
        return [*words, "--port", str(self.ports["6379"]), "--bind", "127.0.0.1"]

    def _pacs(self) -> list[str]:
        """Orthanc reads every file of a folder: here of one that holds the two secrets."""
        assert SERVICES["pacs"]["command"] == ["/run/secrets/"]
        return [str(ORTHANC), f"{self.folder / 'of-pacs'}/"]

    def _run(self, words: Sequence[str], name: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment(name)
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=240)

    def _paths(self) -> dict[str, Path]:
        secrets = {
            f"/run/secrets/{name}": self.folder / Path(secret["file"])
            for name, secret in COMPOSE["secrets"].items()
        }
        return secrets | {
            "/var/lib/fracture-screen": self.folder / "data",
            "/var/lib/orthanc/db": self.folder / "orthanc",
            "/etc/fracture-screen/settings.toml": self.folder / "settings.toml",
            "/usr/local/lib/fracture-screen/answers.py": DEPLOY / "answers.py",
        }


def some_ports() -> dict[str, int]:
    """A free one for each in compose.yaml."""
    return {port: free_port() for port in ("11112", "8080", "9180", "4242", "8042", "6379")}


@contextmanager
def composed_site(
    folder: Path, postgresql: PrivatePostgresql, ports: dict[str, int]
) -> Iterator[Site]:
    """With its files and an empty database of its own; nothing runs but PostgreSQL."""
    with postgresql.database() as database:
        site = Site(folder, ports, postgresql.port, database)
        _own_database(site)
        _write_files(site)
        try:
            yield site
        finally:
            for name in list(site.processes):
                site.kill(name)


def _own_database(site: Site) -> None:
    """As the image of PostgreSQL does: a user who owns the database and nothing else."""
    conninfo = f"host=127.0.0.1 port={site.database_port} user=postgres dbname=postgres"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        there = "SELECT 1 FROM pg_roles WHERE rolname = 'fracture_screen'"
        if connection.execute(there).fetchone() is None:
            connection.execute("CREATE ROLE fracture_screen LOGIN")
        name = sql.Identifier(site.database)
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO fracture_screen").format(name))


def _write_files(site: Site) -> None:
    """Settings and secrets, for this machine."""
    for name in ("orthanc", "redis", "of-pacs"):
        (site.folder / name).mkdir(parents=True)
    for name in ("settings.toml", "orthanc.json"):
        (site.folder / name).write_text(site.here((DEPLOY / name).read_text()))
    secrets = make_secrets(site.folder)
    _replace(
        secrets / "database-url",
        "@postgres:5432/fracture_screen",
        f"@127.0.0.1:{site.database_port}/{site.database}",
    )
    _replace(secrets / "broker-url", "@redis:6379/", f"@127.0.0.1:{site.ports['6379']}/")
    for file in (site.folder / "orthanc.json", secrets / "orthanc-users.json"):
        shutil.copy(file, site.folder / "of-pacs")


def _replace(file: Path, there: str, here: str) -> None:
    text = file.read_text()
    assert there in text
    file.chmod(0o600)
    file.write_text(text.replace(there, here))
