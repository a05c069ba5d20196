"""pynetdicom's upper layer and DIMSE provider made quick: they sleep until something happens, in
place of looking every millisecond, and a data set goes where it is stored as it arrives.

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
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast
from weakref import WeakSet

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA
from pynetdicom.transport import AssociationSocket

_WAIT_S = 0.1
"""Longest sleep: how late a timer, or what rings no bell, may be noticed."""

_DATA_TRANSFER = "Sta6"
_CONNECTION_CLOSED, _INVALID_PDU = "Evt17", "Evt19"
_P_DATA_TF_TYPE = 0x04
_PDU_HEADER = struct.Struct(">BxL")
_PDV_HEADER = struct.Struct(">LBB")
_COMMAND, _LAST = 0x01, 0x02


class DataSetFile(Protocol):
    """Takes a data set as it arrives; stands in for the file of pynetdicom's chunked reception."""

    @property
    def size(self) -> int:
        """Bytes taken so far."""

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next bytes; never raises, for the peer sends on to the end in any case."""

    def close(self) -> None:
        """Forget what wasn't stored."""


OpenDataSet = Callable[[Association, C_STORE_RQ], DataSetFile]
"""Where the data set of a request goes whose command set is complete."""


class FragmentSocket(AssociationSocket):
    """The socket that the upper layer needs: reads into a buffer, and takes bytes back."""

    def recv_into(self, view: memoryview) -> int:
        """Fill `view`; fewer bytes when the peer closes the connection. Raises OSError."""
        raise NotImplementedError

    def unread(self, head: bytes | bytearray) -> None:
        """The next `recv` gives these bytes."""
        raise NotImplementedError

    def require_takeable(self, nr_bytes: int) -> None:
        """Raise OSError when the next `nr_bytes` are more than are taken."""
        raise NotImplementedError


def quicken(association: Association, open_data_set: OpenDataSet) -> None:
    """Give an association that hasn't started its quick providers; its socket comes next."""
    association.dimse = _WaitingDimse(association)
    association.dul = _StreamingUpperLayer(association, open_data_set)
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
    def __init__(self, assoc: Association, open_data_set: OpenDataSet) -> None:
        super().__init__(assoc)
        self._open_data_set = open_data_set
        self._run_loop_delay = 0  # _is_transport_event sleeps
        self._bell: _Bell | None = None
        self._sending = threading.Lock()
        self._buffer = bytearray()
        self._files: WeakSet[DataSetFile] = WeakSet()
        self.to_user_queue = _AnnouncingQueue(cast(_WaitingDimse, assoc.dimse).announce)

    def run_reactor(self) -> None:
        """The thread's loop."""
        self._bell = _Bell()
        try:
            super().run_reactor()
        finally:
            self._bell.close()
            self._close_files()

    def send_pdu(self, primitive: Any) -> None:
        """Send a primitive (Any: pynetdicom's union) to the peer: a response at once."""
        if self._may_send_at_once(primitive):
            self._send(P_DATA_TF(primitive))
        else:
            super().send_pdu(primitive)
            self._ring()

    def _may_send_at_once(self, primitive: object) -> bool:
        if not isinstance(primitive, P_DATA) or self.state_machine.current_state != _DATA_TRANSFER:
            return False
        # One thread at a time may use a TLS connection, and that is the upper layer's.
        return self.socket is not None and not isinstance(self.socket.socket, ssl.SSLSocket)

    def _send(self, pdu: Any) -> None:
        with self._sending:
            super()._send(pdu)

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
        return connection.fileno() < 0 or (
            isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        )

    def _read_pdu_data(self) -> None:
        message = self.assoc.dimse.message
        stores = isinstance(message, C_STORE_RQ)
        if not stores or self.state_machine.current_state != _DATA_TRANSFER:
            super()._read_pdu_data()
            return
        request = cast(C_STORE_RQ, message)
        if request._data_set_file is None:
            self._begin_data_set(request)
        try:
            pdu = self._read_data_transfer()
        except OSError:
            self.event_queue.put(_CONNECTION_CLOSED)
            return
        if pdu is None:
            super()._read_pdu_data()
            return
        with pdu:
            self._take(pdu, request)

    def _begin_data_set(self, request: C_STORE_RQ) -> None:
        file = self._open_data_set(self.assoc, request)
        self._files.add(file)
        # Fragments that came in one PDU with the end of the command set.
        file.write(cast(Any, request.data_set).getvalue())
        cast(Any, request.data_set).seek(0)
        cast(Any, request.data_set).truncate()
        request._data_set_file = cast(Any, file)

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

    def _take(self, pdu: memoryview, request: C_STORE_RQ) -> None:
        evt.trigger(self.assoc, evt.EVT_PDU_RECV, {"pdu": P_DATA_TF()})
        file = cast(DataSetFile, request._data_set_file)
        last = False
        try:
            for fragment, is_last in _fragments(pdu, cast(int, request.context_id)):
                if last:
                    raise ValueError("a fragment after the last one")
                file.write(fragment)
                last = is_last
        except ValueError:
            self.event_queue.put(_INVALID_PDU)
            return
        if last:
            # pynetdicom does the rest, as if the last fragment were an empty one.
            self.assoc.dimse.receive_primitive(_empty_last_fragment(request))

    def _close_files(self) -> None:
        """Those that nobody asked for: their requests were broken off, or never answered."""
        for file in list(self._files):
            file.close()


def _fragments(pdu: memoryview, context_id: int) -> Iterator[tuple[memoryview, bool]]:
    """The data set's fragments in a P-DATA-TF, and whether each is the last one.

    Raises ValueError where a length is wrong, or something else than the data set comes.
    """
    position = 0
    while position < len(pdu):
        if position + _PDV_HEADER.size > len(pdu):
            raise ValueError("the PDU ends within a fragment's header")
        length, context, control = _PDV_HEADER.unpack_from(pdu, position)
        end = position + 4 + length
        if length < 2 or end > len(pdu) or context != context_id or control & _COMMAND:
            raise ValueError("no fragment of this data set")
        yield pdu[position + _PDV_HEADER.size : end], bool(control & _LAST)
        position = end


def _empty_last_fragment(request: C_STORE_RQ) -> P_DATA:
    primitive = P_DATA()
    # A list, not a tuple: pynetdicom checks.
    primitive.presentation_data_value_list = [[request.context_id, bytes([_LAST])]]  # type: ignore[list-item]
    return primitive
