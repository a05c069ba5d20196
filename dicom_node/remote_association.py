"""Associations that we ask for: opened, described when they fail, released (PS3.8).

`timeout_s` bounds connecting, each answer and each wait in the middle of a PDU.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation

from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.outbound_tls import ClientTls
from dicom_node.retry_classes import TransportProblem
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_MAXIMUM_PDU_SIZE = 131072
_REJECTED_PERMANENT = 0x01


@contextmanager
def open_association(
    remote: RemoteAE,
    calling_ae_title: str,
    contexts: Sequence[tuple[UID, UID]],
    timeout_s: float,
    handlers: Sequence[evt.EventHandlerType] = (),
    *,
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Association]:
    """An established association with (abstract syntax, transfer syntax) as contexts.

    `roles` are proposed beside them. Released at the end if it still stands. Raises
    AssociationFailed when there is none.
    """
    # Process-wide: file paths go out as raw bytes, in pieces, and no identifier is logged.
    _config.STORE_SEND_CHUNKED_DATASET = True
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_HANDLER_LEVEL = "none"
    ae = _application_entity(calling_ae_title, contexts, timeout_s)
    association = _associate(ae, remote, timeout_s, handlers, roles)
    try:
        if not association.is_established:
            raise _why_not_established(association, remote, calling_ae_title)
        yield association
    finally:
        if association.is_established:
            association.release()


def name_of(remote: RemoteAE) -> str:
    """How messages call it."""
    return f"{remote.ae_title} at {remote.host}:{remote.port}"


def _application_entity(
    calling_ae_title: str, contexts: Sequence[tuple[UID, UID]], timeout_s: float
) -> AE:
    ae = AE(calling_ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout_s
    for abstract_syntax, transfer_syntax in contexts:
        ae.add_requested_context(abstract_syntax, transfer_syntax)
    return ae


def _associate(
    ae: AE,
    remote: RemoteAE,
    timeout_s: float,
    handlers: Sequence[evt.EventHandlerType],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation],
) -> Association:
    tls = None if remote.tls is None else ClientTls(remote.tls, remote.host)

    def prepare(event: Event) -> None:
        _prepare_socket(event, timeout_s)

    options: dict[str, Any] = {}  # Any: pynetdicom's keyword arguments
    if roles:
        options["ext_neg"] = list(roles)
    if tls is not None:
        options["tls_args"] = (tls.context, tls.server_name)
    try:
        association = ae.associate(
            remote.host,
            remote.port,
            ae_title=remote.ae_title,
            max_pdu=_MAXIMUM_PDU_SIZE,
            evt_handlers=[(evt.EVT_CONN_OPEN, prepare), *handlers],
            **options,
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise AssociationFailed(
            f"cannot associate with {name_of(remote)}: {error}", TransportProblem.NO_CONNECTION
        ) from error
    if tls is not None and tls.failure and not association.is_established:
        raise AssociationFailed(
            f"no TLS connection with {name_of(remote)} ({tls.failure}): check the certificates of "
            "both sides, tls_ca_file and tls_host_name or tls_pinned_sha256",
            TransportProblem.TLS_FAILED,
        )
    return association


def _prepare_socket(event: Event, timeout_s: float) -> None:
    """Nagle's algorithm and delayed acknowledgement together cost tens of ms per instance.

    pynetdicom takes the time limit off once connected: a peer that falls silent in the middle of a
    PDU, or stops reading, would hold the thread for ever.
    """
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.socket.settimeout(timeout_s)


def _why_not_established(
    association: Association, remote: RemoteAE, calling: str
) -> AssociationFailed:
    answer = association.acceptor.primitive or _unread_rejection(association)
    if answer is not None and answer.result:
        permanent = answer.result == _REJECTED_PERMANENT
        return AssociationFailed(
            f"{name_of(remote)} rejected the association ({answer.reason_str}): check that it "
            f"knows the calling AE title {calling!r} and is called {remote.ae_title!r}",
            TransportProblem.REJECTED_PERMANENT
            if permanent
            else TransportProblem.REJECTED_TRANSIENT,
        )
    if association.is_aborted and answer is not None:
        return AssociationFailed(
            f"{name_of(remote)} accepted none of the presentation contexts: check its SOP classes",
            TransportProblem.NO_CONTEXT,
        )
    return AssociationFailed(
        f"no association with {name_of(remote)}: check that it runs, "
        "the host and port, and the firewall",
        TransportProblem.NO_CONNECTION,
    )


def _unread_rejection(association: Association) -> A_ASSOCIATE | None:
    """A rejection that came before pynetdicom's own thread looked whether it is connected.

    The peer has closed the connection by then, so pynetdicom takes it for one that never was, and
    leaves the answer where it lies.
    """
    answer: object = association.dul.receive_pdu(wait=False)
    return answer if isinstance(answer, A_ASSOCIATE) and answer.result else None
