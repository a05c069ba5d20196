"""What is worth another try, as tables: by DIMSE status and by what went wrong in transport."""

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType


class RetryClass(Enum):
    """What an attempt to send an instance means for the next one."""

    SUCCESS = "success"
    """The destination has it."""
    WARNING = "warning"
    """The destination has it, with a remark that people should see."""
    TRANSIENT = "transient"
    """May go better later."""
    PERMANENT = "permanent"
    """Goes the same way each time until somebody changes a setting or the object."""


class TransportProblem(StrEnum):
    """Why there was no DIMSE status."""

    NO_CONNECTION = "no connection"
    """TCP refused, unreachable, host name unknown."""
    TLS_FAILED = "TLS failed"
    """No common protocol, or a certificate that one side does not take."""
    REJECTED_TRANSIENT = "rejected for now"
    """A-ASSOCIATE-RJ with result 2 (PS3.8 table 9-21), such as "local limit exceeded"."""
    REJECTED_PERMANENT = "rejected"
    """A-ASSOCIATE-RJ with result 1, such as "calling AE title not recognized"."""
    NO_CONTEXT = "no presentation context"
    """No SOP class of ours is accepted at all."""
    NOT_NEGOTIATED = "SOP class or transfer syntax not accepted"
    """This object's is not, others may be."""
    TIMED_OUT = "no answer in time"
    """The peer went silent, at whatever point."""
    BROKEN = "association broke"
    """Aborted, or the connection was lost."""
    UNREADABLE_FILE = "unreadable file"
    """Our own file is missing or damaged."""
    LATE = "out of time"
    """Not begun: the time that was given for all of them had gone."""


TRANSPORT_RETRY: Mapping[TransportProblem, RetryClass] = MappingProxyType(
    {
        TransportProblem.NO_CONNECTION: RetryClass.TRANSIENT,
        TransportProblem.TLS_FAILED: RetryClass.TRANSIENT,
        TransportProblem.REJECTED_TRANSIENT: RetryClass.TRANSIENT,
        TransportProblem.REJECTED_PERMANENT: RetryClass.PERMANENT,
        TransportProblem.NO_CONTEXT: RetryClass.PERMANENT,
        TransportProblem.NOT_NEGOTIATED: RetryClass.PERMANENT,
        TransportProblem.TIMED_OUT: RetryClass.TRANSIENT,
        TransportProblem.BROKEN: RetryClass.TRANSIENT,
        TransportProblem.UNREADABLE_FILE: RetryClass.PERMANENT,
        TransportProblem.LATE: RetryClass.TRANSIENT,
    }
)
"""A certificate is renewed sooner or later without us; an AE title is entered by people."""

UNREACHABLE = frozenset(
    {
        TransportProblem.NO_CONNECTION,
        TransportProblem.TLS_FAILED,
        TransportProblem.REJECTED_TRANSIENT,
        TransportProblem.TIMED_OUT,
        TransportProblem.BROKEN,
    }
)
"""Problems of the whole destination: every other object would meet them too."""

_STORE_RETRY: tuple[tuple[range, RetryClass], ...] = (
    (range(0x0000, 0x0001), RetryClass.SUCCESS),
    # Processing failure.
    (range(0x0110, 0x0111), RetryClass.TRANSIENT),
    # Duplicate SOP Instance: it has this UID, and nobody else makes objects with our UIDs.
    (range(0x0111, 0x0112), RetryClass.WARNING),
    # Warnings of PS3.7 annex C: attributes not supported, attribute list, value out of range.
    (range(0x0001, 0x0002), RetryClass.WARNING),
    (range(0x0107, 0x0108), RetryClass.WARNING),
    (range(0x0116, 0x0117), RetryClass.WARNING),
    (range(0x0105, 0x0107), RetryClass.PERMANENT),
    (range(0x0112, 0x0125), RetryClass.PERMANENT),
    (range(0x0210, 0x0213), RetryClass.PERMANENT),
    (range(0x0213, 0x0214), RetryClass.TRANSIENT),
    (range(0xA700, 0xA800), RetryClass.TRANSIENT),
    (range(0xA900, 0xAA00), RetryClass.PERMANENT),
    (range(0xB000, 0xB001), RetryClass.WARNING),
    (range(0xB006, 0xB008), RetryClass.WARNING),
    (range(0xC000, 0xD000), RetryClass.PERMANENT),
)
"""C-STORE: PS3.4 table B.2-1 and PS3.7 annex C."""

COMMITMENT_FAILURE_RETRY: Mapping[int, RetryClass] = MappingProxyType(
    {
        0x0110: RetryClass.TRANSIENT,  # processing failure
        0x0112: RetryClass.PERMANENT,  # no such object instance: it has lost the object
        0x0119: RetryClass.PERMANENT,  # class-instance conflict
        0x0122: RetryClass.PERMANENT,  # referenced SOP class not supported
        0x0131: RetryClass.TRANSIENT,  # duplicate transaction UID: the next one is new
        0x0213: RetryClass.TRANSIENT,  # resource limitation
    }
)
"""Failure Reason (0008,1197) of storage commitment (PS3.3 C.14.1.1)."""


def store_retry(status: int) -> RetryClass:
    """The class of a C-STORE status; one that the standard does not know may pass."""
    return next((found for codes, found in _STORE_RETRY if status in codes), RetryClass.TRANSIENT)


def commitment_retry(failure_reason: int) -> RetryClass:
    """The class of a storage commitment's Failure Reason; an unknown one may pass."""
    return COMMITMENT_FAILURE_RETRY.get(failure_reason, RetryClass.TRANSIENT)
