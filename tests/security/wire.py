"""PDUs written by hand (PS3.8 9.3), so that they can be as wrong as an attack needs."""

import socket
import ssl
import struct
from pathlib import Path

CT = b"1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = b"1.2.840.10008.1.2"
APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
ATTACKER = "127.0.0.2"


def connect(port: int, source: str = ATTACKER, timeout_s: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout_s, source_address=(source, 0))


def connect_tls(port: int, certificates: Path, name: str, source: str = ATTACKER) -> ssl.SSLSocket:
    context = client_context(certificates, name)
    return context.wrap_socket(connect(port, source), server_hostname="localhost")


def client_context(certificates: Path, name: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates / "authority.crt"))
    if name:
        context.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
    return context


def pdu(kind: int, body: bytes, claimed_length: int | None = None) -> bytes:
    return struct.pack(">BBL", kind, 0, claimed_length or len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def presentation_context(number: int = 1) -> bytes:
    return item(0x20, bytes([number, 0, 0, 0]) + item(0x30, CT) + item(0x40, IMPLICIT))


def associate_request(
    calling: str = "ATTACKER", called: str = "SCREEN", contexts: int = 1, user: bytes = b""
) -> bytes:
    titles = called.encode().ljust(16) + calling.encode().ljust(16)
    body = struct.pack(">HH", 1, 0) + titles + bytes(32) + item(0x10, APPLICATION_CONTEXT)
    body += b"".join(presentation_context(2 * n % 256 + 1) for n in range(contexts))
    user_items = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3") + user
    return pdu(1, body + item(0x50, user_items))


def p_data(fragment: bytes, *, command: bool, last: bool) -> bytes:
    control = (1 if command else 0) | (2 if last else 0)
    return pdu(4, struct.pack(">LBB", len(fragment) + 2, 1, control) + fragment)


def element(group: int, number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", group, number, len(value)) + value


def store_command(instance_uid: str = "1.2.3", message_id: int = 1) -> bytes:
    elements = element(0, 0x0002, CT) + element(0, 0x0100, struct.pack("<H", 1))
    elements += element(0, 0x0110, struct.pack("<H", message_id))
    elements += element(0, 0x0700, struct.pack("<H", 0)) + element(0, 0x0800, b"\x00\x00")
    elements += element(0, 0x1000, instance_uid.encode())
    return element(0, 0, struct.pack("<L", len(elements))) + elements


def store_data_set(instance_uid: str = "1.2.3", extra: bytes = b"") -> bytes:
    return (
        element(8, 0x16, CT)
        + element(8, 0x18, instance_uid.encode())
        + element(0x20, 0x0D, b"1.2.3.4")
        + element(0x20, 0x0E, b"1.2.3.5")
        + extra
    )


def associated(port: int, calling: str = "ATTACKER", source: str = ATTACKER) -> socket.socket:
    """A socket with an accepted association."""
    connection = connect(port, source)
    connection.sendall(associate_request(calling))
    answer = read_pdu(connection)
    assert answer[:1] == b"\x02", f"not accepted: {answer[:12]!r}"
    return connection


def read_pdu(connection: socket.socket) -> bytes:
    """One PDU; what there is when the peer closes."""
    head = _read(connection, 6)
    if len(head) < 6:
        return head
    return head + _read(connection, struct.unpack(">BBL", head)[2])


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := connection.recv(count - len(data))):
        data += piece
    return data
