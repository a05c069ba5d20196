"""What the monitor is made of, put together by `worker.monitor_parts`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from worklist.monitor.snapshot import Limits


@dataclass(frozen=True, slots=True)
class ModelsInUse:
    """Which models there are in use, and of which the files are gone."""

    labels: Mapping[str, str]
    """What a model is used for → its name and version."""
    missing: tuple[str, ...]


class Surroundings(Protocol):
    """What the monitor cannot ask the ledger."""

    def queues(self) -> Mapping[str, int] | None:
        """Messages waiting per kind of queue; None: the broker does not answer."""

    def models(self) -> ModelsInUse:
        """Raises LedgerUnavailable."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alarms are sent."""

    url: str
    secret: bytes
    timeout_s: float
    repeat: timedelta
    sender: str
    """Names this installation to whoever gets alarms of several."""


@dataclass(frozen=True, slots=True)
class MonitorParts:
    """Everything that the monitor needs."""

    engine: Engine
    clock: Callable[[], datetime]
    surroundings: Surroundings
    limits: Limits
    quiet: timedelta
    """Without an instance, after which a study is ready."""
    data_folder: Path
    quarantine_folder: Path
    listener: tuple[str, int]
    """Host and port."""
    destinations: tuple[str, ...]
    version: str
    webhook: Webhook | None
