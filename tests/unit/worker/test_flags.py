"""Who is told of a sweep's results: only of recent studies that nobody has reported."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from pydicom import Dataset

from db.outcomes import Outcome
from db.records import ClaimedStudy, NewFinding
from dicom_node.result_file import MANUFACTURER
from models.prediction import ModelIdentity
from tests.unit.dicom_node.instances import NOW, radiograph_dataset, write_instance
from worker.conclude import Verdict
from worker.flags import NO_DATE, REPORTED, TOO_OLD, Flags, make_flags
from worker.results import Source
from worker.screening import Screening
from worker.settings import Hl7Receiver, Settings

PDF, SR, DOSE = (
    "1.2.840.10008.5.1.4.1.1.104.1",
    "1.2.840.10008.5.1.4.1.1.88.11",
    "1.2.840.10008.5.1.4.1.1.88.67",
)
FINDING = NewFinding("1.2.3", 1, analysed=True, probability=0.9, operating_point="specific")


def make(
    folder: Path,
    header: Dataset,
    sources: tuple[Source, ...] = (),
    findings: tuple[NewFinding, ...] = (FINDING,),
    told: Outcome | None = None,
) -> Flags:
    settings = Settings(
        data_folder=folder, hl7=(Hl7Receiver(name="ris", host="ris.example", port=2575),)
    )
    before = {"ris": told} if told else {}
    claim = ClaimedStudy(1, 1, "1.2", 1, NOW, (), sweep_id=7, told=before)
    screening = Screening(Verdict(Outcome.POSITIVE, "", 0.9), (findings,), ())
    model = ModelIdentity("mobilenet", "1.0", "ab" * 32)
    return make_flags(settings, claim, sources, model, screening, header, NOW, sends=True)


def header_of(day: str) -> Dataset:
    dataset = radiograph_dataset()
    dataset.StudyDate = day
    return dataset


@pytest.mark.parametrize(
    ("day", "withheld"),
    [
        (f"{NOW.date():%Y%m%d}", None),
        (f"{NOW.date() - timedelta(days=30):%Y%m%d}", None),
        (f"{NOW.date() - timedelta(days=31):%Y%m%d}", TOO_OLD),
        (f"{date(1900, 1, 1):%Y%m%d}", TOO_OLD),
        ("", NO_DATE),
        ("gestern", NO_DATE),
    ],
)
def test_the_studys_date_decides(tmp_path: Path, day: str, withheld: str | None) -> None:
    flags = make(tmp_path, header_of(day))
    assert flags.withheld == withheld
    assert len(flags.messages) == (withheld is None)


@pytest.mark.parametrize(
    ("sop_class", "manufacturer", "withheld"),
    [
        (SR, "Somebody", REPORTED),
        (PDF, "Somebody", REPORTED),
        (PDF, MANUFACTURER, None),
        (DOSE, "Somebody", None),
    ],
)
def test_a_report_that_came_with_the_study_and_is_not_ours_keeps_us_silent(
    tmp_path: Path, sop_class: str, manufacturer: str, withheld: str | None
) -> None:
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID, report.Manufacturer = sop_class, "1.9", manufacturer
    path = write_instance(report, tmp_path / "report.dcm")
    source = Source("1.9", sop_class, "00" * 32, path)
    assert make(tmp_path, header_of(f"{NOW:%Y%m%d}"), (source,)).withheld == withheld


@pytest.mark.parametrize(
    ("told", "messages", "withheld"),
    [(Outcome.NEGATIVE, 1, None), (Outcome.POSITIVE, 0, TOO_OLD), (None, 0, TOO_OLD)],
)
def test_who_was_told_otherwise_is_told_however_old_the_study_is(
    tmp_path: Path, told: Outcome | None, messages: int, withheld: str | None
) -> None:
    flags = make(tmp_path, header_of("19000101"), told=told)
    assert (len(flags.messages), flags.withheld) == (messages, withheld)


def test_of_instances_that_are_no_radiographs_nothing_is_listed(tmp_path: Path) -> None:
    slices = tuple(
        NewFinding(f"1.2.{n}", 0, analysed=False, reason="not a CR or DX image") for n in range(500)
    )
    (message,) = make(tmp_path, header_of(f"{NOW:%Y%m%d}"), findings=slices).messages
    assert b"IMAGE^" not in (tmp_path / message.path).read_bytes()


def test_no_receiver_needs_no_reason(tmp_path: Path) -> None:
    claim = ClaimedStudy(1, 1, "1.2", 1, NOW, (), sweep_id=7)
    screening = Screening(Verdict(Outcome.POSITIVE, "", 0.9), ((FINDING,),), ())
    model = ModelIdentity("mobilenet", "1.0", "ab" * 32)
    settings = Settings(data_folder=tmp_path)
    assert make_flags(settings, claim, (), model, screening, None, NOW, sends=False) == Flags()
