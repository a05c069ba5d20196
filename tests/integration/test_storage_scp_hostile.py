"""The listener under hostile and clumsy peers: it must stay reachable and leak nothing."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom import uid
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from dicom_node.errors import AssociationFailed
from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.listener_guard import ListenerLimits
from dicom_node.listener_transport import HALF_OPEN_PER_PEER, ListenerServer
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from dicom_node.storage_scu import echo, send_instances
from tests.fuzz import pdu_bytes
from tests.security import wire
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance

_A_RELEASE_RP, _A_ABORT = 6, 7


def _accept(instance: ReceivedInstance) -> Receipt:
    return Receipt.ACCEPTED


@pytest.fixture
def scp(tmp_path: Path) -> Iterator[StorageScp]:
    listener = StorageScp(
        ae_title="SCREEN",
        host="127.0.0.1",
        port=0,
        spool=Spool(tmp_path / "spool"),
        sink=_accept,
        maximum_associations=2,
        limits=ListenerLimits(instance_bytes=1024 * 1024),
    )
    with listener:
        yield listener


def _echo(scp: StorageScp) -> None:
    echo(RemoteAE("SCREEN", "127.0.0.1", scp.port), calling_ae_title="TEST", timeout_s=5)


def _connect(scp: StorageScp, local: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", scp.port), 5, source_address=(local, 0))


def _eventually(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_bare_tcp_probes_of_a_load_balancer_leak_nothing(scp: StorageScp) -> None:
    threads = threading.active_count()
    for _ in range(40):
        _connect(scp).close()

    assert _eventually(lambda: scp.active_associations == 0, 5)
    assert _eventually(lambda: threading.active_count() <= threads, 5)
    _echo(scp)


def test_silent_connections_take_no_association_from_others(scp: StorageScp) -> None:
    silent = [_connect(scp) for _ in range(8)]

    _echo(scp)

    for each in silent:
        each.close()


def test_a_peer_with_many_half_open_connections_does_not_shut_out_others(
    scp: StorageScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.listener_transport.REQUEST_DEADLINE_S", 1)
    hostile = [_connect(scp, "127.0.0.2") for _ in range(60)]
    for each in hostile[:10]:
        each.sendall(b"\x01\x00\x00\x00\x10\x00half a request")

    _echo(scp)

    assert _eventually(lambda: scp.active_associations <= 16, 5)
    for each in hostile:
        each.close()


def test_connections_count_before_their_thread_has_begun(
    scp: StorageScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ListenerServer.process_request_thread

    def slow(server: ListenerServer, request: socket.socket, address: object) -> None:
        time.sleep(0.5)
        real(server, request, address)

    monkeypatch.setattr(ListenerServer, "process_request_thread", slow)
    hostile = [_connect(scp, "127.0.0.2") for _ in range(60)]

    assert _eventually(lambda: scp.active_associations == HALF_OPEN_PER_PEER, 5)
    time.sleep(0.6)
    assert scp.active_associations == HALF_OPEN_PER_PEER
    for each in hostile:
        each.close()


def test_a_half_sent_request_is_dropped_at_its_deadline(
    scp: StorageScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.listener_transport.REQUEST_DEADLINE_S", 0.3)
    with _connect(scp) as half_open:
        half_open.sendall(b"\x01\x00\x00\x00\x10\x00half a request")

        assert half_open.recv(1) == b""
    assert _eventually(lambda: scp.active_associations == 0, 5)


def test_a_request_that_drips_in_is_dropped_at_its_deadline_too(
    scp: StorageScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.listener_transport.REQUEST_DEADLINE_S", 0.5)
    with _connect(scp) as dripping:
        dripping.sendall(b"\x01\x00\x00\x00\x10\x00")
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 10:
                dripping.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 5


def test_a_pdu_that_claims_gigabytes_is_cut_off_at_once(scp: StorageScp) -> None:
    with _connect(scp) as huge:
        huge.sendall(struct.pack(">BBL", 1, 0, 0x60000000) + b"x" * 4096)

        assert huge.recv(1) == b""
    _echo(scp)


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\0" * 100]
)
def test_a_peer_that_speaks_another_protocol_is_dropped(scp: StorageScp, junk: bytes) -> None:
    with _connect(scp) as stranger:
        stranger.sendall(junk)
        stranger.shutdown(socket.SHUT_WR)
        while stranger.recv(1000):
            pass

    assert _eventually(lambda: scp.active_associations == 0, 5)
    _echo(scp)


def test_an_instance_over_the_limit_ends_its_association_only(
    scp: StorageScp, tmp_path: Path
) -> None:
    dataset = radiograph_dataset()
    dataset.PixelData = bytes(4 * 1024 * 1024)
    remote = RemoteAE("SCREEN", "127.0.0.1", scp.port)
    huge = write_instance(dataset, tmp_path / "huge.dcm")
    small = write_instance(radiograph_dataset(2), tmp_path / "small.dcm")

    (refused,) = send_instances(remote, [huge], calling_ae_title="TEST", timeout_s=10)
    (stored,) = send_instances(remote, [small], calling_ae_title="TEST", timeout_s=10)

    assert refused.status is None
    assert stored.status == 0x0000


@pytest.mark.parametrize(
    "operation", [0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150], ids="0x{:04X}".format
)
def test_another_operation_on_a_storage_class_is_aborted(scp: StorageScp, operation: int) -> None:
    # N-EVENT-REPORT and N-CREATE affect a SOP class, the others request one.
    class_element = 0x0002 if operation in (0x0100, 0x0140) else 0x0003

    (answer,) = _answers(scp, _request(1, class_element, pdu_bytes.CR, operation))

    assert answer[0] == _A_ABORT
    _echo(scp)


def test_a_store_request_of_the_verification_class_is_not_answered_with_success(
    scp: StorageScp,
) -> None:
    request = _request(5, 0x0002, str(Verification), 0x0001)
    response, released = _answers(scp, request + pdu_bytes.RELEASE)

    assert wire.element(0, 0x0900, struct.pack("<H", 0x0211)) in response
    assert released[0] == _A_RELEASE_RP


def _request(context: int, class_element: int, sop_class_uid: str, operation: int) -> bytes:
    # Instance UID, and the event or action type ID that some of them must have.
    instance, kind = (0x1001, 0x1008) if class_element == 0x0003 else (0x1000, 0x1002)
    command = pdu_bytes.command(
        (class_element, sop_class_uid.encode()),
        (0x0100, struct.pack("<H", operation)),
        (0x0110, struct.pack("<H", 1)),
        (0x0800, struct.pack("<H", 0x0101)),
        (instance, b"1.2.3\0"),
        (kind, struct.pack("<H", 1)),
    )
    return pdu_bytes.message(context, command)


def _answers(scp: StorageScp, message: bytes) -> list[bytes]:
    """The PDUs that come after the association was accepted, until it ends."""
    with _connect(scp) as peer:
        peer.sendall(pdu_bytes.associate_request())
        wire.read_pdu(peer)
        peer.sendall(message)
        answers = b""
        while piece := peer.recv(65536):
            answers += piece
    return pdu_bytes.split_pdus(answers)


def test_more_associations_than_allowed_are_rejected_for_now(scp: StorageScp) -> None:
    ae = AE("BUSY")
    ae.add_requested_context(uid.ComputedRadiographyImageStorage)
    held = [ae.associate("127.0.0.1", scp.port) for _ in range(2)]

    with pytest.raises(AssociationFailed, match="rejected"):
        _echo(scp)

    for each in held:
        each.release()
    assert _eventually(lambda: scp.active_associations == 0, 5)
    _echo(scp)


def test_below_the_watermark_associations_are_rejected(tmp_path: Path) -> None:
    full = Spool(tmp_path / "spool", minimum_free_bytes=2**62)
    scp = StorageScp(ae_title="SCREEN", host="127.0.0.1", port=0, spool=full, sink=_accept)

    with scp, pytest.raises(AssociationFailed, match="rejected"):
        _echo(scp)
