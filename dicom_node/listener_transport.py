"""pynetdicom's server made to stand hostile and clumsy peers: deadlines, caps, no leaked threads.

Knows sockets, TLS and PDUs (PS3.8), nothing of what the messages mean. What it leans on inside
pynetdicom is checked by tests/security/test_pynetdicom_internals.py.
"""

import math
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any, cast
from weakref import WeakSet

import structlog
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ABORT
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicom_node.access import certificate_names
from dicom_node.listener_tls import TlsCredentials, shake_hands
from dicom_node.listener_upper_layer import FragmentSocket, Stores, quicken

REQUEST_DEADLINE_S = 10
"""Seconds that a connection has to request its association (ARTIM, PS3.8 9.1.5)."""

HANDSHAKE_DEADLINE_S = 10
"""Seconds that a connection to the TLS port has for its handshake."""

PDU_DEADLINE_S = 30
"""Seconds from the first to the last byte of any later PDU."""

ASSOCIATION_PDU_CAP = 1024 * 1024
"""Bytes of a PDU before the association is requested; DCMTK's cap too."""

LINGER_S = 1
"""Seconds that a peer whom we rejected or aborted may take to read that; then its socket closes."""

LINGER_BYTES = 4 * 1024 * 1024
"""What such a peer may send meanwhile: what was under way."""

HALF_OPEN_PER_PEER = 16
"""Connections of one address that have requested no association yet."""

HALF_OPEN_IN_ALL = 256
"""Connections of all addresses that have requested no association yet."""

_TIMEOUT_SLACK_S = 0.05
"""Tolerance in seconds: a read may end this much later than its deadline."""

_log = structlog.get_logger(__name__)


class ListenerAE(AE):
    """An AE whose limit counts associations that were admitted, not connections nor rejections."""

    def __init__(self, ae_title: str) -> None:
        super().__init__(ae_title)
        self._admitted: WeakSet[Association] = WeakSet()
        self._admitting = threading.Lock()

    @property
    def active_associations(self) -> list[Association]:
        """The running associations that were admitted."""
        return [each for each in super().active_associations if each in self._admitted]

    def admit(self, association: Association, most_per_address: int) -> bool:
        """Count the association in, unless its address has `most_per_address` already."""
        address = association.requestor.address
        with self._admitting:
            addresses = [each.requestor.address for each in self.active_associations]
            if addresses.count(address) >= most_per_address:
                return False
            self._admitted.add(association)
            return True


class ListenerServer(ThreadedAssociationServer):
    """Accepts connections; closes at once those of a peer that holds too many unused ones.

    C-STORE requests go to `stores`. With `tls`, every connection starts with a handshake, in its
    own thread. With `reuse_port`, several processes may listen on the port and the kernel shares
    connections out among them.
    """

    request_queue_size = 128
    block_on_close = False
    daemon_threads = True

    def __init__(
        self,
        ae: AE,
        address: tuple[str, int],
        handlers: Sequence[evt.EventHandlerType],
        stores: Stores[Any],
        *,
        tls: TlsCredentials | None = None,
        reuse_port: bool = False,
    ) -> None:
        self.tls = tls
        self.stores = stores
        self.allow_reuse_port = reuse_port
        # Connections that have no association yet: its thread hasn't begun, or they shake hands.
        self._new: dict[socket.socket, str] = {}
        self._new_lock = threading.Lock()
        self._closing = False
        super().__init__(
            ae,
            address,
            ae.ae_title,
            ae.supported_contexts,
            evt_handlers=[*handlers, (evt.EVT_CONN_CLOSE, _end_unused_connection)],
            request_handler=_BoundedHandler,
        )

    def server_bind(self) -> None:
        """Bind, as pynetdicom does, but alongside other processes where that is wanted."""
        if self.allow_reuse_port:
            cast(socket.socket, self.socket).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def serve_in_background(self, poll_s: float) -> None:
        """Serve from a thread of its own; `shutdown` waits up to `poll_s` seconds for it."""
        self.ae._servers.append(self)  # where AssociationServer.shutdown takes itself out
        threading.Thread(
            target=self.serve_forever, args=(poll_s,), name="listener", daemon=True
        ).start()

    def shutdown(self) -> None:
        """Accept nothing more; a handshake under way ends without an association."""
        self._closing = True
        super().shutdown()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether the peer may open one more connection (Any: socketserver's types)."""
        half_open = [
            association.requestor.address
            for association in self.active_associations
            if association.requestor.primitive is None
        ]
        with self._new_lock:
            half_open += self._new.values()
        return (
            len(half_open) < HALF_OPEN_IN_ALL
            and half_open.count(client_address[0]) < HALF_OPEN_PER_PEER
        )

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection in a thread (Any: socketserver's types)."""
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._new_lock:
            self._new[request] = client_address[0]
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be had: socketserver closes the connection
            self._forget(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: the handshake, then pynetdicom's part."""
        connection: socket.socket | None = request
        try:
            if self.tls is not None:
                connection = self._secured(request, client_address)
            if connection is not None:
                super().process_request_thread(connection, client_address)
        finally:
            self._forget(request)

    def _forget(self, request: socket.socket) -> None:
        with self._new_lock:
            del self._new[request]

    def _secured(self, request: socket.socket, client_address: Any) -> ssl.SSLSocket | None:
        connection = None
        try:
            context = cast(TlsCredentials, self.tls).context()
            connection = context.wrap_socket(
                request, server_side=True, do_handshake_on_connect=False
            )
            shake_hands(connection, HANDSHAKE_DEADLINE_S)
        except OSError as error:
            _log_failed_handshake(client_address[0], error)
            self.shutdown_request(request if connection is None else connection)
            return None
        if self._closing:
            self.shutdown_request(connection)
            return None
        connection.settimeout(PDU_DEADLINE_S)
        return connection


class _BoundedHandler(RequestHandler):
    def _create_association(self) -> Association:
        association = super()._create_association()
        quicken(association, cast(ListenerServer, self.server).stores)
        cap = max(ASSOCIATION_PDU_CAP, self.ae.maximum_pdu_size + 1024)
        association.dul.socket = _BoundedSocket(association, self.request, cap)
        return association


class _BoundedSocket(FragmentSocket):
    """Reads at most `cap` bytes per PDU and none for longer than the deadline.

    An OSError makes pynetdicom drop the connection.
    """

    def __init__(self, association: Association, client_socket: socket.socket, cap: int) -> None:
        super().__init__(association, client_socket=client_socket)
        self._cap = cap
        self._closes_at = math.inf
        self._bytes_left = math.inf
        self._unread = bytearray()
        self._timeout_s = math.inf

    def linger(self) -> None:
        """Read on for LINGER_S seconds and LINGER_BYTES; the standard allows as long as ARTIM."""
        self._closes_at = min(self._closes_at, time.monotonic() + LINGER_S)
        self._bytes_left = min(self._bytes_left, LINGER_BYTES)

    @property
    def ready(self) -> bool:
        """Whether there is something to be read, as pynetdicom asks before each PDU."""
        return time.monotonic() < self._closes_at and (self.has_unread or super().ready)

    @property
    def has_unread(self) -> bool:
        """Whether there are bytes that were given back."""
        return bool(self._unread)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read `nr_bytes`, fewer when the peer closes the connection."""
        if self._unread:  # whole PDUs or a header: pynetdicom asks for headers, then for the rest
            head, self._unread = self._unread[:nr_bytes], self._unread[nr_bytes:]
            return head
        self.require_takeable(nr_bytes)
        buffer = bytearray(nr_bytes)
        with memoryview(buffer) as view:
            read = self.recv_into(view)
        return buffer[:read] if read < nr_bytes else buffer

    def unread(self, head: bytes | bytearray) -> None:
        """The next `recv` gives these bytes."""
        self._unread = bytearray(head)

    def require_takeable(self, nr_bytes: int) -> None:
        """Raise OSError when the next `nr_bytes` are more than are taken."""
        cap = self._cap if self._requested else ASSOCIATION_PDU_CAP
        self._bytes_left -= nr_bytes
        if self._bytes_left < 0:
            raise OSError("the peer sends on after it was rejected or aborted")
        if nr_bytes > cap:
            raise OSError(f"PDU of {nr_bytes} bytes; at most {cap} are taken")

    def recv_into(self, view: memoryview) -> int:
        """Fill `view` before the deadline; fewer bytes when the peer closes the connection."""
        connection = cast(socket.socket, self.socket)
        deadline = time.monotonic() + (PDU_DEADLINE_S if self._requested else REQUEST_DEADLINE_S)
        deadline = min(deadline, self._closes_at)
        read = 0
        try:
            while read < len(view):
                self._set_timeout(max(deadline - time.monotonic(), 0.001))
                count = connection.recv_into(view[read:])
                if not count:
                    break
                read += count
            return read
        finally:
            self._set_timeout(PDU_DEADLINE_S)

    def _set_timeout(self, timeout_s: float) -> None:
        # A system call each time: left out for what passes while a PDU arrives at once.
        if not 0 <= self._timeout_s - timeout_s < _TIMEOUT_SLACK_S:
            cast(socket.socket, self.socket).settimeout(timeout_s)
            self._timeout_s = timeout_s

    @property
    def _requested(self) -> bool:
        return self.assoc.requestor.primitive is not None


def let_linger(association: Association) -> None:
    """Close the socket soon; for an association that is being rejected or aborted."""
    wrapped = association.dul.socket
    if isinstance(wrapped, _BoundedSocket):
        wrapped.linger()


def caller_certificate(association: Association) -> tuple[str, ...] | None:
    """Names in the caller's certificate; None on the plain port."""
    wrapped = association.dul.socket
    connection = None if wrapped is None else wrapped.socket
    if not isinstance(connection, ssl.SSLSocket):
        return None
    return certificate_names(connection.getpeercert())


def local_address(association: Association) -> str:
    """This machine's address of the association's connection; "" where it is closed already."""
    wrapped = association.dul.socket
    connection = None if wrapped is None else wrapped.socket
    try:
        return "" if connection is None else str(connection.getsockname()[0])
    except OSError:
        return ""


def _log_failed_handshake(peer: str, error: OSError) -> None:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        return  # a load balancer's probe, several times a minute
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    _log.warning("tls_handshake_failed", peer=peer, reason=reason)


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
