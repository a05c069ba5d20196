"""Corrections by an administrator: received instances are discarded, accepted or replaced.

Each change is one transaction with its line in the audit trail, and opens the study's next
revision, so that its results are made anew from the instances that it has then.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.audit import Details, record_event
from db.records import NewInstance
from db.session import reading, transaction
from db.states import CONCLUDED, StudyState
from db.tables import Analysis, DoomedFile, Instance, Study
from db.transitions import NEXT_REVISION, move_studies

RESOLVED = "resolved identities"
REPLACED = "accepted from quarantine"
REFUSED = "discarded from quarantine"
"""Actions in the audit trail."""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """A received instance as the ledger knows it, without anything of the patient."""

    study_instance_uid: str
    sop_instance_uid: str
    path: str
    sha256: str
    transfer_syntax_uid: str
    calling_ae_title: str
    received_at: datetime
    purged_at: datetime | None
    """When retention removed the file; None: it is here."""
    discarded_at: datetime | None
    """When an administrator took it out of its study; None: it is part of it."""
    patient_of: str | None
    """SOP Instance UID of the instance whose patient it was accepted as."""


class Corrections:
    """Errors and clock as in `Ledger`. `actor` and `details` are for the audit trail."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock

    def instances(self, study_instance_uid: str) -> list[StoredInstance]:
        """Return the instances of a study, discarded ones too, in the order of screening."""
        with reading(self._engine) as session:
            rows = session.scalars(
                select(Instance)
                .join(Study, Study.id == Instance.study_id)
                .where(Study.study_instance_uid == study_instance_uid)
            ).all()
        rows = sorted(rows, key=lambda row: (row.series_instance_uid, row.sop_instance_uid))
        return [_stored(row, study_instance_uid) for row in rows]

    def instance(self, sop_instance_uid: str) -> StoredInstance | None:
        """Return an instance by its UID; None: it is not known."""
        with reading(self._engine) as session:
            found = session.execute(
                select(Instance, Study.study_instance_uid)
                .join(Study, Study.id == Instance.study_id)
                .where(Instance.sop_instance_uid == sop_instance_uid)
            ).first()
            return None if found is None else _stored(found[0], found[1])

    def held(self) -> list[tuple[str, datetime]]:
        """Return (Study Instance UID, since when) of studies held for their identities."""
        wanted = (
            select(Study.study_instance_uid, Analysis.finished_at)
            .join(Study, Study.id == Analysis.study_id)
            .where(Analysis.superseded_at.is_(None), Analysis.identity_conflict)
            .order_by(Analysis.id)
        )
        with reading(self._engine) as session:
            return [(uid, since) for uid, since in session.execute(wanted)]

    def resolve(
        self,
        study_instance_uid: str,
        *,
        discard: Collection[str],
        accept: Mapping[str, str],
        actor: str,
        details: Details,
    ) -> bool:
        """Discard instances, or accept them as the patient of another one of the study.

        Args:
            discard: SOP Instance UIDs.
            accept: SOP Instance UID → that of the instance whose patient it is.

        False: an instance is not in the study any more, and nothing was changed.
        """
        now = self._clock()
        with transaction(self._engine) as session:
            study = _locked(session, study_instance_uid)
            if study is None:
                return False
            chosen = (Instance.study_id == study.id, Instance.discarded_at.is_(None))
            found = session.scalars(select(Instance).where(*chosen))
            rows = {row.sop_instance_uid: row for row in found}
            if not rows.keys() >= {*discard, *accept, *accept.values()}:
                return False
            for uid in discard:
                rows[uid].discarded_at = now
            for uid, kept in accept.items():
                rows[uid].patient_of = kept
            _take_up(session, study, now)
            record_event(session, actor, RESOLVED, study_instance_uid, details, now)
            return True

    def replace(
        self, instance: NewInstance, known_sha256: str, *, actor: str, details: Details
    ) -> str | None:
        """Make a new data set the stored one of its SOP Instance UID; it is part of its study.

        Returns the path of the file that it replaces, to be removed now; a purge removes it
        otherwise. None: the instance is not stored with `known_sha256` in that study any more, and
        nothing was changed.
        """
        now = self._clock()
        with transaction(self._engine) as session:
            study = _locked(session, instance.study_instance_uid)
            row = session.scalar(
                select(Instance).where(Instance.sop_instance_uid == instance.sop_instance_uid)
            )
            if study is None or row is None or row.study_id != study.id:
                return None
            if row.sha256 != known_sha256:
                return None
            replaced = row.path
            if row.purged_at is None:
                doomed = DoomedFile(path=replaced, study_id=study.id, doomed_at=now)
                session.merge(doomed)
            row.series_instance_uid = instance.series_instance_uid
            row.sop_class_uid = instance.sop_class_uid
            row.transfer_syntax_uid = instance.transfer_syntax_uid
            row.path, row.sha256, row.size = instance.path, instance.sha256, instance.size
            row.received_at = now
            row.purged_at = row.discarded_at = row.patient_of = None
            study.last_instance_at = now
            _take_up(session, study, now)
            record_event(session, actor, REPLACED, study.study_instance_uid, details, now)
            return replaced


def _locked(session: Session, study_instance_uid: str) -> Study | None:
    return session.scalar(
        select(Study).where(Study.study_instance_uid == study_instance_uid).with_for_update()
    )


def _take_up(session: Session, study: Study, now: datetime) -> None:
    """Have a locked study screened from the instances that it has now."""
    session.flush()
    this_study = Study.id == study.id
    if study.state in CONCLUDED:
        move_studies(
            session, study.state, StudyState.READY, now, this_study, ready_at=now, **NEXT_REVISION
        )
    elif study.state is StudyState.SCREENING:  # its worker has read what holds no longer
        changes = {"interruptions": Study.interruptions + 1}
        move_studies(session, study.state, StudyState.RECEIVING, now, this_study, **changes)


def _stored(row: Instance, study_instance_uid: str) -> StoredInstance:
    return StoredInstance(
        study_instance_uid=study_instance_uid,
        sop_instance_uid=row.sop_instance_uid,
        path=row.path,
        sha256=row.sha256,
        transfer_syntax_uid=row.transfer_syntax_uid,
        calling_ae_title=row.calling_ae_title,
        received_at=row.received_at,
        purged_at=row.purged_at,
        discarded_at=row.discarded_at,
        patient_of=row.patient_of,
    )
