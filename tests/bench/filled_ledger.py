"""A ledger full of made-up studies, written in bulk: for measurements and for looking at pages."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, Engine, Table, insert

from db.outcomes import Outcome
from db.states import DeliveryState, ReviewOutcome, StudyState, SweepState, SweepStudyState
from db.tables import (
    Base,
    Sweep,
)

_OUTCOMES = {
    Outcome.NEGATIVE: 70,
    Outcome.POSITIVE: 12,
    Outcome.DOUBTFUL: 9,
    Outcome.NOT_ANALYSED: 8,
    Outcome.FAILED: 1,
}
_POINTS = {Outcome.POSITIVE: "specific", Outcome.DOUBTFUL: "sensitive"}
_REASONS = (
    "body part CHEST is outside the model's scope",
    "SOP class 1.2.840.10008.5.1.4.1.1.2 is not screened",
    "unlike the radiographs that the model knows",
    "no pixel data",
)
_BODY_PARTS = ("HAND", "WRIST", "ANKLE", "KNEE", "SHOULDER", "FOOT", "ELBOW", "")
_READ = {
    ReviewOutcome.AGREE: 80,
    ReviewOutcome.DISAGREE: 12,
    ReviewOutcome.ELSEWHERE: 4,
    ReviewOutcome.BAD_HEATMAP: 4,
}
_PAGE = 2000
_Rows = dict[str, list[dict[str, Any]]]  # Any: column values


def fill(engine: Engine, studies: int, days: float, now: datetime, seed: int = 1) -> None:
    """Write `studies` concluded studies, spread over the `days` before `now`; the first ids free.

    Every fifth belongs to a sweep; flags are opened mostly, and read sometimes.
    """
    random = Random(seed)
    with engine.begin() as connection:
        _write(connection, {Sweep.__tablename__: [_sweep(now - timedelta(days=days))]})
        for first in range(1, studies + 1, _PAGE):
            rows: _Rows = {}
            for number in range(first, min(first + _PAGE, studies + 1)):
                received_at = now - timedelta(days=days * (1 - number / (studies + 1)))
                for table, row in _study(random, number, _by_day(random, received_at), now):
                    rows.setdefault(table, []).append(row)
            _write(connection, rows)


def _write(connection: Connection, rows: _Rows) -> None:
    tables: dict[str, Table] = dict(Base.metadata.tables)
    for table in Base.metadata.sorted_tables:
        if table.name in rows:
            connection.execute(insert(tables[table.name]), rows[table.name])


def _study(
    random: Random, number: int, received_at: datetime, now: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:  # Any: column values
    uid, swept = f"1.2.826.0.1.{number}", number % 5 == 0
    outcome = random.choices(list(_OUTCOMES), list(_OUTCOMES.values()))[0]
    ready_at = received_at + timedelta(seconds=5 + random.expovariate(1 / 4))
    finished_at = ready_at + timedelta(seconds=random.lognormvariate(2, 0.7))
    sent_at = finished_at + timedelta(seconds=random.lognormvariate(0, 1))
    analysed = outcome not in (Outcome.NOT_ANALYSED, Outcome.FAILED)
    probability = {Outcome.POSITIVE: 0.9, Outcome.DOUBTFUL: 0.5}.get(outcome, 0.1)
    yield (
        "study",
        {
            "id": number,
            "study_instance_uid": uid,
            "state": StudyState.FAILED if outcome is Outcome.FAILED else StudyState.SCREENED,
            "revision": 1,
            "attempts": 1,
            "interruptions": 0,
            "calling_ae_title": "MODALITY",
            "received_at": received_at,
            "last_instance_at": received_at,
            "state_changed_at": finished_at,
            "ready_at": ready_at,
            "failure_reason": "",
            "sweep_id": 1 if swept else None,
        },
    )
    yield (
        "instance",
        {
            "id": number,
            "study_id": number,
            "series_instance_uid": f"{uid}.1",
            "sop_instance_uid": f"{uid}.1.1",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "calling_ae_title": "MODALITY",
            "path": f"spool/incoming/{number}.dcm",
            "sha256": f"{number:064x}",
            "size": 8_000_000,
            "received_at": received_at,
        },
    )
    yield (
        "analysis",
        {
            "id": number,
            "study_id": number,
            "revision": 1,
            "model_name": "fracture-net",
            "model_version": "1.0" if number % 3 else "1.1",
            "model_digest": "ab" * 32,
            "outcome": outcome,
            "reason": "",
            "probability": probability if analysed else None,
            "started_at": ready_at,
            "finished_at": finished_at,
            "sweep_id": 1 if swept else None,
        },
    )
    yield (
        "finding",
        {
            "id": number,
            "analysis_id": number,
            "sop_instance_uid": f"{uid}.1.1",
            "frame_number": 1,
            "analysed": analysed,
            "reason": "" if analysed else random.choice(_REASONS),
            "probability": probability if analysed else None,
            "operating_point": _POINTS.get(outcome, ""),
            "body_part_examined": random.choice(_BODY_PARTS),
        },
    )
    if analysed:
        yield "result_object", _result(number, finished_at)
        yield "delivery", _delivery(number, sent_at)
    if swept:
        yield "sweep_study", _swept(random, number, uid, finished_at)
    if outcome in _POINTS and random.random() < 0.9:
        opened_at = finished_at + timedelta(minutes=random.lognormvariate(2.5, 1))
        if opened_at < now:
            yield "study_opening", {"study_id": number, "revision": 1, "opened_at": opened_at}
    if outcome in _POINTS and random.random() < 0.1:
        yield "review", _review(random, number, uid, finished_at)


def _by_day(random: Random, moment: datetime) -> datetime:
    """Moved into working hours, mostly."""
    hour = min(23, max(0, int(random.gauss(13, 4))))
    return moment.replace(hour=hour, minute=random.randrange(60))


def _sweep(created_at: datetime) -> dict[str, Any]:  # Any: column values
    return {
        "id": 1,
        "source": "pacs",
        "folder": "",
        "selection": {},
        "state": SweepState.FINISHED,
        "remark": "",
        "cursor": "",
        "searched": True,
        "actor": "bench",
        "created_at": created_at,
        "advanced_at": created_at,
        "finished_at": created_at,
    }


def _swept(random: Random, number: int, uid: str, taken_at: datetime) -> dict[str, Any]:
    before = random.choice((None, Outcome.NEGATIVE, Outcome.DOUBTFUL))
    return {
        "id": number,
        "sweep_id": 1,
        "study_instance_uid": uid,
        "state": SweepStudyState.TAKEN,
        "reason": "",
        "expected": 1,
        "arrived": 1,
        "attempts": 1,
        "next_attempt_at": taken_at,
        "taken_at": taken_at,
        "previous_outcome": before,
        "previous_probability": None,
    }


def _result(number: int, created_at: datetime) -> dict[str, Any]:  # Any: column values
    return {
        "id": number,
        "study_id": number,
        "sop_instance_uid": f"2.25.{number}",
        "series_instance_uid": "2.25.1",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.7",
        "kind": "overlay",
        "path": f"results/{number}.dcm",
        "sha256": f"{number:064x}",
        "size": 1_000_000,
        "created_at": created_at,
    }


def _delivery(number: int, sent_at: datetime) -> dict[str, Any]:  # Any: column values
    return {
        "id": number,
        "result_object_id": number,
        "destination": "pacs",
        "state": DeliveryState.SENT,
        "attempts": 1,
        "last_status": 0,
        "last_error": "",
        "sent_at": sent_at,
        "confirm_attempts": 0,
    }


def _review(random: Random, number: int, uid: str, after: datetime) -> dict[str, Any]:
    outcome = random.choices(list(_READ), list(_READ.values()))[0]
    reviewed_at = after + timedelta(minutes=40)
    return {
        "id": number,
        "study_id": number,
        "sop_instance_uid": f"{uid}.1.1",
        "outcome": outcome,
        "fractured": outcome is not ReviewOutcome.DISAGREE,
        "reader": "reader 7",
        "reviewed_at": reviewed_at,
        "recorded_at": reviewed_at,
    }
