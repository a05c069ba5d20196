"""Reads from a certificate when it is valid and whose it is: PEM and DER, nothing else of X.509.

The standard library verifies certificates, but does not tell the dates of one that it refuses.
"""

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

_VERSION = 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_COMMON_NAME = bytes.fromhex("0603550403")
"""The object identifier 2.5.4.3, encoded."""
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is of interest of one; `common_name` is "" if its subject has none."""

    common_name: str
    not_before: datetime
    not_after: datetime
    sha256: str


def certificates_of(pem: str) -> list[Certificate]:
    """All certificates of a PEM file, in its order. Raises ValueError: none, or not readable."""
    blocks = [_BEGIN + rest.split(_END)[0] + _END + "\n" for rest in pem.split(_BEGIN)[1:]]
    if not blocks:
        raise ValueError("it holds no PEM certificate")
    return [read_certificate(ssl.PEM_cert_to_DER_cert(block)) for block in blocks]


def read_certificate(der: bytes) -> Certificate:
    """One certificate (RFC 5280 4.1). Raises ValueError for what is none."""
    try:
        (certificate,) = _values(der)
        fields = _values(_values(certificate[1])[0][1])
        # version [0] is left out by version 1.
        _, _, _, validity, subject, *_ = fields[1:] if fields[0][0] == _VERSION else fields
        not_before, not_after = (_time(*one) for one in _values(validity[1]))
        name = _common_name(subject[1])
    except (IndexError, ValueError) as error:
        raise ValueError("it is no X.509 certificate") from error
    return Certificate(name, not_before, not_after, hashlib.sha256(der).hexdigest())


def _values(encoded: bytes) -> list[tuple[int, bytes]]:
    """(tag, content) of each value, one after the other (X.690 8.1)."""
    found, at = [], 0
    while at < len(encoded):
        tag, length, at = encoded[at], encoded[at + 1], at + 2
        if length >= 0x80:
            size = length - 0x80
            length, at = int.from_bytes(encoded[at : at + size], "big"), at + size
        if at + length > len(encoded):
            raise ValueError("cut short")
        found.append((tag, encoded[at : at + length]))
        at += length
    return found


def _time(tag: int, content: bytes) -> datetime:
    """RFC 5280 4.1.2.5: two digits of the year mean 1950 to 2049."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _common_name(subject: bytes) -> str:
    for _, relative in _values(subject):
        for _, attribute in _values(relative):
            if attribute.startswith(_COMMON_NAME):
                return _values(attribute)[1][1].decode("utf-8", "replace")
    return ""
