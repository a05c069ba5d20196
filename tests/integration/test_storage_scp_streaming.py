"""The listener takes a data set as it arrives, however its sender cuts it into fragments."""

import gc
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_node.instance import ReceivedInstance
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from tests.security import wire

PIXELS = wire.element(0x7FE0, 0x10, bytes(range(256)) * 400)
DATA_SET = wire.store_data_set(extra=PIXELS)
ABORT = 7


class Node:
    """A listener and a peer with an association, which speaks PDUs."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder)
        self.stored: list[ReceivedInstance] = []
        self.may_take = threading.Event()
        self.may_take.set()
        self.scp = StorageScp(
            ae_title="SCREEN", host="127.0.0.1", port=0, spool=self.spool, sink=self._take
        )

    def _take(self, instance: ReceivedInstance) -> Receipt:
        self.may_take.wait(10)
        self.stored.append(instance)
        return Receipt.ACCEPTED

    def files(self) -> list[Path]:
        return [path for path in self.spool.root.rglob("*") if path.is_file()]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "spool")
    with node.scp:
        yield node


@pytest.fixture
def peer(node: Node) -> Iterator[socket.socket]:
    with wire.associated(node.scp.port, source="127.0.0.1") as connection:
        yield connection


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What hangs in a cycle stays, as it does for hours in a quiet listener."""
    gc.disable()
    yield
    gc.enable()


def _pdv(fragment: bytes, *, command: bool = False, last: bool, context: int = 1) -> bytes:
    return struct.pack(">LBB", len(fragment) + 2, context, command | last << 1) + fragment


COMMAND = _pdv(wire.store_command(), command=True, last=True)
HALF = len(DATA_SET) // 2
FIRST, SECOND = _pdv(DATA_SET[:HALF], last=False), _pdv(DATA_SET[HALF:], last=True)

WAYS = {
    "a PDU each": [COMMAND, FIRST, SECOND],
    "all in one PDU": [COMMAND + FIRST + SECOND],
    "the first fragment beside the command set": [COMMAND + FIRST, SECOND],
    "both fragments in one PDU": [COMMAND, FIRST + SECOND],
    "an empty last fragment": [COMMAND, _pdv(DATA_SET, last=False), _pdv(b"", last=True)],
    "an empty first fragment": [COMMAND, _pdv(b"", last=False), _pdv(DATA_SET, last=True)],
    "byte by byte at first": [
        COMMAND,
        *[_pdv(DATA_SET[n : n + 1], last=False) for n in range(20)],
        _pdv(DATA_SET[20:], last=True),
    ],
    "a command set in two fragments": [
        _pdv(wire.store_command()[:30], command=True, last=False),
        _pdv(wire.store_command()[30:], command=True, last=True) + FIRST,
        SECOND,
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_an_instance_is_stored_however_it_is_cut(node: Node, peer: socket.socket, way: str) -> None:
    for pdu in WAYS[way]:
        peer.sendall(wire.pdu(4, pdu))

    assert _status(wire.read_pdu(peer)) == 0x0000
    (stored,) = node.stored
    assert stored.path.read_bytes().endswith(DATA_SET)
    assert node.files() == [stored.path]


def test_the_digest_does_not_depend_on_how_it_was_cut(node: Node, peer: socket.socket) -> None:
    for way in WAYS.values():
        for pdu in way:
            peer.sendall(wire.pdu(4, pdu))
        wire.read_pdu(peer)

    assert len(node.stored) == len(WAYS)
    assert len({(instance.sha256, instance.size) for instance in node.stored}) == 1


@pytest.mark.parametrize(
    "intruder",
    {
        "a command set": _pdv(wire.store_command(), command=True, last=True),
        "another context": _pdv(b"data", last=False, context=3),
        "a length beyond the PDU": struct.pack(">LBB", 1000, 1, 0) + b"data",
        "a length of nothing": struct.pack(">LBB", 0, 1, 0),
        "half a header": b"\0\0\0",
        "a fragment after the last": SECOND + _pdv(b"more", last=False),
    }.items(),
    ids=lambda case: case[0],
)
def test_what_does_not_belong_into_a_data_set_aborts_its_association(
    node: Node, peer: socket.socket, intruder: tuple[str, bytes]
) -> None:
    for pdu in (COMMAND, FIRST, intruder[1]):
        peer.sendall(wire.pdu(4, pdu))

    assert wire.read_pdu(peer)[:1] == bytes([ABORT])
    assert _eventually(lambda: node.files() == [])
    assert node.stored == []


@pytest.mark.parametrize("ending", [wire.pdu(7, bytes(4)), b""], ids=["abort", "broken"])
def test_a_data_set_that_is_broken_off_leaves_nothing_behind(
    node: Node, peer: socket.socket, ending: bytes
) -> None:
    peer.sendall(wire.pdu(4, COMMAND) + wire.pdu(4, FIRST))
    assert _eventually(lambda: len(node.files()) == 1)

    peer.sendall(ending)
    peer.close()

    assert _eventually(lambda: node.files() == [])
    assert _eventually(lambda: node.scp.active_associations == 0)


def test_a_peer_that_leaves_before_its_answer_leaves_nothing_behind(
    node: Node, peer: socket.socket, no_collector: None
) -> None:
    node.may_take.clear()
    for pdu in (COMMAND, FIRST, SECOND, COMMAND, FIRST):
        peer.sendall(wire.pdu(4, pdu))
    assert _eventually(lambda: len(node.files()) == 1)

    peer.close()
    time.sleep(0.3)
    node.may_take.set()

    # Whether the second is begun is a race; what is not stored must not stay.
    assert _eventually(lambda: len(node.stored) == 1)
    assert _eventually(lambda: node.files() == [node.stored[0].path])


def test_a_request_that_comes_before_the_last_ones_answer_changes_nothing_about_that(
    node: Node, peer: socket.socket
) -> None:
    second = wire.store_command("1.2.4"), wire.store_data_set("1.2.4", PIXELS)
    for _ in range(20):
        peer.sendall(wire.pdu(4, COMMAND) + wire.pdu(4, FIRST) + wire.pdu(4, SECOND))
        peer.sendall(wire.pdu(4, _pdv(second[0], command=True, last=True)))
        peer.sendall(wire.pdu(4, _pdv(second[1], last=False)) + wire.pdu(4, _pdv(b"", last=True)))

        assert [_status(wire.read_pdu(peer)) for _ in range(2)] == [0x0000, 0x0000]


def test_a_data_set_goes_to_disk_while_it_arrives(node: Node, peer: socket.socket) -> None:
    peer.sendall(wire.pdu(4, COMMAND) + wire.pdu(4, FIRST))

    assert _eventually(lambda: any(path.stat().st_size > HALF for path in node.files()))
    assert node.stored == []


def test_a_disk_that_fills_up_on_the_way_is_answered_when_the_data_set_ends(
    node: Node, peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.spool._ASK_FOR_ROOM_EVERY", 1000)
    peer.sendall(wire.pdu(4, COMMAND) + wire.pdu(4, FIRST))
    assert _eventually(lambda: len(node.files()) == 1)
    node.spool.minimum_free_bytes = 2**62

    peer.sendall(wire.pdu(4, SECOND))

    assert _status(wire.read_pdu(peer)) == 0xA700
    assert node.files() == []
    node.spool.minimum_free_bytes = 0
    peer.sendall(wire.pdu(4, COMMAND + FIRST + SECOND))
    assert _status(wire.read_pdu(peer)) == 0x0000


def test_a_slow_disk_is_no_silent_peer(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.scp._ae, "network_timeout", 0.3)
    node.may_take.clear()
    with wire.associated(node.scp.port, source="127.0.0.1") as peer:
        peer.sendall(wire.pdu(4, COMMAND + FIRST + SECOND))
        time.sleep(1)
        node.may_take.set()

        assert _status(wire.read_pdu(peer)) == 0x0000
        peer.sendall(wire.pdu(4, COMMAND + FIRST + SECOND))
        assert _status(wire.read_pdu(peer)) == 0x0000


def test_a_response_keeps_to_the_peers_largest_pdu(node: Node) -> None:
    request = wire.associate_request(called="SCREEN")
    small = request.replace(
        wire.item(0x51, struct.pack(">L", 16384)), wire.item(0x51, struct.pack(">L", 64))
    )
    assert small != request
    with wire.connect(node.scp.port, "127.0.0.1") as peer:
        peer.sendall(small)
        wire.read_pdu(peer)
        peer.sendall(wire.pdu(4, COMMAND + FIRST + SECOND))
        pdus = [wire.read_pdu(peer)]
        while not pdus[-1][11] & 2:  # message control header: the last fragment
            pdus.append(wire.read_pdu(peer))

    assert len(pdus) > 1
    assert max(len(pdu) - 6 for pdu in pdus) <= 64
    assert _status(b"".join(pdu[12:] for pdu in pdus)) == 0x0000


@pytest.mark.parametrize("cut", [1, 30])
def test_an_echo_is_answered_however_its_command_set_is_cut(
    node: Node, peer: socket.socket, cut: int
) -> None:
    command = wire.store_command().replace(
        wire.element(0, 0x0002, wire.CT), wire.element(0, 0x0002, b"1.2.840.10008.1.1")
    )
    command = command.replace(
        wire.element(0, 0x0100, b"\1\0"), wire.element(0, 0x0100, b"\x30\0")
    ).replace(wire.element(0, 0x0800, b"\0\0"), wire.element(0, 0x0800, b"\1\1"))
    peer.sendall(wire.pdu(4, _pdv(command[:cut], command=True, last=False)))
    peer.sendall(wire.pdu(4, _pdv(command[cut:], command=True, last=True)))

    assert _status(wire.read_pdu(peer)) == 0x0000
    peer.sendall(wire.pdu(4, COMMAND + FIRST + SECOND))
    assert _status(wire.read_pdu(peer)) == 0x0000
    assert len(node.stored) == 1


def test_an_answer_does_not_wait_for_the_next_look(node: Node, peer: socket.socket) -> None:
    began = time.monotonic()
    for _ in range(20):
        peer.sendall(wire.pdu(4, COMMAND + FIRST + SECOND))
        assert _status(wire.read_pdu(peer)) == 0x0000

    # Waiting for a look every 0.1 s, as idle associations do, would take 2 s at the least.
    assert time.monotonic() - began < 2


def _status(pdu: bytes) -> int:
    found = pdu.index(struct.pack("<HHL", 0, 0x0900, 2))
    return int(struct.unpack_from("<H", pdu, found + 8)[0])


def _eventually(condition: Callable[[], bool], timeout_s: float = 10) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
