"""The product's processes, killed and started again; two triage workers, since they load slowly."""

import signal
import subprocess
import time
from dataclasses import dataclass, field

from tests.servers.product import (
    SERVICES,
    Product,
    clean_environment,
    service_command,
    wait_for,
)

NAMES = ("listener", "dispatcher", "triage worker", "triage worker 2", "delivery worker")


@dataclass
class Fleet:
    """Starts by name; what is killed is started again at once."""

    product: Product
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    killed_at: dict[str, list[float]] = field(default_factory=dict)
    """Name → time.monotonic() of each SIGKILL."""

    def start(self) -> None:
        for name in NAMES:
            self._start(name)
        self.product.processes = self.processes
        wait_for(self._all_work, "all processes have started", self.product.log)

    def _all_work(self) -> bool:
        log = self.product.folder / "log.jsonl"
        text = log.read_text() if log.exists() else ""
        return "listener_started" in text and text.count("worker_started") == 3

    def kill(self, *names: str) -> None:
        """SIGKILL them all, then start them again."""
        for name in names:
            self.processes[name].send_signal(signal.SIGKILL)
            self.killed_at.setdefault(name, []).append(time.monotonic())
        for name in names:
            self.processes[name].wait(60)
            self._start(name)

    def name_of(self, pid: int) -> str | None:
        """Which process this is, if it still runs."""
        return next((name for name, one in self.processes.items() if one.pid == pid), None)

    def unexpected_ends(self) -> list[str]:
        """Processes that ended by themselves."""
        return [name for name, one in self.processes.items() if one.poll() is not None]

    def _start(self, name: str) -> None:
        service = SERVICES[name.removesuffix(" 2")]
        with (self.product.folder / "log.jsonl").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                service_command(self.product.config, service),
                stderr=log,
                env=clean_environment(),
            )
