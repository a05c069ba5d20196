"""A result as a signed HTTPS POST of JSON: the body is pure, sending it is below.

`webhook.schema.json` beside this file describes the body.
"""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Timer
from typing import Any, Self

import httpx

from db.outcomes import OUTCOMES
from db.states import FlagKind
from dicom_node.retry_classes import RetryClass, TransportProblem
from worklist.flags.answers import MOST_BYTES, TAKEN, Answer, no_answer
from worklist.flags.content import MOST_IMAGES, NOTICE, Flag, FlagImage, flag_uid
from worklist.signing import SIGNATURE, read_secret, signature

SCHEMA = Path(__file__).parent / "webhook.schema.json"
SCHEMA_NAME = "fracture-screen-flag-2"

_PASSING = frozenset({408, 425, 429})
"""Client errors that may go better later (RFC 9110 15.5.9, RFC 8470, RFC 6585)."""

Json = dict[str, Any]
"""Any: JSON."""


def build_body(flag: Flag, *, patient_data: bool, worklist_url: str) -> bytes:
    """The body, JSON in UTF-8. Without `patient_data`, it holds UIDs and findings alone."""
    body: Json = {
        "schema": SCHEMA_NAME,
        "id": flag_uid(FlagKind.WEBHOOK, flag),
        "made_at": flag.made_at.astimezone(UTC).isoformat(timespec="seconds"),
        "test": flag.test,
        "study_instance_uid": flag.study_instance_uid,
        "outcome": flag.outcome,
        "word": flag.word,
        "reason": flag.reason,
        "probability": flag.probability,
        "findings": [_finding(image) for image in flag.images[:MOST_IMAGES]],
        "findings_left_out": max(0, len(flag.images) - MOST_IMAGES),
        "model": {
            "name": flag.model.name,
            "version": flag.model.version,
            "digest": flag.model.digest,
        },
        "revision": flag.revision,
        "corrected": flag.corrected,
        "retrospective": flag.retrospective,
        "notice": NOTICE,
    }
    if worklist_url:
        body["worklist"] = f"{worklist_url.rstrip('/')}/studies/{flag.study_instance_uid}"
    if patient_data:
        body["patient"] = {
            "accession_number": flag.accession_number,
            "patient_id": flag.patient.patient_id,
        }
    return json.dumps(body, ensure_ascii=False, indent=1).encode("utf-8", "replace")


def _finding(image: FlagImage) -> Json:
    return {
        "sop_instance_uid": image.sop_instance_uid,
        "frame_number": image.frame_number,
        "outcome": image.outcome,
        "word": OUTCOMES[image.outcome].word,
        "probability": image.probability,
        "reason": image.reason,
        "body_part_examined": image.body_part_examined,
    }


@dataclass(frozen=True, slots=True)
class WebhookRemote:
    """Where bodies go."""

    url: str
    secret_file: Path
    """Read with each study: it may be changed while we run."""
    ca_file: Path | None = None
    """None: the operating system's authorities."""
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A body and its UID, which is its Idempotency-Key."""

    uid: str
    body: bytes


def send_posts(
    remote: WebhookRemote,
    posts: Sequence[Post],
    *,
    timeout_s: float,
    now: Callable[[], datetime],
    budget_s: float | None = None,
    on_answer: Callable[[Answer], None] = lambda answer: None,
) -> list[Answer]:
    """One answer per body, in their order; `on_answer` gets each as soon as it is known.

    `timeout_s` bounds each request as a whole, connecting included; none is begun after
    `budget_s`. Never raises for what the receiver does wrong.
    """
    answers: list[Answer] = []
    ends_at = None if budget_s is None else time.monotonic() + budget_s
    try:
        secret = read_secret(remote.secret_file)
        client = _client(remote, timeout_s)
    except (OSError, ValueError) as error:
        answers = [Answer(None, RetryClass.TRANSIENT, _unusable(error))] * len(posts)
        for answer in answers:
            on_answer(answer)
        return answers
    with client, _Guard() as guard:
        for post in posts:
            if ends_at is not None and time.monotonic() > ends_at:
                answer = no_answer(TransportProblem.LATE, "not begun: out of time")
            elif answers and answers[-1].unreachable:
                answer = answers[-1]
            else:
                headers = _headers(post, secret, now())
                request = client.build_request(
                    "POST", remote.url, content=post.body, headers=headers, extensions=guard.see
                )
                answer = _exchange(client, request, guard, timeout_s, now)
            answers.append(answer)
            on_answer(answer)
    return answers


def _unusable(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
        return f"not sent: {error}"
    return f"not sent: cannot read {error.filename or 'a TLS file'} ({error.strerror})"


def tls_context(
    ca_file: Path | None, certificate_file: Path | None, key_file: Path | None
) -> ssl.SSLContext:
    """TLS 1.2 or later, the receiver verified; with our certificate, where there is one.

    Raises:
        OSError: a file cannot be read or is not what it should be (then an SSLError).
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate_file is not None:
        context.load_cert_chain(certificate_file, key_file)
    return context


def _client(remote: WebhookRemote, timeout_s: float) -> httpx.Client:
    context = tls_context(remote.ca_file, remote.certificate_file, remote.key_file)
    # The environment is not asked for proxies or authorities: settings alone say where we send.
    return httpx.Client(verify=context, timeout=timeout_s, follow_redirects=False, trust_env=False)


def _headers(post: Post, secret: bytes, now: datetime) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Idempotency-Key": post.uid,
        SIGNATURE: signature(secret, now, post.body),
        "User-Agent": "fracture-screen",
    }


def _exchange(
    client: httpx.Client,
    request: httpx.Request,
    guard: "_Guard",
    timeout_s: float,
    now: Callable[[], datetime],
) -> Answer:
    response: httpx.Response | None = None
    try:
        with guard.limit(timeout_s):
            response = client.send(request, stream=True)
            _pass_over_body(response)
    except (httpx.HTTPError, OSError, UnicodeError) as error:  # the last: of a host's name
        if response is None:
            return _without_answer(error, late=guard.is_over)
    finally:
        if response is not None:
            response.close()
    return _meaning(response.status_code, response.headers.get("Retry-After", ""), now())


def _pass_over_body(response: httpx.Response) -> None:
    """What it says is of no interest; read to its end, the connection can be used again."""
    read = 0
    for chunk in response.iter_raw():
        read += len(chunk)
        if read > MOST_BYTES:
            return


class _Guard:
    """Ends a request as a whole: httpx's own timeouts begin anew with every byte.

    It shuts the connections down under the request, which then ends with an error.
    """

    def __init__(self) -> None:
        self.is_over = False
        self.see: Json = {"trace": self._trace}
        """Extensions for the requests that are to be ended."""
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """For what is sent meanwhile."""
        self.is_over = False
        timer = Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _trace(self, event: str, info: Json) -> None:
        """Called by httpcore."""
        if event == "connection.connect_tcp.complete":
            # A duplicate, since TLS takes the socket over.
            self._connections.append(info["return_value"].get_extra_info("socket").dup())
            if self.is_over:
                self._end()

    def _end(self) -> None:
        self.is_over = True
        for connection in self._connections:
            with suppress(OSError):  # it may have ended by itself just now
                connection.shutdown(socket.SHUT_RDWR)


def _without_answer(error: Exception, *, late: bool) -> Answer:
    if late or isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return no_answer(TransportProblem.TIMED_OUT, "no answer in time")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            why = getattr(cause, "verify_message", "") or cause.reason or type(cause).__name__
            return no_answer(TransportProblem.TLS_FAILED, f"TLS failed: {why}")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, (httpx.ConnectError, UnicodeError)):
        return no_answer(TransportProblem.NO_CONNECTION, "no connection: check that it runs there")
    return no_answer(TransportProblem.BROKEN, f"the connection broke ({type(error).__name__})")


def _meaning(status: int, retry_after: str, now: datetime) -> Answer:
    if 200 <= status < 300:
        return TAKEN
    if 300 <= status < 400:
        told = f"HTTP {status}: a redirect, which is not followed; set url to where it leads"
        return Answer(status, RetryClass.PERMANENT, told)
    if status in _PASSING or status >= 500:
        pause_s = _pause_s(retry_after, now)
        return Answer(status, RetryClass.TRANSIENT, f"HTTP {status}", pause_s=pause_s)
    return Answer(status, RetryClass.PERMANENT, f"HTTP {status}")


def _pause_s(retry_after: str, now: datetime) -> float | None:
    """Retry-After (RFC 9110 10.2.3): seconds, or a date."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
