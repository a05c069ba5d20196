"""The attacks: what each sends. `python -m tests.security` tells what each costs, and whom."""

import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from tests.security import wire
from tests.security.target import Target


@dataclass(frozen=True)
class Attack:
    """`run` sends, and returns when the attacker has nothing left to do.

    `memory_mib` is what it may cost at its peak.
    """

    name: str
    sends: str
    run: Callable[[Target], None]
    memory_mib: float = 40


def _probes(target: Target) -> None:
    for _ in range(150):
        for port in (target.plain, target.tls):
            wire.connect(port).close()


def _silent(port_of: Callable[[Target], int]) -> Callable[[Target], None]:
    def run(target: Target) -> None:
        with ExitStack() as held:
            for _ in range(60):
                held.enter_context(wire.connect(port_of(target)))
            time.sleep(1.5)

    return run


def _half_sent_requests(target: Target) -> None:
    with ExitStack() as held:
        for _ in range(60):
            connection = held.enter_context(wire.connect(target.plain))
            with suppress(OSError):
                connection.sendall(wire.associate_request()[:40])
        time.sleep(1.5)


def _drip(connections: Iterable[socket.socket], data: bytes) -> None:
    """A byte at a time to each connection until all are closed; AssertionError after 20 s."""
    alive, began = list(connections), time.monotonic()
    for byte in data:
        for connection in alive[:]:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                alive.remove(connection)
        if not alive:
            return
        assert time.monotonic() - began < 20, "the peer still listens to a drip after 20 s"
        time.sleep(0.05)


def _slow_requests(target: Target) -> None:
    with ExitStack() as held:
        connections = [held.enter_context(wire.connect(target.plain)) for _ in range(14)]
        _drip(connections, wire.associate_request(contexts=100))


def _slow_handshakes(target: Target) -> None:
    # A ClientHello record's head that announces 512 bytes, then one byte at a time.
    with ExitStack() as held:
        connections = [held.enter_context(wire.connect(target.tls)) for _ in range(14)]
        _drip(connections, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(501))


def _slow_requests_in_tls(target: Target) -> None:
    with ExitStack() as held:
        connections = [
            held.enter_context(wire.connect_tls(target.tls, target.certificates, "attacker"))
            for _ in range(6)
        ]
        _drip(connections, wire.associate_request(contexts=100))


def _slow_message(target: Target) -> None:
    with wire.associated(target.plain) as connection:
        connection.sendall(wire.p_data(wire.store_command(), command=True, last=True))
        _drip_pdus(connection)


def _drip_pdus(connection: socket.socket) -> None:
    began = time.monotonic()
    with suppress(OSError):
        while time.monotonic() - began < 20:
            connection.sendall(wire.p_data(b"xx", command=False, last=False))
            time.sleep(0.05)
    assert time.monotonic() - began < 20, "a message may go on for ever"


def _stream(connection: socket.socket, piece: bytes, total: int) -> int:
    """Send `piece` again and again; returns how many bytes went out before we were cut off."""
    sent = 0
    with suppress(OSError):
        while sent < total:
            connection.sendall(piece)
            sent += len(piece)
    return sent


def _huge_request(target: Target) -> None:
    with wire.connect(target.plain) as connection:
        connection.sendall(wire.pdu(1, b"", 1536 * 2**20))
        assert _stream(connection, bytes(65536), 256 * 2**20) < 32 * 2**20


def _huge_request_in_tls(target: Target) -> None:
    with wire.connect_tls(target.tls, target.certificates, "attacker") as connection:
        connection.sendall(wire.pdu(1, b"", 1536 * 2**20))
        assert _stream(connection, bytes(65536), 256 * 2**20) < 32 * 2**20


def _crowded_request(target: Target) -> None:
    for _ in range(4):
        with wire.connect(target.plain) as connection:
            connection.sendall(wire.associate_request(contexts=13_000))
            with suppress(OSError):
                wire.read_pdu(connection)


def _hoarded_associations(target: Target) -> None:
    with ExitStack() as held:
        for _ in range(16):
            connection = held.enter_context(wire.connect(target.plain))
            connection.sendall(wire.associate_request())
        time.sleep(2)


def _huge_p_data(target: Target) -> None:
    with wire.associated(target.plain) as connection:
        connection.sendall(wire.pdu(4, b"", 1536 * 2**20))
        assert _stream(connection, bytes(65536), 256 * 2**20) < 32 * 2**20


def _endless_command_set(target: Target) -> None:
    piece = wire.p_data(bytes(60_000), command=True, last=False)
    with wire.associated(target.plain) as connection:
        assert _stream(connection, piece, 256 * 2**20) < 32 * 2**20


def _endless_data_set(target: Target) -> None:
    piece = wire.p_data(bytes(60_000), command=False, last=False)
    with wire.associated(target.plain) as connection:
        connection.sendall(wire.p_data(wire.store_command(), command=True, last=True))
        assert _stream(connection, piece, 256 * 2**20) < 64 * 2**20


def _unread_answers(target: Target) -> None:
    request = wire.p_data(wire.store_command(), command=True, last=True)
    request += wire.p_data(wire.store_data_set(), command=False, last=True)
    with wire.associated(target.plain) as connection:
        assert _stream(connection, request * 50, 64 * 2**20) < 16 * 2**20


def _store(target: Target, data_set: bytes) -> int:
    """Send one instance; returns its status, 0 when the association ended instead."""
    with wire.associated(target.plain) as connection:
        connection.sendall(wire.p_data(wire.store_command(), command=True, last=True))
        for start in range(0, len(data_set), 60_000):
            piece = data_set[start : start + 60_000]
            last = start + 60_000 >= len(data_set)
            connection.sendall(wire.p_data(piece, command=False, last=last))
        connection.settimeout(60)
        answer = wire.read_pdu(connection)
    at = answer.find(b"\x00\x00\x00\x09\x02\x00\x00\x00")
    return int(struct.unpack_from("<H", answer, at + 8)[0]) if at >= 0 else 0


def _many_elements(target: Target) -> None:
    extra = b"".join(struct.pack("<HHL", 0x0021, n, 0) for n in range(65_536)) * 14
    assert _store(target, wire.store_data_set(extra=extra)) == 0xC000


def _many_nested_elements(target: Target) -> None:
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 900_000
    sequence = struct.pack("<HHL", 8, 0x1115, 0xFFFFFFFF) + items
    sequence += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    assert _store(target, wire.store_data_set(extra=sequence)) == 0xC000


def _deep_nesting(target: Target) -> None:
    opened = struct.pack("<HHLHHL", 0x0008, 0x1115, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    assert _store(target, wire.store_data_set(extra=opened * 20_000)) == 0xC000


def _lying_length(target: Target) -> None:
    extra = struct.pack("<HHL", 0x7FE0, 0x10, 0xFFFFFFF0) + b"short"
    assert _store(target, wire.store_data_set(extra=extra)) == 0xC000


def _path_for_a_uid(target: Target) -> None:
    with wire.associated(target.plain) as connection:
        command = wire.store_command("../../../tmp/owned")
        connection.sendall(wire.p_data(command, command=True, last=True))
        data_set = wire.store_data_set("../../../tmp/owned")
        connection.sendall(wire.p_data(data_set, command=False, last=True))
        wire.read_pdu(connection)


def _junk(target: Target) -> None:
    pieces = [bytes([kind]) * 40 for kind in range(0, 256, 5)]
    pieces += [b"GET / HTTP/1.1\r\n\r\n", wire.p_data(b"early", command=True, last=True)]
    for piece in pieces:
        with wire.connect(target.plain) as connection, suppress(OSError):
            connection.sendall(piece)


def _stranger_that_will_not_go(target: Target) -> None:
    with wire.connect(target.plain) as connection:
        connection.sendall(wire.associate_request("STRANGER"))
        assert wire.read_pdu(connection)[:1] == b"\x03"
        piece = wire.p_data(bytes(1000), command=False, last=False)
        assert _stream(connection, piece, 256 * 2**20) < 64 * 2**20


ATTACKS = (
    Attack("bare probes", "300 connections, closed at once, on both ports", _probes),
    Attack("silent", "60 connections that say nothing", _silent(lambda t: t.plain)),
    Attack("silent TLS", "60 connections to the TLS port, no handshake", _silent(lambda t: t.tls)),
    Attack("half-sent requests", "40 bytes of A-ASSOCIATE-RQ, 60 times", _half_sent_requests),
    Attack("slow requests", "A-ASSOCIATE-RQ byte by byte, 14 times", _slow_requests),
    Attack("slow handshakes", "ClientHello byte by byte, 14 times", _slow_handshakes),
    Attack("slow requests in TLS", "the same inside 6 TLS sessions", _slow_requests_in_tls),
    Attack("slow message", "a data set in 2 byte PDUs, without end", _slow_message),
    Attack("huge request", "A-ASSOCIATE-RQ of 1.5 GiB", _huge_request),
    Attack("huge request in TLS", "the same inside TLS", _huge_request_in_tls),
    Attack("crowded request", "4 requests of 13,000 contexts", _crowded_request, 120),
    Attack("hoarded associations", "16 associations of one peer", _hoarded_associations),
    Attack("huge P-DATA", "P-DATA-TF of 1.5 GiB", _huge_p_data),
    Attack("endless command set", "command fragments without a last", _endless_command_set),
    Attack("endless data set", "data fragments without a last", _endless_data_set),
    Attack(
        "unread answers", "C-STORE after C-STORE, without waiting for the answers", _unread_answers
    ),
    Attack("many elements", "7 MB of empty elements", _many_elements, 60),
    Attack("many items", "a sequence of 900,000 empty items", _many_nested_elements, 60),
    Attack("deep nesting", "20,000 sequences in each other", _deep_nesting),
    Attack("lying length", "4 GiB of Pixel Data announced, 5 bytes sent", _lying_length),
    Attack("a path for a UID", "SOP Instance UID ../../../tmp/owned", _path_for_a_uid),
    Attack("junk", "53 other protocols' first bytes", _junk),
    Attack("stranger", "PDUs after A-ASSOCIATE-RJ", _stranger_that_will_not_go),
)
