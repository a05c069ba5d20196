"""Answers C-STORE requests (PS3.4 annex B), of peers that call us and of those that we get from.

An instance is answered 0x0000 only once it lies durably in the spool and the sink has registered
it. The sink is all that is known here of the rest of the product: no database, no queue.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import Enum

import structlog
from pydicom import Dataset
from pynetdicom.association import Association

from dicom_node.errors import MalformedInstance, SpoolError
from dicom_node.incoming import Announced, IncomingDataSet
from dicom_node.instance import ReceivedInstance
from dicom_node.spool import Spool


class Receipt(Enum):
    """What the sink says of an instance that lies durably in the spool."""

    ACCEPTED = "accepted"
    """New, and registered: the file is the sink's now."""

    DUPLICATE = "duplicate"
    """Known with the same content: the new file is discarded."""

    CONFLICT = "conflict"
    """Known with another content: the new file goes to quarantine."""


Sink = Callable[[ReceivedInstance], Receipt]
"""Registers an instance durably; called from several threads. Any exception means 0xA700,
and the file stays where it is for the sink's owner to reconcile."""

STATUS_OF_RECEIPT = {
    Receipt.ACCEPTED: 0x0000,
    Receipt.DUPLICATE: 0x0000,
    Receipt.CONFLICT: 0x0111,
}
"""DIMSE status per receipt (PS3.7 C.4 and C.5)."""

OUT_OF_RESOURCES = 0xA700


@dataclass(frozen=True, slots=True)
class Answer:
    """Content of a C-STORE response; `error_comment` is ASCII, at most 64 characters."""

    status: int
    error_comment: str = ""

    def data_set(self) -> Dataset:
        """The answer as pynetdicom takes it from a handler."""
        response = Dataset()
        response.Status = self.status
        if self.error_comment:
            response.ErrorComment = self.error_comment
        return response


_log = structlog.get_logger(__name__)


class Receiver:
    """Stores data sets in `spool` and has `sink` register them."""

    def __init__(self, spool: Spool, sink: Sink) -> None:
        self.spool = spool
        self._sink = sink

    def answer(self, incoming: IncomingDataSet, sender: str) -> Answer:
        """Store and register a data set that has arrived; `sender` is an AE title."""
        try:
            with closing(incoming):
                return Answer(self._register(incoming.store()))
        except MalformedInstance as error:
            _log_refusal(incoming, sender, error.status, str(error))
            comment = str(error).encode("ascii", "replace").decode()[:64]
            return Answer(error.status, comment)
        except SpoolError as error:
            _log_refusal(incoming, sender, OUT_OF_RESOURCES, str(error))
            return Answer(OUT_OF_RESOURCES, "cannot store now, send again later")
        except Exception as error:  # the boundary: the peer must get an answer
            _log_refusal(incoming, sender, OUT_OF_RESOURCES, type(error).__name__, exc_info=True)
            return Answer(OUT_OF_RESOURCES, "cannot register now, send again later")

    def _register(self, instance: ReceivedInstance) -> int:
        # If the sink raises, the file stays: the registration may have been committed all the same.
        receipt = self._sink(instance)
        if receipt is Receipt.DUPLICATE:
            self.spool.discard(instance.path)
        if receipt is Receipt.CONFLICT:
            kept = self.spool.quarantine(instance.path)
            _log.critical(
                "instance_conflict",
                association=instance.association_id,
                study_instance_uid=instance.study_instance_uid,
                sop_instance_uid=instance.sop_instance_uid,
                sha256=instance.sha256,
                quarantined_file=kept.name,
                calling_ae_title=instance.calling_ae_title,
            )
        return STATUS_OF_RECEIPT[receipt]


def announced(
    association: Association, context_id: int | None, uids: tuple[object, object], sender: str
) -> Announced:
    """What a request says by its (SOP class, SOP instance) UIDs and its presentation context."""
    contexts = {each.context_id: each for each in association.accepted_contexts}
    context = contexts.get(context_id)
    sop_class_uid, sop_instance_uid = (str(uid or "") for uid in uids)
    return Announced(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=str(context.transfer_syntax[0]) if context else "",
        calling_ae_title=sender,
    )


def _log_refusal(
    incoming: IncomingDataSet, sender: str, status: int, reason: str, *, exc_info: bool = False
) -> None:
    _log.warning(
        "instance_refused",
        association=incoming.association_id,
        status=f"0x{status:04X}",
        reason=reason,
        calling_ae_title=sender,
        exc_info=exc_info,
    )
