"""Where one instance's file is and what it should be; reads only."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.session import database_errors
from db.tables import Instance


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An instance that was acknowledged. `path` is relative to the data folder, `size` in bytes."""

    sop_class_uid: str
    path: str
    size: int
    purged_at: datetime | None = None
    """When retention removed the file; None: it is here."""


def find_instance(engine: Engine, sop_instance_uid: str) -> StoredInstance | None:
    """The instance of this UID; None if it is not known. Raises LedgerUnavailable."""
    with database_errors(), Session(engine) as session, session.begin():
        row = session.scalar(select(Instance).where(Instance.sop_instance_uid == sop_instance_uid))
        if row is None:
            return None
        return StoredInstance(row.sop_class_uid, row.path, row.size, row.purged_at)
