"""The screening task on a real ledger, real files and a real broker."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from pydicom import dcmread
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from db.errors import LedgerUnavailable
from db.failure_reasons import FailureReason
from db.ledger import Ledger
from db.outcomes import Outcome
from db.records import ClaimedStudy, StudySummary
from db.states import StudyState
from db.tables import Base
from dicom_node.radiograph import PixelLimits
from dicom_node.received import describe_file
from models.classifier import Classifier
from models.errors import BundleError
from models.prediction import FloatArray
from tests.canary import HOLDS_PATIENTS
from tests.chosen_outcomes import LIKELY, NEGATIVE, NOW, chosen_bundle, screener_of
from tests.unit.db.ledger_factories import ManualClock
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from tests.validators import dciodvfy_errors
from worker.app import REPORT_FAILURE_TASK, SCREEN_TASK, make_celery
from worker.composition import open_spool
from worker.dispatch import Dispatcher
from worker.failure_report import report_failure
from worker.intake import Intake
from worker.queues import TRIAGE_QUEUE, queue_depth
from worker.screening import Screener
from worker.settings import Destination, Settings, StudySettings, load_settings
from worker.tasks import register_failure_reports, register_screening

CANARY = "Canary^Patient"
STUDY_UID = str(radiograph_dataset().StudyInstanceUID)
ATTEMPTS = 2


class BrokenEngine:
    """Raises what a library might: an error that quotes the patient."""

    label, batch_size = "broken engine", 1

    def run(self, batch: FloatArray) -> tuple[FloatArray, FloatArray]:
        raise ValueError(f"cannot classify {CANARY}")


@dataclass
class Triage:
    """A worker's task beside a dispatcher, on one ledger."""

    settings: Settings
    ledger: Ledger
    clock: ManualClock

    def __post_init__(self) -> None:
        self.celery: Celery = make_celery(self.settings)
        self.spool = open_spool(self.settings)

    def receive(self, number: int = 1, patient_id: str = "") -> None:
        dataset = radiograph_dataset(number)
        dataset.PatientName = CANARY
        dataset.PatientID = patient_id or dataset.PatientID
        source = write_instance(dataset, self.settings.data_folder / f"{number}.dcm")
        spooled = self.spool.write(source.read_bytes())
        intake = Intake(self.ledger, self.spool, self.settings.data_folder)
        intake.register(describe_file(spooled.path, "MODALITY"))
        source.unlink()

    def dispatch(self) -> int:
        self.clock.forward(timedelta(seconds=self.settings.study.quiet_period_s))
        settings = self.settings
        return Dispatcher(self.ledger, self.celery, settings.study, settings.delivery).look()

    def run(self, screener: Screener, revision: int = 1) -> None:
        """What a worker does with one message."""
        app = make_celery(self.settings)
        register_screening(app, self.settings, self.ledger, lambda: screener)
        app.tasks[SCREEN_TASK](1, revision)

    def study(self) -> StudySummary:
        summary = self.ledger.study_summary(STUDY_UID)
        assert summary is not None
        return summary

    def waiting(self) -> int:
        return queue_depth(self.settings)[TRIAGE_QUEUE]


@pytest.fixture
def triage(tmp_path: Path, ledger_engine: Engine) -> Iterator[Triage]:
    settings = load_settings(
        data_folder=tmp_path / "data",
        study=StudySettings(maximum_attempts=ATTEMPTS),
        destinations=(Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104),),
    )
    clock = ManualClock()
    made = Triage(settings, Ledger(ledger_engine, clock), clock)
    yield made
    made.celery.close()


def broken_screener() -> Screener:
    return Screener(Classifier(chosen_bundle(), BrokenEngine()), PixelLimits(), lambda: NOW)


def test_a_study_is_concluded_with_findings_results_and_deliveries(triage: Triage) -> None:
    triage.receive(1)
    triage.receive(2)
    assert triage.dispatch() == 1

    triage.run(screener_of(LIKELY))

    study = triage.study()
    assert (study.state, study.outcome) == (StudyState.SCREENED, Outcome.POSITIVE)
    assert [result.kind for result in study.results] == ["overlay", "overlay", "report"]
    data = triage.settings.data_folder
    assert all((data / result.path).is_file() for result in study.results)
    assert all(len(result.deliveries) == 1 for result in study.results)


def test_a_study_asks_once_for_its_screener_so_that_it_never_mixes_models(triage: Triage) -> None:
    triage.receive(1)
    triage.receive(2)
    triage.dispatch()
    screeners = iter([screener_of(LIKELY), screener_of(NEGATIVE)])
    app = make_celery(triage.settings)
    register_screening(app, triage.settings, triage.ledger, lambda: next(screeners))

    app.tasks[SCREEN_TASK](1, 1)

    analysis = triage.study().analysis
    assert analysis is not None
    assert [one.probability for one in analysis.findings] == pytest.approx([LIKELY] * 2)
    assert len(list(screeners)) == 1


def test_a_champion_that_cannot_be_loaded_fails_the_study_and_says_why(triage: Triage) -> None:
    triage.receive()
    triage.dispatch()

    def no_screener() -> Screener:
        raise BundleError("the bundle was changed")

    app = make_celery(triage.settings)
    register_screening(app, triage.settings, triage.ledger, no_screener)
    for _ in range(ATTEMPTS):
        app.tasks[SCREEN_TASK](1, 1)

    study = triage.study()
    assert (study.state, study.outcome) == (StudyState.FAILED, Outcome.FAILED)
    assert study.failure_reason == "The model cannot be loaded: the bundle was changed"


def test_a_doubled_message_finds_nothing_to_claim(triage: Triage) -> None:
    triage.receive()
    triage.dispatch()
    triage.run(screener_of(LIKELY))
    before = triage.study()

    with capture_logs() as logs:
        triage.run(screener_of(LIKELY))

    assert triage.study() == before
    assert [entry["event"] for entry in logs] == ["study_not_claimed"]


def test_an_exception_gives_the_study_back_and_queues_it_again(triage: Triage) -> None:
    triage.receive()
    triage.dispatch()
    assert triage.waiting() == 1

    with capture_logs() as logs:
        triage.run(broken_screener())

    study = triage.study()
    assert (study.state, study.attempts) == (StudyState.QUEUED, 1)
    assert study.failure_reason == FailureReason.INTERNAL
    assert triage.waiting() == 2
    (entry,) = logs
    assert (entry["event"], entry["attempt"]) == ("study_attempt_failed", 1)
    assert any("_classify_batch" in place for place in entry["trace"])


def test_the_next_attempt_may_succeed(triage: Triage) -> None:
    triage.receive()
    triage.dispatch()
    with capture_logs():
        triage.run(broken_screener())
    triage.run(screener_of(LIKELY))
    assert (triage.study().state, triage.study().failure_reason) == (StudyState.SCREENED, "")


def test_after_the_last_attempt_the_study_is_failed_with_its_reason_and_no_patient_data(
    triage: Triage, ledger_engine: Engine
) -> None:
    triage.receive()
    triage.dispatch()
    with capture_logs() as logs:
        for _ in range(ATTEMPTS):
            triage.run(broken_screener())

    study = triage.study()
    assert (study.state, study.outcome) == (StudyState.FAILED, Outcome.FAILED)
    assert study.failure_reason == study.reason == FailureReason.INTERNAL
    assert [entry["event"] for entry in logs] == [
        "study_attempt_failed",
        "study_failed",
        "failure_reported",
    ]
    assert "Canary" not in str(logs)
    assert "Canary" not in contents(ledger_engine)
    assert triage.waiting() == ATTEMPTS


def contents(engine: Engine) -> str:
    """Every value of every table that is not for patient data."""
    with engine.begin() as connection:
        rows = [
            list(connection.execute(text(f"SELECT * FROM {table.name}")))  # noqa: S608  our names
            for table in Base.metadata.sorted_tables
            if table.name not in HOLDS_PATIENTS
        ]
    return str(rows)


def test_an_operators_retry_screens_the_study_as_its_next_revision(triage: Triage) -> None:
    triage.receive()
    triage.dispatch()
    with capture_logs():
        for _ in range(ATTEMPTS):
            triage.run(broken_screener())
    assert triage.ledger.retry_failed(STUDY_UID)
    assert triage.dispatch() >= 1
    triage.run(screener_of(LIKELY), revision=2)
    assert (triage.study().outcome, triage.study().revision) == (Outcome.POSITIVE, 2)


def test_a_spooled_file_that_is_gone_fails_the_attempt_and_is_no_finding(triage: Triage) -> None:
    triage.receive()
    triage.dispatch()
    for path in triage.spool.files():
        path.unlink()
    with capture_logs():
        triage.run(screener_of(LIKELY))
    assert triage.study().state is StudyState.QUEUED
    assert triage.study().failure_reason == "The stored file is missing."


def failed_for_a_missing_file(triage: Triage) -> None:
    triage.receive()
    triage.dispatch()
    for path in triage.spool.files():
        path.unlink()
    with capture_logs():
        for _ in range(ATTEMPTS):
            triage.run(screener_of(LIKELY))


def test_a_study_whose_file_is_gone_has_a_report_of_the_right_patient(
    triage: Triage, tmp_path: Path
) -> None:
    failed_for_a_missing_file(triage)

    study = triage.study()
    assert (study.state, study.reason) == (StudyState.FAILED, "The stored file is missing.")
    (report,) = study.results
    assert [one.destination for one in report.deliveries] == ["pacs"]
    path = triage.settings.data_folder / report.path
    dataset = dcmread(path)
    assert (dataset.PatientName, dataset.StudyInstanceUID) == (CANARY, STUDY_UID)
    assert dciodvfy_errors(path) == []
    words = text_of_pdf(dataset.EncapsulatedDocument, tmp_path)
    for expected in ("Failed", "The stored file is missing.", "Canary", "0 of 1 images"):
        assert expected in words
    assert "Error" not in words


def test_a_study_that_fails_again_adds_no_second_report(triage: Triage) -> None:
    failed_for_a_missing_file(triage)
    (first,) = triage.study().results
    assert triage.ledger.retry_failed(STUDY_UID)
    triage.dispatch()
    with capture_logs():
        for _ in range(ATTEMPTS):
            triage.run(screener_of(LIKELY), revision=2)
    (again,) = triage.study().results
    assert again.sop_instance_uid == first.sop_instance_uid
    assert len(again.deliveries) == 1


def test_a_study_whose_worker_ended_is_reported_by_another_worker(triage: Triage) -> None:
    triage.receive()
    for _ in range(ATTEMPTS):
        triage.dispatch()
        assert triage.ledger.claim_study(1, 1, "worker", timedelta(seconds=1))
        triage.clock.forward(timedelta(seconds=1))
    triage.dispatch()
    assert triage.study().results == ()
    app = make_celery(triage.settings)
    register_failure_reports(app, triage.settings, triage.ledger)
    app.tasks[REPORT_FAILURE_TASK](1, 1)
    app.tasks[REPORT_FAILURE_TASK](1, 1)
    (report,) = triage.study().results
    assert report.kind == "report"


def test_the_report_of_an_earlier_revision_is_not_added_to_a_later_one(triage: Triage) -> None:
    failed_for_a_missing_file(triage)
    assert triage.ledger.retry_failed(STUDY_UID)
    assert triage.ledger.failed_analysis(1, 1) is None
    assert not report_failure(triage.settings, triage.ledger, 1, 1, NOW)


def test_nobody_gets_a_report_of_a_patient_that_nobody_knows(
    triage: Triage, ledger_engine: Engine
) -> None:
    triage.receive()
    with ledger_engine.begin() as connection:
        connection.execute(text("DELETE FROM study_header"))
    triage.dispatch()
    with capture_logs():
        for _ in range(ATTEMPTS):
            triage.run(broken_screener())
    assert triage.study().state is StudyState.FAILED
    assert triage.study().results == ()


def test_no_report_names_one_of_two_patients(triage: Triage) -> None:
    triage.receive(1)
    triage.receive(2, patient_id="SOMEBODY-ELSE")
    triage.dispatch()
    with capture_logs():
        for _ in range(ATTEMPTS):
            triage.run(broken_screener())
    study = triage.study()
    assert (study.state, study.outcome) == (StudyState.SCREENED, Outcome.NOT_ANALYSED)
    assert study.results == ()


def test_a_patient_that_the_worklist_shows_otherwise_is_in_no_report(
    triage: Triage, ledger_engine: Engine
) -> None:
    triage.receive()
    with ledger_engine.begin() as connection:
        connection.execute(text("UPDATE study_header SET patient_id = 'P1 | P2'"))
    triage.dispatch()
    with capture_logs():
        for _ in range(ATTEMPTS):
            triage.run(broken_screener())
    assert triage.study().results == ()


def text_of_pdf(document: bytes, folder: Path) -> str:
    path = folder / "report.pdf"
    path.write_bytes(document)
    command = ["pdftotext", "-layout", str(path), "-"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def test_a_late_instance_during_the_screening_takes_the_conclusion_back(triage: Triage) -> None:
    triage.receive(1)
    triage.dispatch()
    screener = screener_of(LIKELY)
    screener._clock = lambda: (triage.receive(2), NOW)[1]

    with capture_logs() as logs:
        triage.run(screener)

    assert [entry["event"] for entry in logs] == ["instance_registered", "study_moved_on"]
    assert triage.study().state is StudyState.RECEIVING
    assert triage.study().analysis is None


def test_a_ledger_that_goes_away_too_lets_no_patient_data_reach_celerys_log(
    triage: Triage, monkeypatch: pytest.MonkeyPatch
) -> None:
    triage.receive()
    triage.dispatch()

    def away(claim: ClaimedStudy, reason: str, max_attempts: int) -> StudyState:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(triage.ledger, "fail_attempt", away)
    with capture_logs(), pytest.raises(LedgerUnavailable) as raised:
        triage.run(broken_screener())
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None
