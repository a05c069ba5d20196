"""Ready by progress: pure, from the last look to the reasons why not."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worklist.monitor.snapshot import LedgerCondition, Limits, Snapshot

_LOOKS_MISSED = 6
_LONGEST_LOOK = timedelta(seconds=30)
"""On a machine that has too much to do."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """One reason."""

    reason: str
    """For machines."""
    told: str


def not_ready(snapshot: Snapshot | None, limits: Limits, now: datetime) -> list[NotReady]:
    """Why the product is not ready now; empty: it is."""
    if snapshot is None:
        return [NotReady("no-look", "nothing has been looked at yet")]
    age = now - snapshot.taken_at
    if age > max(_LOOKS_MISSED * limits.look_every, _LONGEST_LOOK):
        told = f"the last look ended {age.total_seconds():.0f} s ago: something does not answer"
        return [NotReady("no-look", told)]
    found = [_ledger(snapshot), _progress(snapshot, limits), _disk(snapshot, limits)]
    if not snapshot.listener_open:
        found.append(NotReady("listener-down", "the listener's port is not open"))
    return [one for one in found if one is not None]


def _ledger(snapshot: Snapshot) -> NotReady | None:
    if snapshot.ledger is LedgerCondition.AWAY:
        return NotReady("ledger-away", "the ledger's database cannot be asked")
    if snapshot.ledger is LedgerCondition.OUT_OF_DATE:
        return NotReady("ledger-out-of-date", "the ledger's tables are not of this version")
    return None


def _progress(snapshot: Snapshot, limits: Limits) -> NotReady | None:
    """A long queue that moves is progress; one that nothing leaves is none."""
    standing = snapshot.standing
    if standing is None or standing.oldest_waiting_since is None or standing.triage_completed:
        return None
    waited = snapshot.taken_at - standing.oldest_waiting_since
    if waited <= limits.ready_wait:
        return None
    told = f"a study has waited {waited.total_seconds():.0f} s and none was concluded meanwhile"
    return NotReady("no-progress", told)


def _disk(snapshot: Snapshot, limits: Limits) -> NotReady | None:
    if snapshot.disk_free is None:
        return NotReady("disk-away", "the data folder cannot be asked")
    if snapshot.disk_free < limits.disk_watermark:
        return NotReady("disk-full", "less disk space is free than the listener needs")
    return None
