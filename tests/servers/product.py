"""The product as its users run it: sub-commands as processes, in a data folder of the test."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest

from db.ledger import Ledger
from db.records import StudySummary
from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.storage_scu import StoreResult, echo, send_instances
from tests.servers.ports import free_port
from worker.composition import open_ledger
from worker.settings import Settings, load_settings

SERVICES = {
    "listener": ("listen",),
    "dispatcher": ("dispatch",),
    "triage worker": ("work", "--queue", "triage"),
    "delivery worker": ("work", "--queue", "delivery"),
}
SWEEPING = {
    "screening worker": ("work", "--queue", "triage", "--queue", "backlog"),
    "sweep worker": ("work", "--queue", "sweep"),
}
"""What sweeps need beside listener and dispatcher; the screening worker does triage too."""
MONITORING = {"monitor": ("monitor",)}
"""Health, metrics and alarms."""
PAGES = {"worklist": ("worklist",)}
"""What readers look at."""
PATIENCE_S = 120

_Answer = TypeVar("_Answer")


@dataclass
class Product:
    """A configured product; its processes are started and killed by name."""

    folder: Path
    settings: Settings
    config: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, opened from the side; once, since that looks for migrations."""
        return open_ledger(self.settings)

    @property
    def node(self) -> RemoteAE:
        """Our listener."""
        listener = self.settings.listener
        return RemoteAE(listener.ae_title, "127.0.0.1", listener.port)

    def start(self, *names: str) -> None:
        """Start services (all without names); returns when the listener answers."""
        for name in names or tuple(SERVICES):
            self._start(name, name)
        if "listener" in self.processes:
            wait_for(self._answers, "the listener answers C-ECHO", self.log)

    def start_another(self, name: str) -> None:
        """A second process of a service that runs already."""
        self._start(f"second {name}", name)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a service and wait for its end."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(60)

    def stop(self) -> None:
        """End what runs, politely."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(60)
        self.processes.clear()

    def send(self, paths: Sequence[Path]) -> list[StoreResult]:
        """C-STORE files to our listener on one association."""
        return send_instances(self.node, paths, calling_ae_title="TESTMODALITY")

    def wait_until_finished(self, study_instance_uid: str, revision: int = 1) -> StudySummary:
        """The study once it is SCREENED or FAILED and nothing of it waits for delivery."""

        def finished() -> StudySummary | None:
            summary = self.ledger.study_summary(study_instance_uid)
            if summary is None or summary.revision < revision or not summary.is_finished:
                return None
            return summary

        return wait_for(finished, f"study {study_instance_uid} is finished", self.log)

    def log(self) -> str:
        """The end of what the services wrote."""
        file = self.folder / "log.jsonl"
        return file.read_text()[-4000:] if file.exists() else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's events of this name."""
        lines = (self.folder / "log.jsonl").read_text().splitlines()
        events = (json.loads(line) for line in lines if line.startswith("{"))
        return [event for event in events if event.get("event") == name]

    def _start(self, name: str, service: str) -> None:
        self.processes[name] = subprocess.Popen(
            service_command(self.config, (SERVICES | SWEEPING | MONITORING | PAGES)[service]),
            stderr=(self.folder / "log.jsonl").open("ab"),
            env=clean_environment(),
        )

    def _answers(self) -> bool:
        try:
            echo(self.node, calling_ae_title="TESTMODALITY")
        except AssociationFailed:
            return False
        return True


MakeProduct = Callable[..., Product]


@pytest.fixture
def make_product(tmp_path: Path) -> Iterator[MakeProduct]:
    """Configure products from extra TOML; everything is stopped at the test's end."""
    made: list[Product] = []

    def make(toml: str = "", *, top: str = "", monitor: str = "") -> Product:
        folder = tmp_path / f"product-{len(made)}"
        made.append(configure(folder, toml, top=top, monitor=monitor))
        return made[-1]

    yield make
    for product in made:
        product.stop()


def configure(folder: Path, toml: str = "", *, top: str = "", monitor: str = "") -> Product:
    """A product of its own in `folder`, on free ports.

    `top` stands before the first section, `monitor` in that of the monitor, `toml` in [study].
    """
    folder.mkdir()
    config = folder / "settings.toml"
    worklist = "" if "[worklist]" in toml else f"[worklist]\nport = {free_port()}\n"
    config.write_text(
        f'data_folder = "{folder / "data"}"\n{top}\n'
        f'[listener]\nhost = "127.0.0.1"\nport = {free_port()}\nminimum_free_mib = 1\n'
        f"[monitor]\nport = {free_port()}\n{monitor}\n"
        f"{worklist}[limits]\ndecoder_timeout_s = 20\n"
        f"[study]\nquiet_period_s = 0.5\nlease_s = 30\n{toml}"
    )
    return Product(folder, load_settings(config), config)


def destination_toml(name: str, ae_title: str, port: int) -> str:
    """A [[destinations]] table on loopback, with quick retries."""
    return (
        f"[delivery]\nfirst_backoff_s = 1\n"
        f'[[destinations]]\nname = "{name}"\nae_title = "{ae_title}"\n'
        f'host = "127.0.0.1"\nport = {port}\n'
    )


def source_toml(name: str, remote: RemoteAE, **settings: object) -> str:
    """A [[sources]] table."""
    table = {"name": name, "ae_title": remote.ae_title, "host": remote.host, "port": remote.port}
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in (table | settings).items())
    return "[[sources]]\n" + "".join(lines)


def command(*arguments: str) -> list[str]:
    """The command line `fracture-screen …` of this environment."""
    return [sys.executable, "-m", "worker.cli", *arguments]


def service_command(config: Path, service: Sequence[str]) -> list[str]:
    """A service that ends when we do, killed or not."""
    return command("--config", str(config), *service, "--supervisor", str(os.getpid()))


def run_command(*arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """Run `fracture-screen …` to its end."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**clean_environment(), "COLUMNS": "200"},
    )


def clean_environment() -> dict[str, str]:
    """Ours, without settings of whoever runs the tests."""
    return {key: value for key, value in os.environ.items() if "FRACTURE_SCREEN" not in key}


def wait_for(
    condition: Callable[[], _Answer | None],
    what: str,
    log: Callable[[], str] = str,
    patience_s: float = PATIENCE_S,
) -> _Answer:
    """The condition's first true answer; fails the test after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience_s} s until {what}\n{log()}")
        time.sleep(0.1)
    return answer
