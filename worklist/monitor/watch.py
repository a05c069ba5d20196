"""The monitor's one thread that looks: at ledger, broker, disk and listener, every few seconds.

Whoever asks gets what the last look found, so that probes cost nothing and never wait.
"""

import os
import shutil
import socket
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

import structlog

from db.activity import Activity, Mark, Standing
from db.errors import LedgerError, LedgerUnavailable
from db.radiograph_counts import NotAnalysedShare, RadiographCounts
from db.session import is_current
from worklist.monitor.alarms import Alarm, advance, troubles
from worklist.monitor.metrics import Metrics
from worklist.monitor.parts import ModelsInUse, MonitorParts
from worklist.monitor.snapshot import Folder, LedgerCondition, Snapshot

_log = structlog.get_logger(__name__)

_SELDOM = timedelta(minutes=1)
_DAY = timedelta(days=1)
_CONNECT_TIMEOUT_S = 2.0
_MOST_FILES = 10_000
"""Counted in a folder; more are not of interest."""


class Watch:
    """Looks, and keeps what was found last."""

    def __init__(self, parts: MonitorParts) -> None:
        """Look at nothing yet."""
        self._parts = parts
        self._activity = Activity(parts.engine)
        self.metrics = Metrics(parts.version, parts.destinations, parts.limits)
        self.snapshot: Snapshot | None = None
        self._watched: list[Alarm] = []
        self._counted: Mark | None = None
        self._seen: Mark | None = None
        self._stored: tuple[int, int] | None = None
        self._seldom_at: datetime | None = None
        self._current = False
        self._quarantine = Folder(0, 0)
        self._models = ModelsInUse({}, ())
        self._counts = RadiographCounts(parts.engine)
        self._not_analysed: tuple[NotAnalysedShare, ...] = ()

    @property
    def alarms(self) -> list[Alarm]:
        """Those that are raised now."""
        return [alarm for alarm in self._watched if alarm.raised_at is not None]

    def run(self, stop: Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            try:
                self.look()
            except Exception as error:  # the next look may do; until then `not_ready` says so
                _log.error("look_failed", kind=type(error).__name__)
            stop.wait(self._parts.limits.look_every.total_seconds())

    def look(self) -> Snapshot:
        """Look once, now."""
        now = self._parts.clock()
        self._look_seldom(now)
        condition, standing = self._look_at_ledger(now)
        snapshot = Snapshot(
            taken_at=now,
            ledger=condition,
            standing=standing,
            queues=self._parts.surroundings.queues(),
            disk_free=_free(self._parts.data_folder),
            listener_open=_is_open(self._parts.listener),
            quarantine=self._quarantine,
            missing_bundles=self._models.missing,
            not_analysed=self._not_analysed,
        )
        self._watch(snapshot)
        self.metrics.show(snapshot, self.alarms)
        self.snapshot = snapshot
        return snapshot

    def _look_at_ledger(self, now: datetime) -> tuple[LedgerCondition, Standing | None]:
        if not self._current:
            return self._ask_for_tables(), None
        try:
            self._count(now)
            return LedgerCondition.USABLE, self._activity.standing(
                now, self._parts.limits.ready_wait, self._parts.quiet
            )
        except LedgerUnavailable:
            self._seldom_at = None
            return self._ask_for_tables(), None

    def _ask_for_tables(self) -> LedgerCondition:
        try:
            self._current = is_current(self._parts.engine)
        except LedgerError:
            return LedgerCondition.AWAY
        return LedgerCondition.AWAY if self._current else LedgerCondition.OUT_OF_DATE

    def _count(self, now: datetime) -> None:
        """Count up to the mark of the look before: all that is older than it is committed."""
        mark = self._activity.mark(now)
        if self._counted is not None and self._seen is not None:
            happened = self._activity.between(self._counted, self._seen)
            self.metrics.observe(happened)
            if self._stored is not None:
                instances, size = self._stored
                self._stored = (
                    instances + happened.instances,
                    size + happened.instance_bytes,
                )
        self._counted, self._seen = self._seen or mark, mark

    def _look_seldom(self, now: datetime) -> None:
        """At most once a minute: what takes longer, or changes rarely."""
        if self._seldom_at is not None and now - self._seldom_at < _SELDOM:
            return
        self._seldom_at = now
        self._quarantine = folder_size(self._parts.quarantine_folder)
        try:
            self._current = is_current(self._parts.engine)
            if not self._current:
                return
            self._models = self._parts.surroundings.models()
            fewest = self._parts.limits.not_analysed_fewest
            self._not_analysed = tuple(self._counts.not_analysed_since(now - _DAY, fewest))
            self._stored = self._stored or self._activity.stored()
            self.metrics.show_totals(*self._stored, self._activity.screened())
            self.metrics.show_models(self._models.labels)
        except LedgerError:  # the look at the ledger says so
            self._current = False

    def _watch(self, snapshot: Snapshot) -> None:
        limits, before = self._parts.limits, {alarm.id: alarm for alarm in self.alarms}
        self._watched = advance(self._watched, troubles(snapshot, limits, before), snapshot, limits)
        after = {alarm.id: alarm for alarm in self.alarms}
        for alarm in after.values():
            if alarm.id not in before:
                _log.error("alarm_raised", alarm=alarm.id, severity=alarm.trouble.severity)
        for alarm_id in before:
            if alarm_id not in after:
                _log.info("alarm_resolved", alarm=alarm_id)


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _is_open(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, _CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def folder_size(folder: Path) -> Folder:
    """Of its files; empty if it is not there."""
    files = size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                files += 1
                size += entry.stat(follow_symlinks=False).st_size
                if files == _MOST_FILES:
                    break
    except OSError:  # not there yet, or a file was moved away meanwhile
        pass
    return Folder(files, size)
