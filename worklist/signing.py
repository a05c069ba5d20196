"""Signatures of what we post to webhooks: only who knows the secret can have made one."""

import hashlib
import hmac
from datetime import datetime
from pathlib import Path

SIGNATURE = "Fracture-Screen-Signature"
"""Header: t=<seconds since 1970>,v1=<HMAC-SHA256 (RFC 2104) of "<t>.<body>" in hexadecimal>.

Receivers refuse what is minutes old: somebody sends it again.
"""
SHORTEST_SECRET = 16
"""Bytes."""


def signature(secret: bytes, signed_at: datetime, body: bytes) -> str:
    """The value of the signature's header."""
    timestamp = int(signed_at.timestamp())
    digest = hmac.new(secret, b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def read_secret(path: Path) -> bytes:
    """Raises OSError: it cannot be read. ValueError: it is too short to be one."""
    secret = path.read_bytes().strip()
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(f"the secret in {path} has less than {SHORTEST_SECRET} bytes")
    return secret
