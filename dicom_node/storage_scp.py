"""The listener: C-ECHO and C-STORE (PS3.4 annexes A and B).

An instance is answered 0x0000 only once it lies durably in the spool and the sink has registered
it. The sink is all the listener knows of the rest of the product: no database, no queue.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import cast

import structlog
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    Verification,
)

from dicom_node.access import ANYBODY, AccessList, Role
from dicom_node.commitment import CommitmentProvider, answer_action
from dicom_node.commitment_scu import OnReport, answer_report
from dicom_node.errors import MalformedInstance, SpoolError
from dicom_node.incoming import Announced, IncomingDataSet
from dicom_node.instance import ReceivedInstance
from dicom_node.listener_guard import DEFAULT_LIMITS, ListenerGuard, ListenerLimits
from dicom_node.listener_tls import TlsCredentials
from dicom_node.listener_transport import (
    REQUEST_DEADLINE_S,
    ListenerAE,
    ListenerServer,
    wait_until_ended,
)
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
NOT_AUTHORISED = 0x0124

_IDLE_TIMEOUT_S = 60
_POLL_S = 0.1

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TlsPort:
    """A second port that speaks TLS (0: a free one)."""

    port: int
    credentials: TlsCredentials


class StorageScp:
    """Listens on `host`:`port` (0: a free port) as `ae_title`; each instance goes to `sink`.

    `port` may be None where there is a `tls` port. `maximum_associations` open at once are served,
    others rejected as "local limit exceeded". `maximum_pdu_size` in bytes is what peers may send in
    one PDU. With `reuse_port`, several processes may listen on the ports. `commitments` answers who
    asks for storage commitment; `on_report` gets the reports of destinations whom we asked. As a
    context manager it starts and stops itself.
    """

    def __init__(
        self,
        *,
        ae_title: str,
        host: str,
        port: int | None,
        spool: Spool,
        sink: Sink,
        access: AccessList = ANYBODY,
        tls: TlsPort | None = None,
        limits: ListenerLimits = DEFAULT_LIMITS,
        maximum_associations: int = 32,
        maximum_pdu_size: int = 131072,
        reuse_port: bool = False,
        commitments: CommitmentProvider | None = None,
        on_report: OnReport | None = None,
    ) -> None:
        if maximum_pdu_size < 4096:
            raise ValueError(f"maximum_pdu_size {maximum_pdu_size}: must be at least 4096 bytes")
        if port is None and tls is None:
            raise ValueError("a listener needs a plain port, a TLS port or both")
        self._spool = spool
        self._sink = sink
        self._host, self._port, self._tls = host, port, tls
        self._reuse_port = reuse_port
        self._commitments, self._on_report = commitments, on_report
        self._guard = ListenerGuard(access, spool.has_room, limits)
        self._servers: list[ListenerServer] = []
        self._ae = _application_entity(ae_title, maximum_associations, maximum_pdu_size)
        if commitments is not None or on_report is not None:
            # In both roles: we answer requests, and destinations report on ours.
            self._ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)

    def start(self) -> None:
        """Bind the ports and serve in the background. Raises OSError when a port is taken."""
        if self._servers:
            raise RuntimeError("the listener is running already")
        _quieten_pynetdicom()
        try:
            if self._port is not None:
                self._servers.append(self._server(self._port, None))
            if self._tls is not None:
                self._servers.append(self._server(self._tls.port, self._tls.credentials))
        except OSError:
            for server in self._servers:
                server.server_close()
            self._servers = []
            raise
        for server in self._servers:
            server.serve_in_background(_POLL_S)
        ports = [server.server_address[1] for server in self._servers]
        _log.info("listener_started", ae_title=self._ae.ae_title, ports=ports)

    @property
    def port(self) -> int:
        """The plain TCP port bound, or the TLS port where there is no plain one."""
        return int(self._servers[0].server_address[1]) if self._servers else int(self._port or 0)

    @property
    def tls_port(self) -> int:
        """The TLS port bound; 0 where there is none."""
        bound = [server for server in self._servers if server.tls is not None]
        return int(bound[0].server_address[1]) if bound else 0

    @property
    def active_associations(self) -> int:
        """How many associations are open now."""
        return len(self._open())

    def stop(self, grace_s: float = 30.0) -> None:
        """Take no new association, give the open ones `grace_s` seconds to end, abort the rest."""
        if not self._servers:
            return
        for server in self._servers:
            server.shutdown()
        unfinished = wait_until_ended(self._open(), grace_s)
        for association in unfinished:
            association.abort()
        wait_until_ended(unfinished, 5)
        self._servers = []
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

    def _server(self, port: int, tls: TlsCredentials | None) -> ListenerServer:
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_REQUESTED, self._guard.on_requested),
            (evt.EVT_PDU_RECV, self._guard.on_pdu),
            (evt.EVT_C_ECHO, _answer_echo),
            (evt.EVT_C_STORE, self._answer_store),
            (evt.EVT_N_ACTION, self._answer_action),
            (evt.EVT_N_EVENT_REPORT, self._answer_report),
        ]
        return ListenerServer(
            self._ae,
            (self._host, port),
            handlers,
            self._open_data_set,
            tls=tls,
            reuse_port=self._reuse_port,
        )

    def _open(self) -> list[Association]:
        return [each for server in self._servers for each in server.active_associations]

    def _open_data_set(self, association: Association, request: C_STORE_RQ) -> IncomingDataSet:
        command = request.command_set
        uids = command.get("AffectedSOPClassUID"), command.get("AffectedSOPInstanceUID")
        return self._incoming(association, request.context_id, *uids)

    def _incoming(
        self, association: Association, context_id: int | None, *uids: UID | None
    ) -> IncomingDataSet:
        contexts = {each.context_id: each for each in association.accepted_contexts}
        context = contexts.get(context_id)
        sop_class_uid, sop_instance_uid = (str(uid or "") for uid in uids)
        announced = Announced(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=str(context.transfer_syntax[0]) if context else "",
            calling_ae_title=_calling(association),
        )
        may_store = context is not None and self._guard.may(association, Role.STORE)
        refusal = None if may_store else _not_authorised()
        return IncomingDataSet(announced, self._spool, refusal)

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

    def _answer_action(self, event: Event) -> tuple[int, Dataset | None]:
        if self._commitments is None or not self._guard.may(event.assoc, Role.STORE):
            return NOT_AUTHORISED, None
        return answer_action(event, self._commitments)

    def _answer_report(self, event: Event) -> tuple[int, Dataset | None]:
        if self._on_report is None or not self._guard.may(event.assoc, Role.RECEIVE):
            return NOT_AUTHORISED, None
        return answer_report(event, self._on_report)

    def _receive(self, event: Event) -> int:
        request = cast(C_STORE, event.request)
        incoming = cast(IncomingDataSet | None, request._dataset_file)
        if incoming is None:  # the whole message came in one PDU
            uids = request.AffectedSOPClassUID, request.AffectedSOPInstanceUID
            incoming = self._incoming(event.assoc, request._context_id, *uids)
            if request.DataSet is not None:
                incoming.write(request.DataSet.getvalue())
        with closing(incoming):
            return self._register(incoming.store())

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


def _not_authorised() -> MalformedInstance:
    return MalformedInstance("not authorised to store here", status=NOT_AUTHORISED)


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
        calling_ae_title=_calling(event.assoc),
        exc_info=exc_info,
    )


def _calling(association: Association) -> str:
    return str(association.requestor.ae_title).strip()
