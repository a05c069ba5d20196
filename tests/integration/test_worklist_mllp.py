"""Messages over MLLP to receivers that take, refuse, keep silent, answer wrongly or break off."""

import socket
import ssl
import time
from functools import cache
from pathlib import Path

import pytest

from db.states import FlagKind
from dicom_node.instance import OutboundTls
from dicom_node.retry_classes import RetryClass, TransportProblem
from tests.servers.mllp import END, START, MllpReceiver, acknowledge
from tests.servers.ports import free_port
from tests.unit.worklist.flag_contents import make_flag
from worker.certificates import make_certificates
from worklist.flags.answers import Answer
from worklist.flags.content import control_id, flag_uid
from worklist.flags.hl7 import Hl7Parties, build_message
from worklist.flags.mllp import MllpRemote, Outgoing, send_messages

SUCCESS, TRANSIENT, PERMANENT = RetryClass.SUCCESS, RetryClass.TRANSIENT, RetryClass.PERMANENT


@cache
def outgoing(revision: int = 1) -> Outgoing:
    flag = make_flag(revision=revision)
    message = build_message(flag, Hl7Parties("FS", "", "RIS", ""))
    return Outgoing(control_id(flag_uid(FlagKind.HL7, flag)), message)


def send(
    receiver: MllpReceiver,
    *messages: Outgoing,
    timeout_s: float = 5,
    tls: OutboundTls | None = None,
) -> list[Answer]:
    remote = MllpRemote("127.0.0.1", receiver.port, tls)
    return send_messages(remote, messages or [outgoing()], timeout_s=timeout_s)


def test_a_message_is_taken_and_an_independent_parser_reads_it() -> None:
    with MllpReceiver() as receiver:
        (answer,) = send(receiver)
    assert (answer.taken, answer.status, answer.error) == (True, 0, "")
    assert str(receiver.messages[0].segment("OBR")[18]) == "A1"


def test_all_messages_go_on_one_connection_each_after_its_acknowledgement() -> None:
    with MllpReceiver() as receiver:
        answers = send(receiver, outgoing(1), outgoing(2), outgoing(3))
    assert [answer.taken for answer in answers] == [True] * 3
    assert receiver.connections == 1


@pytest.mark.parametrize(
    ("code", "condition", "retry_class"),
    [
        ("AA", "", SUCCESS),
        ("CA", "", SUCCESS),
        ("AE", "", TRANSIENT),
        ("AE", "101", PERMANENT),
        ("AE", "204", TRANSIENT),
        ("AE", "207", TRANSIENT),
        ("AR", "", TRANSIENT),
        ("AR", "202", PERMANENT),
        ("CE", "", TRANSIENT),
        ("CR", "", PERMANENT),
        ("CR", "206", TRANSIENT),
        ("AE", "999", TRANSIENT),
        ("ZZ", "", TRANSIENT),
    ],
)
def test_each_acknowledgement_has_its_class(
    code: str, condition: str, retry_class: RetryClass
) -> None:
    with MllpReceiver(acknowledge(code, condition)) as receiver:
        (answer,) = send(receiver)
    assert answer.retry_class is retry_class
    assert not answer.unreachable
    assert "Canary" not in answer.error
    assert (answer.error == "") == answer.taken


def test_a_refused_message_keeps_no_other_back() -> None:
    refused = outgoing(1)

    def answer(message: object) -> bytes:
        code = "AR" if refused.control_id in str(message) else "AA"
        return acknowledge(code)(message)  # type: ignore[arg-type]

    with MllpReceiver(answer) as receiver:
        answers = send(receiver, refused, outgoing(2))
    assert [one.taken for one in answers] == [False, True]


def test_an_answer_to_another_message_is_none() -> None:
    with MllpReceiver(acknowledge(control_id="SOMETHINGELSE")) as receiver:
        (answer,) = send(receiver, timeout_s=1)
    assert answer.problem is TransportProblem.TIMED_OUT
    assert "acknowledges another message" in answer.error


def test_a_late_answer_to_an_earlier_message_is_passed_over() -> None:
    def both(message: object) -> bytes:
        late = acknowledge("AR", control_id="EARLIER")(message)  # type: ignore[arg-type]
        return late + acknowledge()(message)  # type: ignore[arg-type]

    with MllpReceiver(both) as receiver:
        (answer,) = send(receiver)
    assert answer.taken


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (b"", TransportProblem.TIMED_OUT),
        (START + b"MSH|^~\\&|RIS", TransportProblem.TIMED_OUT),
        (START + b"garbage" + END, TransportProblem.TIMED_OUT),
        (START + END, TransportProblem.TIMED_OUT),
        (START + b"MSH|^~\\&|\rMSA|AA" + END, TransportProblem.TIMED_OUT),
        (b"\x00" * 200_000, TransportProblem.BROKEN),
        ((START + b"MSH" + END) * 30_000, TransportProblem.BROKEN),
    ],
    ids=["nothing", "half", "garbage", "empty frame", "no control ID", "endless", "many frames"],
)
def test_what_is_no_answer_is_bounded_in_time_and_bytes(
    told: bytes, problem: TransportProblem
) -> None:
    with MllpReceiver(lambda message: told) as receiver:
        messages = [outgoing(1), outgoing(2)]
        began = time.monotonic()
        answers = send(receiver, *messages, timeout_s=1)
        lasted = time.monotonic() - began
    assert [answer.problem for answer in answers] == [problem] * 2
    assert all(answer.unreachable for answer in answers)
    assert lasted < 8
    assert len(receiver.messages) == 1


def test_a_receiver_that_answers_byte_by_byte_costs_one_timeout() -> None:
    outgoing()
    with MllpReceiver(drip_s=0.2) as receiver:
        began = time.monotonic()
        (answer,) = send(receiver, timeout_s=1)
    assert answer.problem is TransportProblem.TIMED_OUT
    assert time.monotonic() - began < 6


def test_a_connection_that_breaks_before_the_answer_is_tried_again() -> None:
    with MllpReceiver(close_after_message=True) as receiver:
        (answer,) = send(receiver)
    assert answer.problem is TransportProblem.BROKEN
    assert answer.retry_class is TRANSIENT


def test_nobody_there_is_transient_and_says_where() -> None:
    port = free_port()
    (answer,) = send_messages(MllpRemote("127.0.0.1", port), [outgoing()], timeout_s=1)
    assert answer.problem is TransportProblem.NO_CONNECTION
    assert f"127.0.0.1:{port}" in answer.error


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "", "no-such-host.invalid"])
def test_a_name_that_leads_nowhere_is_no_connection(host: str) -> None:
    (answer,) = send_messages(MllpRemote(host, 1), [outgoing()], timeout_s=1)
    assert answer.retry_class is TRANSIENT


def test_none_is_begun_past_the_budget() -> None:
    with MllpReceiver(delay_s=0.5) as receiver:
        remote = MllpRemote("127.0.0.1", receiver.port)
        messages = [outgoing(1), outgoing(2)]
        answers = send_messages(remote, messages, timeout_s=5, budget_s=0.2)
    assert [answer.taken for answer in answers] == [True, False]
    assert answers[1].problem is TransportProblem.LATE


def test_answers_are_told_as_they_come() -> None:
    seen: list[int] = []
    with MllpReceiver() as receiver:
        remote = MllpRemote("127.0.0.1", receiver.port)
        send_messages(
            remote,
            [outgoing(1), outgoing(2)],
            timeout_s=5,
            on_answer=lambda answer: seen.append(len(receiver.messages)),
        )
    assert seen == [1, 2]


def test_tls_is_verified_by_authority_or_pin(tmp_path: Path) -> None:
    (pair,) = make_certificates(tmp_path, ["RIS"], ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with MllpReceiver(tls=context) as receiver:
        authority = OutboundTls(ca_file=tmp_path / "authority.crt")
        assert send(receiver, tls=authority)[0].taken
        (wrong,) = send(receiver, tls=OutboundTls(pinned_sha256="00" * 32))
        assert wrong.problem is TransportProblem.TLS_FAILED
        (plain,) = send(receiver, timeout_s=1)
        assert not plain.taken
    assert len(receiver.messages) == 1


def test_a_peer_that_stalls_in_the_handshake_costs_one_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        remote = MllpRemote(
            "127.0.0.1", server.getsockname()[1], OutboundTls(pinned_sha256="0" * 64)
        )
        message = outgoing()
        began = time.monotonic()
        (answer,) = send_messages(remote, [message], timeout_s=1)
    assert answer.retry_class is TRANSIENT
    assert time.monotonic() - began < 6
