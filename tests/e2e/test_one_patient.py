"""One patient per study, over real C-STORE, with DCMTK as the PACS and an HL7 receiver."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from db.outcomes import Outcome
from tests.radiographs import Phantom, write_phantom
from tests.servers.dcmtk import needs_dcmtk, storescp
from tests.servers.mllp import MllpReceiver
from tests.servers.product import (
    MakeProduct,
    Product,
    destination_toml,
    run_command,
    wait_for,
)

pytestmark = needs_dcmtk

JANE, RICHARD = ("Canary^Jane", "CANARY-1"), ("Canary^Richard", "CANARY-2")


@dataclass
class Hospital:
    product: Product
    ris: MllpReceiver
    pacs: Path

    def run(self, *arguments: str) -> str:
        done = run_command("--config", str(self.product.config), *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sent(self) -> list[pydicom.Dataset]:
        """What arrived in the PACS."""
        return [pydicom.dcmread(path) for path in sorted(self.pacs.iterdir())]

    def told(self) -> list[str]:
        """Patient IDs of the messages to the RIS."""
        return [str(message.segment("PID")[3]) for message in self.ris.messages]


@pytest.fixture
def hospital(make_product: MakeProduct, tmp_path: Path) -> Iterator[Hospital]:
    pacs = tmp_path / "pacs"
    pacs.mkdir()
    with storescp(pacs) as archive, MllpReceiver() as ris:
        outcomes = '["POSITIVE", "DOUBTFUL", "NEGATIVE", "INCOMPLETE", "NOT_ANALYSED"]'
        product = make_product(
            destination_toml("pacs", archive.ae_title, archive.port)
            + f'[[hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {ris.port}\n'
            + f"outcomes = {outcomes}\n"
        )
        product.start()
        yield Hospital(product, ris, pacs)


def of_patient(phantom: Phantom, patient: tuple[str, str], syntax: str = "") -> Path:
    """The phantom as one of this patient, in a transfer syntax of its own if it is given."""
    dataset = pydicom.dcmread(phantom.path)
    dataset.PatientName, dataset.PatientID = patient
    if syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
    path = phantom.path.with_name(f"{patient[1]}-{len(list(phantom.path.parent.iterdir()))}.dcm")
    implicit = dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    dataset.save_as(path, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    return path


def test_nothing_of_a_study_of_two_patients_is_sent_until_it_is_resolved(
    hospital: Hospital, tmp_path: Path
) -> None:
    one, other = (write_phantom(tmp_path / "in", "two patients", n) for n in (1, 3))
    stored = hospital.product.send([of_patient(one, JANE), of_patient(other, RICHARD)])
    assert [result.status for result in stored] == [0x0000, 0x0000]
    uid = one.study_instance_uid

    study = hospital.product.wait_until_finished(uid)

    assert study.outcome is Outcome.NOT_ANALYSED
    assert study.reason == "instances of different patients"
    assert study.results == ()
    assert hospital.sent() == []
    assert hospital.told() == []
    assert uid in hospital.run("study", "held")
    shown = hospital.run("study", "identities", uid)
    assert "Canary, Jane, ID CANARY-1" in shown
    assert "Canary, Richard, ID CANARY-2" in shown
    assert other.sop_instance_uid in shown

    hospital.run("study", "resolve", uid, "--keep", "CANARY-2")
    study = hospital.product.wait_until_finished(uid, revision=2)

    assert study.outcome is not Outcome.NOT_ANALYSED
    results = hospital.sent()
    assert {str(result.PatientID) for result in results} == {"CANARY-2"}
    wait_for(lambda: hospital.told() == ["CANARY-2"], "the RIS was told", hospital.product.log)
    assert hospital.run("study", "held").strip() == "no study is held"
    assert "resolved identities" in hospital.run("audit", "list")
    assert "Canary" not in (hospital.product.folder / "log.jsonl").read_text()


def test_accepted_demographics_replace_the_results(hospital: Hospital, tmp_path: Path) -> None:
    phantom = write_phantom(tmp_path / "in", "corrected", 1)
    hospital.product.send([of_patient(phantom, JANE)])
    uid = phantom.study_instance_uid
    before = hospital.product.wait_until_finished(uid)
    (answer,) = hospital.product.send([of_patient(phantom, RICHARD)])
    assert answer.status == 0x0111
    listed = hospital.run("quarantine", "list", "--json")
    assert "CANARY-2" in listed
    (kept,) = (hospital.product.settings.spool_folder / "quarantine").iterdir()

    assert "Patient ID" in hospital.run("quarantine", "show", kept.name)
    hospital.run("quarantine", "accept", kept.name)
    study = hospital.product.wait_until_finished(uid, revision=2)

    old = {result.sop_instance_uid for result in before.results}
    new = {result.sop_instance_uid for result in study.results}
    assert old.isdisjoint(new)
    named = {str(one.SOPInstanceUID): str(one.PatientID) for one in hospital.sent()}
    assert {named[one] for one in old & named.keys()} == {"CANARY-1"}
    assert {named[one] for one in new & named.keys()} == {"CANARY-2"}
    assert new & named.keys()
    assert not kept.exists()
    assert "Canary" not in (hospital.product.folder / "log.jsonl").read_text()


def test_the_same_object_in_implicit_vr_is_a_duplicate(hospital: Hospital, tmp_path: Path) -> None:
    phantom = write_phantom(tmp_path / "in", "implicit", 1)
    explicit = of_patient(phantom, JANE, ExplicitVRLittleEndian)
    implicit = of_patient(phantom, JANE, ImplicitVRLittleEndian)
    hospital.product.send([explicit])
    hospital.product.wait_until_finished(phantom.study_instance_uid)
    results = len(hospital.sent())

    (answer,) = hospital.product.send([implicit])

    assert answer.status == 0x0000
    study = hospital.product.ledger.study_summary(phantom.study_instance_uid)
    assert study is not None
    assert study.revision == 1
    assert study.is_finished
    assert hospital.run("quarantine", "list").strip() == "nothing is in quarantine"
    assert len(hospital.sent()) == results
