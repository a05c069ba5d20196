"""What the listener's modules (transport, upper_layer, guard) lean on inside pynetdicom.

If an upgrade breaks one of these, read the override beside it before changing the test.
"""

import inspect
import socket
import socketserver
from collections.abc import Iterator
from typing import Any, cast

import pytest
from pynetdicom import AE, fsm
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dul import DULServiceProvider
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    Verification,
    uid_to_service_class,
)
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from dicom_node.listener_transport import ListenerAE, ListenerServer


def _source(part: object) -> str:
    return inspect.getsource(part)  # type: ignore[arg-type]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_the_version_is_one_that_was_looked_at() -> None:
    import pynetdicom

    assert pynetdicom.__version__.split(".")[:2] == ["3", "0"]


def test_a_server_socket_announces_its_connection_by_one_event(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    # _BoundedSocket announces itself to the upper layer that took the first one's place.
    association = Association(AE(), "acceptor")
    AssociationSocket(association, client_socket=pair[0])
    assert list(association.dul.event_queue.queue) == ["Evt5"]


def test_each_pdu_is_read_as_six_bytes_and_the_rest_by_the_sockets_recv() -> None:
    source = _source(DULServiceProvider._read_pdu_data)
    assert "self.socket.recv(6)" in source
    assert "self.socket.recv(pdu_length)" in source
    assert source.count("except (OSError, TimeoutError)") == 2


def test_reading_starts_only_when_the_socket_says_it_is_ready() -> None:
    source = _source(DULServiceProvider._is_transport_event)
    assert source.count("self.socket.ready") == 2
    assert "self.socket.close()" in source
    assert isinstance(inspect.getattr_static(AssociationSocket, "ready"), property)


def test_pending_tls_bytes_count_as_ready() -> None:
    assert "pending()" in _source(AssociationSocket.ready.fget)


def test_the_handler_makes_the_association_in_a_method_of_its_own() -> None:
    assert "self._create_association()" in _source(RequestHandler.handle)
    source = _source(RequestHandler._create_association)
    assert "AssociationSocket(assoc, client_socket=self.request)" in source
    assert "self.remote" in source


def test_no_handshake_happens_while_connections_are_accepted() -> None:
    # get_request would wrap the socket in the accept thread, if it were given a context.
    assert "if self.ssl_context:" in _source(ThreadedAssociationServer.get_request)
    ae = ListenerAE("SCREEN")
    ae.add_supported_context(Verification)
    server = ListenerServer(ae, ("127.0.0.1", 0), [], cast(Any, None))
    try:
        assert server.ssl_context is None
    finally:
        server.server_close()


def test_connections_are_served_by_threads_that_we_can_step_into() -> None:
    assert issubclass(ThreadedAssociationServer, socketserver.ThreadingMixIn)
    assert "process_request_thread" in _source(socketserver.ThreadingMixIn.process_request)
    assert "finish_request" in _source(ThreadedAssociationServer.process_request_thread)


def test_verify_request_decides_before_a_thread_is_made() -> None:
    source = _source(socketserver.BaseServer._handle_request_noblock)
    assert source.index("verify_request") < source.index("process_request")


def test_shutdown_takes_the_server_out_of_its_ae() -> None:
    assert "self.ae._servers.remove" in _source(ThreadedAssociationServer.shutdown)


def test_an_acceptor_waits_for_a_request_and_none_ends_it() -> None:
    # _end_unused_connection puts None into the queue that receive_pdu reads.
    source = _source(Association.run_reactor)
    assert "self.dul.receive_pdu(wait=True, timeout=self.acse_timeout)" in source
    assert "if primitive is None:" in source
    assert "self.to_user_queue.get(block=wait" in _source(DULServiceProvider.receive_pdu)


def test_a_rejection_within_evt_requested_is_respected() -> None:
    source = _source(Association.run_reactor)
    assert source.index("EVT_REQUESTED") < source.index("not self.is_rejected")


def test_the_limit_of_associations_is_asked_of_the_ae() -> None:
    from pynetdicom.acse import ACSE

    assert "self.assoc.ae.active_associations" in _source(ACSE._negotiate_as_acceptor)


def test_pdu_events_come_before_the_message_takes_the_fragment() -> None:
    # ListenerGuard looks at dimse.message, which lags one PDU behind.
    assert "evt.EVT_PDU_RECV" in _source(DULServiceProvider._decode_pdu)
    assert "self.message = None" in _source(DIMSEServiceProvider.receive_primitive)
    assert "msg_queue" in vars(DIMSEServiceProvider(Association(AE(), "acceptor")))


def test_the_upper_layers_loop_asks_for_primitives_then_for_pdus() -> None:
    # _is_transport_event does all three, so that the loop need not sleep.
    source = _source(DULServiceProvider.run_reactor)
    order = [
        "time.sleep(self._run_loop_delay)",
        "if self._kill_thread",
        "self._process_recv_primitive()",
        "self._is_transport_event()",
        "self._idle_timer.restart()",
        "self.event_queue.get(block=False)",
    ]
    assert [source.index(step) for step in order] == sorted(source.index(step) for step in order)


def test_what_ends_the_upper_layers_thread_goes_through_methods_that_ring() -> None:
    assert "self._kill_thread = True" in _source(DULServiceProvider.stop_dul)
    assert "self._kill_thread = True" in _source(DULServiceProvider.kill_dul)
    assert "self.to_provider_queue.put" in _source(DULServiceProvider.send_pdu)


def test_an_association_looks_for_messages_without_blocking() -> None:
    # _WaitingDimse blocks in its place.
    assert "self.dimse.get_msg(block=False)" in _source(Association._run_reactor)
    assert "self.dimse.get_msg(block=False)" not in _source(Association.send_n_event_report)


def test_data_and_responses_move_nothing_in_the_state_machine() -> None:
    # C-STORE requests are taken and answered beside it.
    assert 'return "Sta6"' in _source(fsm.DT_1)
    assert 'return "Sta6"' in _source(fsm.DT_2)
    assert fsm.TRANSITION_TABLE["Evt9", "Sta6"] == "DT-1"
    assert fsm.TRANSITION_TABLE["Evt10", "Sta6"] == "DT-2"


def test_contexts_are_accepted_before_the_peer_hears_of_it() -> None:
    from pynetdicom.acse import ACSE

    source = _source(ACSE._negotiate_as_acceptor)
    assert source.index("self.assoc._accepted_cx =") < source.index("self.send_accept()")


def test_a_storage_class_is_told_by_its_uid() -> None:
    assert uid_to_service_class("1.2.840.10008.5.1.4.1.1.1") is StorageServiceClass
    assert uid_to_service_class(Verification) is not StorageServiceClass
    assert uid_to_service_class("../1.2") is not StorageServiceClass
    assert "uid_to_service_class(class_uid)" in _source(Association._serve_request)


def test_the_idle_timer_is_asked_by_a_method() -> None:
    assert "self.dul.idle_timer_expired()" in _source(Association._run_reactor)
    assert "self._idle_timer.expired" in _source(DULServiceProvider.idle_timer_expired)


def test_an_association_reads_its_providers_and_timeouts_anew_each_time() -> None:
    # quicken replaces the providers before the start.
    association = Association(AE(), "acceptor")
    association.dul = DULServiceProvider(association)
    association.acse_timeout, association.network_timeout = 7, 8
    assert association.dul.artim_timer.timeout == 7
    assert association.dul._idle_timer.timeout == 8
    assert association.dimse.dul is association.dul
    assert association.acse.dul is association.dul


def test_a_message_holds_its_command_set_and_data_set_in_buffers() -> None:
    message = DIMSEMessage()
    assert message.encoded_command_set.tell() == 0
    assert message.data_set is not None
    assert message.data_set.tell() == 0
