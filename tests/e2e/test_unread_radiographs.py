"""Live studies of a normal radiograph and one that another header or another file keeps from us.

What nobody analysed must never be told to a RIS as a negative.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import hl7
import pydicom
import pytest
from pydicom import Dataset

from db.outcomes import Outcome
from dicom_node.result_file import write_result
from dicom_node.uids import derived_uid
from tests.servers.mllp import MllpReceiver
from tests.servers.product import MakeProduct, Product, wait_for
from worker.demonstration.studies import prepare_own_studies

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NORMAL, FRACTURED, CHEST = "Knee", "Forearm", "Chest"


def write_study(
    folder: Path, name: str, change: Callable[[Dataset], None], *pictures: str
) -> tuple[str, list[Path]]:
    """One study of shipped radiographs; `change` is made to the last one."""
    own = {study.name: study.paths[0] for study in prepare_own_studies(folder / name, NOW)}
    study_uid, paths = derived_uid("test study", name), []
    for number, picture in enumerate(pictures, start=1):
        dataset = pydicom.dcmread(own[picture])
        dataset.StudyInstanceUID = study_uid
        dataset.SeriesInstanceUID = derived_uid("test series", name, str(number))
        uid = derived_uid("test instance", name, str(number))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.PatientID, dataset.PatientName = f"DEMO-{name}"[:64], "Demo^Study"
        if number == len(pictures):
            change(dataset)
        paths.append(folder / f"{uid}.dcm")
        write_result(dataset, paths[-1])
    return study_uid, paths


def stating(**values: object) -> Callable[[Dataset], None]:
    """A change of attributes; None removes one."""

    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            if value is not None:
                setattr(dataset, keyword, value)
            elif keyword in dataset:
                del dataset[keyword]

    return change


def in_colour(dataset: Dataset) -> None:
    dataset.PhotometricInterpretation = "PALETTE COLOR"


def told(messages: list[hl7.Message], study_uid: str) -> list[str]:
    """OBX-8 of RESULT, what is said of the study as a whole; images have their own."""
    return [
        str(obx[8])
        for message in messages
        if study_uid in str(message)
        for obx in message.segments("OBX")
        if str(obx[3]).startswith("RESULT^")
    ]


@pytest.fixture
def product(make_product: MakeProduct, ris: MllpReceiver) -> Product:
    receiver = f'[[hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {ris.port}\n'
    made = make_product(receiver)
    made.start()
    return made


@pytest.fixture
def ris() -> MllpReceiver:
    return MllpReceiver()


CASES: dict[str, tuple[Callable[[Dataset], None], Outcome]] = {
    "hands": (stating(BodyPartExamined="HANDS", AnatomicRegionSequence=None), Outcome.POSITIVE),
    "forearm": (stating(BodyPartExamined="UNTERARM"), Outcome.POSITIVE),
    "unknown": (stating(BodyPartExamined="XYZ", AnatomicRegionSequence=None), Outcome.POSITIVE),
    "palette": (in_colour, Outcome.INCOMPLETE),
    "no-pixels": (stating(PixelData=None), Outcome.INCOMPLETE),
}


def test_a_fracture_under_another_word_or_in_an_unread_file_is_never_a_negative(
    product: Product, ris: MllpReceiver, tmp_path: Path
) -> None:
    with ris:
        studies = {}
        for name, (change, _) in CASES.items():
            studies[name], paths = write_study(tmp_path, name, change, NORMAL, FRACTURED)
            assert all(result.status == 0 for result in product.send(paths))
        chest, paths = write_study(tmp_path, "chest", lambda dataset: None, NORMAL, CHEST)
        product.send(paths)
        outcomes = {}
        for name, study in (studies | {"chest": chest}).items():
            outcomes[name] = product.wait_until_finished(study).outcome
        wait_for(lambda: len(ris.messages) >= len(outcomes), "every message came", product.log)

    assert outcomes == {
        **{name: outcome for name, (_, outcome) in CASES.items()},
        "chest": Outcome.NEGATIVE,
    }
    for study in studies.values():
        (abnormal,) = told(ris.messages, study)
        assert abnormal in ("A", "")
    assert told(ris.messages, chest) == ["N"]
