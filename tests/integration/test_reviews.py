"""Reviews: entered from a table, kept with their history, given out without patient data."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import Dataset
from sqlalchemy import Engine

from db.errors import ReviewRefused
from db.ledger import Ledger
from db.reviews import NewReview, Reviews
from db.states import ReviewOutcome
from dicom_node.radiograph import PixelLimits, read_radiographs
from dicom_node.received import describe_file
from dicom_node.spool import Spool
from tests.unit.db.ledger_factories import Bench, ManualClock, instance_uid
from tests.unit.dicom_node.instances import put_pixels, radiograph_dataset, write_instance
from training.data.example import Box
from training.data.layouts import read_labelled_folder
from worker.errors import NothingToDo
from worker.intake import Intake
from worker.reviews.export import Exported, export_reviews, salt_in
from worker.reviews.table import read_reviews

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

WHEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CANARY = "Canary^Patient"


def review(uid: str = instance_uid(1, 1), **changes: object) -> NewReview:
    made = NewReview(uid, ReviewOutcome.DISAGREE, True, "reader 7", WHEN)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def reviews(ledger_engine: Engine) -> Reviews:
    Bench(ledger_engine).register(1, 1)
    return Reviews(ledger_engine, ManualClock())


def test_a_later_review_supersedes_and_the_history_is_kept(reviews: Reviews) -> None:
    first = review()
    later = review(fractured=False, reviewed_at=WHEN + timedelta(days=1))
    assert reviews.record([first]) == 1
    assert reviews.record([later]) == 1
    assert [one.review for one in reviews.in_force()] == [later]
    assert reviews.history(first.sop_instance_uid) == [first, later]


def test_a_review_that_is_older_than_the_one_in_force_becomes_history(reviews: Reviews) -> None:
    later, first = review(reviewed_at=WHEN + timedelta(days=1)), review(fractured=False)
    reviews.record([later, first])
    assert [one.review for one in reviews.in_force()] == [later]
    assert len(reviews.history(first.sop_instance_uid)) == 2


def test_the_same_reviews_twice_are_entered_once(reviews: Reviews) -> None:
    assert reviews.record([review(), review()]) == 1
    assert reviews.record([review()]) == 0


def test_an_unknown_instance_refuses_all(reviews: Reviews) -> None:
    with pytest.raises(ReviewRefused, match=r"9\.9\.9"):
        reviews.record([review(), review("9.9.9")])
    assert reviews.in_force() == []


HEAD = "sop_instance_uid,outcome,fractured,reader,reviewed_at,box_left,box_top,box_width,box_height"


def write_table(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "reviews.csv"
    path.write_text("\n".join((head, *lines)) + "\n")
    return path


def test_a_table_gives_its_reviews(tmp_path: Path) -> None:
    path = write_table(
        tmp_path,
        "1.2.3,agree,yes,r1,2026-03-04T06:06:07+01:00,5,6,7,8",
        "1.2.4,bad heatmap,,r1,2026-03-04T05:06:07Z,,,,",
    )
    assert read_reviews(path) == [
        NewReview("1.2.3", ReviewOutcome.AGREE, True, "r1", WHEN, 5, 6, 7, 8),
        NewReview("1.2.4", ReviewOutcome.BAD_HEATMAP, None, "r1", WHEN),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (",agree,yes,r,2026-03-04T05:06:07Z,,,,", "sop_instance_uid is empty"),
        ("1.2.3,perhaps,yes,r,2026-03-04T05:06:07Z,,,,", "'perhaps' is none of AGREE"),
        ("1.2.3,agree,maybe,r,2026-03-04T05:06:07Z,,,,", "fractured 'maybe'"),
        ("1.2.3,agree,yes,r,2026-03-04T05:06:07,,,,", "no time zone"),
        ("1.2.3,agree,yes,r,yesterday,,,,", "yesterday"),
        ("1.2.3,agree,yes,r,2026-03-04T05:06:07Z,5,6,,8", "all of box_left"),
        ("1.2.3,agree,yes,r,2026-03-04T05:06:07Z,-5,6,7,8", "whole numbers"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = write_table(tmp_path, "1.2.4,agree,yes,r1,2026-03-04T05:06:07Z,,,,", line)
    with pytest.raises(NothingToDo, match="line 3") as refusal:
        read_reviews(path)
    assert told in str(refusal.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="lacks the column reviewed_at"):
        read_reviews(write_table(tmp_path, head="sop_instance_uid,outcome,fractured,reader"))


class Archive:
    """Radiographs of two patients in a spool, with reviews."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder / "data"
        self.engine = engine
        self.ledger = Ledger(engine, ManualClock())
        self.spool = Spool(self.folder / "spool", minimum_free_bytes=0)
        self.reviews = Reviews(engine, ManualClock())

    def receive(self, number: int, patient_id: str, **attributes: str) -> str:
        dataset: Dataset = radiograph_dataset(number)
        dataset.PatientName, dataset.PatientID = CANARY, patient_id
        dataset.StudyInstanceUID = f"1.2.840.1.{number}"
        random = np.random.default_rng(number)
        put_pixels(dataset, random.integers(400, 4096, (80, 60), np.uint16))
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        source = write_instance(dataset, self.folder / f"{number}.dcm")
        spooled = self.spool.write(source.read_bytes())
        Intake(self.ledger, self.spool, self.folder).register(describe_file(spooled.path, "M"))
        source.unlink()
        return str(dataset.SOPInstanceUID)

    def export(self, out: Path, blank: float = 0.1) -> Exported:
        return export_reviews(
            self.reviews.in_force(),
            out,
            data_folder=self.folder,
            salt=salt_in(self.folder),
            read=read_radiographs,
            limits=PixelLimits(),
            blank=blank,
        )


@pytest.fixture
def archive(tmp_path: Path, ledger_engine: Engine) -> Archive:
    return Archive(tmp_path, ledger_engine)


def everything_in(folder: Path) -> bytes:
    names = "\n".join(str(path) for path in folder.rglob("*")).encode()
    return names + b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_an_export_is_a_labelled_set_that_keeps_patients_together_and_holds_no_patient_data(
    archive: Archive, tmp_path: Path
) -> None:
    uids = [archive.receive(1, "PAT-1"), archive.receive(2, "PAT-1"), archive.receive(3, "PAT-2")]
    box = {"box_left": 20, "box_top": 30, "box_width": 5, "box_height": 6}
    archive.reviews.record([review(uids[0], **box)])
    archive.reviews.record([review(uid, fractured=False) for uid in uids[1:]])

    assert archive.export(tmp_path / "out") == Exported(3, {})

    examples = read_labelled_folder(tmp_path / "out").examples
    assert sorted(example.fractured for example in examples) == [False, False, True]
    assert all(example.path.is_file() for example in examples)
    (fractured,) = (example for example in examples if example.fractured)
    assert fractured.boxes == (Box(20, 30, 5, 6),)
    assert fractured.region == "hand"
    patients = [example.groups[0] for example in examples]
    assert sorted(patients.count(one) for one in patients) == [1, 2, 2]
    content = everything_in(tmp_path / "out")
    for secret in (CANARY, "Canary", "PAT-1", "PAT-2", "reader 7", *uids, "1.2.840.1.1"):
        assert secret.encode() not in content


def test_the_corners_of_a_picture_are_black_and_the_rest_is_the_radiograph(
    archive: Archive, tmp_path: Path
) -> None:
    archive.reviews.record([review(archive.receive(1, "PAT-1"))])
    archive.export(tmp_path / "blanked", 0.2)
    archive.export(tmp_path / "whole", 0.0)
    blanked, whole = (
        cv2.imread(str(next((tmp_path / name / "images").iterdir())), cv2.IMREAD_UNCHANGED)
        for name in ("blanked", "whole")
    )
    assert blanked is not None
    assert whole is not None
    assert blanked.shape == whole.shape == (80, 60)
    for rows in (slice(None, 12), slice(-12, None)):
        for columns in (slice(None, 12), slice(-12, None)):
            assert not blanked[rows, columns].any()
            assert whole[rows, columns].any()
    assert np.array_equal(blanked[12:-12], whole[12:-12])
    assert np.array_equal(blanked[:, 12:-12], whole[:, 12:-12])
    assert "were NOT blanked" in (tmp_path / "whole" / "README.txt").read_text()
    assert "20 % of the shorter side" in (tmp_path / "blanked" / "README.txt").read_text()


def test_what_cannot_be_given_out_is_left_out_with_its_reason(
    archive: Archive, tmp_path: Path
) -> None:
    burned = archive.receive(1, "P", BurnedInAnnotation="YES")
    undecided, cornered = archive.receive(2, "P"), archive.receive(3, "P")
    gone = archive.receive(4, "P")
    box = {"box_left": 1, "box_top": 2, "box_width": 3, "box_height": 4}
    archive.reviews.record(
        [review(burned), review(undecided, fractured=None), review(cornered, **box), review(gone)]
    )
    path = next(one.path for one in archive.reviews.in_force() if one.review == review(gone))
    (archive.folder / path).unlink()

    exported = archive.export(tmp_path / "out")

    assert exported.written == 0
    assert exported.left_out == {
        "states burned-in annotation": 1,
        "the reader left open whether it is fractured": 1,
        "the fracture lies in a corner that is blanked": 1,
        "not in the spool any more, or not readable": 1,
    }
    with (tmp_path / "out" / "labels.csv").open() as table:
        assert list(csv.DictReader(table)) == []


def test_a_patients_hash_cannot_be_made_without_the_installations_secret(
    archive: Archive, tmp_path: Path
) -> None:
    archive.reviews.record([review(archive.receive(1, "PAT-1"))])
    archive.export(tmp_path / "first")
    salt = archive.folder / "reviews" / "salt"
    assert salt.stat().st_mode & 0o777 == 0o600
    assert salt_in(archive.folder) == salt.read_bytes()
    archive.export(tmp_path / "again")
    salt.unlink()
    archive.export(tmp_path / "other salt")
    tables = [
        (tmp_path / name / "labels.csv").read_text() for name in ("first", "again", "other salt")
    ]
    assert tables[0] == tables[1] != tables[2]


def test_a_secret_that_a_power_failure_cut_short_is_refused(tmp_path: Path) -> None:
    salt_in(tmp_path)
    (tmp_path / "reviews" / "salt").write_bytes(b"")
    with pytest.raises(NothingToDo, match="0 bytes instead of 32"):
        salt_in(tmp_path)
    assert [path.name for path in (tmp_path / "reviews").iterdir()] == ["salt"]


def test_a_folder_in_use_is_refused(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").write_text(json.dumps({}))
    with pytest.raises(NothingToDo, match="not empty"):
        archive.export(tmp_path / "out")
