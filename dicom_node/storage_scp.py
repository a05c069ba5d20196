"""The listener: C-ECHO and C-STORE (PS3.4 annexes A and B).

An instance is answered 0x0000 only once it lies durably in the spool and the sink has registered
it. The sink is all the listener knows of the rest of the product: no database, no queue.
"""

from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import cast

import structlog
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import _config, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from dicom_node.errors import MalformedInstance, SpoolError
from dicom_node.instance import ReceivedInstance
from dicom_node.listener_transport import (
    REQUEST_DEADLINE_S,
    ListenerAE,
    ListenerServer,
    wait_until_ended,
)
from dicom_node.received import check_uid, identify
from dicom_node.sop_classes import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from dicom_node.spool import Spool
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


class Receipt(Enum):
    """What the sink says of an instance that lies durably in the spool."""

    ACCEPTED = "accepted"
    """New, and registered: the file is the sink's now."""

    DUPLICATE = "duplicate"
    """Known with the same digest: the new file is discarded."""

    CONFLICT = "conflict"
    """Known with another digest: the new file goes to quarantine."""


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
DATA_SET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

_IDLE_TIMEOUT_S = 60
_POLL_S = 0.1
_REJECTED_TRANSIENT, _BY_PRESENTATION_LAYER, _TEMPORARY_CONGESTION = 0x02, 0x03, 0x01

_log = structlog.get_logger(__name__)


class StorageScp:
    """Listens on `host`:`port` (0: a free port) as `ae_title`; each instance goes to `sink`.

    `maximum_associations` open at once are served, others rejected as "local limit exceeded".
    `maximum_pdu_size` in bytes is what peers may send in one PDU. An instance larger than
    `maximum_instance_bytes` ends its association. As a context manager it starts and stops itself.
    """

    def __init__(
        self,
        *,
        ae_title: str,
        host: str,
        port: int,
        spool: Spool,
        sink: Sink,
        maximum_associations: int = 32,
        maximum_pdu_size: int = 131072,
        maximum_instance_bytes: int = 2 * 1024**3,
    ) -> None:
        if maximum_pdu_size < 4096:
            raise ValueError(f"maximum_pdu_size {maximum_pdu_size}: must be at least 4096 bytes")
        self._spool = spool
        self._sink = sink
        self._address = (host, port)
        self._maximum_instance_bytes = maximum_instance_bytes
        self._server: ListenerServer | None = None
        self._ae = _application_entity(ae_title, maximum_associations, maximum_pdu_size)

    def start(self) -> None:
        """Bind the port and serve in the background. Raises OSError when the port is taken."""
        if self._server is not None:
            raise RuntimeError("the listener is running already")
        _quieten_pynetdicom()
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_REQUESTED, self._reject_without_room),
            (evt.EVT_PDU_RECV, self._abort_oversized),
            (evt.EVT_C_ECHO, _answer_echo),
            (evt.EVT_C_STORE, self._answer_store),
        ]
        self._server = ListenerServer(self._ae, self._address, handlers)
        self._server.serve_in_background(_POLL_S)
        _log.info("listener_started", ae_title=self._ae.ae_title, port=self.port)

    @property
    def port(self) -> int:
        """The TCP port bound; the one asked for while the listener isn't running."""
        return self._address[1] if self._server is None else int(self._server.server_address[1])

    @property
    def active_associations(self) -> int:
        """How many associations are open now."""
        return 0 if self._server is None else len(self._server.active_associations)

    def stop(self, grace_s: float = 30.0) -> None:
        """Take no new association, give the open ones `grace_s` seconds to end, abort the rest."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        unfinished = wait_until_ended(server.active_associations, grace_s)
        for association in unfinished:
            association.abort()
        wait_until_ended(unfinished, 5)
        _log.info("listener_stopped", aborted_associations=len(unfinished))

    def __enter__(self) -> "StorageScp":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _reject_without_room(self, event: Event) -> None:
        if self._spool.has_room():
            return
        _log.error("association_rejected_disk_full", peer=event.assoc.requestor.address)
        event.assoc.acse.send_reject(
            _REJECTED_TRANSIENT, _BY_PRESENTATION_LAYER, _TEMPORARY_CONGESTION
        )
        # Waits for the rejection to go out; pynetdicom closes the socket right after this handler.
        event.assoc.kill()

    def _abort_oversized(self, event: Event) -> None:
        message = event.assoc.dimse.message
        data_set = None if message is None else message.data_set
        if data_set is not None and data_set.tell() > self._maximum_instance_bytes:
            _log.error("instance_too_large", calling_ae_title=_calling(event))
            event.assoc.abort(block=False)

    def _answer_store(self, event: Event) -> Dataset:
        try:
            return _response(self._receive(event))
        except MalformedInstance as error:
            _log_refusal(event, error.status, str(error))
            return _response(error.status, str(error))
        except SpoolError as error:
            _log_refusal(event, OUT_OF_RESOURCES, str(error))
            return _response(OUT_OF_RESOURCES, "cannot store now, send again later")
        except Exception as error:  # the boundary: the peer must get an answer
            _log_refusal(event, OUT_OF_RESOURCES, type(error).__name__, exc_info=True)
            return _response(OUT_OF_RESOURCES, "cannot register now, send again later")

    def _receive(self, event: Event) -> int:
        request = cast(C_STORE, event.request)
        if request.DataSet is None:
            raise MalformedInstance("the request has no data set")
        with request.DataSet.getbuffer() as encoded:
            instance = _spool(event, encoded, self._spool)
        return self._register(instance)

    def _register(self, instance: ReceivedInstance) -> int:
        # If the sink raises, the file stays: the registration may have been committed all the same.
        receipt = self._sink(instance)
        if receipt is Receipt.DUPLICATE:
            self._spool.discard(instance.path)
        if receipt is Receipt.CONFLICT:
            kept = self._spool.quarantine(instance.path)
            _log.critical(
                "instance_conflict",
                sop_instance_uid=instance.sop_instance_uid,
                sha256=instance.sha256,
                quarantined_file=kept.name,
                calling_ae_title=instance.calling_ae_title,
            )
        return STATUS_OF_RECEIPT[receipt]


def _application_entity(
    ae_title: str, maximum_associations: int, maximum_pdu_size: int
) -> ListenerAE:
    ae = ListenerAE(ae_title)
    ae.maximum_associations = maximum_associations
    ae.maximum_pdu_size = maximum_pdu_size
    ae.acse_timeout = REQUEST_DEADLINE_S
    ae.network_timeout = _IDLE_TIMEOUT_S
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.add_supported_context(Verification)
    for sop_class_uid in STORAGE_SOP_CLASSES:
        ae.add_supported_context(sop_class_uid, list(TRANSFER_SYNTAXES))
    return ae


def _quieten_pynetdicom() -> None:
    """Process-wide settings of pynetdicom: identifiers hold patient data, so never log them."""
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_HANDLER_LEVEL = "none"


def _answer_echo(event: Event) -> int:
    return 0x0000


def _spool(event: Event, encoded: memoryview, spool: Spool) -> ReceivedInstance:
    request = cast(C_STORE, event.request)
    sop_class_uid = str(request.AffectedSOPClassUID or "")
    sop_instance_uid = str(request.AffectedSOPInstanceUID or "")
    check_uid(sop_class_uid, "Affected SOP Class UID")
    check_uid(sop_instance_uid, "Affected SOP Instance UID")
    transfer_syntax = event.context.transfer_syntax
    uids = identify(encoded, implicit_vr=transfer_syntax == ImplicitVRLittleEndian)
    if (uids.sop_class_uid, uids.sop_instance_uid) != (sop_class_uid, sop_instance_uid):
        raise MalformedInstance(
            "SOP Class or Instance UID differs from the request", status=DATA_SET_MISMATCH
        )
    file_head = _file_head(sop_class_uid, sop_instance_uid, transfer_syntax)
    spooled = spool.write((file_head, encoded))
    return ReceivedInstance(
        study_instance_uid=uids.study_instance_uid,
        series_instance_uid=uids.series_instance_uid,
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid=str(transfer_syntax),
        calling_ae_title=_calling(event),
        path=spooled.path,
        sha256=spooled.sha256,
        size=spooled.size,
    )


def _file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax: UID) -> bytes:
    """Preamble and file meta information (PS3.10 7.1), the same whoever sent the instance.

    So the digest of a file tells whether the same bytes came again, from whatever AE.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(buffer, meta)
    return buffer.getvalue()


def _response(status: int, error_comment: str = "") -> Dataset:
    response = Dataset()
    response.Status = status
    if error_comment:
        response.ErrorComment = error_comment.encode("ascii", "replace").decode()[:64]
    return response


def _log_refusal(event: Event, status: int, reason: str, *, exc_info: bool = False) -> None:
    _log.warning(
        "instance_refused",
        status=f"0x{status:04X}",
        reason=reason,
        calling_ae_title=_calling(event),
        exc_info=exc_info,
    )


def _calling(event: Event) -> str:
    return str(event.assoc.requestor.ae_title).strip()
