"""Which troubles there are, and which of them are alarms: pure.

A trouble is what one look shows. It becomes an alarm once it has lasted, and the alarm is resolved
once the trouble has been gone for a while; limits are a little laxer for what is an alarm already.
So what flickers does not call anybody twice. No alarm holds patient data, nor anything of a study.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from db.activity import Standing
from db.states import DeliveryState, StudyState
from worklist.monitor.snapshot import LedgerCondition, Limits, Snapshot

_LAXER = 0.9
"""A limit of time, once it is an alarm; limits of room are as much higher."""


class Severity(StrEnum):
    """How bad."""

    WARNING = "warning"
    """Look at it today."""
    CRITICAL = "critical"
    """Studies wait or are refused: look at it now."""


class Kind(StrEnum):
    """What may be wrong."""

    LEDGER_AWAY = "ledger-away"
    LEDGER_OUT_OF_DATE = "ledger-out-of-date"
    BROKER_AWAY = "broker-away"
    LISTENER_DOWN = "listener-down"
    TRIAGE_WAITING = "triage-waiting"
    DISPATCH_STALLED = "dispatch-stalled"
    SWEEP_STALLED = "sweep-stalled"
    STUDIES_FAILED = "studies-failed"
    DEAD_LETTERS = "dead-letters"
    CIRCUIT_OPEN = "circuit-open"
    DISK_LOW = "disk-low"
    DISK_FULL = "disk-full"
    QUARANTINE = "quarantine"
    BUNDLE_MISSING = "bundle-missing"
    IDENTITY_CONFLICT = "identity-conflict"
    NOT_ANALYSED = "not-analysed"


OF_THE_LEDGER = frozenset(
    {
        Kind.TRIAGE_WAITING,
        Kind.DISPATCH_STALLED,
        Kind.SWEEP_STALLED,
        Kind.STUDIES_FAILED,
        Kind.DEAD_LETTERS,
        Kind.CIRCUIT_OPEN,
        Kind.IDENTITY_CONFLICT,
    }
)
"""Not known while the ledger is away: they stay as they were."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What one look shows."""

    kind: Kind
    severity: Severity
    summary: str
    remedy: str
    """What to do, in words."""
    subject: str = ""
    """Destination, device or sender that it is about; "": not one of several."""

    @property
    def id(self) -> str:
        """Names the alarm: the same trouble has the same."""
        return f"{self.kind}/{self.subject}" if self.subject else str(self.kind)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A trouble that is watched. Only with `raised_at` is it one that people hear of."""

    trouble: Trouble
    since: datetime
    last_seen: datetime
    raised_at: datetime | None = None

    @property
    def id(self) -> str:
        """As its trouble's."""
        return self.trouble.id


def troubles(snapshot: Snapshot, limits: Limits, raised: Collection[str]) -> list[Trouble]:
    """All troubles of a look; `raised` are the ids of the alarms that there are."""
    found = [*_of_the_system(snapshot), *_of_the_disk(snapshot, limits, raised)]
    found += _of_origins(snapshot, limits, raised)
    if snapshot.standing is not None:
        found += _of_progress(snapshot.taken_at, snapshot.standing, limits, raised)
        found += _of_deliveries(snapshot.taken_at, snapshot.standing, limits, raised)
    return found


def advance(
    known: Sequence[Alarm], found: Sequence[Trouble], snapshot: Snapshot, limits: Limits
) -> list[Alarm]:
    """The alarms after a look: those that are not in the answer any more are resolved."""
    now, before = snapshot.taken_at, {alarm.id: alarm for alarm in known}
    seen = {one.id for one in found}
    unseen = [alarm for alarm in known if alarm.id not in seen]
    return [
        *(_seen(before.get(one.id), one, limits, now) for one in found),
        *(kept for alarm in unseen if (kept := _kept(alarm, snapshot, limits)) is not None),
    ]


def _seen(alarm: Alarm | None, trouble: Trouble, limits: Limits, now: datetime) -> Alarm:
    since = now if alarm is None else alarm.since
    raised_at = None if alarm is None else alarm.raised_at
    if raised_at is None and now - since >= limits.raise_after:
        raised_at = now
    return Alarm(trouble, since, now, raised_at)


def _kept(alarm: Alarm, snapshot: Snapshot, limits: Limits) -> Alarm | None:
    """An alarm whose trouble a look did not show; None: it is none any more."""
    if snapshot.standing is None and alarm.trouble.kind in OF_THE_LEDGER:
        return replace(alarm, last_seen=snapshot.taken_at)
    gone = snapshot.taken_at - alarm.last_seen
    return alarm if alarm.raised_at is not None and gone < limits.resolve_after else None


def _of_the_system(snapshot: Snapshot) -> Iterator[Trouble]:
    critical = Severity.CRITICAL
    if snapshot.ledger is LedgerCondition.AWAY:
        yield Trouble(
            Kind.LEDGER_AWAY,
            critical,
            "The ledger's database cannot be asked; no instance is accepted.",
            "Check that the database runs, can be reached and has room on its disk. Modalities "
            "send again by themselves.",
        )
    if snapshot.ledger is LedgerCondition.OUT_OF_DATE:
        yield Trouble(
            Kind.LEDGER_OUT_OF_DATE,
            critical,
            "The ledger's tables are not those of this version.",
            "Run `fracture-screen db upgrade` of the newest version installed.",
        )
    if snapshot.queues is None:
        yield Trouble(
            Kind.BROKER_AWAY,
            critical,
            "The broker does not answer; studies are received and wait.",
            "Check that Redis runs and broker_url is right. Nothing is lost: what waits is queued "
            "once it answers.",
        )
    if not snapshot.listener_open:
        yield Trouble(
            Kind.LISTENER_DOWN,
            critical,
            "The listener's port is not open; modalities cannot send.",
            "Check that `fracture-screen listen` runs, and its log for why it ended.",
        )
    if snapshot.missing_bundles:
        yield Trouble(
            Kind.BUNDLE_MISSING,
            critical,
            f"Files of a model in use are missing: {', '.join(snapshot.missing_bundles)}.",
            "Bring the bundle's folder back from the backup, or import it again "
            "(`fracture-screen model list`, `model import`).",
        )
    if snapshot.quarantine.files:
        yield Trouble(
            Kind.QUARANTINE,
            Severity.WARNING,
            f"{_count(snapshot.quarantine.files, 'file')} in quarantine.",
            "An instance came twice with different content, for example corrected demographics, "
            "or cannot be read. Compare and decide: `fracture-screen quarantine list`, `show`, "
            "`accept` or `discard`, or the worklist's page Quarantine.",
        )


def _of_progress(
    now: datetime, standing: Standing, limits: Limits, raised: Collection[str]
) -> Iterator[Trouble]:
    if _too_long(now, standing.oldest_waiting_since, limits.waiting, Kind.TRIAGE_WAITING, raised):
        yield Trouble(
            Kind.TRIAGE_WAITING,
            Severity.CRITICAL,
            f"A study that came by itself has waited for its screening for more than "
            f"{_told(limits.waiting)}.",
            "Check that a screening worker runs (`fracture-screen work --queue triage`) and what "
            "its log says; if it is busy, start another one.",
        )
    if standing.identity_conflicts:
        yield Trouble(
            Kind.IDENTITY_CONFLICT,
            Severity.CRITICAL,
            f"{_count(standing.identity_conflicts, 'study', 'studies')} held: instances of "
            "different patients under one Study Instance UID.",
            "Nothing of them is sent. `fracture-screen study held` lists them, `study identities` "
            "shows who is in one, and `study resolve` or its page says whose study it is.",
        )
    undispatched = standing.oldest_undispatched_since
    if _too_long(now, undispatched, limits.dispatch, Kind.DISPATCH_STALLED, raised):
        yield Trouble(
            Kind.DISPATCH_STALLED,
            Severity.CRITICAL,
            f"A study has waited for the dispatcher for more than {_told(limits.dispatch)}.",
            "Check that `fracture-screen dispatch` runs and that its log shows no "
            "dispatch_interrupted.",
        )
    if _too_long(now, standing.sweep_advanced_at, limits.sweep, Kind.SWEEP_STALLED, raised):
        yield Trouble(
            Kind.SWEEP_STALLED,
            Severity.WARNING,
            f"Nobody has looked after a running sweep for more than {_told(limits.sweep)}.",
            "Check that a sweep worker runs (`fracture-screen work --queue sweep`), or pause the "
            "sweep (`fracture-screen sweep status`).",
        )
    if failed := standing.studies.get(StudyState.FAILED, 0):
        yield Trouble(
            Kind.STUDIES_FAILED,
            Severity.WARNING,
            f"{_count(failed, 'study', 'studies')} FAILED: nobody gets a result of them.",
            "The worklist and `fracture-screen status` show which and why; remove the cause, then "
            "`fracture-screen retry`.",
        )


def _of_deliveries(
    now: datetime, standing: Standing, limits: Limits, raised: Collection[str]
) -> Iterator[Trouble]:
    for (destination, state), count in standing.deliveries.items():
        if state is DeliveryState.FAILED:
            yield Trouble(
                Kind.DEAD_LETTERS,
                Severity.WARNING,
                f"{_count(count, 'result')} could not be delivered to {destination}.",
                "See why by `fracture-screen deliveries list --state FAILED`; remove the cause, "
                "then `fracture-screen deliveries replay`.",
                destination,
            )
    for destination, opened_at in standing.circuits_open_since.items():
        if _too_long(now, opened_at, limits.circuit, Kind.CIRCUIT_OPEN, raised, destination):
            yield Trouble(
                Kind.CIRCUIT_OPEN,
                Severity.CRITICAL,
                f"{destination} has not answered for more than {_told(limits.circuit)}; its "
                "results wait.",
                "Check that it runs, the network between, and its AE title, host and port in the "
                "settings. What waits is sent by itself once it answers.",
                destination,
            )


def _of_origins(snapshot: Snapshot, limits: Limits, raised: Collection[str]) -> Iterator[Trouble]:
    for one in snapshot.not_analysed:
        laxer = _LAXER if f"{Kind.NOT_ANALYSED}/{one.origin}" in raised else 1
        if one.share >= limits.not_analysed_share * laxer:
            yield Trouble(
                Kind.NOT_ANALYSED,
                Severity.WARNING,
                f"{one.not_analysed} of the {one.radiographs} radiographs of {one.origin} within a "
                "day were not analysed.",
                "See the reasons on the quality page and how its words for body parts are "
                "understood by `fracture-screen body-parts`; correct [body_parts] in the settings, "
                "or the device. Where it is right, send limbs alone or raise "
                "monitor.not_analysed_alarm_share.",
                one.origin,
            )


def _of_the_disk(snapshot: Snapshot, limits: Limits, raised: Collection[str]) -> Iterator[Trouble]:
    free = snapshot.disk_free
    told = "The data folder cannot be asked." if free is None else f"{_mib(free)} MiB are free."
    remedy = "Free disk space on the data folder's file system, or give it more."
    if free is None or free < _room(limits.disk_watermark, Kind.DISK_FULL, raised):
        yield Trouble(
            Kind.DISK_FULL,
            Severity.CRITICAL,
            f"{told} The listener refuses instances below {_mib(limits.disk_watermark)} MiB.",
            f"{remedy} Modalities send again by themselves.",
        )
    elif free < _room(limits.disk_warning, Kind.DISK_LOW, raised):
        yield Trouble(
            Kind.DISK_LOW,
            Severity.WARNING,
            f"Less than {_mib(limits.disk_warning)} MiB of disk space are free.",
            remedy,
        )


def _too_long(
    now: datetime,
    since: datetime | None,
    limit: timedelta,
    kind: Kind,
    raised: Collection[str],
    subject: str = "",
) -> bool:
    alarm_id = f"{kind}/{subject}" if subject else str(kind)
    return since is not None and now - since > limit * (_LAXER if alarm_id in raised else 1)


def _room(limit: int, kind: Kind, raised: Collection[str]) -> float:
    return limit / _LAXER if str(kind) in raised else limit


def _mib(size: int) -> int:
    return size // 2**20


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _told(limit: timedelta) -> str:
    seconds = limit.total_seconds()
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
