"""An innocent peer that echoes and stores while others attack, and what the attack cost."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.errors import AssociationFailed
from dicom_node.storage_scu import echo, send_instances
from tests.security.attacks import Attack
from tests.security.target import DEADLINE_S, Target

FREED_WITHIN_S = DEADLINE_S + 8
"""The deadline, and time for an idle thread on a busy machine to notice."""


@dataclass(frozen=True)
class Cost:
    """What an attack cost: `freed_s` is None when slots or threads never came back."""

    seconds: float
    cpu_s: float
    peak_mib: float
    kept_mib: float
    threads_at_most: int
    freed_s: float | None
    served: int
    refused: int
    slowest_s: float


@dataclass
class Innocent:
    """Echo and C-STORE, again and again, from 127.0.0.1."""

    target: Target
    instance: Path
    waits: list[float] = field(default_factory=list)
    refused: int = 0
    threads_at_most: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Innocent":
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            began = time.monotonic()
            try:
                echo(self.target.remote, calling_ae_title="INNOCENT")
                (sent,) = send_instances(
                    self.target.remote, [self.instance], calling_ae_title="INNOCENT"
                )
                self.refused += not sent.stored
            except AssociationFailed:
                self.refused += 1
            self.waits.append(time.monotonic() - began)
            self.threads_at_most = max(self.threads_at_most, self.target.threads)
            if self._done.wait(0.1):
                return


def observe(attack: Attack, target: Target, instance: Path) -> Cost:
    """Run one attack beside an innocent peer; measure until its traces are gone."""
    threads, memory, cpu = target.threads, target.rss_mib, target.cpu_s()
    target.reset_peak()
    began = time.monotonic()
    with Innocent(target, instance) as innocent:
        attack.run(target)
        seconds = time.monotonic() - began
    return Cost(
        seconds=seconds,
        cpu_s=target.cpu_s() - cpu,
        freed_s=_time_until_free(target, threads),
        peak_mib=target.peak_mib - memory,
        kept_mib=target.rss_mib - memory,
        threads_at_most=innocent.threads_at_most - threads,
        served=len(innocent.waits) - innocent.refused,
        refused=innocent.refused,
        slowest_s=max(innocent.waits),
    )


def _time_until_free(target: Target, threads: int) -> float | None:
    began = time.monotonic()
    while target.threads > threads:
        if time.monotonic() - began > FREED_WITHIN_S:
            return None
        time.sleep(0.02)
    return time.monotonic() - began
