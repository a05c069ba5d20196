"""Step 2: the listener's sink, and the reconciler that repairs what a crash left in the spool."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from db.ledger import Ledger
from db.records import NewInstance, Registration, RegistrationKind, StudyHeader
from dicom_node.errors import UnreadableInstance
from dicom_node.instance import ReceivedInstance
from dicom_node.received import describe_file
from dicom_node.receiver import Receipt
from dicom_node.same_content import same_content
from dicom_node.spool import Spool, modified_at
from worker.study_header import received_header

_log = structlog.get_logger(__name__)

ORPHAN_AGE_S = 60.0
"""A spooled file younger than this may be one whose registration is still under way."""
RECONCILED = "RECONCILED"
"""Calling AE title of an instance whose association is no longer known."""

_FULL_EVERY_S = 3600.0
_REMEMBERED_STUDIES = 4096

_RECEIPTS = {
    RegistrationKind.ACCEPTED: Receipt.ACCEPTED,
    RegistrationKind.DUPLICATE: Receipt.DUPLICATE,
    RegistrationKind.CONFLICT: Receipt.CONFLICT,
}


class Intake:
    """Registers spooled instances in the ledger. Safe to call from several threads.

    `register_instance` may stand in for the ledger's own, for example a `GroupCommit`'s.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        data_folder: Path,
        register_instance: Callable[[NewInstance], Registration] | None = None,
    ) -> None:
        self._ledger = ledger
        self._register_instance = register_instance or ledger.register_instance
        self._spool = spool
        self._data_folder = data_folder.resolve()
        self._last_full: float | None = None
        self._named: set[str] = set()
        """Studies whose header was decoded, so that it is once and not per image."""

    def register(self, instance: ReceivedInstance) -> Receipt:
        """The listener's sink. Our own results that a PACS routes back open no study again."""
        if instance.is_own_result:
            _log.info(
                "own_result_ignored",
                association=instance.association_id,
                study_instance_uid=instance.study_instance_uid,
                sop_instance_uid=instance.sop_instance_uid,
            )
            return Receipt.DUPLICATE
        receipt = self._registered(instance)
        _log.info(
            "instance_registered",
            association=instance.association_id,
            study_instance_uid=instance.study_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            receipt=receipt.value,
        )
        return receipt

    def _registered(self, instance: ReceivedInstance) -> Receipt:
        path = self._relative(instance.path)
        new = NewInstance(
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            sop_class_uid=instance.sop_class_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            calling_ae_title=instance.calling_ae_title,
            path=path,
            sha256=instance.sha256,
            size=instance.size,
            header=self._header(instance),
        )
        try:
            registration = self._register_instance(new)
        except Exception:
            self._named.discard(instance.study_instance_uid)  # its sender tries again
            raise
        if registration.kind is RegistrationKind.CONFLICT and self._is_stored(instance):
            return Receipt.DUPLICATE
        if registration.kind is not RegistrationKind.DUPLICATE:
            return _RECEIPTS[registration.kind]
        if registration.known_path == path:
            # The reconciler registered this very file first: it must not be discarded.
            return Receipt.ACCEPTED
        if self._restores(new, registration.known_path):
            return Receipt.ACCEPTED
        return Receipt.DUPLICATE

    def _restores(self, new: NewInstance, known_path: str) -> bool:
        """Whether the new file took the place of one that the ledger has and the disk has not."""
        if not known_path or (self._data_folder / known_path).is_file():
            return False
        restored = self._ledger.restore_file(new, known_path)
        _log.warning(
            "instance_file_restored", sop_instance_uid=new.sop_instance_uid, restored=restored
        )
        return restored

    def _header(self, instance: ReceivedInstance) -> StudyHeader | None:
        """Patient and study; None: known already, or unreadable, which costs the instance nothing.

        The studies known are per process: of two that receive one study, each decodes it once.
        """
        if instance.study_instance_uid in self._named or not instance.patient_and_study:
            return None
        if len(self._named) >= _REMEMBERED_STUDIES:
            self._named.clear()
        # Before it is registered: images of one study arrive on several associations at once.
        self._named.add(instance.study_instance_uid)
        try:
            return received_header(instance.patient_and_study)
        except Exception as error:  # pydicom raises whatever the bytes provoke
            _log.warning(
                "patient_not_read",
                study_instance_uid=instance.study_instance_uid,
                kind=type(error).__name__,
            )
            return None

    def _is_stored(self, instance: ReceivedInstance) -> bool:
        """Whether the stored file of an instance holds the same data set in other bytes."""
        stored = self._ledger.stored_path(instance.sop_instance_uid)
        return stored is not None and same_content(self._data_folder / stored, instance.path)

    def reconcile(self, orphan_age_s: float = ORPHAN_AGE_S) -> int:
        """Register spooled files that have no row; raise the alarm for rows without a file.

        The first call looks at everything and then one an hour does; those between look only at
        the files of the last two hours. Returns how many files were registered.
        """
        began = time.monotonic()
        everything = self._last_full is None or began - self._last_full >= _FULL_EVERY_S
        newest = time.time() - orphan_age_s
        oldest = -math.inf if everything else newest - 2 * _FULL_EVERY_S
        self._spool.remove_stale_temporaries(max(orphan_age_s, ORPHAN_AGE_S))
        found = sum(self._adopt(path) for path in self._files_modified(oldest, newest))
        if everything:
            self._report_missing_files()
            self._last_full = began
        return found

    def _files_modified(self, oldest: float, newest: float) -> list[Path]:
        return [path for path in self._spool.files() if oldest <= modified_at(path) <= newest]

    def _adopt(self, path: Path) -> bool:
        if self._ledger.known_path(self._relative(path)):
            return False
        try:
            instance = describe_file(path, RECONCILED)
            receipt = self.register(instance)
        except UnreadableInstance as error:
            if not path.exists():  # another listener's reconciler was quicker
                return False
            kept = self._spool.quarantine(path)
            _log.critical("orphan_unreadable", quarantined_file=kept.name, reason=str(error))
            return False
        if receipt is Receipt.DUPLICATE:
            self._spool.discard(path)
        elif receipt is Receipt.CONFLICT:
            self._spool.quarantine(path)
        _log.warning(
            "orphan_reconciled", sop_instance_uid=instance.sop_instance_uid, receipt=receipt.value
        )
        return receipt is Receipt.ACCEPTED

    def _report_missing_files(self) -> None:
        for sop_instance_uid, path in self._ledger.instance_paths():
            if not (self._data_folder / path).is_file():
                _log.critical("instance_file_missing", sop_instance_uid=sop_instance_uid)

    def _relative(self, path: Path) -> str:
        return path.resolve().relative_to(self._data_folder).as_posix()
