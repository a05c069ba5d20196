"""Sweeps move on within their window and limits; clock and place are the test's own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.session import make_engine, upgrade
from db.states import SweepState, SweepStudyState
from db.sweep_records import Candidate, NewSweep, SweepItem, SweepRecord
from db.sweeps import Sweeps
from dicom_node.errors import AssociationFailed
from dicom_node.spool import Spool
from tests.unit.db.ledger_factories import Bench, ManualClock, make_instance, study_uid
from worker.settings import ScheduleSettings, Settings, SourceSettings, SweepSettings
from worker.sweeps.difference import Decision
from worker.sweeps.places import Found
from worker.sweeps.schedules import begin_scheduled
from worker.sweeps.selection import Selection
from worker.sweeps.sweeper import BROKE, Sweeper

EVENING = datetime(2026, 3, 4, 22, 0, tzinfo=UTC)
SOURCE = SourceSettings(name="archive", ae_title="A", host="h", port=104)


@dataclass
class ScriptedPlace:
    """Ten studies, found five at a time; each comes when it is asked for."""

    sweeps: Sweeps
    bench: Bench
    steps: int = 2
    name: str = "archive"
    parallel: int = 1
    studies_per_hour: int | None = None
    slow_answer_s: float = 5.0
    answer_s: float = 0.1
    on_search: Callable[[], None] = lambda: None
    on_item: Callable[[SweepItem], None] = lambda item: None
    seen: list[str] = field(default_factory=list)

    def search(self, cursor: str) -> Found:
        self.on_search()
        step = int(cursor or 0)
        studies = range(1 + 5 * step, 6 + 5 * step)
        candidates = tuple(Candidate(study_uid(study)) for study in studies)
        return Found(candidates, str(step + 1), searched=step + 1 == self.steps)

    def plan(self) -> Iterator[Decision]:
        return iter(())

    def see_to(self, item: SweepItem) -> float:
        self.on_item(item)
        self.seen.append(item.study_instance_uid)
        self.sweeps.begin_fetch(item.id, 1, self.bench.clock() + timedelta(minutes=1))
        study = int(item.study_instance_uid.rsplit(".", 1)[1])
        self.bench.ledger.register_instance(make_instance(study))
        self.sweeps.end_fetch(item.id, 1)
        return self.answer_s


@dataclass
class Stage:
    """A sweeper over a scripted place."""

    bench: Bench
    sweeps: Sweeps
    settings: Settings
    place: ScriptedPlace
    sweeper: Sweeper
    time: list[float]

    def begin(self, *, any_time: bool = False) -> int:
        selection = Selection(any_time=any_time).to_json()
        begun = self.sweeps.begin(NewSweep("archive", "", selection, "tests"))
        assert begun is not None
        return begun.id

    def advance(self, by: timedelta = timedelta()) -> SweepRecord:
        self.bench.clock.forward(by)
        self.time[0] += by.total_seconds()
        self.sweeper.advance()
        (record,) = self.sweeps.latest(1)
        return record

    def taken(self) -> int:
        return self.sweeps.tally(self.sweeps.latest(1)[0].id).studies[SweepStudyState.TAKEN]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = make_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    upgrade(made)
    yield made
    made.dispose()


@pytest.fixture
def make_stage(engine: Engine, tmp_path: Path) -> Callable[..., Stage]:
    def make(place: dict[str, object] | None = None, **sweep: object) -> Stage:
        settings = Settings(data_folder=tmp_path, sweep=SweepSettings(**sweep), sources=(SOURCE,))
        bench = Bench(engine, ManualClock(EVENING))
        sweeps = Sweeps(engine, bench.clock)
        scripted = ScriptedPlace(sweeps, bench, **(place or {}))  # type: ignore[arg-type]
        time = [0.0]
        sweeper = Sweeper(
            settings,
            sweeps,
            Spool(tmp_path / "spool"),
            lambda record: scripted,
            "tests",
            bench.clock,
            lambda: time[0],
        )
        return Stage(bench, sweeps, settings, scripted, sweeper, time)

    return make


def test_a_sweep_searches_fetches_and_finishes(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage()
    stage.begin()
    record = stage.advance()
    assert (record.state, record.remark) == (SweepState.FINISHED, "")
    assert stage.taken() == 10
    assert stage.place.seen == [study_uid(study) for study in range(1, 11)]
    assert not stage.sweeper.advance(), "nothing is left to advance"


def test_by_day_it_waits_and_tells_until_when(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(time_zone="Europe/Berlin")
    stage.bench.clock.now = EVENING.replace(hour=12)
    stage.begin()
    record = stage.advance()
    assert record.remark == "waits for 2026-03-04 22:00 Europe/Berlin"
    assert stage.taken() == 0
    assert stage.advance(timedelta(hours=9)).state is SweepState.FINISHED


def test_any_time_means_by_day_too(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage()
    stage.bench.clock.now = EVENING.replace(hour=12)
    stage.begin(any_time=True)
    assert stage.advance().state is SweepState.FINISHED


def test_it_stops_at_the_windows_end_and_goes_on_the_next_night(
    make_stage: Callable[..., Stage],
) -> None:
    stage = make_stage()
    stage.place.on_item = lambda item: stage.bench.clock.forward(timedelta(minutes=100))
    stage.begin()
    assert stage.advance().remark == "waits for 2026-03-05 22:00 UTC"
    first = stage.taken()
    assert 0 < first < 10
    stage.place.on_item = lambda item: None
    assert stage.advance(timedelta(hours=17)).state is SweepState.FINISHED
    assert stage.taken() == 10
    assert len(set(stage.place.seen)) == len(stage.place.seen) == 10


def test_no_more_than_so_many_studies_an_hour(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage({"studies_per_hour": 3})
    stage.begin()
    assert stage.advance().remark == "pauses: 3 studies within the hour"
    assert stage.taken() == 3
    assert stage.advance(timedelta(minutes=59)).remark == "pauses: 3 studies within the hour"
    stage.advance(timedelta(minutes=1))
    assert stage.taken() == 6


def test_it_waits_for_screening(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(waiting_studies=4)
    stage.begin()
    assert stage.advance().remark == "pauses: 4 fetched studies wait for screening"
    assert stage.taken() == 4


def test_it_waits_for_disk_space(make_stage: Callable[..., Stage], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    stage = make_stage()
    stage.begin()
    monkeypatch.setattr(Spool, "has_room", lambda self: False)
    assert "MiB free" in stage.advance().remark
    assert stage.taken() == 0
    monkeypatch.undo()
    assert stage.advance().state is SweepState.FINISHED


def test_a_slow_source_is_left_alone_ever_longer(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage({"answer_s": 6.0})
    stage.begin()
    assert stage.advance().remark == "archive answers slowly: pauses for 1 s"
    assert stage.taken() == 4
    assert stage.advance().remark == "archive is left alone for 1 s more"
    assert stage.taken() == 4
    assert stage.advance(timedelta(seconds=1)).remark == "archive answers slowly: pauses for 2 s"
    stage.place.answer_s = 0.1
    stage.advance(timedelta(seconds=2))
    assert stage.advance(timedelta(seconds=1)).state is SweepState.FINISHED


def test_a_source_that_is_away_costs_no_study_a_try(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage()
    stage.begin()

    def away(item: SweepItem) -> None:
        raise AssociationFailed("no association with A at h:104: check that it runs")

    stage.place.on_item = away
    remark = stage.advance().remark
    assert remark == "no association with A at h:104: check that it runs; asks again in 1 s"
    stage.place.on_item = lambda item: None
    record = stage.advance(timedelta(seconds=1))
    assert record.state is SweepState.FINISHED
    assert stage.taken() == 10


def test_a_search_that_breaks_goes_on_where_it_was(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage()
    stage.begin()

    def refuse() -> None:
        if stage.place.seen:
            raise AssociationFailed("refused")

    stage.place.on_search = refuse
    assert stage.advance().remark == "refused; asks again in 1 s"
    assert stage.taken() == 5
    stage.place.on_search = lambda: None
    stage.advance(timedelta(seconds=1))
    assert stage.taken() == 10


def test_a_study_that_breaks_the_sweep_is_left_out_with_the_reason(
    make_stage: Callable[..., Stage],
) -> None:
    stage = make_stage()
    sweep_id = stage.begin()

    def break_third(item: SweepItem) -> None:
        if item.study_instance_uid == study_uid(3):
            raise KeyError("whatever")

    stage.place.on_item = break_third
    assert stage.advance().state is SweepState.FINISHED
    tally = stage.sweeps.tally(sweep_id)
    assert tally.exclusions == {f"{BROKE} KeyError": 1}
    assert stage.taken() == 9


def test_a_pause_takes_effect_within_the_slice(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage({"studies_per_hour": None})
    sweep_id = stage.begin()

    def pause(item: SweepItem) -> None:
        if item.study_instance_uid == study_uid(2):
            stage.sweeps.move(sweep_id, SweepState.PAUSED, "operator")

    stage.place.on_item = pause
    record = stage.advance()
    assert record.state is SweepState.PAUSED
    assert stage.taken() == 4, "what was given to it in this round"
    stage.sweeps.move(sweep_id, SweepState.RUNNING, "operator")
    stage.place.on_item = lambda item: None
    assert stage.advance().state is SweepState.FINISHED


def test_a_schedule_begins_one_sweep_a_night_and_says_which_days(
    make_stage: Callable[..., Stage],
) -> None:
    stage = make_stage(time_zone="Europe/Berlin")
    schedule = ScheduleSettings(name="nightly", source="archive", days=3)
    noon = EVENING.replace(hour=11)
    assert begin_scheduled(schedule, stage.settings, stage.sweeps, noon) is None
    begun = begin_scheduled(schedule, stage.settings, stage.sweeps, EVENING)
    assert begun is not None
    assert Selection.from_json(dict(begun.selection)).first_day == datetime(2026, 3, 2).date()
    after_midnight = EVENING + timedelta(hours=5)
    assert begin_scheduled(schedule, stage.settings, stage.sweeps, after_midnight) is None
    next_night = EVENING + timedelta(days=1)
    assert begin_scheduled(schedule, stage.settings, stage.sweeps, next_night) is not None
