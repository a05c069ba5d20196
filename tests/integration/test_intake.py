"""Intake on a real ledger and spool, behind the real listener: what becomes of each instance."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, uid
from sqlalchemy import Engine
from structlog.testing import capture_logs

from db.ledger import Ledger
from db.records import StudySummary
from db.session import make_engine
from db.states import StudyState
from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.received import describe_file
from dicom_node.receiver import Receipt
from dicom_node.secondary_capture import build_secondary_capture
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from dicom_node.storage_scu import StoreResult, send_instances
from tests.servers.ports import free_port
from tests.unit.dicom_node.instances import (
    NOW,
    radiograph_dataset,
    result_identity,
    write_instance,
)
from worker.composition import utc_now
from worker.intake import ORPHAN_AGE_S, Intake

CANARY = "Canary^Patient"


@dataclass
class Reception:
    """A data folder with spool and ledger, and the intake between them."""

    folder: Path
    ledger: Ledger

    def __post_init__(self) -> None:
        self.spool = Spool(self.folder / "data" / "spool")
        self.intake = Intake(self.ledger, self.spool, self.folder / "data")

    def with_ledger(self, ledger: Ledger) -> "Reception":
        return Reception(self.folder, ledger)

    def write(self, dataset: Dataset, transfer_syntax: str = uid.ExplicitVRLittleEndian) -> Path:
        """The data set as a file of a sender."""
        folder = self.folder / "in"
        folder.mkdir(exist_ok=True)
        path = folder / f"{len(list(folder.iterdir()))}.dcm"
        return write_instance(dataset, path, transfer_syntax)

    def spooled(self, dataset: Dataset, age_s: float = 2 * ORPHAN_AGE_S) -> ReceivedInstance:
        """The data set as a file that lies in the spool, without a row."""
        path = self.spool.write(self.write(dataset).read_bytes()).path
        age(path, age_s)
        return describe_file(path, "MODALITY")

    def send(
        self, dataset: Dataset, transfer_syntax: str = uid.ExplicitVRLittleEndian
    ) -> StoreResult:
        """C-STORE by a real association to a listener whose sink is the intake."""
        scp = StorageScp(
            ae_title="SCREEN",
            host="127.0.0.1",
            port=0,
            spool=self.spool,
            sink=self.intake.register,
        )
        with scp:
            remote = RemoteAE("SCREEN", "127.0.0.1", scp.port)
            (result,) = send_instances(
                remote,
                [self.write(dataset, transfer_syntax)],
                calling_ae_title="MODALITY",
                timeout_s=20,
            )
        return result

    def study(self) -> StudySummary | None:
        return self.ledger.study_summary(str(radiograph_dataset().StudyInstanceUID))

    def files(self) -> list[Path]:
        return list(self.spool.files())

    def quarantined(self) -> list[Path]:
        return list((self.spool.root / "quarantine").iterdir())


def age(path: Path, by_s: float) -> None:
    then = time.time() - by_s
    os.utime(path, (then, then))


def own_result() -> Dataset:
    return build_secondary_capture(
        radiograph_dataset(),
        np.zeros((8, 8, 3), np.uint8),
        identity=result_identity(),
        derivation_description="test",
        now=NOW,
    )


@pytest.fixture
def reception(tmp_path: Path, ledger_engine: Engine) -> Reception:
    return Reception(tmp_path, Ledger(ledger_engine, utc_now))


@pytest.fixture
def database_away() -> Iterator[Ledger]:
    engine = make_engine(f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none")
    yield Ledger(engine, utc_now)
    engine.dispose()


def test_a_new_instance_opens_its_study_and_its_row_knows_the_file(reception: Reception) -> None:
    assert reception.send(radiograph_dataset(1)).status == 0x0000
    assert reception.send(radiograph_dataset(2)).status == 0x0000

    study = reception.study()
    assert study is not None
    assert (study.state, study.instance_count) == (StudyState.RECEIVING, 2)
    assert study.calling_ae_title == "MODALITY"
    data = reception.folder / "data"
    rows = {data / path for _, path in reception.ledger.instance_paths()}
    assert rows == set(reception.files())


def test_a_duplicate_is_accepted_and_kept_once(reception: Reception) -> None:
    reception.send(radiograph_dataset())
    before = reception.study()

    assert reception.send(radiograph_dataset()).status == 0x0000

    assert reception.study() == before
    assert len(reception.files()) == 1


def test_other_bytes_under_a_known_uid_go_to_quarantine(reception: Reception) -> None:
    reception.send(radiograph_dataset())
    changed = radiograph_dataset()
    changed.PatientName = CANARY
    before = reception.study()

    with capture_logs() as logs:
        assert reception.send(changed).status == 0x0111

    assert reception.study() == before
    assert (len(reception.files()), len(reception.quarantined())) == (1, 1)
    assert [entry["log_level"] for entry in logs if entry["event"] == "instance_conflict"] == [
        "critical"
    ]
    assert "Canary" not in str(logs)


def test_the_same_data_set_in_implicit_vr_is_a_duplicate(reception: Reception) -> None:
    reception.send(radiograph_dataset())
    stored = reception.files()

    assert reception.send(radiograph_dataset(), uid.ImplicitVRLittleEndian).status == 0x0000

    assert reception.files() == stored
    assert reception.quarantined() == []


def test_other_demographics_in_implicit_vr_are_a_conflict(reception: Reception) -> None:
    reception.send(radiograph_dataset())
    corrected = radiograph_dataset()
    corrected.PatientName = "Corrected^Name"

    assert reception.send(corrected, uid.ImplicitVRLittleEndian).status == 0x0111

    assert len(reception.quarantined()) == 1


def test_our_own_result_that_comes_back_opens_no_study(reception: Reception) -> None:
    reception.send(radiograph_dataset())
    before = reception.study()

    with capture_logs() as logs:
        assert reception.send(own_result()).status == 0x0000

    assert reception.study() == before
    assert len(reception.files()) == 1
    assert "own_result_ignored" in {entry["event"] for entry in logs}


def test_our_own_result_is_a_duplicate_to_the_listener(reception: Reception) -> None:
    assert reception.intake.register(reception.spooled(own_result())) is Receipt.DUPLICATE
    assert reception.study() is None


def test_without_a_database_the_sender_is_told_to_come_again_and_the_file_is_adopted_later(
    reception: Reception, database_away: Ledger
) -> None:
    down = reception.with_ledger(database_away)
    with capture_logs():
        assert down.send(radiograph_dataset()).status == 0xA700
    (kept,) = reception.files()
    age(kept, 2 * ORPHAN_AGE_S)

    assert reception.intake.reconcile() == 1

    study = reception.study()
    assert study is not None
    assert study.calling_ae_title == "RECONCILED"
    assert reception.files() == [kept]


def test_what_was_refused_without_a_database_may_be_sent_again_before_it_is_adopted(
    reception: Reception, database_away: Ledger
) -> None:
    with capture_logs():
        reception.with_ledger(database_away).send(radiograph_dataset())
    (orphan,) = reception.files()
    assert reception.send(radiograph_dataset()).status == 0x0000
    age(orphan, 2 * ORPHAN_AGE_S)

    assert reception.intake.reconcile() == 0

    (row,) = reception.ledger.instance_paths()
    assert reception.files() == [reception.folder / "data" / row[1]]
    assert orphan not in reception.files()


def test_an_orphan_file_is_adopted_once(reception: Reception) -> None:
    reception.spooled(radiograph_dataset())
    with capture_logs() as logs:
        assert reception.intake.reconcile() == 1
        assert reception.intake.reconcile() == 0
    assert [entry["event"] for entry in logs] == [
        "instance_registered",
        "orphan_reconciled",
    ]


def test_a_young_file_is_left_to_the_association_that_is_registering_it(
    reception: Reception,
) -> None:
    path = reception.spooled(radiograph_dataset(), age_s=ORPHAN_AGE_S / 2).path
    assert reception.intake.reconcile() == 0
    assert reception.study() is None
    assert path.exists()


def test_an_orphan_that_appears_between_two_rounds_is_adopted_in_the_next(
    reception: Reception,
) -> None:
    assert reception.intake.reconcile() == 0
    reception.spooled(radiograph_dataset())
    assert reception.intake.reconcile() == 1


def test_an_unreadable_orphan_is_quarantined_with_an_alarm(reception: Reception) -> None:
    path = reception.spool.write(b"half an instance").path
    age(path, 2 * ORPHAN_AGE_S)

    with capture_logs() as logs:
        assert reception.intake.reconcile() == 0

    assert not path.exists()
    assert [kept.read_bytes() for kept in reception.quarantined()] == [b"half an instance"]
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("orphan_unreadable", "critical")
    ]


def test_an_orphan_that_conflicts_is_quarantined(reception: Reception) -> None:
    reception.send(radiograph_dataset())
    changed = radiograph_dataset()
    changed.PatientName = CANARY
    orphan = reception.spooled(changed)

    assert reception.intake.reconcile() == 0

    assert not orphan.path.exists()
    assert len(reception.quarantined()) == 1


def test_a_row_without_its_file_raises_the_alarm(reception: Reception) -> None:
    reception.send(radiograph_dataset())
    reception.files()[0].unlink()

    with capture_logs() as logs:
        reception.intake.reconcile()

    (alarm,) = logs
    assert (alarm["event"], alarm["log_level"]) == ("instance_file_missing", "critical")
    assert alarm["sop_instance_uid"] == radiograph_dataset().SOPInstanceUID


def test_a_file_that_the_reconciler_registered_first_is_never_discarded(
    reception: Reception,
) -> None:
    instance = reception.spooled(radiograph_dataset())
    reception.intake.reconcile()
    assert reception.intake.register(instance) is Receipt.ACCEPTED
    assert instance.path.exists()


def test_the_reconciler_never_touches_a_file_whose_row_exists(reception: Reception) -> None:
    reception.send(radiograph_dataset(1))
    reception.send(radiograph_dataset(2))
    before = reception.files()
    for path in before:
        age(path, 365 * 24 * 3600)
    assert reception.intake.reconcile(orphan_age_s=0) == 0
    assert reception.files() == before


def test_a_duplicate_that_is_discarded_while_the_reconciler_looks_stops_nothing(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = reception.spooled(radiograph_dataset(1)).path
    reception.spooled(radiograph_dataset(2))
    listed = reception.files()
    gone.unlink()
    monkeypatch.setattr(reception.spool, "files", lambda: iter(listed))
    assert reception.intake.reconcile() == 1


def test_an_instance_whose_header_cannot_be_parsed_is_kept_for_its_study_to_say_so(
    reception: Reception,
) -> None:
    """Out of resources would make its sender come again for ever."""
    instance = reception.spooled(radiograph_dataset())
    instance.path.write_bytes(b"no DICOM any more")

    assert reception.intake.register(instance) is Receipt.ACCEPTED
    assert reception.study() is not None


def test_leftovers_of_killed_writers_go_after_a_while(reception: Reception) -> None:
    temporary = reception.spool.root / "tmp"
    old, young = temporary / "old.dcm", temporary / "young.dcm"
    for path in (old, young):
        path.write_bytes(b"half")
    age(old, 2 * ORPHAN_AGE_S)
    reception.intake.reconcile(orphan_age_s=0)
    assert list(temporary.iterdir()) == [young]


def test_an_attribute_of_an_unknown_vr_stops_neither_intake_nor_reconciler(
    reception: Reception,
) -> None:
    dataset = radiograph_dataset()
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    known, unknown = b"\x08\x00\x08\x00CS", b"\x08\x00\x08\x00CZ"
    path = reception.spool.write(reception.write(dataset).read_bytes().replace(known, unknown)).path
    age(path, 2 * ORPHAN_AGE_S)

    assert reception.intake.reconcile() == 1
    assert reception.intake.register(describe_file(path, "MODALITY")) is Receipt.ACCEPTED
