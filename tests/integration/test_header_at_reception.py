"""Patient, accession and description are in the ledger with the first instance."""

from datetime import date
from pathlib import Path

import pytest
from pydicom import Dataset
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.ledger import Ledger
from db.tables import StudyHeader
from dicom_node.instance import ReceivedInstance
from dicom_node.received import describe_file
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker import intake as intake_module
from worker.composition import utc_now
from worker.intake import Intake


class Reception:
    """An intake over a spool in a folder."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.spool = Spool(folder / "spool")
        self.ledger = Ledger(engine, utc_now)
        self.intake = Intake(self.ledger, self.spool, folder)

    def spooled(self, dataset: Dataset) -> ReceivedInstance:
        path = write_instance(dataset, self.folder / "sent.dcm")
        return describe_file(self.spool.write(path.read_bytes()).path, "CR1")

    def receive(self, dataset: Dataset) -> tuple[Receipt, Path]:
        instance = self.spooled(dataset)
        return self.intake.register(instance), instance.path

    def headers(self) -> list[StudyHeader]:
        with Session(self.engine) as session:
            return list(session.scalars(select(StudyHeader)))


@pytest.fixture
def reception(ledger_engine: Engine, tmp_path: Path) -> Reception:
    return Reception(ledger_engine, tmp_path)


def image(number: int = 1, **values: object) -> Dataset:
    dataset = radiograph_dataset(number)
    dataset.StudyInstanceUID = "1.2.3"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_the_patient_of_a_waiting_study_is_known(reception: Reception) -> None:
    reception.receive(
        image(
            PatientName="Muster^Anna",
            PatientID="P1",
            PatientBirthDate="1980.02.03",
            AccessionNumber="A77",
            StudyDescription="Hand rechts",
            BodyPartExamined="hand",
        )
    )
    (row,) = reception.headers()
    assert (row.patient_name, row.patient_id, row.accession_number) == ("Muster, Anna", "P1", "A77")
    assert row.patient_birth_date == date(1980, 2, 3)
    assert (row.study_description, row.body_parts) == ("Hand rechts", "HAND")


def test_the_header_is_decoded_once_a_study(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    read = intake_module.received_header
    monkeypatch.setattr(intake_module, "received_header", lambda e: decoded.append(e) or read(e))
    for number in range(3):
        reception.receive(image(number, PatientName=f"Muster^{number}"))
    assert len(decoded) == 1
    assert [row.patient_name for row in reception.headers()] == ["Muster, 0"]


def test_another_process_leaves_the_header_as_it_is(reception: Reception) -> None:
    reception.receive(image(1, PatientName="First^A"))
    reception.intake = Intake(reception.ledger, reception.spool, reception.folder)
    reception.receive(image(2, PatientName="Second^B"))
    assert [row.patient_name for row in reception.headers()] == ["First, A"]


def test_a_header_that_breaks_its_reader_costs_no_instance(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: bytes) -> None:
        raise RecursionError

    monkeypatch.setattr(intake_module, "received_header", broken)
    receipt, _ = reception.receive(image())
    assert receipt is Receipt.ACCEPTED
    assert reception.headers() == []


def test_the_same_bytes_take_the_place_of_a_missing_file(reception: Reception) -> None:
    _, lost = reception.receive(image())
    assert reception.receive(image())[0] is Receipt.DUPLICATE
    lost.unlink()
    receipt, path = reception.receive(image())
    assert receipt is Receipt.ACCEPTED
    assert [reception.folder / stored for _, stored in reception.ledger.instance_paths()] == [path]
    assert path.is_file()


def test_other_bytes_never_take_the_place_of_a_missing_file(reception: Reception) -> None:
    _, lost = reception.receive(image())
    lost.unlink()
    assert reception.receive(image(StudyDescription="another"))[0] is Receipt.CONFLICT
