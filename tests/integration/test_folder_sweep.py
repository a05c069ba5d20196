"""A sweep over a folder of files: deep, mixed, read only, interrupted."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.ledger import Ledger
from db.records import NewFinding
from db.states import StudyState, SweepState, SweepStudyState
from db.sweep_records import NewSweep, SweepTally
from db.sweeps import Sweeps
from dicom_node.receiver import Receiver
from tests.chosen_outcomes import chosen_bundle
from tests.radiographs import NOW, Phantom, write_phantom
from tests.unit.db.ledger_factories import LEASE, ManualClock, make_conclusion
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.composition import open_spool
from worker.intake import Intake
from worker.settings import Settings
from worker.sweeps import folder as folder_module
from worker.sweeps.difference import OTHER_BODY_PART, SCREENED
from worker.sweeps.folder import (
    DIRECTORY,
    NO_RADIOGRAPH,
    NOT_DICOM,
    OTHER_DAY,
    FolderPlace,
)
from worker.sweeps.selection import Selection
from worker.sweeps.sweeper import Sweeper


@dataclass
class Archive:
    """A folder, and what sweeps make of it."""

    folder: Path
    settings: Settings
    ledger: Ledger
    sweeps: Sweeps
    clock: ManualClock

    def place(self, sweep_id: int, selection: Selection) -> FolderPlace:
        spool = open_spool(self.settings)
        receiver = Receiver(spool, Intake(self.ledger, spool, self.settings.data_folder).register)
        return FolderPlace(
            self.folder, selection, sweep_id, self.sweeps, chosen_bundle(), receiver, self.clock
        )

    def begin(self, selection: Selection | None = None) -> int:
        chosen = (selection or Selection(any_time=True)).to_json()
        begun = self.sweeps.begin(NewSweep("", str(self.folder), chosen, "tests"))
        assert begun is not None
        return begun.id

    def sweep(self, selection: Selection | None = None) -> SweepTally:
        sweep_id = self.begin(selection)
        self.advance(sweep_id, self.place(sweep_id, selection or Selection(any_time=True)))
        return self.sweeps.tally(sweep_id)

    def advance(self, sweep_id: int, place: FolderPlace) -> SweepState:
        spool = open_spool(self.settings)
        sweeper = Sweeper(
            self.settings, self.sweeps, spool, lambda record: place, "tests", self.clock
        )
        sweeper.advance()
        record = self.sweeps.find(sweep_id)
        assert record is not None
        return record.state

    def screen(self, digest: str) -> None:
        """All that waits, by a model of this digest."""
        self.clock.forward(LEASE)
        self.ledger.mark_quiet_studies_ready(timedelta(0))
        for queued in self.ledger.queue_ready_studies(1000):
            claim = self.ledger.claim_study(queued.study_id, queued.revision, "worker", LEASE)
            assert claim is not None
            findings = tuple(
                NewFinding(one.sop_instance_uid, 1, analysed=True, probability=0.1)
                for one in claim.instances
            )
            made = replace(make_conclusion(findings=findings), model_digest=digest)
            assert self.ledger.conclude(claim, made, self.clock())


@pytest.fixture
def archive(tmp_path: Path, ledger_engine: Engine) -> Archive:
    folder = tmp_path / "archive"
    folder.mkdir()
    clock = ManualClock()
    settings = Settings(data_folder=tmp_path / "data", listener={"minimum_free_mib": 1})  # type: ignore[arg-type]
    return Archive(
        folder, settings, Ledger(ledger_engine, clock), Sweeps(ledger_engine, clock), clock
    )


def put(archive: Archive, place: str, study: str, number: int = 1, **options: object) -> Phantom:
    return write_phantom(archive.folder / place, study, number, **options)  # type: ignore[arg-type]


def test_a_mixed_tree_gives_each_file_its_place_or_its_reason(archive: Archive) -> None:
    put(archive, "2019/a", "one", 1)
    put(archive, "2020/b/deep/deeper", "one", 2)
    put(archive, "2020", "two")
    put(archive, "2020", "chest", body_part_examined="CHEST")
    put(archive, ".trash", "hidden")
    (archive.folder / "readme.txt").write_text("not DICOM")
    (archive.folder / "empty.dcm").write_bytes(b"")
    ct = radiograph_dataset(5)
    ct.SOPClassUID, ct.StudyInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    write_instance(ct, archive.folder / "ct.dcm")
    directory = radiograph_dataset(6)
    directory.SOPClassUID = "1.2.840.10008.1.3.10"
    write_instance(directory, archive.folder / "DICOMDIR")
    before = {path: path.stat().st_mtime_ns for path in archive.folder.rglob("*")}

    tally = archive.sweep()

    assert tally.studies[SweepStudyState.TAKEN] == 2
    assert tally.exclusions == {
        NOT_DICOM: 2,
        DIRECTORY: 1,
        NO_RADIOGRAPH: 1,
        OTHER_BODY_PART: 1,
    }
    assert tally.waiting == 2
    assert tally.instances == 3
    assert before == {path: path.stat().st_mtime_ns for path in archive.folder.rglob("*")}


def test_the_same_instance_from_a_folder_and_by_network_is_one(archive: Archive) -> None:
    """The spool's copy has the bytes that C-STORE would have given it."""
    phantom = put(archive, "a", "one")
    archive.sweep()
    (path,) = archive.sweeps.paths(phantom.study_instance_uid)
    first = (archive.settings.data_folder / path).read_bytes()
    shutil.copy(archive.settings.data_folder / path, archive.folder / "a" / "again.dcm")
    tally = archive.sweep()
    assert tally.exclusions == {"being screened already": 1}
    assert first.endswith(phantom.path.read_bytes()[-1000:])


def test_what_was_swept_is_left_out_and_by_another_model_screened_again(
    archive: Archive,
) -> None:
    for number in range(5):
        put(archive, f"{number}", f"study {number}")
    archive.sweep()
    digest = chosen_bundle().identity.digest
    archive.screen(digest)
    assert archive.sweep().exclusions == {SCREENED: 5}
    late = put(archive, "late", "study 3", 2)
    tally = archive.sweep()
    assert tally.exclusions == {SCREENED: 4}
    assert tally.studies[SweepStudyState.TAKEN] == 1
    archive.screen("another model")
    again = archive.sweep()
    assert again.exclusions == {SCREENED: 4}
    assert again.studies[SweepStudyState.TAKEN] == 1
    summary = archive.ledger.study_summary(late.study_instance_uid)
    assert summary is not None
    assert (summary.state, summary.revision, summary.instance_count) == (StudyState.READY, 3, 2)


def test_study_dates_choose_files(archive: Archive) -> None:
    put(archive, "a", "old", made_at=NOW - timedelta(days=400))
    put(archive, "b", "new")
    selection = Selection(first_day=date(2026, 1, 1), any_time=True)
    tally = archive.sweep(selection)
    assert tally.exclusions == {OTHER_DAY: 1}
    assert tally.studies[SweepStudyState.TAKEN] == 1


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_sweep_that_is_cut_off_goes_on_with_nothing_twice(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed in the middle of a step: its files come once more, and the ledger knows them."""
    monkeypatch.setattr(folder_module, "_STEP", 2)
    for number in range(7):
        put(archive, f"{number % 3}", f"study {number}")
    sweep_id = archive.begin()
    selection = Selection(any_time=True)
    killed = archive.place(sweep_id, selection)
    calls = 0
    take_in: Callable[..., str] = killed._take_in

    def dying(file: object) -> str:
        nonlocal calls
        calls += 1
        problem = take_in(file)
        if calls == 2 * step:
            raise KeyboardInterrupt
        return problem

    monkeypatch.setattr(killed, "_take_in", dying)
    with pytest.raises(KeyboardInterrupt):
        archive.advance(sweep_id, killed)
    archive.clock.forward(timedelta(hours=1))

    assert archive.advance(sweep_id, archive.place(sweep_id, selection)) is SweepState.FINISHED

    tally = archive.sweeps.tally(sweep_id)
    assert tally.studies[SweepStudyState.TAKEN] == 7
    assert tally.instances == tally.waiting == 7
    assert len(list(open_spool(archive.settings).files())) == 7


def test_a_folder_that_is_away_is_waited_for(archive: Archive) -> None:
    put(archive, "a", "one")
    sweep_id = archive.begin()
    hidden = archive.folder.rename(archive.folder.with_name("unmounted"))
    place = archive.place(sweep_id, Selection(any_time=True))
    assert archive.advance(sweep_id, place) is SweepState.RUNNING
    record = archive.sweeps.find(sweep_id)
    assert record is not None
    assert "is no folder, or cannot be read; asks again in" in record.remark
    hidden.rename(archive.folder)
    assert archive.advance(sweep_id, place) is SweepState.FINISHED


def test_a_plan_counts_the_same_and_takes_nothing(archive: Archive) -> None:
    put(archive, "a", "one")
    put(archive, "b", "two")
    (archive.folder / "notes.txt").write_text("x")
    decisions = list(archive.place(0, Selection()).plan())
    kinds = sorted(type(decision).__name__ for decision in decisions)
    assert kinds == ["Excluded", "Fetch", "Fetch"]
    assert not list(open_spool(archive.settings).files())
