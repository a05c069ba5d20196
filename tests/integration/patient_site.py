"""A ledger, a spool and a screening task, for studies whose patients are in question."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from celery import Celery
from pydicom import Dataset
from sqlalchemy import Engine

from db.activity import Activity
from db.audit import AuditRecord, Trail, Wanted
from db.ledger import Ledger
from db.worklist import Worklist
from db.worklist_records import StudyDetail
from dicom_node.received import describe_file
from dicom_node.receiver import Receipt
from tests.chosen_outcomes import LIKELY, screener_of
from tests.correctors import corrector_over
from tests.unit.db.ledger_factories import ManualClock
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.app import SCREEN_TASK, make_celery
from worker.composition import open_spool
from worker.dispatch import Dispatcher
from worker.intake import Intake
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
        self.corrections = corrector_over(self.engine, self.clock, self.settings.data_folder)

    def intake(self) -> Intake:
        return Intake(self.ledger, self.spool, self.settings.data_folder)

    def receive(self, dataset: Dataset) -> Receipt:
        """As the listener does."""
        source = write_instance(dataset, self.settings.data_folder / "sent.dcm")
        spooled = self.spool.write(source.read_bytes())
        source.unlink()
        receipt = self.intake().register(describe_file(spooled.path, "MODALITY"))
        if receipt is Receipt.CONFLICT:
            self.spool.quarantine(spooled.path)
        return receipt

    def dispatch(self) -> None:
        self.clock.forward(timedelta(seconds=self.settings.study.quiet_period_s))
        settings = self.settings
        Dispatcher(self.ledger, self.celery, settings.study, settings.delivery).look()

    def screen(self) -> StudyDetail:
        """Dispatch and screen the study; everything in it looks fractured."""
        self.dispatch()
        settings = self.settings
        app = make_celery(settings)
        register_screening(app, settings, self.ledger, lambda: screener_of(LIKELY))
        app.tasks[SCREEN_TASK](1, self.study().revision)
        app.close()
        return self.study()

    def study(self) -> StudyDetail:
        found = Worklist(self.engine, self.clock).study(STUDY_UID)
        assert found is not None
        return found

    def trail(self, action: str) -> list[AuditRecord]:
        return Trail(self.engine, self.clock).page(Wanted(action=action), 10)

    def conflicts(self) -> int:
        second = timedelta(seconds=1)
        return Activity(self.engine).standing(self.clock(), second, second).identity_conflicts


@contextmanager
def screened_site(folder: Path, engine: Engine) -> Iterator[Site]:
    """With a PACS and a RIS in its settings, which nobody answers for."""
    settings = load_settings(
        data_folder=folder / "data",
        destinations=(Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104),),
        hl7=(Hl7Receiver(name="ris", host="127.0.0.1", port=2575),),
    )
    made = Site(settings, engine, ManualClock())
    yield made
    made.celery.close()


def radiograph(number: int, name: str = "Phantom^Test", patient_id: str = "PHANTOM") -> Dataset:
    dataset = radiograph_dataset(number)
    dataset.PatientName, dataset.PatientID = name, patient_id
    return dataset


def corrected() -> Dataset:
    """The first radiograph, as the PACS sends it again once its patient was mended there."""
    return radiograph(1, "Right^Name", "4711")
