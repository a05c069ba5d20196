"""Archives that refuse, send half, lie, abort or cut their answers short."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from db.ledger import Ledger
from db.session import make_engine, upgrade
from db.states import SweepState, SweepStudyState
from db.sweep_records import NewSweep, SweepRecord, SweepTally
from db.sweeps import Sweeps
from dicom_node.instance import RemoteAE
from dicom_node.receiver import Receiver
from dicom_node.storage_scp import StorageScp
from tests.chosen_outcomes import chosen_bundle
from tests.radiographs import NOW, Phantom, write_phantom
from tests.servers.scripted_archive import ScriptedArchive
from tests.unit.db.ledger_factories import ManualClock
from worker.composition import open_spool
from worker.intake import Intake
from worker.settings import Settings, SourceSettings, SweepSettings
from worker.sweeps.pacs import CUT_SHORT, PacsPlace
from worker.sweeps.selection import Selection
from worker.sweeps.sweeper import Sweeper

US = "FRACTURESCREEN"
STUDIES, INSTANCES = 3, 4


@dataclass
class Stage:
    """Our listener, a sweep in this process, and an archive that is told what to do."""

    archive: ScriptedArchive
    settings: Settings
    sweeps: Sweeps
    clock: ManualClock
    ledger: Ledger

    def sweep(self, **source: object) -> int:
        """Begin one; returns its number."""
        remote = self.archive.remote
        settings = {
            "name": "archive",
            "ae_title": remote.ae_title,
            "host": remote.host,
            "port": remote.port,
            "timeout_s": 5,
            "parallel": 1,
        }
        own = SourceSettings(**(settings | source))  # type: ignore[arg-type]
        selection = Selection(first_day=NOW.date() - timedelta(days=1), last_day=NOW.date())
        begun = self.sweeps.begin(NewSweep("archive", "", selection.to_json(), "tests"))
        assert begun is not None
        spool = open_spool(self.settings)
        receiver = Receiver(spool, Intake(self.ledger, spool, self.settings.data_folder).register)
        place = PacsPlace(
            own,
            selection,
            begun.id,
            self.settings,
            self.sweeps,
            chosen_bundle(),
            receiver,
            self.clock,
        )
        self.sweeper = Sweeper(
            self.settings, self.sweeps, spool, lambda record: place, "tests", self.clock, self._time
        )
        return begun.id

    def advance(self, sweep_id: int, by: timedelta = timedelta()) -> SweepRecord:
        self.clock.forward(by)
        self.sweeper.advance()
        record = self.sweeps.find(sweep_id)
        assert record is not None
        return record

    def to_the_end(self, sweep_id: int) -> SweepTally:
        """Ten minutes at a time, so that every retry is due."""
        for _ in range(20):
            if self.advance(sweep_id, timedelta(minutes=10)).state is SweepState.FINISHED:
                return self.sweeps.tally(sweep_id)
        raise AssertionError(f"the sweep never ends: {self.sweeps.find(sweep_id)}")

    def _time(self) -> float:
        return self.clock.now.timestamp()


@pytest.fixture
def phantoms(tmp_path: Path) -> list[Phantom]:
    return [
        write_phantom(
            tmp_path / "in", f"study {study}", n, made_at=NOW - timedelta(minutes=30 * study)
        )
        for study in range(STUDIES)
        for n in range(1, INSTANCES + 1)
    ]


@pytest.fixture
def stage(tmp_path: Path, phantoms: list[Phantom]) -> Iterator[Stage]:
    settings = Settings(
        data_folder=tmp_path / "data",
        sweep=SweepSettings(window_start="00:00", window_end="00:00"),  # type: ignore[arg-type]
        listener={"minimum_free_mib": 1},  # type: ignore[arg-type]
    )
    engine = make_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    upgrade(engine)
    clock = ManualClock()
    ledger, spool = Ledger(engine, clock), open_spool(settings)
    intake = Intake(ledger, spool, settings.data_folder)
    with (
        StorageScp(ae_title=US, host="127.0.0.1", port=0, spool=spool, sink=intake.register) as scp,
        ScriptedArchive(phantoms, RemoteAE(US, "127.0.0.1", scp.port)) as archive,
    ):
        yield Stage(archive, settings, Sweeps(engine, clock), clock, ledger)
    engine.dispose()


def test_a_study_that_the_archive_has_a_report_of_is_claimed_with_that(
    stage: Stage, phantoms: list[Phantom]
) -> None:
    report = Dataset()
    report.StudyInstanceUID, report.SeriesInstanceUID = phantoms[0].study_instance_uid, "1.2.77"
    report.SOPInstanceUID, report.Modality = "1.2.78", "SR"
    report.StudyDate, report.StudyTime = f"{NOW:%Y%m%d}", f"{NOW:%H%M%S}"
    stage.archive._headers.append(report)
    stage.to_the_end(stage.sweep())

    stage.ledger.mark_quiet_studies_ready(timedelta(0))
    queued = stage.ledger.queue_ready_studies(10)
    claims = [
        stage.ledger.claim_study(one.study_id, one.revision, "worker", timedelta(minutes=1))
        for one in queued
    ]
    reported = [one.study_instance_uid for one in claims if one and one.reported_at_source]
    assert (len(claims), reported) == (STUDIES, [phantoms[0].study_instance_uid])


def test_an_archive_that_does_as_it_is_asked(stage: Stage) -> None:
    sweep_id = stage.sweep()
    assert stage.advance(sweep_id).state is SweepState.FINISHED
    tally = stage.sweeps.tally(sweep_id)
    assert (tally.studies[SweepStudyState.TAKEN], tally.instances) == (3, 12)


def test_a_wrong_ae_title_is_told_and_costs_no_study(stage: Stage) -> None:
    sweep_id = stage.sweep(port=1)
    record = stage.advance(sweep_id)
    assert "check that it runs, the host and port" in record.remark
    assert record.state is SweepState.RUNNING


def test_an_unknown_move_destination_is_told_with_the_remedy(stage: Stage) -> None:
    stage.archive.on_move = lambda number: "unknown"
    sweep_id = stage.sweep(maximum_tries=2)
    tally = stage.to_the_end(sweep_id)
    (reason,) = tally.missing
    assert "0xA801, it does not know the move destination" in reason
    assert tally.missing == {reason: STUDIES}


@pytest.mark.parametrize("told", ["half", "lie", "abort"])
def test_what_did_not_come_is_asked_for_again_and_only_that(stage: Stage, told: str) -> None:
    stage.archive.on_move = lambda number: told if number == 1 else ""
    sweep_id = stage.sweep()
    tally = stage.to_the_end(sweep_id)
    assert tally.studies[SweepStudyState.TAKEN] == STUDIES
    assert len(list(open_spool(stage.settings).files())) == STUDIES * INSTANCES
    assert stage.archive.moves == STUDIES + 1


def test_what_never_comes_is_listed_and_what_came_is_screened(stage: Stage) -> None:
    stage.archive.on_move = lambda number: "lie"
    sweep_id = stage.sweep(maximum_tries=3)
    tally = stage.to_the_end(sweep_id)
    assert tally.missing == {"archive says that it sent all, but not all of it came": STUDIES}
    # Each time half of what was left: 2, 1, and 0 of the last one.
    assert tally.waiting == STUDIES
    assert len(list(open_spool(stage.settings).files())) == STUDIES * 3


def test_answers_that_are_cut_short_are_asked_for_by_shorter_periods(stage: Stage) -> None:
    stage.archive.most_answers = 1
    sweep_id = stage.sweep()
    tally = stage.to_the_end(sweep_id)
    assert tally.studies[SweepStudyState.TAKEN] == STUDIES


def test_what_cannot_be_told_apart_by_time_is_named(
    stage: Stage, phantoms: list[Phantom], tmp_path: Path
) -> None:
    same_minute = [write_phantom(tmp_path / "same", f"twin {n}") for n in range(3)]
    stage.archive._headers += [dcmread(one.path) for one in same_minute]
    stage.archive.most_answers = 2
    sweep_id = stage.sweep()
    tally = stage.to_the_end(sweep_id)
    assert tally.exclusions == {CUT_SHORT: 1}
