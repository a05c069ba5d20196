"""Deliveries to real peers that refuse, stall, break off, come back: what the ledger then says."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.errors import LedgerUnavailable
from db.states import CircuitState, DeliveryState
from dicom_node.instance import RemoteAE
from tests.integration.outbox import Outbox
from tests.servers.dcmtk import needs_dcmtk, storescp
from tests.servers.ports import free_port
from tests.servers.scripted_pacs import ScriptedPacs

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

PENDING, SENT, FAILED = DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.FAILED


@pytest.fixture
def make_outbox(ledger_engine: Engine, tmp_path: Path) -> Callable[..., Outbox]:
    def make(remote: RemoteAE, **options: object) -> Outbox:
        return Outbox(ledger_engine, tmp_path, remote, **options)

    return make


def gone() -> RemoteAE:
    return RemoteAE("GONE", "127.0.0.1", free_port())


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0x0000, SENT),
        (0xB000, SENT),
        (0xB006, SENT),
        (0xB007, SENT),
        (0x0111, SENT),
        (0xA700, PENDING),
        (0xA701, PENDING),
        (0x0110, PENDING),
        (0x0213, PENDING),
        (0xFE00, PENDING),
        (0xA900, FAILED),
        (0xC000, FAILED),
        (0x0122, FAILED),
        (0x0124, FAILED),
    ],
)
def test_each_status_leads_to_its_state(
    make_outbox: Callable[..., Outbox], status: int, state: DeliveryState
) -> None:
    with ScriptedPacs(status=lambda uid: status) as pacs:
        rows = make_outbox(pacs.remote).deliver()

    assert [row.state for row in rows] == [state] * 2
    assert {row.last_status for row in rows} == {status}
    assert all(f"0x{status:04X}" in row.last_error for row in rows) == (status != 0)


def test_one_refused_object_keeps_no_other_back(make_outbox: Callable[..., Outbox]) -> None:
    pacs = ScriptedPacs()
    outbox = make_outbox(pacs.remote)
    pacs.status = lambda uid: 0xC000 if uid == outbox.uids[0] else 0x0000
    with pacs:
        assert [row.state for row in outbox.deliver()] == [FAILED, SENT]


def test_all_objects_of_a_study_go_on_one_association(make_outbox: Callable[..., Outbox]) -> None:
    with ScriptedPacs() as pacs:
        made: list[object] = []
        pacs.before_answer = lambda reception: made.append(threading.current_thread())
        make_outbox(pacs.remote).deliver()
    assert len(made) == 2
    assert len({id(thread) for thread in made}) == 1


def test_tries_double_their_pause_and_end_as_dead_letters(
    make_outbox: Callable[..., Outbox],
) -> None:
    outbox = make_outbox(gone(), delivery={"failures_to_open": 100})
    pauses = []
    for _ in range(10):
        rows = outbox.deliver()
        if rows[0].state is PENDING and rows[0].next_attempt_at:
            pauses.append((rows[0].next_attempt_at - outbox.bench.clock()).total_seconds())
            outbox.forward(pauses[-1])

    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600, 600]
    assert outbox.states() == [FAILED] * 2
    assert "check that it runs" in outbox.rows()[0].last_error
    assert outbox.rows()[0].attempts == 10


def test_a_worker_that_dies_every_time_ends_as_a_dead_letter_with_the_reason(
    make_outbox: Callable[..., Outbox],
) -> None:
    outbox = make_outbox(gone(), delivery={"maximum_tries": 3})
    for number in range(3):
        lease = timedelta(seconds=60)
        assert outbox.ledger.claim_deliveries(outbox.study_id, "pacs", f"dead:{number}", lease)
        outbox.forward(60)

    rows = outbox.deliver()

    assert [row.state for row in rows] == [FAILED] * 2
    assert rows[0].last_error == "gave up after 3 tries: the worker died or ran out of time"


def test_a_destination_that_left_the_settings_is_told_by_name(
    make_outbox: Callable[..., Outbox],
) -> None:
    outbox = make_outbox(gone(), destination={"name": "renamed"})
    assert [row.state for row in outbox.deliver()] == [FAILED] * 2
    assert "no longer in the settings" in outbox.rows()[0].last_error


def test_a_dead_destination_opens_its_circuit_and_a_probe_closes_it_again(
    make_outbox: Callable[..., Outbox],
) -> None:
    pacs = ScriptedPacs()
    outbox = make_outbox(pacs.remote)
    for _ in range(3):
        outbox.deliver()
        outbox.forward(600)
        state = outbox.ledger.status().circuits[0].state
    assert state is CircuitState.HALF_OPEN
    assert outbox.rows()[0].attempts == 3

    with pacs:
        assert [row.state for row in outbox.deliver()] == [SENT] * 2
    assert outbox.ledger.status().circuits == []


def test_an_answer_that_refuses_does_not_open_the_circuit(
    make_outbox: Callable[..., Outbox],
) -> None:
    with ScriptedPacs(status=lambda uid: 0xA700) as pacs:
        outbox = make_outbox(pacs.remote, delivery={"failures_to_open": 1})
        outbox.deliver()
    assert outbox.ledger.status().circuits == []


def test_a_rejected_calling_title_is_permanent_and_says_what_to_enter(
    make_outbox: Callable[..., Outbox],
) -> None:
    with ScriptedPacs(require_calling=["SOMEBODY"]) as pacs:
        rows = make_outbox(pacs.remote).deliver()
    assert [row.state for row in rows] == [FAILED] * 2
    assert "'FRACTURESCREEN'" in rows[0].last_error


def test_each_destination_is_called_with_its_own_title(make_outbox: Callable[..., Outbox]) -> None:
    with ScriptedPacs(require_calling=["AIRESULTS"]) as pacs:
        outbox = make_outbox(pacs.remote, destination={"calling_ae_title": "AIRESULTS"})
        assert [row.state for row in outbox.deliver()] == [SENT] * 2
    assert {reception.calling_ae_title for reception in pacs.receptions} == {"AIRESULTS"}


@needs_dcmtk
@pytest.mark.parametrize("option", ["--refuse", "--abort-after", "--abort-during"])
def test_a_storescp_that_breaks_off_is_tried_again(
    make_outbox: Callable[..., Outbox], tmp_path: Path, option: str
) -> None:
    (tmp_path / "received").mkdir()
    with storescp(tmp_path / "received", option) as remote:
        rows = make_outbox(remote).deliver()
    assert [row.state for row in rows] in ([PENDING] * 2, [FAILED] * 2)
    # DCMTK's --refuse is rejected-permanent (no reason given); an abort may pass.
    assert ([row.state for row in rows] == [FAILED] * 2) == (option == "--refuse")


@contextmanager
def silent_peer(talk: Callable[[socket.socket], None]) -> Iterator[RemoteAE]:
    """Accepts TCP connections, talks once, then holds them without a word."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield RemoteAE("SILENT", "127.0.0.1", server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


@pytest.mark.parametrize(
    "words",
    [b"", b"\x02", b"\x02\x00\x00\x00\x00\xb8\x00\x01"],
    ids=["says nothing", "stalls in a PDU's head", "stalls in the middle of a PDU"],
)
def test_a_peer_that_stalls_holds_the_worker_no_longer_than_the_timeout(
    make_outbox: Callable[..., Outbox], words: bytes
) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(words)

    with silent_peer(talk) as remote:
        outbox = make_outbox(remote)
        began = time.monotonic()
        rows = outbox.deliver()
        lasted = time.monotonic() - began

    assert [row.state for row in rows] == [PENDING] * 2
    assert lasted < 10, f"{lasted:.1f} s with timeout_s = 1"
    assert outbox.ledger.status().circuits[0].failures == 1


def test_a_peer_that_stalls_in_the_middle_of_its_answer_costs_one_timeout(
    make_outbox: Callable[..., Outbox],
) -> None:
    pacs = ScriptedPacs(before_answer=lambda reception: time.sleep(4))
    with pacs:
        outbox = make_outbox(pacs.remote)
        began = time.monotonic()
        rows = outbox.deliver()
        lasted = time.monotonic() - began

    assert [row.state for row in rows] == [PENDING] * 2
    assert lasted < 10


def test_each_answer_is_recorded_before_the_next_object_goes_out(
    make_outbox: Callable[..., Outbox],
) -> None:
    seen: list[list[DeliveryState]] = []
    pacs = ScriptedPacs()
    outbox = make_outbox(pacs.remote)
    pacs.before_answer = lambda reception: seen.append(outbox.states())
    with pacs:
        outbox.deliver()
    assert seen == [[PENDING, PENDING], [SENT, PENDING]]


def test_an_answer_waits_for_a_ledger_that_is_away_and_nothing_is_sent_twice(
    make_outbox: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedPacs() as pacs:
        outbox = make_outbox(pacs.remote)
        record, failures = outbox.ledger.record_delivery, iter(range(3))

        def away(*arguments: object, **options: object) -> None:
            if next(failures, None) is not None:
                raise LedgerUnavailable("restarting")
            record(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(outbox.ledger, "record_delivery", away)
        outbox.deliver()
    assert outbox.states() == [SENT] * 2
    assert pacs.received == outbox.uids


def test_no_object_is_begun_once_the_lease_runs_out(make_outbox: Callable[..., Outbox]) -> None:
    pacs = ScriptedPacs(before_answer=lambda reception: time.sleep(0.6))
    with pacs:
        # 4 s of lease less two timeouts of 1 s leave 2 s; the first object takes them.
        outbox = make_outbox(pacs.remote, delivery={"lease_s": 4})
        pacs.before_answer = lambda reception: time.sleep(0.9)
        outbox.deliverer._settings = outbox.deliverer._settings.model_copy(update={"lease_s": 2.5})
        rows = outbox.deliver()
    assert [row.state for row in rows] == [SENT, PENDING]
    assert rows[1].last_error == "not begun: out of time"
