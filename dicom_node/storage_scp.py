"""The listener: C-ECHO and C-STORE (PS3.4 annexes A and B), storage commitment."""

from dataclasses import dataclass, replace
from types import TracebackType

import structlog
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    Verification,
)

from dicom_node.access import ANYBODY, AccessList, Role
from dicom_node.commitment import CommitmentProvider, answer_action
from dicom_node.commitment_scu import OnReport, answer_report
from dicom_node.errors import MalformedInstance
from dicom_node.incoming import IncomingDataSet
from dicom_node.listener_guard import DEFAULT_LIMITS, ListenerGuard, ListenerLimits
from dicom_node.listener_tls import TlsCredentials
from dicom_node.listener_transport import (
    REQUEST_DEADLINE_S,
    ListenerAE,
    ListenerServer,
    wait_until_ended,
)
from dicom_node.receiver import Answer, Receiver, Sink, announced
from dicom_node.sop_classes import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from dicom_node.spool import Spool
from dicom_node.store_command import StoreRequest
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

NOT_AUTHORISED = 0x0124
UNRECOGNISED_OPERATION = 0x0211

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
        self._host, self._port, self._tls = host, port, tls
        self._reuse_port = reuse_port
        self._commitments, self._on_report = commitments, on_report
        self._guard = ListenerGuard(access, spool.has_room, limits)
        self._stores = _Stores(Receiver(spool, sink), self._guard)
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
            self._stores,
            tls=tls,
            reuse_port=self._reuse_port,
        )

    def _open(self) -> list[Association]:
        return [each for server in self._servers for each in server.active_associations]

    def _answer_store(self, event: Event) -> int:
        # pynetdicom goes by the SOP class alone: here come N-ACTION, N-GET and the others of a
        # storage class, and C-STORE requests that cannot be parsed. It aborts C-FIND and its like
        # itself.
        _log.warning(
            "association_aborted",
            association=self._guard.association_id(event.assoc),
            reason="no C-STORE request",
            peer=event.assoc.requestor.address,
        )
        event.assoc.abort()
        return UNRECOGNISED_OPERATION

    def _answer_action(self, event: Event) -> tuple[int, Dataset | None]:
        if self._commitments is None or not self._guard.may(event.assoc, Role.STORE):
            return NOT_AUTHORISED, None
        return answer_action(event, self._commitments)

    def _answer_report(self, event: Event) -> tuple[int, Dataset | None]:
        if self._on_report is None or not self._guard.may(event.assoc, Role.RECEIVE):
            return NOT_AUTHORISED, None
        return answer_report(event, self._on_report)


class _Stores:
    """Handles C-STORE requests for the upper layer."""

    def __init__(self, receiver: Receiver, guard: ListenerGuard) -> None:
        self._receiver = receiver
        self._guard = guard

    def open(self, association: Association, request: StoreRequest) -> IncomingDataSet:
        uids = request.sop_class_uid, request.sop_instance_uid
        said = replace(
            announced(association, request.context_id, uids, _calling(association)),
            association_id=self._guard.association_id(association),
        )
        refusal = None if self._guard.may(association, Role.STORE) else _not_authorised()
        return IncomingDataSet(said, self._receiver.spool, refusal)

    def may_go_on(self, association: Association, began: float, size: int) -> bool:
        return self._guard.may_go_on(association, began, size)

    def answer(self, association: Association, data_set: IncomingDataSet) -> Answer:
        return self._receiver.answer(data_set, _calling(association))


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
    # Whatever names the verification class comes here; nobody may take the answer for a storage's.
    return 0x0000 if isinstance(event.request, C_ECHO) else UNRECOGNISED_OPERATION


def _not_authorised() -> MalformedInstance:
    return MalformedInstance("not authorised to store here", status=NOT_AUTHORISED)


def _calling(association: Association) -> str:
    return str(association.requestor.ae_title).strip()
