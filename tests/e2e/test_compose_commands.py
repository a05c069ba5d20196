"""What compose.yaml starts, started outside containers: commands, environment, settings as there.

Only paths, host names and ports differ. PostgreSQL is the tests' own; Redis and Orthanc run by the
commands and files of compose.yaml.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis
from psycopg import sql

from tests.radiographs import write_phantom
from tests.servers.dcmtk import wait_until_listening
from tests.servers.orthanc import ORTHANC, needs_orthanc
from tests.servers.ports import free_port
from tests.servers.postgresql import PrivatePostgresql
from tests.servers.product import clean_environment, command, wait_for
from tests.unit.deploy.deployment import COMPOSE, DEPLOY, OURS, make_secrets

SERVICES: dict[str, Any] = COMPOSE["services"]
RUNNING = sorted(set(OURS) - {"upgrade", "screening-gpu"})
ASKED_BY_NETWORK = ("listener", "worklist", "monitor")

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs redis-server (apt install redis-server)"
)


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

    def command(self, name: str) -> list[str]:
        """A service's, to end with us."""
        words = command(*map(self.here, SERVICES[name]["command"]))
        return ["setpriv", "--pdeathsig", "TERM", *words]

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """A service that ends by itself."""
        return self._run(self.command(name), name)

    def start(self, name: str) -> None:
        """A service that goes on."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name), env=self.environment(name), stderr=log
            )

    def stop(self, name: str) -> int:
        """As `docker compose stop` does; its exit code, or TimeoutExpired."""
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(int(SERVICES[name]["stop_grace_period"].removesuffix("s")))

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

    def log(self) -> str:
        """The end of what each wrote."""
        return "\n".join(f"{path.name}: {path.read_text()[-800:]}" for path in self._logs())

    def _logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))

    def _run(self, words: Sequence[str], name: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment(name)
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)

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


@pytest.fixture
def site(tmp_path: Path, postgresql_server: PrivatePostgresql) -> Iterator[Site]:
    """Redis, PostgreSQL and the PACS run; nothing of ours does."""
    ports = {port: free_port() for port in ("11112", "8080", "9180", "4242", "8042", "6379")}
    with postgresql_server.database() as database, ExitStack() as stack:
        site = Site(tmp_path, ports, postgresql_server.port, database)
        own_database(site)
        write_files(site)
        stack.enter_context(running(redis_command(site), site, "redis", "6379"))
        stack.enter_context(running(pacs_command(site), site, "pacs", "4242"))
        yield site
        for process in site.processes.values():
            process.kill()
            process.wait()


def own_database(site: Site) -> None:
    """As the image of PostgreSQL does: a user who owns the database and nothing else."""
    conninfo = f"host=127.0.0.1 port={site.database_port} user=postgres dbname=postgres"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS fracture_screen")
        connection.execute("CREATE ROLE fracture_screen LOGIN")
        name = sql.Identifier(site.database)
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO fracture_screen").format(name))


def write_files(site: Site) -> None:
    """Settings and secrets, for this machine."""
    (site.folder / "orthanc").mkdir()
    (site.folder / "redis").mkdir()
    for name in ("settings.toml", "orthanc.json"):
        (site.folder / name).write_text(site.here((DEPLOY / name).read_text()))
    secrets = make_secrets(site.folder)
    replace(
        secrets / "database-url",
        "@postgres:5432/fracture_screen",
        f"@127.0.0.1:{site.database_port}/{site.database}",
    )
    replace(secrets / "broker-url", "@redis:6379/", f"@127.0.0.1:{site.ports['6379']}/")


def replace(file: Path, there: str, here: str) -> None:
    text = file.read_text()
    assert there in text
    file.chmod(0o600)
    file.write_text(text.replace(there, here))


def redis_command(site: Site) -> list[str]:
    words = [site.here(word) for word in SERVICES["redis"]["command"]]
    words[words.index("/data")] = str(site.folder / "redis")
    return [*words, "--port", str(site.ports["6379"]), "--bind", "127.0.0.1"]


def pacs_command(site: Site) -> list[str]:
    """Orthanc reads every file of a folder: here of one that holds the two secrets."""
    folder = site.folder / "of-pacs"
    folder.mkdir()
    shutil.copy(site.folder / "orthanc.json", folder)
    shutil.copy(site.folder / "secrets" / "orthanc-users.json", folder)
    assert SERVICES["pacs"]["command"] == ["/run/secrets/"]
    return [str(ORTHANC), f"{folder}/"]


@contextmanager
def running(words: Sequence[str], site: Site, name: str, port: str) -> Iterator[None]:
    with (site.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        wait_until_listening(site.ports[port])
        yield
    finally:
        process.terminate()
        process.wait(20)


def pacs_of(site: Site) -> httpx.Client:
    users = json.loads((site.folder / "secrets" / "orthanc-users.json").read_text())
    return httpx.Client(
        base_url=f"http://127.0.0.1:{site.ports['8042']}",
        auth=("admin", users["RegisteredUsers"]["admin"]),
        headers={"Connection": "close"},
        trust_env=False,
        timeout=60,
    )


@needs_redis
@needs_orthanc
@pytest.mark.timeout(600)
def test_what_compose_starts_screens_a_study_from_the_pacs_and_sends_the_results_back(
    site: Site,
) -> None:
    too_early = site.health("dispatcher")
    assert too_early.returncode == 2
    assert "db upgrade" in too_early.stderr
    upgraded = site.run("upgrade")
    assert upgraded.returncode == 0, upgraded.stderr

    for name in RUNNING:
        site.start(name)
    wait_for(lambda: site.health("listener").returncode == 0, "the listener answers", site.log)

    check_a_study(site)
    for name in (*RUNNING, "redis"):
        passed = wait_for(lambda name=name: healthy(site, name), f"{name} is healthy", site.log)
        assert passed
    check_what_prometheus_is_told(site)
    check_redis_lets_nobody_else_in(site)
    assert {name: process.poll() for name, process in site.processes.items()} == dict.fromkeys(
        RUNNING
    )

    assert {name: site.stop(name) for name in RUNNING} == dict.fromkeys(RUNNING, 0), site.log()
    for name in ASKED_BY_NETWORK:
        assert site.health(name).returncode != 0, f"{name} is away"


def healthy(site: Site, name: str) -> bool:
    return site.health(name).returncode == 0


def check_a_study(site: Site) -> None:
    phantom = write_phantom(site.folder / "in", "composed")
    with pacs_of(site) as pacs:
        pacs.get("/system").raise_for_status()
        with httpx.Client(trust_env=False) as nobody:
            assert nobody.get(f"{pacs.base_url}/system").status_code == 401
        stored = pacs.post("/instances", content=phantom.path.read_bytes()).json()
        sent = pacs.post("/modalities/fracture-screen/store", json=[stored["ID"]])
        assert sent.status_code == 200, sent.text

        def modalities() -> set[str]:
            study = pacs.get(f"/studies/{stored['ParentStudy']}/series").json()
            return {series["MainDicomTags"]["Modality"] for series in study}

        wait_for(lambda: modalities() == {"DX", "OT", "DOC"}, "results come back", site.log)


def check_what_prometheus_is_told(site: Site) -> None:
    def told() -> bool:
        url = f"http://127.0.0.1:{site.ports['9180']}/metrics"
        lines = httpx.get(url, trust_env=False).text.splitlines()
        figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return (
            figures['fracture_screen_studies{state="SCREENED"}'] == "1.0"
            and figures['fracture_screen_up{part="listener"}'] == "1.0"
            and figures['fracture_screen_alarms{severity="critical"}'] == "0.0"
        )

    wait_for(told, "the monitor has seen it", site.log)


def check_redis_lets_nobody_else_in(site: Site) -> None:
    port = site.ports["6379"]
    with redis.Redis(port=port) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.keys()
    with redis.Redis.from_url(f"redis://health:none@127.0.0.1:{port}") as health:
        assert health.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            health.keys()
