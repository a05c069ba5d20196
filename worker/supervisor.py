"""`fracture-screen up`: runs the product's processes side by side and starts again what dies.

The services are forked from the supervisor, which has imported what they use: each module is read
once, and its memory is shared. So the supervisor must have no thread, hold no connection, and load
no inference engine: none of these survives a fork.
"""

import atexit
import gc
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import structlog
from setproctitle import setproctitle

from worker.stopping import STOP_SIGNALS

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_STABLE_AFTER_S = 60.0
_STOP_GRACE_S = 45.0

_WORKER_MODULES = (
    "worker.services",
    "worker.file_broker",
    "celery.apps.worker",
    "celery.concurrency.solo",
    "celery.loaders.app",
    "celery.worker.consumer",
)
MODULES = {
    "listen": ("worker.services",),
    "dispatch": _WORKER_MODULES,
    "work": _WORKER_MODULES,
    "monitor": ("worker.monitor_parts",),
    "worklist": ("worker.worklist_parts",),
}
"""Sub-command → modules that the supervisor imports before it first forks such a service."""


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
    """Name → sub-command of everything that `up` runs, in the order of their start."""
    return {
        **listener_processes(listeners),
        "screening worker": ("work", "--queue", "triage", "--queue", "backlog"),
        "dispatcher": ("dispatch",),
        **delivery_processes(destinations),
        "worklist": ("worklist",),
        "monitor": ("monitor",),
        "sweep worker": ("work", "--queue", "sweep"),
    }


@dataclass(slots=True)
class _Child:
    name: str
    arguments: Sequence[str]
    modules: Sequence[str]
    process: BaseProcess | None = None
    started_at: float = 0.0
    start_after: float = 0.0
    pause_s: float = field(default=_FIRST_PAUSE_S)


class Supervisor:
    """Keeps processes running until told to stop.

    Args:
        config: settings file that every process is given; None: the environment alone.
        processes: name → sub-command, for example `all_processes(1, [])`.
    """

    def __init__(self, config: Path | None, *, processes: Mapping[str, tuple[str, ...]]) -> None:
        options = [] if config is None else ["--config", str(config)]
        self._children = [
            _Child(name, [*options, *arguments], MODULES.get(arguments[0], ()))
            for name, arguments in processes.items()
        ]

    def run(self, signals: int) -> None:
        """Start all and restart what ends, until a signal comes; then stop all and wait.

        `signals` is a descriptor as `worker.stopping.signal_pipe` makes it. Call this in the main
        thread of a process that has no other.
        """
        try:
            while True:
                for child in self._children:
                    self._tend(child)
                if signals in wait([signals, *self._ends()], self._next_start_s()):
                    return
        finally:
            self._stop_all()

    def _ends(self) -> list[int]:
        return [child.process.sentinel for child in self._children if child.process is not None]

    def _next_start_s(self) -> float | None:
        """Seconds until the first paused child is due; None: all run."""
        due = [child.start_after for child in self._children if child.process is None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None and child.process.exitcode is not None:
            lasted = now - child.started_at
            child.pause_s = (
                _FIRST_PAUSE_S
                if lasted > _STABLE_AFTER_S
                else min(child.pause_s * 2, _LONGEST_PAUSE_S)
            )
            _log.error(
                "process_ended",
                name=child.name,
                exit_code=child.process.exitcode,
                restart_in_s=child.pause_s,
            )
            child.process.close()
            child.process, child.start_after = None, now + child.pause_s
        if child.process is None and now >= child.start_after:
            child.process = _fork(child)
            child.started_at = time.monotonic()

    def _stop_all(self) -> None:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _STOP_GRACE_S
        for process in running:
            process.join(max(0.1, deadline - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()


def _fork(child: _Child) -> BaseProcess:
    gc.disable()  # a collection in a service would copy the pages that it shares with us
    for module in ("worker.cli", *child.modules):
        with suppress(ImportError):  # the service itself says what is missing
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    process = multiprocessing.get_context("fork").Process(
        target=_serve, args=(child.arguments, os.getpid(), _open_descriptors()), name=child.name
    )
    # Else a signal in the first moment would reach our own descriptor instead of the service.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    return process


def _open_descriptors() -> list[int]:
    """All but the standard streams."""
    return [number for number in map(int, os.listdir("/proc/self/fd")) if number > 2]


def _serve(arguments: Sequence[str], supervisor: int, inherited: Sequence[int]) -> None:
    """Be `fracture-screen` with these arguments, in a process just forked."""
    _let_go_of_parent(inherited)
    setproctitle(" ".join(["fracture-screen", *arguments]))
    from worker.cli import main

    sys.argv = ["fracture-screen", *arguments, "--supervisor", str(supervisor)]
    try:
        main()
    except Exception:
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out


def _let_go_of_parent(descriptors: Sequence[int]) -> None:
    """Have signals, descriptors, locks and functions to call at the end of our own alone."""
    signal.set_wakeup_fd(-1)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    atexit._clear()
    gc.enable()
    for descriptor in descriptors:
        with suppress(OSError):  # closed since it was listed
            os.close(descriptor)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # standard output belongs to the command that was typed
