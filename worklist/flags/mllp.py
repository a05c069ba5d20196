"""Sends HL7 messages over MLLP (HL7 v2 transport specification) and reads what is answered.

One connection for all of a study's messages, one at a time: the next one goes when the one before
it is acknowledged. Bounded in time and bytes whatever the receiver does.
"""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from dicom_node.errors import AssociationFailed
from dicom_node.instance import OutboundTls
from dicom_node.outbound_tls import ClientTls
from dicom_node.retry_classes import RetryClass, TransportProblem
from worklist.flags.answers import MOST_BYTES, TAKEN, Answer, no_answer

_START, _END = b"\x0b", b"\x1c\r"
_REFUSED = 1

ERROR_RETRY: Mapping[str, tuple[RetryClass, str]] = MappingProxyType(
    {
        "100": (RetryClass.PERMANENT, "segment sequence error"),
        "101": (RetryClass.PERMANENT, "required field missing"),
        "102": (RetryClass.PERMANENT, "data type error"),
        "103": (RetryClass.PERMANENT, "table value not found"),
        "200": (RetryClass.PERMANENT, "unsupported message type"),
        "201": (RetryClass.PERMANENT, "unsupported event code"),
        "202": (RetryClass.PERMANENT, "unsupported processing ID"),
        "203": (RetryClass.PERMANENT, "unsupported version ID"),
        # The order may come after the radiographs: in an emergency it often does.
        "204": (RetryClass.TRANSIENT, "unknown key identifier"),
        "205": (RetryClass.PERMANENT, "duplicate key identifier"),
        "206": (RetryClass.TRANSIENT, "application record locked"),
        "207": (RetryClass.TRANSIENT, "application internal error"),
    }
)
"""By what the receiver says is wrong (table 0357, in ERR-3 or MSA-6)."""

CODE_RETRY: Mapping[str, RetryClass] = MappingProxyType(
    {
        "AA": RetryClass.SUCCESS,
        "CA": RetryClass.SUCCESS,
        "AE": RetryClass.TRANSIENT,
        "AR": RetryClass.TRANSIENT,
        "CE": RetryClass.TRANSIENT,
        "CR": RetryClass.PERMANENT,
    }
)
"""By the acknowledgement code alone (table 0008), where the receiver gives no condition.

AR is for reasons that have nothing to do with the message and mostly pass (chapter 2.9.2.2). AE is
for its content by the standard, but engines say it of their own troubles too, and a repetition
harms nobody: the message is the same by its control ID, and the tries are counted. CR is for a
type, version or processing ID that is not taken, which a person must change.
"""


@dataclass(frozen=True, slots=True)
class MllpRemote:
    """Where messages go. `tls` None: plain TCP."""

    host: str
    port: int
    tls: OutboundTls | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message and its MSH-10."""

    control_id: str
    message: bytes


def send_messages(
    remote: MllpRemote,
    messages: Sequence[Outgoing],
    *,
    timeout_s: float,
    budget_s: float | None = None,
    on_answer: Callable[[Answer], None] = lambda answer: None,
) -> list[Answer]:
    """One answer per message, in their order; `on_answer` gets each as soon as it is known.

    `timeout_s` bounds connecting, and sending and answering of each message; none is begun after
    `budget_s`. Never raises for what the receiver does wrong.
    """
    answers: list[Answer] = []
    ends_at = None if budget_s is None else time.monotonic() + budget_s
    failure: Answer | None = None
    try:
        with _connected(remote, timeout_s) as connection:
            for outgoing in messages:
                if ends_at is not None and time.monotonic() > ends_at:
                    failure = no_answer(TransportProblem.LATE, "not begun: out of time")
                    break
                answers.append(_exchange(connection, remote, outgoing, timeout_s))
                on_answer(answers[-1])
    except _Failed as error:
        failure = error.answer
    for _ in messages[len(answers) :]:
        answers.append(failure or no_answer(TransportProblem.BROKEN, "not sent"))
        on_answer(answers[-1])
    return answers


class _Failed(Exception):
    """Nothing more can be sent on this connection."""

    def __init__(self, problem: TransportProblem, error: str) -> None:
        super().__init__(error)
        self.answer = no_answer(problem, error)


@contextmanager
def _connected(remote: MllpRemote, timeout_s: float) -> Iterator[socket.socket]:
    where = f"{remote.host}:{remote.port}"
    try:
        tls = None if remote.tls is None else ClientTls(remote.tls, remote.host)
    except AssociationFailed as error:
        raise _Failed(TransportProblem.TLS_FAILED, str(error)) from error
    try:
        connection = socket.create_connection((remote.host, remote.port), timeout_s)
    except TimeoutError as error:
        raise _Failed(TransportProblem.TIMED_OUT, f"{where} gave no answer in time") from error
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", "") or type(error).__name__
        told = f"no connection to {where} ({why}): check that "
        raise _Failed(TransportProblem.NO_CONNECTION, told + "it runs there") from error
    with connection:
        if tls is None:
            yield connection
            return
        try:
            secured = tls.context.wrap_socket(connection, server_hostname=tls.server_name)
        except OSError as error:
            told = f"TLS with {where} failed: {tls.failure or type(error).__name__}"
            raise _Failed(TransportProblem.TLS_FAILED, told) from error
        with secured:
            yield secured


def _exchange(
    connection: socket.socket, remote: MllpRemote, outgoing: Outgoing, timeout_s: float
) -> Answer:
    where = f"{remote.host}:{remote.port}"
    deadline = time.monotonic() + timeout_s
    seen = ""
    try:
        connection.settimeout(timeout_s)
        connection.sendall(_START + outgoing.message + _END)
        for frame in _frames(connection, deadline):
            acknowledgement = _acknowledgement(frame)
            if acknowledgement is None:
                seen = "; what came is no acknowledgement"
            elif acknowledgement.control_id != outgoing.control_id:
                seen = "; what came acknowledges another message"
            else:
                return _meaning(acknowledgement)
    except TimeoutError as error:
        told = f"{where} gave no answer in time{seen}"
        raise _Failed(TransportProblem.TIMED_OUT, told) from error
    except OSError as error:
        told = f"the connection to {where} broke ({error.strerror or type(error).__name__}){seen}"
        raise _Failed(TransportProblem.BROKEN, told) from error
    told = f"{where} closed the connection, or said too much, without an answer{seen}"
    raise _Failed(TransportProblem.BROKEN, told)


def _frames(connection: socket.socket, deadline: float) -> Iterator[bytes]:
    """What comes between MLLP's marks, until the end, MOST_BYTES or the deadline (TimeoutError)."""
    received, read = b"", 0
    while read < MOST_BYTES:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        chunk = connection.recv(4096)
        if not chunk:
            return
        read += len(chunk)
        received += chunk
        *complete, received = received.split(_END)
        for one in complete:
            yield one.rpartition(_START)[2]


@dataclass(frozen=True, slots=True)
class _Acknowledgement:
    code: str
    control_id: str
    condition: str
    """Of table 0357; "" if none is told."""


def _acknowledgement(frame: bytes) -> _Acknowledgement | None:
    """MSA-1, MSA-2 and the condition (ERR-3, before v2.5 MSA-6); None: it is none."""
    segments = frame.decode("utf-8", "replace").replace("\n", "\r").split("\r")
    if not segments[0].startswith("MSH") or len(segments[0]) < 5:
        return None
    separator, component = segments[0][3], segments[0][4]
    fields = {one[:3]: one.split(separator) for one in reversed(segments) if one[3:4] == separator}
    msa = fields.get("MSA", [])
    if len(msa) < 3:
        return None
    stated = [*_field(fields.get("ERR", []), 3, component), *_field(msa, 6, component)]
    return _Acknowledgement(msa[1].strip(), msa[2].strip(), next(iter(stated), ""))


def _field(segment: Sequence[str], number: int, component: str) -> list[str]:
    if len(segment) <= number:
        return []
    code = segment[number].split(component)[0].strip()
    return [code] if code in ERROR_RETRY else []


def _meaning(acknowledgement: _Acknowledgement) -> Answer:
    """In our words: the receiver's text (MSA-3, ERR-7, ERR-8) may quote patient data."""
    code = acknowledgement.code
    if code not in CODE_RETRY:
        return Answer(_REFUSED, RetryClass.TRANSIENT, "acknowledged with an unknown code")
    retry_class = CODE_RETRY[code]
    if retry_class is RetryClass.SUCCESS:
        return TAKEN
    if not acknowledgement.condition:
        return Answer(_REFUSED, retry_class, f"refused with {code}, no condition told")
    retry_class, words = ERROR_RETRY[acknowledgement.condition]
    told = f"refused with {code}, condition {acknowledgement.condition}: {words}"
    return Answer(_REFUSED, retry_class, told)
