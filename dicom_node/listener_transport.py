"""pynetdicom's server made to stand hostile and clumsy peers: deadlines, caps, no leaked threads.

Knows sockets and PDUs (PS3.8), nothing of what the messages mean.
"""

import socket
import threading
import time
from collections.abc import Sequence
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ABORT
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

REQUEST_DEADLINE_S = 10
"""Seconds that a connection has to request its association."""

PDU_DEADLINE_S = 30
"""Seconds from the first to the last byte of any later PDU."""

_SMALLEST_PDU_CAP = 1024 * 1024
_HALF_OPEN_PER_PEER = 16


class ListenerAE(AE):
    """An AE whose limit counts associations, not connections that have requested none yet."""

    @property
    def active_associations(self) -> list[Association]:
        """The running associations that have been requested."""
        return [a for a in super().active_associations if a.requestor.primitive is not None]


class ListenerServer(ThreadedAssociationServer):
    """Accepts connections; closes at once those of a peer that holds too many unused ones."""

    request_queue_size = 128

    def __init__(
        self, ae: AE, address: tuple[str, int], handlers: Sequence[evt.EventHandlerType]
    ) -> None:
        super().__init__(
            ae,
            address,
            ae.ae_title,
            ae.supported_contexts,
            evt_handlers=[*handlers, (evt.EVT_CONN_CLOSE, _end_unused_connection)],
            request_handler=_BoundedHandler,
        )

    def serve_in_background(self, poll_s: float) -> None:
        """Serve from a thread of its own; `shutdown` waits up to `poll_s` seconds for it."""
        self.ae._servers.append(self)  # where AssociationServer.shutdown takes itself out
        threading.Thread(
            target=self.serve_forever, args=(poll_s,), name="listener", daemon=True
        ).start()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether the peer may open one more connection (Any: socketserver's types)."""
        half_open = [
            association
            for association in self.active_associations
            if association.requestor.primitive is None
            and association.requestor.address == client_address[0]
        ]
        return len(half_open) < _HALF_OPEN_PER_PEER

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection in a thread (Any: socketserver's types)."""
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().process_request(request, client_address)


class _BoundedHandler(RequestHandler):
    def _create_association(self) -> Association:
        association = super()._create_association()
        cap = max(_SMALLEST_PDU_CAP, self.ae.maximum_pdu_size + 1024)
        association.dul.socket = _BoundedSocket(association, self.request, cap)
        return association


class _BoundedSocket(AssociationSocket):
    """Reads at most `cap` bytes per PDU and none for longer than the deadline.

    An OSError makes pynetdicom drop the connection.
    """

    def __init__(self, association: Association, client_socket: socket.socket, cap: int) -> None:
        # The socket that this one replaces has announced the connection (Evt5) already.
        association.dul.event_queue.get_nowait()
        super().__init__(association, client_socket=client_socket)
        self._cap = cap

    def recv(self, nr_bytes: int) -> bytearray:
        """Read `nr_bytes`, fewer when the peer closes the connection."""
        if nr_bytes > self._cap:
            raise OSError(f"PDU of {nr_bytes} bytes; at most {self._cap} are taken")
        connection = cast(socket.socket, self.socket)
        buffer = bytearray(nr_bytes)
        view = memoryview(buffer)
        requested = self.assoc.requestor.primitive is not None
        deadline = time.monotonic() + (PDU_DEADLINE_S if requested else REQUEST_DEADLINE_S)
        read = 0
        try:
            while read < nr_bytes:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                count = connection.recv_into(view[read:])
                if not count:
                    return buffer[:read]
                read += count
            return buffer
        finally:
            connection.settimeout(PDU_DEADLINE_S)


def _end_unused_connection(event: Event) -> None:
    """End the thread of a bare TCP probe now; pynetdicom leaves it until the ACSE timeout."""
    association = event.assoc
    if association.requestor.primitive is None:
        no_request = cast(A_ABORT, None)  # what receive_pdu gives on its time-out
        association.dul.to_user_queue.put(no_request)


def wait_until_ended(associations: list[Association], timeout_s: float) -> list[Association]:
    """Wait for the associations' threads; returns those still alive after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    for association in associations:
        cast(threading.Thread, association).join(max(deadline - time.monotonic(), 0))
    return [association for association in associations if association.is_alive()]
