"""The quality board: what counts, on whose day, and what the page says of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree.ElementTree import fromstring
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, insert

from db.outcomes import Outcome
from db.quality import Period, Quality
from db.records import NewFinding
from db.reviews import NewReview, Reviews
from db.states import ReviewOutcome, SweepStudyState
from db.sweep_records import NewSweep
from db.sweeps import Sweeps
from db.tables import StudyOpening, SweepStudy
from tests.bench.filled_ledger import fill
from tests.servers.worklist_pages import client_of
from tests.unit.db.ledger_factories import QUIET, Bench, instance_uid, make_conclusion, study_uid
from worklist.pages.quality import Days, make_board, p95

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
NASTY = "<script>alert(1)</script>=cmd|' /C calc'!A0\u202e"


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    bench = Bench(ledger_engine)
    bench.clock.now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    return bench


def period(bench: Bench) -> Period:
    return Period(bench.clock() - DAY, bench.clock() + DAY)


def finding(study: int = 1, number: int = 1, **changes: object) -> NewFinding:
    values: dict[str, object] = {
        "sop_instance_uid": instance_uid(study, number),
        "frame_number": 1,
        "analysed": True,
        "reason": "",
        "probability": 0.9,
        "operating_point": "specific",
        "body_part_examined": "HAND",
        **changes,
    }
    return NewFinding(**values)  # type: ignore[arg-type]


def conclude(bench: Bench, study: int, outcome: Outcome, **changes: object) -> int:
    claim = bench.claim(study)
    found = (finding(study, **changes),)
    assert bench.ledger.conclude(claim, make_conclusion(outcome, findings=found), bench.clock())
    return claim.study_id


def test_studies_count_on_the_day_of_the_site_on_which_they_were_concluded(bench: Bench) -> None:
    bench.clock.now = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)  # the 5th in Berlin
    conclude(bench, 1, Outcome.POSITIVE)
    (figure, *_) = make_board(bench.engine, Days.WEEK, bench.clock(), BERLIN).figures
    assert list(figure.rows[-1]) == ["2026-03-05", "1", "0", "0", "0", "0", "0"]
    assert list(figure.rows[-2]) == ["2026-03-04", "0", "0", "0", "0", "0", "0"]
    assert len(figure.rows) == 7


def test_a_superseded_analysis_counts_no_more(bench: Bench) -> None:
    bench.conclude(make_conclusion(Outcome.POSITIVE))
    bench.conclude(make_conclusion(Outcome.NEGATIVE), number=2)
    (counted,) = Quality(bench.engine).outcomes([period(bench)])
    assert (counted[Outcome.POSITIVE], counted[Outcome.NEGATIVE]) == (0, 1)


def test_a_flag_knows_when_it_was_first_opened(bench: Bench) -> None:
    study_id = conclude(bench, 1, Outcome.DOUBTFUL)
    conclude(bench, 2, Outcome.NEGATIVE)
    flagged_at = bench.ledger.study_summary(study_uid(1)).analysis.finished_at  # type: ignore[union-attr]
    quality = Quality(bench.engine)
    assert [one.opened_at for one in quality.flags(period(bench), 10)] == [None]
    opening = {"study_id": study_id, "revision": 1, "opened_at": flagged_at + MINUTE}
    with bench.engine.begin() as connection:
        connection.execute(insert(StudyOpening), [opening])
    (flag,) = quality.flags(period(bench), 10)
    assert flag.flagged_at == flagged_at
    assert flag.opened_at == flagged_at + MINUTE


def review(bench: Bench, study: int, outcome: ReviewOutcome, *, fractured: bool = True) -> None:
    uid, reader, now = instance_uid(study, 1), "reader 7", bench.clock()
    one = NewReview(uid, outcome, fractured, reader, now)
    Reviews(bench.engine, bench.clock).record([one])


def test_a_review_belongs_to_the_model_that_the_reader_saw(bench: Bench) -> None:
    conclude(bench, 1, Outcome.POSITIVE)
    bench.clock.forward(MINUTE)
    review(bench, 1, ReviewOutcome.DISAGREE)
    (read,) = Quality(bench.engine).read_images(period(bench), 10)
    assert (read.outcome, read.body_part_examined) == (ReviewOutcome.DISAGREE, "HAND")
    assert (read.model, read.flagged) == ("densenet 1.0", True)


def test_only_the_review_in_force_counts(bench: Bench) -> None:
    conclude(bench, 1, Outcome.POSITIVE)
    for outcome in (ReviewOutcome.DISAGREE, ReviewOutcome.AGREE):
        bench.clock.forward(MINUTE)
        review(bench, 1, outcome)
    assert [one.outcome for one in Quality(bench.engine).read_images(period(bench), 10)] == [
        ReviewOutcome.AGREE
    ]


def test_a_bad_heatmap_agrees_and_a_fracture_elsewhere_does_not(bench: Bench) -> None:
    for study, outcome in enumerate(ReviewOutcome, start=1):
        conclude(bench, study, Outcome.POSITIVE)
        review(bench, study, outcome)
    bench.clock.forward(MINUTE)
    figure = make_board(bench.engine, Days.WEEK, bench.clock(), BERLIN).figures[3]
    assert list(figure.rows[0]) == ["all images", "4", "2", "50%", "15% to 85%"]
    assert "fewer than 30" in figure.told


def sweep_finds(bench: Bench, study: int, before: Outcome | None) -> None:
    """Study `study`, brought by a sweep and flagged."""
    sweeps = Sweeps(bench.engine, bench.clock)
    sweep = sweeps.begin(NewSweep("pacs", "", {}, "tester"))
    assert sweep is not None
    line = {
        "sweep_id": sweep.id,
        "study_instance_uid": study_uid(study),
        "state": SweepStudyState.FETCHING,
        "reason": "",
        "expected": 1,
        "arrived": 0,
        "attempts": 1,
        "next_attempt_at": bench.clock() + QUIET,
        "previous_outcome": before,
    }
    with bench.engine.begin() as connection:
        connection.execute(insert(SweepStudy), [line])
    conclude(bench, study, Outcome.POSITIVE)


def test_missed_is_what_a_sweep_flags_and_nothing_had(bench: Bench) -> None:
    for study, before in enumerate((None, Outcome.NEGATIVE, Outcome.DOUBTFUL), start=1):
        sweep_finds(bench, study, before)
    conclude(bench, 4, Outcome.POSITIVE)  # triage
    count, suspects = Quality(bench.engine).suspected_missed(period(bench), 10)
    found = {one.study_instance_uid: one.previous_outcome for one in suspects}
    assert found == {study_uid(1): None, study_uid(2): Outcome.NEGATIVE}
    assert count == 2
    assert Quality(bench.engine).suspected_missed(period(bench), 1)[0] == 2


def test_what_readers_say_of_a_suspect_is_shown(bench: Bench) -> None:
    sweep_finds(bench, 1, None)
    review(bench, 1, ReviewOutcome.AGREE, fractured=True)
    _, (suspect,) = Quality(bench.engine).suspected_missed(period(bench), 10)
    assert suspect.read_as_fractured is True


def test_reasons_are_counted_by_image_most_first(bench: Bench) -> None:
    for study, reason in enumerate(("no pixel data", "scope", "scope"), start=1):
        conclude(bench, study, Outcome.NOT_ANALYSED, analysed=False, reason=reason)
    conclude(bench, 4, Outcome.POSITIVE)
    found = Quality(bench.engine).not_analysed(period(bench), 10)
    assert found == [("scope", 2), ("no pixel data", 1)]


def test_the_page_shows_its_figures_and_periods(ledger_engine: Engine, tmp_path: Path) -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    fill(ledger_engine, 300, 30, now)
    client = client_of(ledger_engine, tmp_path, clock=lambda: now)
    page = client.get("/quality?days=30")
    assert page.status_code == 200
    assert 'href="/quality?days=30" aria-current="page"' in page.text
    assert page.text.count('class="chart wide"') == 5
    assert page.text.count("The same as a table") == 5
    assert "style=" not in page.text
    assert "<script>" not in page.text
    assert 'href="/studies/1.2.826.0.1.' in page.text


@pytest.mark.parametrize("days", ["8", "0", "-1", "x", "9" * 400])
def test_no_other_period_is_answered(ledger_engine: Engine, tmp_path: Path, days: str) -> None:
    client = client_of(ledger_engine, tmp_path)
    assert client.get("/quality", params={"days": days}).status_code == 422


def test_an_empty_ledger_shows_an_empty_board(ledger_engine: Engine, tmp_path: Path) -> None:
    page = client_of(ledger_engine, tmp_path).get("/quality")
    assert page.status_code == 200
    assert "0 of 0 studies were flagged" in page.text
    assert "None in this period." in page.text


def test_what_instances_say_is_escaped(bench: Bench, tmp_path: Path) -> None:
    nasty = {"analysed": False, "reason": NASTY, "body_part_examined": NASTY}
    conclude(bench, 1, Outcome.NOT_ANALYSED, **nasty)
    review(bench, 1, ReviewOutcome.DISAGREE)
    bench.clock.forward(MINUTE)
    page = client_of(bench.engine, tmp_path, clock=bench.clock).get("/quality?days=7").text
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    for part in page.split("<svg ")[1:]:
        fromstring("<svg " + part.partition("</svg>")[0] + "</svg>")  # noqa: S314  # our own


def test_many_readers_at_once_cost_what_one_does(bench: Bench, tmp_path: Path) -> None:
    client = client_of(bench.engine, tmp_path, clock=bench.clock)

    def flagged() -> str:
        return client.get("/quality?days=7").text.split(" studies were flagged")[0][-6:]

    conclude(bench, 1, Outcome.POSITIVE)
    assert flagged() == "1 of 1"
    conclude(bench, 2, Outcome.POSITIVE)
    made_at = bench.clock() - MINUTE
    bench.clock.now = made_at + MINUTE / 2
    assert flagged() == "1 of 1"
    bench.clock.now = made_at + MINUTE
    assert flagged() == "2 of 2"


@pytest.mark.parametrize(("values", "expected"), [([5], 5), (range(1, 101), 95), ([1, 9], 9)])
def test_p95_is_the_smallest_value_that_95_percent_do_not_exceed(
    values: list[float], expected: float
) -> None:
    assert p95(list(values)) == expected
