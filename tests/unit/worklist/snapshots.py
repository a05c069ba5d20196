"""Looks of the monitor, all well unless told otherwise."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from db.activity import Standing
from db.states import StudyState
from worklist.monitor.snapshot import Folder, LedgerCondition, Limits, Snapshot

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
MIB = 2**20

LIMITS = Limits(
    look_every=5 * SECOND,
    ready_wait=5 * MINUTE,
    waiting=10 * MINUTE,
    dispatch=MINUTE,
    circuit=10 * MINUTE,
    sweep=15 * MINUTE,
    disk_warning=5000 * MIB,
    disk_watermark=500 * MIB,
    raise_after=20 * SECOND,
    resolve_after=60 * SECOND,
)


def make_standing(**changes: object) -> Standing:
    well = Standing(
        studies=dict.fromkeys(StudyState, 0),
        oldest_waiting_since=None,
        oldest_undispatched_since=None,
        triage_completed=True,
        deliveries={},
        circuits_open_since={},
        sweeps_running=0,
        sweep_advanced_at=None,
    )
    return replace(well, **changes)  # type: ignore[arg-type]


def make_snapshot(**changes: object) -> Snapshot:
    well = Snapshot(
        taken_at=NOW,
        ledger=LedgerCondition.USABLE,
        standing=make_standing(),
        queues={"triage": 0},
        disk_free=10_000 * MIB,
        listener_open=True,
        quarantine=Folder(0, 0),
        missing_bundles=(),
    )
    return replace(well, **changes)  # type: ignore[arg-type]
