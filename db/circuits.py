"""One circuit breaker per destination, in the ledger, so that all workers share what each learns.

CLOSED → OPEN after some associations in a row that failed; after a pause one probe is let through
(HALF_OPEN): it closes the circuit, or opens it for another pause.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from db.records import CircuitSummary
from db.states import CircuitState
from db.tables import Circuit


def is_shut_out(session: Session, destination: str, now: datetime) -> bool:
    """Whether nothing may be sent there now. Locks the circuit, so that probes go one by one."""
    circuit = session.get(Circuit, destination, with_for_update=True)
    return circuit is not None and circuit.retry_at is not None and circuit.retry_at > now


def is_probing(session: Session, destination: str) -> bool:
    """Whether the circuit is not CLOSED: one study's results at a time."""
    circuit = session.get(Circuit, destination)
    return circuit is not None and circuit.opened_at is not None


def shut_out_destinations(now: datetime) -> Select[str]:
    """A query for the names of destinations that nothing may be sent to now."""
    return select(Circuit.destination).where(Circuit.retry_at > now)


def troubled_destinations() -> Select[str]:
    """A query for the names of destinations whose circuit is not CLOSED."""
    return select(Circuit.destination).where(Circuit.opened_at.is_not(None))


def half_open_destinations(session: Session, now: datetime) -> Sequence[str]:
    """The destinations that a probe may be sent to now."""
    return session.scalars(
        select(Circuit.destination).where(Circuit.retry_at <= now).order_by(Circuit.destination)
    ).all()


def record_success(session: Session, destination: str) -> bool:
    """The destination answered: close its circuit. True if it was not closed."""
    opened = session.scalars(
        delete(Circuit)
        .where(Circuit.destination == destination)
        .returning(Circuit.opened_at)
        .execution_options(synchronize_session=False)
    ).all()
    return any(time is not None for time in opened)


def record_failure(
    session: Session,
    destination: str,
    error: str,
    threshold: int,
    pause: timedelta,
    now: datetime,
) -> CircuitState:
    """An association failed: open the circuit at `threshold` in a row, or again after a probe."""
    circuit = session.get(Circuit, destination, with_for_update=True)
    if circuit is None:
        circuit = Circuit(destination=destination, failures=0, last_error="", changed_at=now)
        session.add(circuit)
    circuit.failures += 1
    circuit.last_error = error
    circuit.changed_at = now
    if circuit.failures >= threshold:
        circuit.opened_at = circuit.opened_at or now
        circuit.retry_at = now + pause
        return CircuitState.OPEN
    return CircuitState.CLOSED


def circuits(session: Session, now: datetime) -> list[CircuitSummary]:
    """Every destination that fails now or failed just before, by name."""
    rows = session.scalars(select(Circuit).order_by(Circuit.destination))
    return [
        CircuitSummary(
            row.destination, _state(row, now), row.failures, row.retry_at, row.last_error
        )
        for row in rows
    ]


def _state(circuit: Circuit, now: datetime) -> CircuitState:
    if circuit.retry_at is None:
        return CircuitState.CLOSED
    return CircuitState.OPEN if circuit.retry_at > now else CircuitState.HALF_OPEN
