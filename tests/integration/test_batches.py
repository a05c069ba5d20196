"""Studies of the backlog, screened together: each with its own end, quietly, and marked as such."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db import tables
from db.failure_reasons import FailureReason
from db.ledger import Ledger
from db.outcomes import Outcome
from db.records import QueuedStudy, StudySummary
from db.states import StudyState
from db.sweep_records import Candidate, NewSweep
from db.sweeps import Sweeps
from dicom_node.errors import ReadingFailed
from dicom_node.radiograph import PixelLimits, read_radiographs
from dicom_node.received import describe_file
from models.classifier import BATCH_SIZE, Classifier
from tests.chosen_outcomes import (
    LIKELY,
    NEGATIVE,
    NOW,
    POSSIBLE,
    ChosenEngine,
    chosen_bundle,
    screener_of,
)
from tests.radiographs import make_for_processing, write_phantom
from tests.unit.db.ledger_factories import ManualClock
from worker.app import SCREEN_BATCH_TASK, make_celery
from worker.batches import MOST_HELD, BatchReader
from worker.composition import open_spool
from worker.flags import NEVER, NOT_SENT, REPORTED, TOO_OLD
from worker.intake import Intake
from worker.patient_identity import DIFFERENT_PATIENTS
from worker.queues import queue_depth
from worker.screening import Screener
from worker.settings import (
    Destination,
    Hl7Receiver,
    Settings,
    StudySettings,
    SweepSettings,
    load_settings,
)
from worker.sweeps.selection import Selection
from worker.tasks import register_backlog

LEASE = timedelta(minutes=5)


@dataclass
class Backlog:
    """What a sweep has fetched, and a worker's task that screens it."""

    settings: Settings
    ledger: Ledger
    sweeps: Sweeps
    clock: ManualClock
    folder: Path
    engine: Engine
    sweep_id: int = 0

    def fetch(
        self,
        *studies: str,
        instances: int = 1,
        delivers: bool = True,
        patients: int = 1,
        for_processing: int = 0,
    ) -> list[str]:
        """Study UIDs of phantoms of so many patients each, as a sweep takes them in.

        The first ones are FOR PROCESSING.
        """
        begun = self.sweeps.begin(
            NewSweep("archive", "", Selection(delivers=delivers).to_json(), "tests")
        )
        assert begun is not None
        self.sweep_id = begun.id
        return [self._fetch(study, instances, patients, for_processing) for study in studies]

    def screen(self, screener: Screener, readers: int = 2) -> None:
        """All that is queued, in one batch."""
        queued = self.queue()
        reader = BatchReader([read_radiographs] * readers)
        app = make_celery(self.settings)
        register_backlog(app, self.settings, self.ledger, self.sweeps, lambda: screener, reader)
        app.tasks[SCREEN_BATCH_TASK]([(one.study_id, one.revision) for one in queued])
        reader.close()

    def queue(self) -> list[QueuedStudy]:
        self.clock.forward(LEASE)
        self.ledger.mark_quiet_studies_ready(LEASE)
        queued = self.ledger.queue_ready_studies(100)
        assert all(one.backlog for one in queued)
        return queued

    def study(self, uid: str) -> StudySummary:
        summary = self.ledger.study_summary(uid)
        assert summary is not None
        return summary

    def outcomes(self, uids: Sequence[str]) -> list[Outcome | None]:
        return [self.study(uid).outcome for uid in uids]

    def _fetch(self, study: str, instances: int, patients: int, for_processing: int) -> str:
        phantoms = [write_phantom(self.folder, study, n) for n in range(1, instances + 1)]
        uid = phantoms[0].study_instance_uid
        self.sweeps.record_search(self.sweep_id, [Candidate(uid)], "", searched=True)
        (item,) = (
            one
            for one in self.sweeps.to_see_to(self.sweep_id, 100)
            if one.study_instance_uid == uid
        )
        self.sweeps.begin_fetch(item.id, instances, self.clock() + LEASE)
        spool = open_spool(self.settings)
        intake = Intake(self.ledger, spool, self.settings.data_folder)
        for number, phantom in enumerate(phantoms):
            if number % patients:
                dataset = dcmread(phantom.path)
                dataset.PatientID = f"PATIENT-{number % patients}"
                dataset.save_as(phantom.path)
            if number < for_processing:
                make_for_processing(phantom.path)
            spooled = spool.write(phantom.path.read_bytes())
            intake.register(describe_file(spooled.path, "ARCHIVE"))
        self.sweeps.end_fetch(item.id, instances)
        return uid


@pytest.fixture
def backlog(tmp_path: Path, ledger_engine: Engine) -> Backlog:
    settings = load_settings(
        data_folder=tmp_path / "data",
        study=StudySettings(maximum_attempts=2),
        destinations=(Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104),),
    )
    clock = ManualClock()
    ledger, sweeps = Ledger(ledger_engine, clock), Sweeps(ledger_engine, clock)
    return Backlog(settings, ledger, sweeps, clock, tmp_path / "in", ledger_engine)


def test_a_study_of_two_patients_is_held_whoever_brought_it(backlog: Backlog) -> None:
    (held,) = backlog.fetch("two patients", instances=2, patients=2)
    backlog.screen(screener_of(LIKELY))
    study = backlog.study(held)
    assert (study.outcome, study.reason) == (Outcome.NOT_ANALYSED, DIFFERENT_PATIENTS)
    assert study.results == ()


def test_an_image_for_processing_is_left_out_for_its_twin(backlog: Backlog) -> None:
    (study,) = backlog.fetch("twins", instances=2, for_processing=1)
    backlog.screen(screener_of(LIKELY))
    assert [result.kind for result in backlog.study(study).results] == ["overlay", "report"]


def test_each_study_of_a_batch_has_its_own_outcome(backlog: Backlog) -> None:
    uids = backlog.fetch("one", "two", "three")
    backlog.screen(screener_of(NEGATIVE, LIKELY, POSSIBLE))
    assert backlog.outcomes(uids) == [Outcome.NEGATIVE, Outcome.POSITIVE, Outcome.DOUBTFUL]


def test_only_positives_have_results_and_go_out(backlog: Backlog) -> None:
    one, two, three = backlog.fetch("one", "two", "three")
    backlog.screen(screener_of(NEGATIVE, LIKELY, POSSIBLE))
    assert backlog.study(one).results == backlog.study(three).results == ()
    assert [result.kind for result in backlog.study(two).results] == ["overlay", "report"]
    assert all(len(result.deliveries) == 1 for result in backlog.study(two).results)
    assert not (backlog.settings.results_folder / "1").exists()


def told(backlog: Backlog, uid: str) -> tuple[list[str], str | None]:
    """Kinds of the study's results, and why no message was made."""
    analysis = backlog.study(uid).analysis
    assert analysis is not None
    return [one.kind for one in analysis.results], analysis.unflagged_reason


@pytest.fixture
def telling(backlog: Backlog, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Backlog]:
    """With a receiver of HL7; the phantoms are from 2026-03-04."""

    def telling(today: datetime = NOW, **sweep: int) -> Backlog:
        backlog.settings = backlog.settings.model_copy(
            update={
                "hl7": (Hl7Receiver(name="ris", host="127.0.0.1", port=1),),
                "sweep": SweepSettings(**sweep),
            }
        )
        monkeypatch.setattr("worker.claimed_study.utc_now", lambda: today)
        return backlog

    return telling


def test_a_recent_study_that_nobody_reported_is_told_of(telling: Callable[..., Backlog]) -> None:
    backlog = telling(NOW + timedelta(days=30))
    (uid,) = backlog.fetch("one")
    backlog.screen(screener_of(LIKELY))
    assert told(backlog, uid) == (["overlay", "report", "hl7"], None)
    path = backlog.study(uid).results[-1].path
    assert "RETROSPECTIVE^" in (backlog.settings.data_folder / path).read_text()


@pytest.mark.parametrize(
    ("days", "sweep", "why"),
    [(31, {}, TOO_OLD), (0, {"notify_days": 0}, NEVER), (2, {"notify_days": 1}, TOO_OLD)],
)
def test_an_old_study_is_not_told_of_and_the_reason_is_recorded(
    telling: Callable[..., Backlog], days: int, sweep: dict[str, int], why: str
) -> None:
    backlog = telling(NOW + timedelta(days=days), **sweep)
    (uid,) = backlog.fetch("one")
    backlog.screen(screener_of(LIKELY))
    assert told(backlog, uid) == (["overlay", "report"], why)
    (line,) = backlog.sweeps.swept(backlog.sweep_id)
    assert line.unflagged_reason == why


def test_a_study_that_the_source_has_a_report_of_is_not_told_of(
    telling: Callable[..., Backlog],
) -> None:
    backlog = telling()
    one, two = backlog.fetch("one", "two")
    with Session(backlog.engine) as session:
        item_id = session.scalar(
            select(tables.SweepStudy.id).where(tables.SweepStudy.study_instance_uid == one)
        )
    assert item_id is not None
    backlog.sweeps.note_report(item_id, reported=True)
    backlog.screen(screener_of(LIKELY))
    assert told(backlog, one) == (["overlay", "report"], REPORTED)
    assert told(backlog, two) == (["overlay", "report", "hl7"], None)


def test_what_a_sweep_keeps_to_itself_is_not_told_of_either(
    telling: Callable[..., Backlog],
) -> None:
    backlog = telling()
    (quiet,) = backlog.fetch("quiet")
    backlog.screen(screener_of(NEGATIVE))
    assert told(backlog, quiet) == ([], NOT_SENT)


def test_a_quiet_result_has_its_header_recorded(backlog: Backlog) -> None:
    backlog.fetch("quiet")
    backlog.screen(screener_of(NEGATIVE))
    with Session(backlog.engine) as session:
        (row,) = session.scalars(select(tables.StudyHeader))
    assert (row.patient_name, row.body_parts) == ("Synthetic, Phantom", "HAND")


def test_results_say_that_they_are_retrospective(backlog: Backlog) -> None:
    (uid,) = backlog.fetch("one")
    backlog.screen(screener_of(LIKELY))
    for result in backlog.study(uid).results:
        dataset = dcmread(backlog.settings.data_folder / result.path)
        assert dataset.SeriesDescription.startswith("Retrospective AI ")


def test_a_sweep_without_delivery_keeps_its_results_here(backlog: Backlog) -> None:
    (uid,) = backlog.fetch("one", delivers=False)
    backlog.screen(screener_of(LIKELY))
    results = backlog.study(uid).results
    assert len(results) == 2
    assert all(result.deliveries == () for result in results)


def test_a_result_that_was_delivered_is_never_contradicted_in_silence(backlog: Backlog) -> None:
    (uid,) = backlog.fetch("one")
    backlog.screen(screener_of(LIKELY))
    begun = backlog.sweeps.begin(NewSweep("archive", "", {}, "tests"))
    assert begun is not None
    backlog.sweeps.record_search(begun.id, [Candidate(uid)], "", searched=True)
    (item,) = backlog.sweeps.to_see_to(begun.id, 1)
    assert backlog.sweeps.screen_again(item.id)

    backlog.screen(screener_of(NEGATIVE))

    assert backlog.study(uid).outcome is Outcome.NEGATIVE
    assert [result.kind for result in backlog.study(uid).results] == ["report"]
    assert backlog.sweeps.tally(begun.id).changed == {(Outcome.POSITIVE, Outcome.NEGATIVE): 1}


def test_more_radiographs_than_the_engine_takes_at_once(backlog: Backlog) -> None:
    uids = backlog.fetch(*map(str, range(7)), instances=3)
    probabilities = [NEGATIVE] * 18 + [LIKELY] * 3
    engine = ChosenEngine(probabilities)
    screener = Screener(Classifier(chosen_bundle(), engine), PixelLimits(), lambda: NOW)
    backlog.screen(screener)
    assert engine.seen == 21 > BATCH_SIZE
    assert backlog.outcomes(uids) == [Outcome.NEGATIVE] * 6 + [Outcome.POSITIVE]


def test_a_study_too_large_to_be_held_is_screened_all_the_same(backlog: Backlog) -> None:
    uids = backlog.fetch("large", instances=MOST_HELD + 1) + backlog.fetch("small")
    backlog.screen(screener_of(NEGATIVE))
    assert backlog.outcomes(uids) == [Outcome.NEGATIVE] * 2


def test_a_reader_that_breaks_costs_one_study_an_attempt(
    backlog: Backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = backlog.fetch("one", "two", "three")
    read = Screener.read

    def breaking(self, source, reader):  # type: ignore[no-untyped-def]
        if source.sop_instance_uid in bad_instances:
            raise ReadingFailed("the decoder's process ended (signal 11)")
        return read(self, source, reader)

    bad_instances = {write_phantom(backlog.folder, "two").sop_instance_uid}
    monkeypatch.setattr(Screener, "read", breaking)
    backlog.screen(screener_of(NEGATIVE))

    assert backlog.study(uids[0]).state is backlog.study(uids[2]).state is StudyState.SCREENED
    bad = backlog.study(uids[1])
    assert (bad.state, bad.failure_reason) == (
        StudyState.QUEUED,
        "the decoder's process ended (signal 11)",
    )
    assert queue_depth(backlog.settings)["backlog"] == 1, "published for its next attempt"


def test_an_engine_that_breaks_on_one_radiograph_screens_the_others_one_by_one(
    backlog: Backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = backlog.fetch("one", "two", "three")
    screener = screener_of(NEGATIVE)
    classify, poison = screener.classify, write_phantom(backlog.folder, "two").sop_instance_uid

    def breaking(sources):  # type: ignore[no-untyped-def]
        if any(one.source.sop_instance_uid == poison for one in sources):
            raise ValueError("cannot classify Canary^Patient")
        return classify(sources)

    monkeypatch.setattr(screener, "classify", breaking)
    backlog.screen(screener)

    assert backlog.study(uids[0]).state is backlog.study(uids[2]).state is StudyState.SCREENED
    assert backlog.study(uids[1]).failure_reason == FailureReason.INTERNAL


def test_a_study_that_moved_on_meanwhile_is_left_to_its_next_revision(backlog: Backlog) -> None:
    uids = backlog.fetch("one", "two")
    queued = backlog.queue()
    first = backlog.ledger.claim_study(queued[0].study_id, 1, "another worker", LEASE)
    assert first is not None
    app = make_celery(backlog.settings)
    reader = BatchReader([read_radiographs])
    register_backlog(
        app, backlog.settings, backlog.ledger, backlog.sweeps, lambda: screener_of(NEGATIVE), reader
    )
    app.tasks[SCREEN_BATCH_TASK]([(one.study_id, one.revision) for one in queued])
    assert backlog.study(uids[0]).state is StudyState.SCREENING
    assert backlog.study(uids[1]).state is StudyState.SCREENED
