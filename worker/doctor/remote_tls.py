"""Connections to others: TCP, and TLS as the product would make it. Nothing is sent."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from dicom_node.errors import AssociationFailed
from dicom_node.instance import OutboundTls
from dicom_node.outbound_tls import ClientTls
from worker.doctor.certificates import judge_validity
from worker.doctor.finding import Verdict, failed, ok
from worker.doctor.x509 import read_certificate


class Address(NamedTuple):
    """Of a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


HANDSHAKE_REMEDIES: tuple[tuple[str, str], ...] = (
    ("expired", "Its administrator has to renew that certificate."),
    ("not yet valid", "Check the clocks of both machines; else it was issued wrongly."),
    (
        "mismatch",
        "Set tls_host_name to a name that its certificate bears, or have it issued for its host.",
    ),
    (
        "pinned",
        "It has another certificate now: ask its administrator whether that is meant, then set "
        "tls_pinned_sha256 anew.",
    ),
    (
        "self-signed",
        "Put the authority that signed its certificate into tls_ca_file (or the certificate "
        "itself).",
    ),
    (
        "issuer certificate",
        "Put the authority that signed its certificate into tls_ca_file; it has to present those "
        "between them itself.",
    ),
    (
        "WRONG_VERSION_NUMBER",
        "No TLS is spoken at that port: correct the port, or take the tls_* settings away.",
    ),
    ("PROTOCOL_VERSION", "It has to offer TLS 1.2 or newer."),
    (
        "HANDSHAKE_FAILURE",
        "It has to offer ECDHE with AES-GCM or ChaCha20; if it wants a certificate of ours, set "
        "tls_certificate_file and tls_key_file.",
    ),
    (
        "ALERT",
        "It refuses our certificate: set tls_certificate_file and tls_key_file to one whose "
        "authority it knows.",
    ),
)
"""A part of what OpenSSL says → what to do; the first that fits."""
_OBJECTION_S = 0.5
_OTHER_REMEDY = (
    "Check the certificates of both sides, tls_ca_file, and tls_host_name or tls_pinned_sha256."
)


def connect(address: Address, timeout_s: float) -> socket.socket:
    """A TCP connection. Raises OSError."""
    return socket.create_connection(address, timeout_s)


def not_reached(address: Address, error: OSError) -> Verdict:
    """No TCP connection, by the reason that the system gives."""
    if isinstance(error, socket.gaierror):
        return failed(
            f"the host name {address.host} is not known",
            "Correct the host in the settings, or the machine's DNS (/etc/resolv.conf, "
            "/etc/hosts).",
        )
    if isinstance(error, ConnectionRefusedError):
        return failed(
            f"{address} refuses connections",
            "Start it there, or correct the port in the settings.",
        )
    told = "no answer in time" if isinstance(error, TimeoutError) else error.strerror
    return failed(
        f"{address} cannot be reached ({told})",
        "Check that the machine runs, and the network and the firewalls between.",
    )


def look_at_tls(tls: OutboundTls, address: Address, timeout_s: float, now: datetime) -> Verdict:
    """As destinations are called: chain, name or pin; and the date until which it will do."""
    try:
        client = ClientTls(tls, address.host)
    except AssociationFailed as error:
        return failed(str(error), "The checks of certificates and keys say which file it is.")
    return shake_hands(
        address, client.context, client.server_name, timeout_s, now, lambda: client.failure
    )


def shake_hands(
    address: Address,
    context: ssl.SSLContext,
    server_name: str,
    timeout_s: float,
    now: datetime,
    failure: Callable[[], str] = str,
) -> Verdict:
    """A handshake, and until when the certificate that is presented will do."""
    try:
        connection = connect(address, timeout_s)
    except OSError as error:
        return not_reached(address, error)
    try:
        with connection, context.wrap_socket(connection, server_hostname=server_name) as secured:
            presented = secured.getpeercert(binary_form=True) or b""
            protocol = secured.version()
            _hear_out(secured)
    except OSError as error:
        said = failure() or getattr(error, "verify_message", "") or getattr(error, "reason", "")
        return judge_failure(address, said or type(error).__name__)
    verdict = judge_validity(f"certificate of {address}", [read_certificate(presented)], now)
    return verdict if verdict.remedy else ok(f"{protocol}, {verdict.found}")


def _hear_out(secured: ssl.SSLSocket) -> None:
    """With TLS 1.3 the other side refuses our certificate after the handshake. Raises OSError."""
    secured.settimeout(_OBJECTION_S)
    with suppress(TimeoutError):
        secured.recv(1)


def judge_failure(address: Address, said: str) -> Verdict:
    """Why no TLS connection came about, in OpenSSL's words."""
    remedy = next((one for part, one in HANDSHAKE_REMEDIES if part in said), _OTHER_REMEDY)
    return failed(f"no TLS connection with {address}: {said}", remedy)
