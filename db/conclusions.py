"""The end of an attempt: an analysis with all it leaves behind, or a failure with its reason."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from db.dead_letters import withdraw_outdated
from db.outcomes import Outcome
from db.records import ClaimedStudy, Conclusion, NewResultObject
from db.states import DeliveryState, StudyState
from db.study_headers import record_header
from db.tables import Analysis, Delivery, Finding, ResultObject, Study
from db.transitions import NEXT_REVISION, move_deliveries, move_studies


def conclude(
    session: Session,
    claim: ClaimedStudy,
    conclusion: Conclusion,
    started_at: datetime,
    now: datetime,
) -> bool:
    """Record an analysis and all it leaves behind; False if the claim is no longer valid."""
    failed = conclusion.outcome == Outcome.FAILED
    moved = move_studies(
        session,
        StudyState.SCREENING,
        StudyState.FAILED if failed else StudyState.SCREENED,
        now,
        *_holds(claim),
        failure_reason=conclusion.reason if failed else "",
    )
    if not moved:
        return False
    _supersede(session, claim.study_id, now)
    results = _results(session, claim.study_id, conclusion.results, now)
    session.add(_analysis(claim, conclusion, results, started_at, now))
    if conclusion.header is not None:
        record_header(session, claim.study_id, conclusion.header)
    session.flush()
    withdraw_outdated(session, claim.study_id, now)
    _add_deliveries(session, _wanted_deliveries(results, conclusion.results), now)
    return True


def fail_attempt(
    session: Session, claim: ClaimedStudy, reason: str, max_attempts: int, now: datetime
) -> StudyState:
    """Give the claimed study back; a claim that is no longer valid changes nothing."""
    study = session.scalar(
        select(Study).where(Study.state == StudyState.SCREENING, *_holds(claim)).with_for_update()
    )
    if study is None:
        return session.get_one(Study, claim.study_id).state
    if attempts_spent(study) < max_attempts:
        return queue_again(session, study, reason, now)
    return give_up(session, study, reason, now)


def attempts_spent(study: Study) -> int:
    """Claims of the study's revision that no late instance cut short."""
    return study.attempts - study.interruptions


def queue_again(session: Session, study: Study, reason: str, now: datetime) -> StudyState:
    """Make a locked study QUEUED after a failed attempt."""
    this_study = Study.id == study.id
    move_studies(session, study.state, StudyState.QUEUED, now, this_study, failure_reason=reason)
    return StudyState.QUEUED


def give_up(session: Session, study: Study, reason: str, now: datetime) -> StudyState:
    """Make a locked study FAILED, with an analysis that says why."""
    started_at = study.state_changed_at
    this_study = Study.id == study.id
    move_studies(session, study.state, StudyState.FAILED, now, this_study, failure_reason=reason)
    _supersede(session, study.id, now)
    session.add(_failed_analysis(study, reason, started_at, now))
    return StudyState.FAILED


def record_failure_report(
    session: Session, study_id: int, revision: int, report: NewResultObject, now: datetime
) -> bool:
    """Add the report of a failed analysis and its deliveries; False if the study moved on."""
    study = session.scalar(
        select(Study)
        .where(Study.id == study_id, Study.revision == revision, Study.state == StudyState.FAILED)
        .with_for_update()
    )
    analysis = session.scalar(
        select(Analysis).where(
            Analysis.study_id == study_id,
            Analysis.revision == revision,
            Analysis.superseded_at.is_(None),
        )
    )
    if study is None or analysis is None:
        return False
    results = _results(session, study_id, [report], now)
    analysis.results.extend(row for row in results if row not in analysis.results)
    session.flush()
    _add_deliveries(session, _wanted_deliveries(results, [report]), now)
    return True


def retry_failed(session: Session, study_instance_uid: str, now: datetime) -> bool:
    """Make a FAILED study READY as its next revision."""
    moved = move_studies(
        session,
        StudyState.FAILED,
        StudyState.READY,
        now,
        Study.study_instance_uid == study_instance_uid,
        ready_at=now,
        **NEXT_REVISION,
    )
    return bool(moved)


def _holds(claim: ClaimedStudy) -> tuple[ColumnElement[bool], ...]:
    return (
        Study.id == claim.study_id,
        Study.revision == claim.revision,
        Study.attempts == claim.attempt,
    )


def _supersede(session: Session, study_id: int, now: datetime) -> None:
    session.execute(
        update(Analysis)
        .where(Analysis.study_id == study_id, Analysis.superseded_at.is_(None))
        .values(superseded_at=now)
        .execution_options(synchronize_session=False)
    )


def _results(
    session: Session, study_id: int, wanted: Sequence[NewResultObject], now: datetime
) -> list[ResultObject]:
    uids = {result.sop_instance_uid for result in wanted}
    rows = {
        row.sop_instance_uid: row
        for row in session.scalars(
            select(ResultObject).where(ResultObject.sop_instance_uid.in_(uids))
        )
    }
    for result in wanted:
        if result.sop_instance_uid not in rows:
            values = asdict(result)
            del values["destinations"]
            row = ResultObject(study_id=study_id, created_at=now, **values)
            rows[result.sop_instance_uid] = row
        elif rows[result.sop_instance_uid].purged_at is not None:
            _bring_back(rows[result.sop_instance_uid], result)
    return list(rows.values())


def _bring_back(row: ResultObject, result: NewResultObject) -> None:
    """Its file was purged and written anew, perhaps with other bytes: the report states a time."""
    row.path, row.sha256, row.size = result.path, result.sha256, result.size
    row.purged_at = None


def _analysis(
    claim: ClaimedStudy,
    conclusion: Conclusion,
    results: list[ResultObject],
    started_at: datetime,
    now: datetime,
) -> Analysis:
    return Analysis(
        study_id=claim.study_id,
        revision=claim.revision,
        model_name=conclusion.model_name,
        model_version=conclusion.model_version,
        model_digest=conclusion.model_digest,
        outcome=conclusion.outcome,
        reason=conclusion.reason,
        probability=conclusion.probability,
        started_at=started_at,
        finished_at=now,
        sweep_id=claim.sweep_id,
        unflagged_reason=conclusion.unflagged_reason,
        identity_conflict=conclusion.identity_conflict,
        findings=[Finding(**asdict(finding)) for finding in conclusion.findings],
        results=results,
    )


def _failed_analysis(study: Study, reason: str, started_at: datetime, now: datetime) -> Analysis:
    return Analysis(
        study_id=study.id,
        revision=study.revision,
        model_name="",
        model_version="",
        model_digest="",
        outcome=Outcome.FAILED,
        reason=reason,
        probability=None,
        started_at=started_at,
        finished_at=now,
        sweep_id=study.sweep_id,
    )


def _wanted_deliveries(
    rows: Sequence[ResultObject], results: Sequence[NewResultObject]
) -> list[tuple[int, str]]:
    """(row, destination), each once, in the order of the results."""
    ids = {row.sop_instance_uid: row.id for row in rows}
    wanted = [
        (ids[result.sop_instance_uid], destination)
        for result in results
        for destination in result.destinations
    ]
    return list(dict.fromkeys(wanted))


def _add_deliveries(session: Session, wanted: Sequence[tuple[int, str]], now: datetime) -> None:
    by_destination: dict[str, list[int]] = {}
    for result_id, destination in wanted:
        by_destination.setdefault(destination, []).append(result_id)
    for destination, ids in by_destination.items():
        # Wanted once more, for example after a return to an earlier model.
        move_deliveries(
            session,
            DeliveryState.WITHDRAWN,
            DeliveryState.PENDING,
            Delivery.result_object_id.in_(ids),
            Delivery.destination == destination,
            attempts=0,
            next_attempt_at=now,
            last_error="",
        )
    of_results = Delivery.result_object_id.in_({result_id for result_id, _ in wanted})
    existing = set(
        session.execute(select(Delivery.result_object_id, Delivery.destination).where(of_results))
    )
    session.add_all(
        Delivery(
            result_object_id=result_id,
            destination=destination,
            state=DeliveryState.PENDING,
            next_attempt_at=now,
        )
        for result_id, destination in wanted
        if (result_id, destination) not in existing
    )
