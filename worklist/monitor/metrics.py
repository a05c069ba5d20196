"""Figures for Prometheus, in a registry of their own. Labels hold no UID, no name, no patient data.

Counters begin at 0 with the process; histograms are of what happened since. Destinations are those
of the settings, "other" stands for all that were there before.
"""

from collections.abc import Collection, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from db.activity import Happened, Standing
from db.outcomes import Outcome
from db.states import DeliveryState, StudyState
from worklist.monitor.alarms import Alarm, Kind, Severity
from worklist.monitor.snapshot import LedgerCondition, Limits, Snapshot

OTHER = "other"
_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
"""Seconds."""
_DELIVERY_STATES = {
    DeliveryState.PENDING: "pending",
    DeliveryState.SENT: "unconfirmed",
    DeliveryState.FAILED: "failed",
}


class Metrics:
    """All figures; `observe` and `show` are called by one thread, `text` by any."""

    def __init__(self, version: str, destinations: Sequence[str], limits: Limits) -> None:
        """Every series that may come is there from the start, at 0."""
        self._registry = CollectorRegistry()
        self._destinations = tuple(destinations)
        self._make_counters()
        self._make_histograms()
        self._make_gauges()
        self._gauge("build", "Version of the program.", "version").labels(version).set(1)
        self._watermark.set(limits.disk_watermark)

    def text(self) -> bytes:
        """The exposition format, UTF-8."""
        return generate_latest(self._registry)

    def observe(self, happened: Happened) -> None:
        """Count what happened since the last look."""
        self._instances.inc(happened.instances)
        self._bytes.inc(happened.instance_bytes)
        self._studies.inc(happened.studies)
        for one in happened.concluded:
            self._outcomes.labels(one.outcome, "sweep" if one.swept else "triage").inc()
            if one.received_to_ready_s is not None:
                self._to_ready.observe(one.received_to_ready_s)
            if one.ready_to_concluded_s is not None:
                self._to_concluded.observe(one.ready_to_concluded_s)
        for destination, seconds in happened.concluded_to_sent_s:
            self._to_sent.labels(self._known(destination)).observe(seconds)
        for seconds in happened.received_to_opened_s:
            self._to_opened.observe(seconds)

    def show(self, snapshot: Snapshot, alarms: Collection[Alarm]) -> None:
        """Show how things stand."""
        self._looked_at.set(snapshot.taken_at.timestamp())
        self._up.labels("ledger").set(snapshot.ledger is LedgerCondition.USABLE)
        self._up.labels("broker").set(snapshot.queues is not None)
        self._up.labels("listener").set(snapshot.listener_open)
        for queue, depth in (snapshot.queues or {}).items():
            self._queues.labels(queue).set(depth)
        if snapshot.disk_free is not None:
            self._free.set(snapshot.disk_free)
        self._quarantined.set(snapshot.quarantine.files)
        self._quarantined_bytes.set(snapshot.quarantine.size)
        for severity in Severity:
            raised = [one for one in alarms if one.trouble.severity is severity]
            self._alarms.labels(severity).set(len(raised))
        for kind in Kind:
            self._alarm.labels(kind).set(sum(one.trouble.kind is kind for one in alarms))
        if snapshot.standing is not None:
            self._show_standing(snapshot, snapshot.standing)

    def show_totals(self, instances: int, size: int, screened: int) -> None:
        """What grows with the ledger, asked for rarely."""
        self._spooled.set(instances)
        self._spooled_bytes.set(size)
        self._in_state.labels(StudyState.SCREENED).set(screened)

    def show_models(self, labels: Mapping[str, str]) -> None:
        """Which models are in use: purpose → name and version."""
        self._models.clear()
        for purpose, label in labels.items():
            self._models.labels(purpose, label).set(1)

    def _show_standing(self, snapshot: Snapshot, standing: Standing) -> None:
        for state, count in standing.studies.items():
            self._in_state.labels(state).set(count)
        waiting = standing.oldest_waiting_since
        self._waiting.set((snapshot.taken_at - waiting).total_seconds() if waiting else 0)
        self._sweeps.set(standing.sweeps_running)
        counts: dict[tuple[str, str], int] = {}
        for (destination, delivery_state), count in standing.deliveries.items():
            key = self._known(destination), _DELIVERY_STATES[delivery_state]
            counts[key] = counts.get(key, 0) + count
        opened = {self._known(name) for name in standing.circuits_open_since}
        for destination in (*self._destinations, OTHER):
            for name in _DELIVERY_STATES.values():
                self._deliveries.labels(destination, name).set(counts.get((destination, name), 0))
            dead = counts.get((destination, _DELIVERY_STATES[DeliveryState.FAILED]), 0)
            self._dead.labels(destination).set(dead)
            self._circuits.labels(destination).set(destination in opened)

    def _known(self, destination: str) -> str:
        return destination if destination in self._destinations else OTHER

    def _make_counters(self) -> None:
        self._instances = self._counter("instances_received", "Instances received.")
        self._bytes = self._counter("received_bytes", "Their size.")
        self._studies = self._counter("studies_received", "Studies received.")
        self._outcomes = self._counter("outcomes", "Analyses by outcome.", "outcome", "work")
        for outcome in Outcome:
            for work in ("triage", "sweep"):
                self._outcomes.labels(outcome, work)

    def _make_histograms(self) -> None:
        triage = "Triage, first revisions."
        self._to_ready = self._histogram(
            "received_to_ready_seconds", f"First instance to a complete study. {triage}"
        )
        self._to_concluded = self._histogram(
            "ready_to_concluded_seconds", "Complete study to its outcome. Triage."
        )
        self._to_sent = self._histogram(
            "concluded_to_delivered_seconds", "Outcome to a result at a destination.", "destination"
        )
        self._to_opened = self._histogram(
            "received_to_opened_seconds", f"First instance to first opened by a reader. {triage}"
        )
        for destination in (*self._destinations, OTHER):
            self._to_sent.labels(destination)

    def _make_gauges(self) -> None:
        gauge = self._gauge
        self._looked_at = gauge("last_look_timestamp_seconds", "When all this was looked at.")
        self._up = gauge("up", "1: it answers.", "part")
        self._in_state = gauge("studies", "Studies by state.", "state")
        self._waiting = gauge("oldest_waiting_seconds", "Longest wait of a triage study; 0: none.")
        self._queues = gauge("queue_messages", "Messages waiting at the broker.", "queue")
        self._deliveries = gauge("deliveries", "Unfinished deliveries.", "destination", "state")
        self._dead = gauge("dead_letters", "Deliveries given up.", "destination")
        self._circuits = gauge("circuit_open", "1: it does not answer.", "destination")
        self._sweeps = gauge("sweeps_running", "Sweeps under way.")
        self._free = gauge("disk_free_bytes", "Free on the data folder's file system.")
        self._watermark = gauge("disk_watermark_bytes", "Below it instances are refused.")
        self._spooled = gauge("spool_files", "Instances that the ledger has.")
        self._spooled_bytes = gauge("spool_bytes", "Their size.")
        self._quarantined = gauge("quarantine_files", "Files in quarantine.")
        self._quarantined_bytes = gauge("quarantine_bytes", "Their size.")
        self._alarms = gauge("alarms", "Alarms raised.", "severity")
        self._alarm = gauge("alarm", "Alarms raised, by what is wrong.", "kind")
        self._models = gauge("model", "1: it is in use.", "purpose", "model")

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"fracture_screen_{name}", told, labels, registry=self._registry)

    def _histogram(self, name: str, told: str, *labels: str) -> Histogram:
        full = f"fracture_screen_{name}"
        return Histogram(full, told, labels, registry=self._registry, buckets=_BUCKETS)

    def _gauge(self, name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"fracture_screen_{name}", told, labels, registry=self._registry)
