"""Web hooks to receivers that take, refuse, redirect, keep silent, or show a wrong certificate."""

import hashlib
import hmac
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from dicom_node.retry_classes import RetryClass, TransportProblem
from tests.servers.ports import free_port
from tests.servers.web_hook import HookReceiver
from worker.certificates import make_certificates
from worklist.flags.answers import Answer
from worklist.flags.webhook import Post, WebhookRemote, send_posts

SECRET = b"0123456789abcdef"
NOW = datetime(2026, 3, 4, tzinfo=UTC)
POST = Post("2.25.1", b'{"a": 1}')
TRANSIENT, PERMANENT = RetryClass.TRANSIENT, RetryClass.PERMANENT


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    return tmp_path / "secret"


def send(
    url: str,
    secret_file: Path,
    *posts: Post,
    timeout_s: float = 5,
    ca_file: Path | None = None,
) -> list[Answer]:
    remote = WebhookRemote(url, secret_file, ca_file)
    return send_posts(remote, posts or [POST], timeout_s=timeout_s, now=lambda: NOW)


def test_a_post_is_taken_signed_and_named(secret_file: Path) -> None:
    with HookReceiver() as receiver:
        (answer,) = send(receiver.url, secret_file)
    (request,) = receiver.requests
    assert (answer.taken, answer.status) == (True, 0)
    assert request.body == POST.body
    assert request.headers["idempotency-key"] == "2.25.1"
    assert request.headers["content-type"] == "application/json"
    stated = dict(
        part.split("=") for part in request.headers["fracture-screen-signature"].split(",")
    )
    signed = stated["t"].encode() + b"." + request.body
    assert stated["t"] == str(int(NOW.timestamp()))
    assert stated["v1"] == hmac.new(SECRET, signed, hashlib.sha256).hexdigest()


def test_all_posts_of_a_study_go_on_one_connection(secret_file: Path) -> None:
    with HookReceiver(status=200, body=b"thank you") as receiver:
        answers = send(receiver.url, secret_file, POST, Post("2.25.2", b"{}"))
    assert [answer.taken for answer in answers] == [True, True]
    assert len({request.peer for request in receiver.requests}) == 1


@pytest.mark.parametrize(
    ("status", "retry_class"),
    [
        (200, RetryClass.SUCCESS),
        (202, RetryClass.SUCCESS),
        (301, PERMANENT),
        (307, PERMANENT),
        (400, PERMANENT),
        (401, PERMANENT),
        (404, PERMANENT),
        (408, TRANSIENT),
        (410, PERMANENT),
        (425, TRANSIENT),
        (429, TRANSIENT),
        (500, TRANSIENT),
        (503, TRANSIENT),
    ],
)
def test_each_status_has_its_class(secret_file: Path, status: int, retry_class: RetryClass) -> None:
    headers = {"Location": "http://127.0.0.1:1/"} if 300 <= status < 400 else {}
    with HookReceiver(status=status, headers=headers) as receiver:
        (answer,) = send(receiver.url, secret_file)
    assert answer.retry_class is retry_class
    assert answer.status == (0 if answer.taken else status)
    assert not answer.unreachable
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("told", "pause_s"),
    [
        ("120", 120.0),
        (format_datetime(NOW + timedelta(seconds=90)), 90.0),
        (format_datetime(NOW - timedelta(seconds=90)), 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_a_receiver_may_ask_for_a_pause(
    secret_file: Path, told: str, pause_s: float | None
) -> None:
    with HookReceiver(status=429, headers={"Retry-After": told}) as receiver:
        (answer,) = send(receiver.url, secret_file)
    assert answer.pause_s == pause_s


def test_a_receiver_that_answers_byte_by_byte_costs_one_timeout(secret_file: Path) -> None:
    with HookReceiver(drip_s=0.2) as receiver:
        began = time.monotonic()
        answers = send(receiver.url, secret_file, POST, POST, timeout_s=1)
        lasted = time.monotonic() - began
    assert [answer.problem for answer in answers] == [TransportProblem.TIMED_OUT] * 2
    assert lasted < 6
    assert len(receiver.requests) == 1


def test_an_endless_answer_is_not_read_to_its_end(secret_file: Path) -> None:
    with HookReceiver(status=200, body=b"x" * 5_000_000) as receiver:
        (answer,) = send(receiver.url, secret_file)
    assert answer.taken


def test_nobody_there_is_transient(secret_file: Path) -> None:
    (answer,) = send(f"http://127.0.0.1:{free_port()}/secret-path", secret_file)
    assert answer.problem is TransportProblem.NO_CONNECTION
    assert "secret-path" not in answer.error


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "no-such-host.invalid"])
def test_a_name_that_leads_nowhere_is_no_connection(secret_file: Path, host: str) -> None:
    (answer,) = send(f"http://{host}/", secret_file, timeout_s=2)
    assert answer.retry_class is TRANSIENT


def test_a_secret_that_cannot_be_read_sends_nothing_and_says_so(tmp_path: Path) -> None:
    with HookReceiver() as receiver:
        (answer,) = send(receiver.url, tmp_path / "missing")
    assert (answer.retry_class, receiver.requests) == (TRANSIENT, [])
    assert "missing" in answer.error


def test_https_is_verified(secret_file: Path, tmp_path: Path) -> None:
    (pair,) = make_certificates(tmp_path / "certs", ["HOOK"], ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with HookReceiver(tls=context) as receiver:
        authority = tmp_path / "certs" / "authority.crt"
        assert send(receiver.url, secret_file, ca_file=authority)[0].taken
        (stranger,) = send(receiver.url, secret_file)
        assert stranger.problem is TransportProblem.TLS_FAILED
        elsewhere = receiver.url.replace("127.0.0.1", "localhost.localdomain")
        assert not send(elsewhere, secret_file, ca_file=authority)[0].taken
    assert len(receiver.requests) == 1


def test_no_proxy_of_the_environment_is_used(
    secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with HookReceiver() as receiver:
        assert send(receiver.url, secret_file)[0].taken
