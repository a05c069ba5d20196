"""Received instances: their registration, and what the reconciler asks of them."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import cast

from sqlalchemy import Connection, Row, Table, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db import tables
from db.records import NewInstance, Registration, RegistrationKind, StudyHeader
from db.states import CONCLUDED, StudyState, SweepStudyState
from db.tables import Instance, Study, SweepStudy
from db.transitions import NEXT_REVISION, move_studies

_instances, _studies = cast(Table, Instance.__table__), cast(Table, Study.__table__)
_sweep_studies = cast(Table, SweepStudy.__table__)
_headers = cast(Table, tables.StudyHeader.__table__)

# Made once and without the ORM: an instance is registered before its sender gets an answer.
_KNOWN = select(
    _instances.c.sop_instance_uid,
    _instances.c.sha256,
    _instances.c.study_id,
    _instances.c.purged_at,
    _instances.c.path,
).where(_instances.c.sop_instance_uid.in_(bindparam("sop_instance_uids", expanding=True)))
_SWEEP_THAT_FETCHES = (
    select(_sweep_studies.c.sweep_id)
    .where(
        _sweep_studies.c.study_instance_uid == bindparam("uid"),
        _sweep_studies.c.state == SweepStudyState.FETCHING,
        _sweep_studies.c.next_attempt_at > bindparam("now"),
    )
    .order_by(_sweep_studies.c.sweep_id)
    .limit(1)
)
_STUDY = (
    select(
        _studies.c.id,
        _studies.c.state,
        _studies.c.sweep_id,
        _SWEEP_THAT_FETCHES.scalar_subquery().label("fetching_sweep_id"),
    )
    .where(_studies.c.study_instance_uid == bindparam("uid"))
    .with_for_update()
)
_TOUCH_STUDY = (
    update(_studies)
    .where(_studies.c.id == bindparam("study_id"))
    .values(last_instance_at=bindparam("now"), sweep_id=bindparam("sweep"))
)
_ADD_STUDY = insert(_studies)
_ADD_INSTANCES = insert(_instances)
_ADD_HEADERS = {
    "sqlite": sqlite.insert(_headers).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(_headers).on_conflict_do_nothing(),
}
"""SQL dialect → the insert; a study that has a header keeps it."""
_BRING_BACK = (
    update(_instances)
    .where(_instances.c.sop_instance_uid == bindparam("uid"), _instances.c.purged_at.is_not(None))
    .values(path=bindparam("new_path"), received_at=bindparam("now"), purged_at=None)
)
_REPLACE_FILE = (
    update(_instances)
    .where(
        _instances.c.sop_instance_uid == bindparam("uid"),
        _instances.c.path == bindparam("missing_path"),
        _instances.c.purged_at.is_(None),
    )
    .values(path=bindparam("new_path"), received_at=bindparam("now"))
)


def register_instances(
    connection: Connection, instances: Sequence[NewInstance], now: datetime
) -> list[Registration]:
    """Store instances in the transaction of `connection`; return what became of each.

    One that was purged comes back, if its bytes are the same; it opens its study as a new one.
    IntegrityError: another transaction stored the UID or the study of one of them just now.
    """
    return _Registrations(connection, instances, now).registered()


def restore_file(
    connection: Connection, instance: NewInstance, missing_path: str, now: datetime
) -> bool:
    """Put the file of `instance` in the place of the known one, which is missing on disk.

    A study that is not SCREENED is opened as by a late instance. False, and nothing changed: the
    instance's file is no longer the one at `missing_path`.
    """
    study = connection.execute(_STUDY, {"uid": instance.study_instance_uid, "now": now}).first()
    replaced = {
        "uid": instance.sop_instance_uid,
        "missing_path": missing_path,
        "new_path": instance.path,
        "now": now,
    }
    if study is None or not connection.execute(_REPLACE_FILE, replaced).rowcount:
        return False
    if study.state != StudyState.SCREENED:
        _open_study(connection, instance, now)
    return True


class _Registrations:
    """Instances that are registered in one transaction, each study opened once for all of them."""

    def __init__(
        self, connection: Connection, instances: Sequence[NewInstance], now: datetime
    ) -> None:
        self._connection = connection
        self._instances = instances
        self._now = now
        self._known: dict[str, tuple[str, int, datetime | None, str]] = {}
        self._open_studies: dict[str, int] = {}
        self._new_rows: list[dict[str, object]] = []
        self._new_headers: list[dict[str, object]] = []

    def registered(self) -> list[Registration]:
        uids = [instance.sop_instance_uid for instance in self._instances]
        for uid, *known in self._connection.execute(_KNOWN, {"sop_instance_uids": uids}):
            self._known[uid] = known[0], known[1], known[2], known[3]
        registrations = [self._register(instance) for instance in self._instances]
        if self._new_rows:
            self._connection.execute(_ADD_INSTANCES, self._new_rows)
        if self._new_headers:
            add = _ADD_HEADERS[self._connection.dialect.name]
            self._connection.execute(add, self._new_headers)
        return registrations

    def _register(self, instance: NewInstance) -> Registration:
        known = self._known.get(instance.sop_instance_uid)
        if known is None:
            study_id = self._opened_study(instance)
            self._new_rows.append(_row(instance, study_id, self._now))
            self._known[instance.sop_instance_uid] = instance.sha256, study_id, None, instance.path
            if instance.header is not None:
                self._new_headers.append({"study_id": study_id, **_header_row(instance.header)})
            return Registration(RegistrationKind.ACCEPTED, study_id)
        sha256, study_id, purged_at, path = known
        if sha256 != instance.sha256:
            return Registration(RegistrationKind.CONFLICT, study_id)
        if purged_at is not None and self._bring_back(instance):
            self._known[instance.sop_instance_uid] = sha256, study_id, None, instance.path
            return Registration(RegistrationKind.ACCEPTED, study_id)
        return Registration(RegistrationKind.DUPLICATE, study_id, "" if purged_at else path)

    def _bring_back(self, instance: NewInstance) -> bool:
        """The study's lock first, as purging takes it; False: another sender was quicker."""
        study = {"uid": instance.study_instance_uid, "now": self._now}
        self._connection.execute(_STUDY, study)
        back = {"uid": instance.sop_instance_uid, "new_path": instance.path, "now": self._now}
        if not self._connection.execute(_BRING_BACK, back).rowcount:
            return False
        self._opened_study(instance)
        return True

    def _opened_study(self, instance: NewInstance) -> int:
        uid = instance.study_instance_uid
        if uid not in self._open_studies:
            self._open_studies[uid] = _open_study(self._connection, instance, self._now)
        return self._open_studies[uid]


def _row(instance: NewInstance, study_id: int, now: datetime) -> dict[str, object]:
    return {
        "study_id": study_id,
        "series_instance_uid": instance.series_instance_uid,
        "sop_instance_uid": instance.sop_instance_uid,
        "sop_class_uid": instance.sop_class_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "calling_ae_title": instance.calling_ae_title,
        "path": instance.path,
        "sha256": instance.sha256,
        "size": instance.size,
        "received_at": now,
    }


def _header_row(header: StudyHeader) -> dict[str, object]:
    return {field.name: getattr(header, field.name) for field in fields(header)}


def _open_study(connection: Connection, instance: NewInstance, now: datetime) -> int:
    sought = {"uid": instance.study_instance_uid, "now": now}
    study = connection.execute(_STUDY, sought).first()
    if study is None:
        sweep_id = connection.execute(_SWEEP_THAT_FETCHES, sought).scalar()
        return _add_study(connection, instance, sweep_id, now)
    at_rest = study.state in CONCLUDED
    # What came by itself stays triage while it is under way, and one instance of it makes it so.
    sweep_id = study.fetching_sweep_id if at_rest or study.sweep_id is not None else None
    connection.execute(_TOUCH_STUDY, {"study_id": study.id, "now": now, "sweep": sweep_id})
    if study.state != StudyState.RECEIVING:
        _reopen(connection, study.id, study.state, now)
    return int(study.id)


def _add_study(
    connection: Connection, instance: NewInstance, sweep_id: int | None, now: datetime
) -> int:
    columns = {
        "study_instance_uid": instance.study_instance_uid,
        "state": StudyState.RECEIVING,
        "calling_ae_title": instance.calling_ae_title,
        "received_at": now,
        "last_instance_at": now,
        "state_changed_at": now,
        "sweep_id": sweep_id,
    }
    added = connection.execute(_ADD_STUDY, columns).inserted_primary_key
    return int(cast(Row[int], added)[0])


def _reopen(connection: Connection, study_id: int, state: StudyState, now: datetime) -> None:
    changes: dict[str, object] = {}
    if state in CONCLUDED:
        changes = dict(NEXT_REVISION)
    elif state == StudyState.SCREENING:
        changes = {"interruptions": Study.interruptions + 1}
    with Session(connection) as session:  # leaves the transaction to its owner
        move_studies(session, state, StudyState.RECEIVING, now, Study.id == study_id, **changes)
        session.commit()


def known_path(session: Session, relative_path: str) -> bool:
    """Whether some instance's file stands at this path."""
    found = session.scalar(select(Instance.id).where(Instance.path == relative_path))
    return found is not None


def stored_path(session: Session, sop_instance_uid: str) -> str | None:
    """Path of an instance's file; None: it is not known, or its file was purged."""
    return session.scalar(
        select(Instance.path).where(
            Instance.sop_instance_uid == sop_instance_uid, Instance.purged_at.is_(None)
        )
    )


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
