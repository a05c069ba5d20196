"""What drift is seen by, as the ledger keeps it on both databases."""

from datetime import timedelta
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import Engine

from db.measurements import Measurements
from db.outcomes import Outcome
from db.records import NewFinding
from dicom_node.received import describe_file
from tests.chosen_outcomes import LIKELY, screener_of
from tests.unit.db.ledger_factories import Bench, instance_uid, make_conclusion, study_uid
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.results import Source
from worker.screening import LONGEST_DEVICE

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

DIGEST = "ab" * 32
SEEN = NewFinding(
    instance_uid(1, 1), 1, True, probability=0.6, operating_point="sensitive", peak_row=1,
    peak_column=2, body_part_examined="HAND", device="Maker A", mean_intensity=0.25, rows=20,
    columns=30,
)  # fmt: skip


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


def test_findings_keep_what_drift_is_seen_by(bench: Bench) -> None:
    unread = NewFinding(
        instance_uid(1, 2), 0, False, "blank", body_part_examined="", device="Maker B"
    )
    bench.conclude(make_conclusion(findings=(SEEN, unread)))

    first, second = Measurements(bench.engine).of_model(DIGEST)

    assert (first.device, first.body_part_examined, first.analysed) == ("Maker A", "HAND", True)
    assert (first.probability, first.flagged, first.mean_intensity) == (0.6, True, 0.25)
    assert first.pixels == 600
    assert first.finished_at == bench.clock()
    assert (second.device, second.analysed, second.pixels) == ("Maker B", False, None)
    summary = bench.ledger.study_summary(study_uid(1))
    assert summary is not None
    assert summary.analysis is not None
    assert summary.analysis.findings == (SEEN, unread)


def test_other_models_superseded_analyses_and_what_is_no_radiograph_are_left_out(
    bench: Bench,
) -> None:
    report = NewFinding(instance_uid(1, 3), 0, False, "not a CR or DX image")
    bench.conclude(make_conclusion(findings=(SEEN, report)))
    measurements = Measurements(bench.engine)
    assert len(measurements.of_model(DIGEST)) == 1
    assert measurements.of_model("cd" * 32) == []

    bench.conclude(make_conclusion(Outcome.NOT_ANALYSED, findings=(report,)), number=2)
    assert measurements.of_model(DIGEST) == []


def test_a_period_holds_its_first_moment_and_not_its_last(bench: Bench) -> None:
    bench.conclude(make_conclusion(findings=(SEEN,)))
    measurements, when = Measurements(bench.engine), bench.clock()
    later = when + timedelta(seconds=1)
    assert len(measurements.of_model(DIGEST, since=when, until=later)) == 1
    assert measurements.of_model(DIGEST, since=later) == []
    assert measurements.of_model(DIGEST, until=when) == []


def look(path: Path) -> NewFinding:
    instance = describe_file(path, "")
    source = Source(instance.sop_instance_uid, instance.sop_class_uid, instance.sha256, path)
    (finding,) = screener_of(LIKELY).look_at(source).findings
    return finding


def test_a_screened_radiograph_tells_its_device_and_how_it_looks(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    dataset.Manufacturer, dataset.ManufacturerModelName = "Maker  A ", "X-1"
    dataset.StationName = "ROOM3"
    finding = look(write_instance(dataset, tmp_path / "one.dcm"))
    assert finding.device == "Maker A X-1 ROOM3"
    assert finding.body_part_examined == "HAND"
    assert (finding.rows, finding.columns) == (dataset.Rows, dataset.Columns)
    assert finding.mean_intensity is not None
    assert 0.0 < finding.mean_intensity < 1.0


def test_a_radiograph_that_is_not_analysed_tells_its_device_and_no_patient(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    dataset.Manufacturer, dataset.BodyPartExamined = "M" * 64, "CHEST"
    dataset.StationName = "S" * 500
    finding = look(write_instance(dataset, tmp_path / "one.dcm"))
    assert not finding.analysed
    assert finding.body_part_examined == "CHEST"
    assert finding.device is not None
    assert finding.device.startswith("M" * 64 + " ")
    assert len(finding.device) <= LONGEST_DEVICE
    assert str(dataset.PatientName) not in str(finding)


def test_an_object_that_is_no_radiograph_belongs_to_no_device(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    dataset.SOPClassUID = pydicom.uid.CTImageStorage
    assert look(write_instance(dataset, tmp_path / "one.dcm")).device is None
