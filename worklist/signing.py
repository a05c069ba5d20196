"""Signatures of what we send to webhooks: only who knows the secret can have made one."""

import hashlib
import hmac

TIMESTAMP_HEADER = "Fracture-Screen-Timestamp"
"""Seconds since 1970 (UTC), as decimal digits. Receivers refuse what is minutes old: replayed."""
SIGNATURE_HEADER = "Fracture-Screen-Signature"


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=` and HMAC-SHA256 (RFC 2104, as hex) of the timestamp, a full stop and the body."""
    digest = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"
