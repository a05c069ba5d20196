"""Received instances: their registration, and what the reconciler asks of them."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import cast

from sqlalchemy import Row, Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from db.records import NewInstance, Registration, RegistrationKind
from db.states import CONCLUDED, StudyState, SweepStudyState
from db.tables import Instance, Study, SweepStudy
from db.transitions import NEXT_REVISION, move_studies

_instances, _studies = cast(Table, Instance.__table__), cast(Table, Study.__table__)
_sweep_studies = cast(Table, SweepStudy.__table__)

# Made once and without the ORM: an instance is registered before its sender gets an answer.
_KNOWN = select(_instances.c.sha256, _instances.c.study_id, _instances.c.purged_at).where(
    _instances.c.sop_instance_uid == bindparam("sop_instance_uid")
)
_STUDY = (
    select(_studies.c.id, _studies.c.state, _studies.c.sweep_id)
    .where(_studies.c.study_instance_uid == bindparam("study_instance_uid"))
    .with_for_update()
)
_TOUCH_STUDY = (
    update(_studies)
    .where(_studies.c.id == bindparam("study_id"))
    .values(last_instance_at=bindparam("now"), sweep_id=bindparam("sweep"))
)
_SWEEP_THAT_FETCHES = (
    select(_sweep_studies.c.sweep_id)
    .where(
        _sweep_studies.c.study_instance_uid == bindparam("study_instance_uid"),
        _sweep_studies.c.state == SweepStudyState.FETCHING,
        _sweep_studies.c.next_attempt_at > bindparam("now"),
    )
    .order_by(_sweep_studies.c.sweep_id)
    .limit(1)
)
_ADD_INSTANCE = insert(_instances)
_BRING_BACK = (
    update(_instances)
    .where(_instances.c.sop_instance_uid == bindparam("uid"), _instances.c.purged_at.is_not(None))
    .values(path=bindparam("new_path"), received_at=bindparam("now"), purged_at=None)
)


def register_instance(session: Session, instance: NewInstance, now: datetime) -> Registration:
    """Store an instance. IntegrityError: another transaction stored its UID or study just now.

    One that was purged comes back, if its bytes are the same; it opens its study as a new one.
    """
    connection = session.connection()
    known = connection.execute(_KNOWN, {"sop_instance_uid": instance.sop_instance_uid}).first()
    if known is not None:
        if known.sha256 != instance.sha256:
            return Registration(RegistrationKind.CONFLICT, known.study_id)
        if known.purged_at is not None and _bring_back(session, instance, now):
            return Registration(RegistrationKind.ACCEPTED, known.study_id)
        return Registration(RegistrationKind.DUPLICATE, known.study_id)
    study_id = _open_study(session, instance, now)
    columns = asdict(instance)
    del columns["study_instance_uid"]
    connection.execute(_ADD_INSTANCE, {"study_id": study_id, "received_at": now, **columns})
    return Registration(RegistrationKind.ACCEPTED, study_id)


def _bring_back(session: Session, instance: NewInstance, now: datetime) -> bool:
    """The study's lock first, as purging takes it; False: another sender was quicker."""
    connection = session.connection()
    connection.execute(_STUDY, {"study_instance_uid": instance.study_instance_uid})
    back = {"uid": instance.sop_instance_uid, "new_path": instance.path, "now": now}
    if not connection.execute(_BRING_BACK, back).rowcount:
        return False
    _open_study(session, instance, now)
    return True


def known_path(session: Session, relative_path: str) -> bool:
    """Whether some instance's file stands at this path."""
    found = session.scalar(select(Instance.id).where(Instance.path == relative_path))
    return found is not None


def instance_paths(session: Session, after: int, limit: int) -> Sequence[Row[int, str, str]]:
    """Up to `limit` (id, SOP instance UID, path) of instances whose id is above `after`.

    Of those that were not purged.
    """
    return session.execute(
        select(Instance.id, Instance.sop_instance_uid, Instance.path)
        .where(Instance.id > after, Instance.purged_at.is_(None))
        .order_by(Instance.id)
        .limit(limit)
    ).all()


def _open_study(session: Session, instance: NewInstance, now: datetime) -> int:
    connection = session.connection()
    study = connection.execute(_STUDY, {"study_instance_uid": instance.study_instance_uid}).first()
    asked_for = {"study_instance_uid": instance.study_instance_uid, "now": now}
    sweep_id = connection.execute(_SWEEP_THAT_FETCHES, asked_for).scalar()
    if study is None:
        return _new_study(session, instance, sweep_id, now)
    at_rest = study.state in CONCLUDED
    # What came by itself stays triage while it is under way, and one instance of it makes it so.
    sweep_id = sweep_id if at_rest or study.sweep_id is not None else None
    connection.execute(_TOUCH_STUDY, {"study_id": study.id, "now": now, "sweep": sweep_id})
    if study.state != StudyState.RECEIVING:
        _reopen(session, study.id, study.state, now)
    return int(study.id)


def _new_study(session: Session, instance: NewInstance, sweep_id: int | None, now: datetime) -> int:
    study = Study(
        study_instance_uid=instance.study_instance_uid,
        state=StudyState.RECEIVING,
        calling_ae_title=instance.calling_ae_title,
        received_at=now,
        last_instance_at=now,
        state_changed_at=now,
        sweep_id=sweep_id,
    )
    session.add(study)
    session.flush()
    return study.id


def _reopen(session: Session, study_id: int, state: StudyState, now: datetime) -> None:
    changes: dict[str, object] = {}
    if state in CONCLUDED:
        changes = dict(NEXT_REVISION)
    elif state == StudyState.SCREENING:
        changes = {"interruptions": Study.interruptions + 1}
    move_studies(session, state, StudyState.RECEIVING, now, Study.id == study_id, **changes)
