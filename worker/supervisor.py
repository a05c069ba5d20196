"""`fracture-screen up`: runs the product's processes side by side and starts again what dies."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TextIO

import structlog

from worker.logs import log_stream

_log = structlog.get_logger(__name__)

_POLL_S = 0.2
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_STABLE_AFTER_S = 60.0
_STOP_GRACE_S = 45.0


def listener_processes(count: int) -> dict[str, tuple[str, ...]]:
    """Name → sub-command of `count` listeners; several share their ports."""
    if count == 1:
        return {"listener": ("listen", "--processes", "1")}
    return {f"listener {number}": ("listen", "--share-ports") for number in range(1, count + 1)}


def delivery_processes(destinations: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Name → sub-command of the delivery workers: one per destination, so none waits for another.

    Apart from screening, too: a slow PACS never holds that up.
    """
    work = ("work", "--queue", "delivery")
    if len(destinations) <= 1:
        return {"delivery worker": work}
    return {f"delivery worker {name}": (*work, f"--destination={name}") for name in destinations}


def all_processes(listeners: int, destinations: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Name → sub-command of everything that `up` runs."""
    return {
        **listener_processes(listeners),
        "dispatcher": ("dispatch",),
        "screening worker": ("work", "--queue", "triage", "--queue", "backlog"),
        "sweep worker": ("work", "--queue", "sweep"),
        **delivery_processes(destinations),
        "monitor": ("monitor",),
        "worklist": ("worklist",),
    }


@dataclass(slots=True)
class _Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_after: float = 0.0
    pause_s: float = field(default=_FIRST_PAUSE_S)


class Supervisor:
    """Keeps processes running until told to stop.

    Args:
        config: settings file that every process is given; None: the environment alone.
        processes: name → sub-command, for example `all_processes(1, [])`.
        log: where their logs go; None: where ours goes.
    """

    def __init__(
        self,
        config: Path | None,
        *,
        processes: Mapping[str, tuple[str, ...]],
        log: TextIO | None = None,
    ) -> None:
        options = [] if config is None else ["--config", str(config)]
        base = [sys.executable, "-m", "worker.cli", *options]
        self._children = [
            _Child(name, [*base, *arguments, "--supervisor", str(os.getpid())])
            for name, arguments in processes.items()
        ]
        self._log_file = log or log_stream()

    def run(self, stop: Event) -> None:
        """Start all, start again what ends, until `stop` is set; then stop all and wait."""
        try:
            while not stop.is_set():
                for child in self._children:
                    self._tend(child)
                stop.wait(_POLL_S)
        finally:
            self._stop_all()

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None and child.process.poll() is not None:
            _log.error("process_ended", name=child.name, exit_code=child.process.returncode)
            lasted = now - child.started_at
            child.pause_s = (
                _FIRST_PAUSE_S
                if lasted > _STABLE_AFTER_S
                else min(child.pause_s * 2, _LONGEST_PAUSE_S)
            )
            child.process, child.start_after = None, now + child.pause_s
        if child.process is None and now >= child.start_after:
            child.process = subprocess.Popen(
                child.command,
                stdin=subprocess.DEVNULL,
                stdout=self._log_file,
                stderr=self._log_file,
            )
            child.started_at = now

    def _stop_all(self) -> None:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _STOP_GRACE_S
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
