"""pynetdicom's upper layer and DIMSE provider made quick: they sleep until something happens, in
place of looking every millisecond, and C-STORE requests are taken and answered in one thread.

Knows PDUs and fragments (PS3.8 9.3.5 and annex E), nothing of what is stored. What it leans on
inside pynetdicom is checked by tests/security/test_pynetdicom_internals.py.
"""

import os
import queue
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class
from pynetdicom.transport import AssociationSocket

from dicom_node.receiver import Answer
from dicom_node.store_command import StoreRequest, encode_store_response, parse_store_request

_WAIT_S = 0.1
"""Longest sleep: how late a timer, or what rings no bell, may be noticed."""

_DATA_TRANSFER = "Sta6"
_CONNECTION_CLOSED, _INVALID_PDU = "Evt17", "Evt19"
_P_DATA_TF_TYPE = 0x04
_PDU_HEADER = struct.Struct(">BxL")
_PDV_HEADER = struct.Struct(">LBB")
_COMMAND, _LAST = 0x01, 0x02
_COMMAND_SET_CAP = 64 * 1024


class DataSet(Protocol):
    """Takes the data set of a C-STORE request as it arrives."""

    @property
    def size(self) -> int:
        """Bytes taken so far."""

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next bytes; never raises, for the peer sends on to the end in any case."""

    def close(self) -> None:
        """Forget what wasn't stored."""


D = TypeVar("D", bound=DataSet)


class Stores(Protocol[D]):
    """Handler of C-STORE requests, called in the thread of the association's upper layer."""

    def open(self, association: Association, request: StoreRequest) -> D:
        """Return the sink for the data set that follows."""

    def may_go_on(self, association: Association, began: float, size: int) -> bool:
        """Whether the request may go on, which `began` (monotonic) and has `size` bytes.

        Otherwise its association was aborted.
        """

    def answer(self, association: Association, data_set: D) -> Answer:
        """Store what has come; never raises."""


class FragmentSocket(AssociationSocket):
    """The socket that the upper layer needs: reads into a buffer, and takes bytes back."""

    @property
    def has_unread(self) -> bool:
        """Whether there are bytes that were given back."""
        raise NotImplementedError

    def recv_into(self, view: memoryview) -> int:
        """Fill `view`; fewer bytes when the peer closes the connection. Raises OSError."""
        raise NotImplementedError

    def unread(self, head: bytes | bytearray) -> None:
        """The next calls of `recv` give these bytes, which are whole PDUs or a header."""
        raise NotImplementedError

    def require_takeable(self, nr_bytes: int) -> None:
        """Raise OSError when the next `nr_bytes` are more than are taken."""
        raise NotImplementedError


def quicken(association: Association, stores: Stores[Any]) -> None:
    """Give an association that hasn't started its quick providers; its socket comes next."""
    association.dimse = _WaitingDimse(association)
    association.dul = _StreamingUpperLayer(association, stores)
    # Their setters hand these to the upper layer that was replaced.
    association.acse_timeout = association.acse_timeout
    association.network_timeout = association.network_timeout


class _Bell:
    """Wakes a thread that sleeps in `wait`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def ring(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.eventfd_write(self._descriptor, 1)

    def wait(self, connection: int | None, timeout_s: float) -> None:
        """Until it rang, the descriptor `connection` is readable, or time is up."""
        if connection is not None:
            self._poll.register(connection, select.POLLIN)
        try:
            ready = self._poll.poll(timeout_s * 1000)
        finally:
            if connection is not None:
                self._poll.unregister(connection)
        if any(descriptor == self._descriptor for descriptor, _ in ready):
            os.eventfd_read(cast(int, self._descriptor))

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


class _AnnouncingQueue(queue.Queue[Any]):
    """The primitives for the service user; whoever waits for messages hears of them too."""

    def __init__(self, announce: Callable[[], None]) -> None:
        super().__init__()
        self._announce = announce

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        if not isinstance(item, A_ASSOCIATE):
            self._announce()


class _WaitingDimse(DIMSEServiceProvider):
    """An association asks it for a message every millisecond: it answers when there is one."""

    def get_msg(self, block: bool = False) -> Any:
        """(context id, message), or (None, None) when there is something else to look at."""
        if block:
            return super().get_msg(block=True)
        try:
            return self.msg_queue.get(timeout=_WAIT_S)
        except queue.Empty:
            return None, None

    def announce(self) -> None:
        """Wake the association: a release, an abort or a broken connection waits for it."""
        self.msg_queue.put(cast(Any, (None, None)))


class _StreamingUpperLayer(DULServiceProvider):
    def __init__(self, assoc: Association, stores: Stores[Any]) -> None:
        super().__init__(assoc)
        self._stores = stores
        self._run_loop_delay = 0  # _is_transport_event sleeps
        self._bell: _Bell | None = None
        self._buffer = bytearray()
        self._command = _Command()
        self._store: _Store | None = None
        self._answering = False
        self.to_user_queue = _AnnouncingQueue(cast(_WaitingDimse, assoc.dimse).announce)

    def run_reactor(self) -> None:
        """The thread's loop."""
        self._bell = _Bell()
        try:
            super().run_reactor()
        finally:
            self._bell.close()
            if self._store is not None:  # broken off
                self._store.data_set.close()

    def send_pdu(self, primitive: Any) -> None:
        """Send a primitive (Any: pynetdicom's union) to the peer."""
        super().send_pdu(primitive)
        self._ring()

    def idle_timer_expired(self) -> bool:
        """Whether the peer has been silent for too long; it is while it waits for an answer."""
        return not self._answering and super().idle_timer_expired()

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self._ring()

    def stop_dul(self) -> bool:
        """End the thread if it is idle; whether it was."""
        if self.state_machine.current_state == "Sta1":
            self.kill_dul()
        return super().stop_dul()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.ring()

    def _is_transport_event(self) -> bool:
        while True:
            self._sleep()
            if self._process_recv_primitive():
                return True
            if not super()._is_transport_event():
                return False
            if self._kill_thread or not self.event_queue.empty():
                return True
            self._idle_timer.restart()  # a fragment was taken, which is no event: go on

    def _sleep(self) -> None:
        bell = cast(_Bell, self._bell)
        connection = None if self.socket is None else self.socket.socket
        if self._kill_thread or not self.event_queue.empty():
            return
        if connection is None:
            bell.wait(None, _WAIT_S)
        elif not self._has_more(connection):
            bell.wait(connection.fileno(), _WAIT_S)

    def _has_more(self, connection: socket.socket) -> bool:
        """Whether to go on at once, though there may be nothing to read from the descriptor."""
        if self.state_machine.current_state == "Sta13":  # reads what is there, then closes
            return True
        if cast(FragmentSocket, self.socket).has_unread:
            return True
        return connection.fileno() < 0 or (
            isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        )

    def _read_pdu_data(self) -> None:
        if self.state_machine.current_state != _DATA_TRANSFER or self.assoc.dimse.message:
            super()._read_pdu_data()
            return
        try:
            pdu = self._read_data_transfer()
        except OSError:
            self.event_queue.put(_CONNECTION_CLOSED)
            return
        if pdu is None:
            super()._read_pdu_data()
            return
        with pdu:
            try:
                self._take(pdu)
            except ValueError:
                self.event_queue.put(_INVALID_PDU)

    def _read_data_transfer(self) -> memoryview | None:
        """The variable field of the P-DATA-TF that comes next; None when another PDU comes."""
        connection = cast(FragmentSocket, self.socket)
        header = connection.recv(_PDU_HEADER.size)
        if len(header) < _PDU_HEADER.size or header[0] != _P_DATA_TF_TYPE:
            connection.unread(header)
            return None
        _, length = _PDU_HEADER.unpack(header)
        connection.require_takeable(length)
        if length > len(self._buffer):
            self._buffer = bytearray(length)
        view = memoryview(self._buffer)[:length]
        if connection.recv_into(view) < length:
            raise ConnectionError("the peer closed the connection within a PDU")
        return view

    def _take(self, pdu: memoryview) -> None:
        """Take a P-DATA-TF. Raises ValueError when it doesn't belong into a store's data set."""
        fragments = _fragments(pdu)
        if self._store is None:
            request = self._command.take(pdu, fragments)
            if request is not None and self._is_ours(request):
                self._command = _Command()
                data_set = self._stores.open(self.assoc, request)
                self._store = _Store(request, data_set, time.monotonic())
            elif not self._command.may_be_a_store or request is not None:
                self._give_back()
                return
        if self._store is not None:
            self._take_data(self._store, fragments)

    def _is_ours(self, request: StoreRequest) -> bool:
        # Others pynetdicom knows how to refuse.
        accepted = request.context_id in self.assoc._accepted_cx
        return accepted and uid_to_service_class(request.sop_class_uid) is StorageServiceClass

    def _give_back(self) -> None:
        """Let pynetdicom read what is no C-STORE request."""
        held, self._command = self._command.held, _Command()
        cast(FragmentSocket, self.socket).unread(held)
        super()._read_pdu_data()

    def _take_data(self, store: "_Store", fragments: Iterator[tuple[int, int, memoryview]]) -> None:
        is_last = not store.request.has_data_set
        for context_id, control, fragment in fragments:
            if is_last or context_id != store.request.context_id or control & _COMMAND:
                raise ValueError("no fragment of this data set")
            store.data_set.write(fragment)
            is_last = bool(control & _LAST)
        if self._stores.may_go_on(self.assoc, store.began, store.data_set.size) and is_last:
            self._store = None
            self._answer(store)

    def _answer(self, store: "_Store") -> None:
        self._answering = True
        try:
            answer = self._stores.answer(self.assoc, store.data_set)
            self._idle_timer.restart()
        finally:
            self._answering = False
        encoded = encode_store_response(store.request, answer.status, answer.error_comment)
        most = self.assoc.requestor.maximum_length or len(encoded) + _PDV_HEADER.size
        step = max(most - _PDV_HEADER.size, 1)
        for start in range(0, len(encoded), step):
            fragment = encoded[start : start + step]
            control = _COMMAND | (_LAST if start + step >= len(encoded) else 0)
            pdv = _PDV_HEADER.pack(len(fragment) + 2, store.request.context_id, control) + fragment
            cast(FragmentSocket, self.socket).send(
                _PDU_HEADER.pack(_P_DATA_TF_TYPE, len(pdv)) + pdv
            )


@dataclass(frozen=True, slots=True)
class _Store:
    """A C-STORE request whose data set arrives since `began` (monotonic)."""

    request: StoreRequest
    data_set: DataSet
    began: float


class _Command:
    """A command set as it arrives, and the PDUs that it came in."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.may_be_a_store = True
        self._encoded = bytearray()

    def take(
        self, pdu: memoryview, fragments: Iterator[tuple[int, int, memoryview]]
    ) -> StoreRequest | None:
        """Take the fragments of a P-DATA-TF up to the last one of the command set.

        The request once it is whole; None: more is to come, or this is no C-STORE request.
        """
        self.held += _PDU_HEADER.pack(_P_DATA_TF_TYPE, len(pdu)) + pdu
        try:
            for context_id, control, fragment in fragments:
                if not control & _COMMAND:
                    break
                self._encoded += fragment
                if control & _LAST:
                    request = parse_store_request(context_id, self._encoded)
                    self.may_be_a_store = request is not None
                    return request
            else:
                self.may_be_a_store = len(self.held) <= _COMMAND_SET_CAP
                return None
        except ValueError:
            pass
        self.may_be_a_store = False
        return None


def _fragments(pdu: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Context id, message control header and data of each fragment in a P-DATA-TF.

    Raises ValueError where a length is wrong.
    """
    position = 0
    while position < len(pdu):
        if position + _PDV_HEADER.size > len(pdu):
            raise ValueError("the PDU ends within a fragment's header")
        length, context_id, control = _PDV_HEADER.unpack_from(pdu, position)
        end = position + 4 + length
        if length < 2 or end > len(pdu):
            raise ValueError("a fragment's length is wrong")
        yield context_id, control, pdu[position + _PDV_HEADER.size : end]
        position = end
