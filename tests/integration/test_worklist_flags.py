"""Flags from the screening task to their receivers: made once, sent, retried, given up, replayed.

On a real ledger of each kind, real files, and receivers on real sockets.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from db import tables
from db.ledger import Ledger
from db.outcomes import Outcome
from db.records import DeliveryFilter, DeliveryRecord, QueuedStudy, StudySummary
from db.states import CircuitState, DeliveryState
from dicom_node.received import describe_file
from tests.chosen_outcomes import LIKELY, NEGATIVE, screener_of
from tests.servers.mllp import MllpReceiver, acknowledge
from tests.servers.ports import free_port
from tests.servers.web_hook import HookReceiver
from tests.unit.db.ledger_factories import ManualClock
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.app import SCREEN_TASK, make_celery
from worker.cli import app
from worker.composition import open_spool
from worker.delivery import Deliverer
from worker.intake import Intake
from worker.settings import DeliverySettings, Destination, Settings, load_settings
from worker.tasks import register_screening

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

CANARY = "Canary^Kanarienvogel"
STUDY_UID = str(radiograph_dataset().StudyInstanceUID)
PENDING, SENT, FAILED = DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.FAILED
WITHDRAWN = DeliveryState.WITHDRAWN


@dataclass
class Ward:
    """A worker's tasks over one study, a RIS and a web hook; the clock stands still."""

    engine: Engine
    folder: Path
    mllp_port: int = 1
    hook_url: str = "http://127.0.0.1:1/"
    receiver: dict[str, Any] = field(default_factory=dict)
    delivery: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 3, 4, tzinfo=UTC))
        self.ledger = Ledger(self.engine, self.clock)
        (self.folder / "secret").write_bytes(b"0123456789abcdef")
        self.spool = open_spool(self.settings)

    @property
    def settings(self) -> Settings:
        options = {"lease_s": 60, "timeout_s": 2, "failures_to_open": 100, **self.delivery}
        own = {"timeout_s": 2, **self.receiver}
        return load_settings(
            data_folder=self.folder / "data",
            delivery=DeliverySettings(**options),
            destinations=(Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104),),
            hl7=({"name": "ris", "host": "127.0.0.1", "port": self.mllp_port, **own},),
            webhooks=(
                {
                    "name": "hook",
                    "url": self.hook_url,
                    "secret_file": self.folder / "secret",
                    **own,
                },
            ),
        )

    def screen(self, probability: float = LIKELY, number: int = 1) -> StudySummary:
        """Receive instance `number` and take the study through to its conclusion."""
        dataset = radiograph_dataset(number)
        dataset.PatientName, dataset.PatientID = CANARY, "CANARY-ID"
        path = write_instance(dataset, self.folder / f"{number}.dcm")
        spooled = self.spool.write(path.read_bytes())
        Intake(self.ledger, self.spool, self.settings.data_folder).register(
            describe_file(spooled.path, "MODALITY")
        )
        quiet = timedelta(seconds=60)
        self.clock.forward(quiet)
        self.ledger.mark_quiet_studies_ready(quiet)
        (queued,) = self.ledger.queue_ready_studies(10)
        self.run(queued, probability)
        return self.study()

    def run(self, queued: QueuedStudy, probability: float) -> None:
        celery = make_celery(self.settings)
        register_screening(celery, self.settings, self.ledger, lambda: screener_of(probability))
        celery.tasks[SCREEN_TASK](queued.study_id, queued.revision)
        celery.close()

    def deliver(self, name: str) -> list[DeliveryRecord]:
        parts = (self.settings, self.ledger, self.clock, lambda: 0.5)
        Deliverer(*parts, sleep=lambda seconds: None).deliver(1, name, "worker:1")
        return self.rows(name)

    def rows(self, name: str) -> list[DeliveryRecord]:
        return self.ledger.deliveries(DeliveryFilter(destination=name))[::-1]

    def study(self) -> StudySummary:
        summary = self.ledger.study_summary(STUDY_UID)
        assert summary is not None
        return summary

    def text(self, row: DeliveryRecord) -> str:
        return (self.settings.data_folder / row.path).read_text("utf-8")


MakeWard = Callable[..., Ward]


@pytest.fixture
def make_ward(ledger_engine: Engine, tmp_path: Path) -> MakeWard:
    def make(**options: Any) -> Ward:
        return Ward(ledger_engine, tmp_path, **options)

    return make


def test_a_conclusion_makes_one_message_per_receiver_and_dicom_for_the_pacs_alone(
    make_ward: MakeWard,
) -> None:
    study = make_ward().screen()
    assert [(one.kind, [to.destination for to in one.deliveries]) for one in study.results] == [
        ("overlay", ["pacs"]),
        ("report", ["pacs"]),
        ("hl7", ["ris"]),
        ("webhook", ["hook"]),
    ]


def test_messages_go_out_and_are_taken(make_ward: MakeWard) -> None:
    with MllpReceiver() as ris, HookReceiver() as hook:
        ward = make_ward(mllp_port=ris.port, hook_url=hook.url)
        ward.screen()
        (told,), (posted,) = ward.deliver("ris"), ward.deliver("hook")
    assert (told.state, posted.state) == (SENT, SENT)
    assert (told.last_status, told.confirm_at) == (0, None)
    assert str(ris.messages[0].segment("PID")[5]) == "Canary^Kanarienvogel^^^^^L^A"
    body = json.loads(hook.requests[0].body)
    assert (body["word"], body["study_instance_uid"]) == ("Fracture likely", STUDY_UID)
    assert hook.requests[0].headers["idempotency-key"] == posted.sop_instance_uid


def test_silence_is_no_negative_so_a_negative_is_told_too(make_ward: MakeWard) -> None:
    ward = make_ward()
    ward.screen(NEGATIVE)
    assert "|NEGATIVE^No fracture flagged^99FSCREEN|" in ward.text(ward.rows("ris")[0])
    assert json.loads(ward.text(ward.rows("hook")[0]))["outcome"] == "NEGATIVE"


def test_a_receiver_hears_only_of_the_outcomes_that_it_asked_for(make_ward: MakeWard) -> None:
    ward = make_ward(receiver={"outcomes": (Outcome.POSITIVE,)})
    study = ward.screen(NEGATIVE)
    assert [one.kind for one in study.results] == ["report"]
    assert study.analysis is not None
    assert study.analysis.unflagged_reason is None


def test_a_resent_message_is_the_same_message(make_ward: MakeWard) -> None:
    with MllpReceiver(acknowledge("AE", "207")) as ris:
        ward = make_ward(mllp_port=ris.port)
        ward.screen()
        ward.deliver("ris")
        ris.answer = acknowledge()
        ward.clock.forward(timedelta(hours=1))
        (row,) = ward.deliver("ris")
    assert row.state is SENT
    assert ris.raw[0] == ris.raw[1]


def test_a_dead_ris_ends_in_dead_letters_that_are_replayed(make_ward: MakeWard) -> None:
    ward = make_ward(mllp_port=free_port(), delivery={"maximum_tries": 3})
    ward.screen()
    for _ in range(3):
        (row,) = ward.deliver("ris")
        ward.clock.forward(timedelta(hours=1))
    assert (row.state, row.attempts) == (FAILED, 3)
    assert "check that it runs" in row.last_error

    assert ward.ledger.replay_deliveries(DeliveryFilter(destination="ris")) == 1
    with MllpReceiver() as ris:
        ward.mllp_port = ris.port
        (row,) = ward.deliver("ris")
    assert row.state is SENT
    assert len(ris.messages) == 1


def test_a_dead_receiver_opens_its_own_circuit_and_no_other(make_ward: MakeWard) -> None:
    with HookReceiver() as hook:
        options = {"failures_to_open": 1}
        ward = make_ward(mllp_port=free_port(), hook_url=hook.url, delivery=options)
        ward.screen()
        ward.deliver("ris")
        (circuit,) = ward.ledger.status().circuits
        assert (circuit.destination, circuit.state) == ("ris", CircuitState.OPEN)
        assert ward.deliver("hook")[0].state is SENT


@pytest.mark.parametrize(("status", "state"), [(500, PENDING), (400, FAILED), (307, FAILED)])
def test_a_refused_post_is_tried_again_or_given_up(
    make_ward: MakeWard, status: int, state: DeliveryState
) -> None:
    with HookReceiver(status=status) as hook:
        ward = make_ward(hook_url=hook.url)
        ward.screen()
        (row,) = ward.deliver("hook")
    assert (row.state, row.last_status) == (state, status)


@pytest.mark.parametrize(("asked", "pause"), [("90", 90), ("1", 30), ("99999", 600)])
def test_a_pause_that_is_asked_for_is_kept_up_to_the_longest(
    make_ward: MakeWard, asked: str, pause: int
) -> None:
    with HookReceiver(status=429, headers={"Retry-After": asked}) as hook:
        ward = make_ward(hook_url=hook.url)
        ward.screen()
        (row,) = ward.deliver("hook")
    assert row.next_attempt_at == ward.clock() + timedelta(seconds=pause)


def test_more_than_so_many_a_minute_wait_their_turn_without_losing_a_try(
    make_ward: MakeWard,
) -> None:
    with MllpReceiver() as ris:
        ward = make_ward(mllp_port=ris.port, receiver={"messages_per_minute": 1})
        ward.screen(LIKELY, 1)
        assert ward.deliver("ris")[0].state is SENT
        ward.clock.forward(timedelta(seconds=-30))
        ward.screen(NEGATIVE, 2)
        ward.clock.forward(timedelta(seconds=-20))
        put_off = ward.deliver("ris")[1]
        assert (put_off.state, put_off.attempts) == (PENDING, 0)
        assert len(ris.messages) == 1
        ward.clock.forward(timedelta(seconds=60))
        assert ward.deliver("ris")[1].state is SENT


def test_a_later_revision_corrects_what_was_told(make_ward: MakeWard) -> None:
    with MllpReceiver() as ris:
        ward = make_ward(mllp_port=ris.port)
        ward.screen(LIKELY, 1)
        ward.deliver("ris")
        ward.screen(NEGATIVE, 2)
        first, second = ward.deliver("ris")
    assert first.sop_instance_uid != second.sop_instance_uid
    assert [str(one.segment("OBR")[25]) for one in ris.messages] == ["P", "C"]
    (unsent, later) = ward.rows("hook")
    assert unsent.state is WITHDRAWN
    assert json.loads(ward.text(later))["corrected"] is False


def test_who_heard_a_positive_hears_that_it_does_not_hold_even_if_negatives_are_not_for_it(
    make_ward: MakeWard,
) -> None:
    with MllpReceiver() as ris:
        ward = make_ward(mllp_port=ris.port, receiver={"outcomes": ["POSITIVE"]})
        ward.screen(LIKELY, 1)
        ward.deliver("ris")
        ward.screen(NEGATIVE, 2)
        ward.deliver("ris")
    assert [str(one.segment("OBR")[25]) for one in ris.messages] == ["P", "C"]
    # The hook was away when the first was due: it has nothing to be corrected.
    assert [row.state for row in ward.rows("hook")] == [WITHDRAWN]


def test_what_a_receiver_has_heard_of_is_told_again_when_it_is_said_again(
    make_ward: MakeWard,
) -> None:
    ward = make_ward()
    ward.screen(LIKELY, 1)
    ward.screen(NEGATIVE, 2)
    ward.screen(LIKELY, 3)
    assert [row.state for row in ward.rows("hook")] == [WITHDRAWN, WITHDRAWN, PENDING]


def test_a_repeated_attempt_reuses_the_message_that_lies_there(make_ward: MakeWard) -> None:
    ward = make_ward()
    ward.screen()
    before = {row.path: ward.text(row) for row in (*ward.rows("ris"), *ward.rows("hook"))}
    with Session(ward.engine) as session, session.begin():
        # As a crash between writing the files and the conclusion leaves it.
        for table in (tables.Delivery, tables.analysis_result, tables.Finding, tables.Analysis):
            session.execute(getattr(table, "__table__", table).delete())
        session.execute(tables.ResultObject.__table__.delete())  # type: ignore[attr-defined]
        study = session.get_one(tables.Study, 1)
        study.state, study.attempts = tables.StudyState.QUEUED, 0
    ward.clock.forward(timedelta(minutes=5))
    ward.run(QueuedStudy(1, 1), LIKELY)
    after = {row.path: ward.text(row) for row in (*ward.rows("ris"), *ward.rows("hook"))}
    assert after == before


def test_the_header_is_recorded_with_the_conclusion(make_ward: MakeWard) -> None:
    ward = make_ward()
    ward.screen()
    with Session(ward.engine) as session:
        (row,) = session.scalars(select(tables.StudyHeader))
        assert (row.patient_name, row.patient_id) == ("Canary, Kanarienvogel", "CANARY-ID")
        assert row.patient_name_folded == "canary kanarienvogel"
        assert row.body_parts == "HAND"


def test_a_study_that_is_not_analysed_has_its_header_and_its_messages(make_ward: MakeWard) -> None:
    ward = make_ward()
    dataset = radiograph_dataset()
    dataset.BodyPartExamined, dataset.PatientName = "CHEST", CANARY
    path = write_instance(dataset, ward.folder / "chest.dcm")
    spooled = ward.spool.write(path.read_bytes())
    intake = Intake(ward.ledger, ward.spool, ward.settings.data_folder)
    intake.register(describe_file(spooled.path, "MODALITY"))
    ward.clock.forward(timedelta(seconds=60))
    ward.ledger.mark_quiet_studies_ready(timedelta(seconds=60))
    (queued,) = ward.ledger.queue_ready_studies(10)
    ward.run(queued, LIKELY)
    assert ward.study().outcome is Outcome.NOT_ANALYSED
    body = json.loads(ward.text(ward.rows("hook")[0]))
    assert body["word"] == "Not analysed"
    assert "body part outside" in body["reason"]
    with Session(ward.engine) as session:
        (row,) = session.scalars(select(tables.StudyHeader))
        assert row.body_parts == "CHEST"


def test_the_patient_is_named_in_the_hl7_message_and_nowhere_else(make_ward: MakeWard) -> None:
    with (
        capture_logs() as logs,
        MllpReceiver(acknowledge("AE", "101")) as ris,
        HookReceiver(status=500, body=b"Canary") as hook,
    ):
        ward = make_ward(mllp_port=ris.port, hook_url=hook.url)
        ward.screen()
        ward.deliver("ris")
        ward.deliver("hook")
    told = b"".join(request.body for request in hook.requests)
    rows = str([*ward.rows("ris"), *ward.rows("hook")])
    broker = b"".join(
        path.read_bytes() for path in (ward.settings.data_folder / "broker").rglob("*.msg")
    )
    for where in (str(logs), told.decode(), rows, broker.decode()):
        assert "canary" not in where.lower()
        assert "kanarienvogel" not in where.lower()
    assert b"Kanarienvogel" in ris.raw[0]


def call(ward: Ward, *arguments: str) -> Result:
    lines = [
        f'data_folder = "{ward.settings.data_folder}"',
        f'database_url = "{ward.engine.url.render_as_string(hide_password=False)}"',
        f'[[hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {ward.mllp_port}\ntimeout_s = 2',
        f'[[webhooks]]\nname = "hook"\nurl = "{ward.hook_url}"\ntimeout_s = 2',
        f'secret_file = "{ward.folder / "secret"}"',
    ]
    config = ward.folder / "settings.toml"
    config.write_text("\n".join(lines))
    return CliRunner().invoke(app, ["--config", str(config), "flags", *arguments])


def test_a_check_sends_a_test_message_and_prints_the_answer(make_ward: MakeWard) -> None:
    with MllpReceiver() as ris, HookReceiver(status=403) as hook:
        ward = make_ward(mllp_port=ris.port, hook_url=hook.url)
        first, second = call(ward, "check", "ris"), call(ward, "check", "ris")
        refused = call(ward, "check", "hook", "--json")
        unknown = call(ward, "check", "nobody")
    assert "ris: taken" in first.output + second.output
    assert {str(one.segment("MSH")[11]) for one in ris.messages} == {"T"}
    assert len({str(one.segment("MSH")[10]) for one in ris.messages}) == 2
    assert json.loads(hook.requests[0].body)["test"] is True
    assert (refused.exit_code, json.loads(refused.output)["answer"]) == (2, "HTTP 403")
    assert "ris, hook" in str(unknown.exception)


def test_messages_are_shown_as_they_were_made(make_ward: MakeWard) -> None:
    ward = make_ward()
    ward.screen()
    shown = call(ward, "show", STUDY_UID).output
    assert "PID|1||CANARY-ID||Canary^Kanarienvogel" in shown
    assert '"word": "Fracture likely"' in shown
    assert "ris PENDING" in shown
