"""What we promise when a peer asks for storage commitment: row in the ledger, file on disk."""

from pathlib import Path

import structlog
from sqlalchemy import Engine

from db.instance_lookup import find_instance
from dicom_node.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    CommitmentProvider,
    Keeps,
    Reference,
)
from worker.settings import Settings

_log = structlog.get_logger(__name__)


def make_commitments(settings: Settings, engine: Engine) -> CommitmentProvider:
    """The provider, not started yet; its requests wait in the data folder."""
    receivers = {peer.ae_title: peer.remote for peer in settings.peers if peer.remote}
    return CommitmentProvider(
        settings.data_folder.resolve() / "commitments",
        settings.listener.ae_title,
        keeper(engine, settings.data_folder.resolve()),
        receivers.get,
    )


def keeper(engine: Engine, data_folder: Path) -> Keeps:
    """Whether an instance is kept: known under its class, and its file there in full size."""

    def keeps(reference: Reference) -> int:
        sop_class_uid, sop_instance_uid = reference
        stored = find_instance(engine, sop_instance_uid)
        if stored is None:
            return NO_SUCH_INSTANCE
        if stored.sop_class_uid != sop_class_uid:
            return CLASS_CONFLICT
        if stored.purged_at is not None:
            _log.info("commitment_refused_purged", sop_instance_uid=sop_instance_uid)
            return NO_SUCH_INSTANCE
        path = data_folder / stored.path
        if not path.is_file() or path.stat().st_size != stored.size:
            _log.critical("instance_file_missing", sop_instance_uid=sop_instance_uid)
            return NO_SUCH_INSTANCE
        return 0

    return keeps
