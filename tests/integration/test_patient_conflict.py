"""Instances of two patients under one Study Instance UID, on a real ledger and real files."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from pydicom import Dataset
from sqlalchemy import Engine

from db.activity import Activity
from db.ledger import Ledger
from db.outcomes import Outcome
from db.states import DeliveryState, StudyState
from db.worklist import Worklist
from db.worklist_records import StudyDetail
from dicom_node.header import read_header
from dicom_node.received import describe_file
from tests.chosen_outcomes import LIKELY, screener_of
from tests.unit.db.ledger_factories import ManualClock
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.app import SCREEN_TASK, make_celery
from worker.composition import open_spool
from worker.dispatch import Dispatcher
from worker.intake import Intake
from worker.patient_identity import DIFFERENT_PATIENTS
from worker.settings import Destination, Hl7Receiver, Settings, load_settings
from worker.tasks import register_screening

STUDY_UID = str(radiograph_dataset().StudyInstanceUID)


@dataclass
class Site:
    """A worker's task beside a dispatcher, on one ledger."""

    settings: Settings
    engine: Engine
    clock: ManualClock

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.engine, self.clock)
        self.celery: Celery = make_celery(self.settings)
        self.spool = open_spool(self.settings)

    def receive(self, dataset: Dataset) -> None:
        source = write_instance(dataset, self.settings.data_folder / "sent.dcm")
        spooled = self.spool.write(source.read_bytes())
        intake = Intake(self.ledger, self.spool, self.settings.data_folder)
        intake.register(describe_file(spooled.path, "MODALITY"))
        source.unlink()

    def screen(self) -> StudyDetail:
        """Dispatch and screen the study; everything in it looks fractured."""
        self.clock.forward(timedelta(seconds=self.settings.study.quiet_period_s))
        settings = self.settings
        Dispatcher(self.ledger, self.celery, settings.study, settings.delivery).look()
        app = make_celery(settings)
        register_screening(app, settings, self.ledger, lambda: screener_of(LIKELY))
        app.tasks[SCREEN_TASK](1, self.study().revision)
        app.close()
        return self.study()

    def study(self) -> StudyDetail:
        found = Worklist(self.engine, self.clock).study(STUDY_UID)
        assert found is not None
        return found

    def conflicts(self) -> int:
        second = timedelta(seconds=1)
        return Activity(self.engine).standing(self.clock(), second, second).identity_conflicts


@pytest.fixture
def site(tmp_path: Path, ledger_engine: Engine) -> Iterator[Site]:
    settings = load_settings(
        data_folder=tmp_path / "data",
        destinations=(Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104),),
        hl7=(Hl7Receiver(name="ris", host="127.0.0.1", port=2575),),
    )
    made = Site(settings, ledger_engine, ManualClock())
    yield made
    made.celery.close()


def radiograph(number: int, name: str = "Phantom^Test", patient_id: str = "PHANTOM") -> Dataset:
    dataset = radiograph_dataset(number)
    dataset.PatientName, dataset.PatientID = name, patient_id
    return dataset


def test_a_study_of_two_patients_is_held_and_nothing_of_it_is_made(site: Site) -> None:
    site.receive(radiograph(1))
    site.receive(radiograph(2, "Other^Person", "4711"))

    study = site.screen()

    assert study.current is not None
    assert study.state is StudyState.SCREENED
    assert study.current.verdict.outcome is Outcome.NOT_ANALYSED
    assert study.current.verdict.reason == DIFFERENT_PATIENTS
    assert study.current.results == ()
    assert study.current.unflagged_reason == DIFFERENT_PATIENTS
    assert study.current.identity_conflict
    assert site.conflicts() == 1


def test_the_worklist_names_both_patients_of_a_held_study(site: Site) -> None:
    site.receive(radiograph(1))
    site.receive(radiograph(2, "Other^Person", "4711"))

    header = site.screen().header

    assert header is not None
    assert set(header.patient_name.split(" | ")) == {"Phantom, Test", "Other, Person"}
    assert set(header.patient_id.split(" | ")) == {"PHANTOM", "4711"}
    assert header.patient_birth_date is None


def test_another_spelling_of_the_name_holds_nothing(site: Site) -> None:
    site.receive(radiograph(1))
    site.receive(radiograph(2, "PHANTOM^TEST^^^"))

    study = site.screen()

    assert study.current is not None
    assert study.current.verdict.outcome is Outcome.POSITIVE
    assert site.conflicts() == 0


def test_another_patient_after_the_conclusion_holds_the_study_and_what_was_not_sent(
    site: Site,
) -> None:
    site.receive(radiograph(1))
    before = site.screen()
    assert before.current is not None
    assert before.current.results
    site.receive(radiograph(2, "Other^Person", "4711"))

    study = site.screen()

    assert study.current is not None
    assert study.current.identity_conflict
    assert study.current.results == ()
    earlier = study.analyses[1]
    assert earlier.results
    states = {one.state for result in earlier.results for one in result.deliveries}
    assert states == {DeliveryState.WITHDRAWN}
    root = site.settings.data_folder
    files = [root / result.path for result in earlier.results if result.kind == "report"]
    assert [str(read_header(file).PatientID) for file in files] == ["PHANTOM"]
