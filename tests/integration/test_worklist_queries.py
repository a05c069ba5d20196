"""The worklist's queries on both databases: every study once, newest first, whatever is asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import Engine, insert, update

from db.outcomes import Outcome
from db.reviews import NewReview, Reviews
from db.session import transaction
from db.states import ReviewOutcome, StudyState, SweepState
from db.study_headers import fold
from db.tables import Analysis, Study, StudyHeader, Sweep
from db.worklist import Worklist
from db.worklist_records import (
    PAGE_SIZE,
    ModelLabel,
    WorklistFilter,
    WorklistLine,
    WorklistPage,
)
from tests.unit.db.ledger_factories import (
    Bench,
    instance_uid,
    make_conclusion,
    make_result,
    study_uid,
)

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STUDIES = 230
OLD, NEW = ModelLabel("net", "0.9"), ModelLabel("net", "1.0")
OUTCOMES = list(Outcome)


@pytest.fixture
def worklist(ledger_engine: Engine) -> Worklist:
    return Worklist(ledger_engine, lambda: START)


@pytest.fixture
def many(ledger_engine: Engine) -> None:
    """Study n at minute n // 3, so that some share their moment; every tenth waits.

    Outcomes take turns; every fourth is of a sweep; the first fifty are by the old model.
    """
    with ledger_engine.begin() as connection:
        connection.execute(
            insert(Sweep).values(
                id=1,
                source="",
                folder="/x",
                selection={},
                state=SweepState.FINISHED,
                actor="",
                created_at=START,
                advanced_at=START,
            )
        )
        numbers = range(1, STUDIES + 1)
        connection.execute(insert(Study), [study_row(number) for number in numbers])
        connection.execute(insert(StudyHeader), [header_row(number) for number in numbers])
        concluded = [number for number in numbers if number % 10]
        connection.execute(insert(Analysis), [analysis_row(number) for number in concluded])


def moment(number: int) -> datetime:
    return START + timedelta(minutes=number // 3)


def sweep_of(number: int) -> int | None:
    return 1 if number % 4 == 0 else None


def study_row(number: int) -> dict[str, object]:
    return {
        "id": number,
        "study_instance_uid": study_uid(number),
        "state": StudyState.SCREENED if number % 10 else StudyState.QUEUED,
        "revision": 1,
        "attempts": 1,
        "interruptions": 0,
        "calling_ae_title": "X",
        "received_at": moment(number),
        "last_instance_at": START,
        "state_changed_at": START,
        "failure_reason": "",
        "sweep_id": sweep_of(number),
    }


def header_row(number: int) -> dict[str, object]:
    name = f"Müller{number:03d}, Änne" if number % 2 else f"50%_of\\{number:03d}"
    return {
        "study_id": number,
        "patient_name": name,
        "patient_name_folded": fold(name),
        "patient_id": f"PAT{number:04d}",
        "patient_sex": "",
        "accession_number": f"acc-{number}",
        "study_description": "",
        "body_parts": "HAND, WRIST" if number % 3 else "FOREHAND",
    }


def analysis_row(number: int) -> dict[str, object]:
    model = OLD if number <= 50 else NEW
    return {
        "id": number,
        "study_id": number,
        "revision": 1,
        "model_name": model.name,
        "model_version": model.version,
        "model_digest": "",
        "outcome": OUTCOMES[number % 5],
        "reason": "",
        "probability": 0.5,
        "started_at": START,
        "finished_at": moment(number),
        "sweep_id": sweep_of(number),
    }


def number_of(line: WorklistLine) -> int:
    return int(line.study_instance_uid.rpartition(".")[2])


def numbers(page: WorklistPage) -> list[int]:
    return [number_of(line) for line in page.lines]


def expected(*, waiting: bool = True, **conditions: object) -> set[int]:
    """Numbers of the studies of `many` that meet every condition, each a set or a predicate."""
    found = {number for number in range(1, STUDIES + 1) if waiting or number % 10}
    for condition in conditions.values():
        found = {number for number in found if condition(number)}  # type: ignore[operator]
    return found


def walk(worklist: Worklist, wanted: WorklistFilter) -> list[WorklistPage]:
    """All pages, by their links, the first one first."""
    pages = [worklist.page(wanted)]
    while pages[-1].older is not None:
        pages.append(worklist.page(wanted, pages[-1].older))
    return pages


FILTERS = {
    "all": (WorklistFilter(), lambda n: True),
    "positive": (
        WorklistFilter(outcomes=frozenset({Outcome.POSITIVE})),
        lambda n: n % 10 and OUTCOMES[n % 5] is Outcome.POSITIVE,
    ),
    "two outcomes and those that wait": (
        WorklistFilter(outcomes=frozenset({Outcome.DOUBTFUL, Outcome.NEGATIVE}), waiting=True),
        lambda n: not n % 10 or OUTCOMES[n % 5] in (Outcome.DOUBTFUL, Outcome.NEGATIVE),
    ),
    "waiting": (WorklistFilter(waiting=True), lambda n: not n % 10),
    "triage": (WorklistFilter(swept=False), lambda n: n % 4),
    "sweeps": (WorklistFilter(swept=True), lambda n: not n % 4),
    "hands, and nothing else with hand in it": (
        WorklistFilter(body_part="HAND"),
        lambda n: n % 3,
    ),
    "a period, its end excluded": (
        WorklistFilter(since=moment(30), until=moment(60)),
        lambda n: 30 <= n < 60,
    ),
    "a model, so none that waits": (WorklistFilter(model=OLD), lambda n: n <= 50 and n % 10),
    "name by its beginning, without marks and case": (
        WorklistFilter(search=" MULLER0 "),
        lambda n: n % 2 and n < 100,
    ),
    "letters that mean something to LIKE": (
        WorklistFilter(search="50%_of\\0"),
        lambda n: not n % 2 and n < 100,
    ),
    "patient ID": (WorklistFilter(search="pat022"), lambda n: 220 <= n < 230),
    "accession number": (WorklistFilter(search="acc-7"), lambda n: str(n)[0] == "7"),
    "study UID": (WorklistFilter(search=study_uid(23)), lambda n: str(n).startswith("23")),
    "all at once": (
        WorklistFilter(
            outcomes=frozenset({Outcome.POSITIVE}), swept=False, body_part="HAND", search="PAT"
        ),
        lambda n: n % 10 and OUTCOMES[n % 5] is Outcome.POSITIVE and n % 4 and n % 3,
    ),
    "nobody": (WorklistFilter(search="nobody"), lambda n: False),
}


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("many_match", [False, True])
def test_pages_show_every_study_that_is_meant_once_newest_first_and_lead_back(
    worklist: Worklist, monkeypatch: pytest.MonkeyPatch, many_match: bool
) -> None:
    if many_match:  # by the way that is taken when a search finds more than a few
        monkeypatch.setattr("db.worklist_pages._FEW", 1)
    for name, (wanted, condition) in FILTERS.items():
        pages = walk(worklist, wanted)
        shown = [number for page in pages for number in numbers(page)]
        assert sorted(shown) == sorted(expected(meant=condition)), name
        moments = [moment(number) for number in shown]
        assert moments == sorted(moments, reverse=True), name
        assert all(len(page.lines) == PAGE_SIZE for page in pages[:-1])
        assert pages[0].newer is None
        for before, page in pairwise(pages):
            assert worklist.page(wanted, page.newer, backwards=True).lines == before.lines, name


@pytest.mark.usefixtures("many")
def test_a_page_stays_what_it_is_while_studies_come_in(
    worklist: Worklist, ledger_engine: Engine
) -> None:
    first, second = walk(worklist, WorklistFilter())[:2]
    with ledger_engine.begin() as connection:
        later = study_row(1000) | {"received_at": START + timedelta(days=1)}
        connection.execute(insert(Study), [later])
    assert worklist.page(WorklistFilter(), first.older).lines == second.lines
    back = worklist.page(WorklistFilter(), second.newer, backwards=True)
    assert back.lines == first.lines
    newest = worklist.page(WorklistFilter(), back.newer, backwards=True)
    assert numbers(newest) == [1000, *numbers(first)[:-1]]
    assert newest.newer is None


@pytest.mark.usefixtures("many")
def test_counts_and_choices_are_of_the_whole_ledger(worklist: Worklist) -> None:
    counts = worklist.counts()
    assert counts.waiting == 23
    assert counts.all == STUDIES
    for outcome in Outcome:
        meant = expected(waiting=False, of=lambda n, one=outcome: OUTCOMES[n % 5] is one)
        assert counts.outcomes[outcome] == len(meant)
    choices = worklist.choices()
    assert choices.body_parts == ("FOREHAND", "HAND", "WRIST")
    assert choices.models == (OLD, NEW)


def test_an_empty_ledger_has_empty_pages(worklist: Worklist) -> None:
    assert worklist.page(WorklistFilter()) == WorklistPage((), None, None)
    assert worklist.counts().all == 0
    assert worklist.choices().models == ()
    assert worklist.latest_analysis_id() == 0
    assert worklist.latest_conclusions() == []
    assert worklist.study("1.2") is None


def test_a_superseded_analysis_is_history_and_a_late_instance_shows(ledger_engine: Engine) -> None:
    bench = Bench(ledger_engine)
    worklist = Worklist(ledger_engine, bench.clock)
    bench.conclude(make_conclusion(Outcome.POSITIVE, results=(make_result(),)))
    (line,) = worklist.page(WorklistFilter()).lines
    assert (line.is_outdated, line.header) == (False, None)

    bench.register(1, 2)
    (line,) = worklist.page(WorklistFilter(outcomes=frozenset({Outcome.POSITIVE}))).lines
    assert line.is_outdated
    assert worklist.page(WorklistFilter(waiting=True)).lines == ()

    bench.conclude(make_conclusion(Outcome.NEGATIVE), number=3)
    assert worklist.page(WorklistFilter(outcomes=frozenset({Outcome.POSITIVE}))).lines == ()
    detail = worklist.study(study_uid(1))
    assert detail is not None
    assert [one.verdict.outcome for one in detail.analyses] == [Outcome.NEGATIVE, Outcome.POSITIVE]
    assert [one.superseded_at is None for one in detail.analyses] == [True, False]
    assert detail.current == detail.analyses[0]
    assert len(detail.instances) == 3
    (result,) = detail.analyses[1].results
    assert result.sop_instance_uid == make_result().sop_instance_uid


def test_the_first_opening_of_a_revision_is_noted_and_no_later_one(ledger_engine: Engine) -> None:
    bench = Bench(ledger_engine)
    worklist = Worklist(ledger_engine, bench.clock)
    claim = bench.conclude()
    assert not worklist.page(WorklistFilter()).lines[0].opened
    assert worklist.note_opened(claim.study_id, 1)
    assert not worklist.note_opened(claim.study_id, 1)
    assert worklist.page(WorklistFilter()).lines[0].opened
    bench.conclude(number=2)
    assert not worklist.page(WorklistFilter()).lines[0].opened
    assert worklist.note_opened(claim.study_id, 2)


def test_a_review_shows_in_the_list_and_stays_in_the_history(ledger_engine: Engine) -> None:
    bench = Bench(ledger_engine)
    worklist, reviews = Worklist(ledger_engine, bench.clock), Reviews(ledger_engine, bench.clock)
    bench.conclude()
    first = NewReview(instance_uid(1, 1), ReviewOutcome.AGREE, True, "quinn", START)
    second = replace(first, outcome=ReviewOutcome.BAD_HEATMAP, reviewed_at=START + timedelta(1))
    reviews.record([first])
    reviews.record([second])
    assert worklist.page(WorklistFilter()).lines[0].reviewed
    detail = worklist.study(study_uid(1))
    assert detail is not None
    assert [(one.review, one.superseded_at is None) for one in detail.reviews] == [
        (first, False),
        (second, True),
    ]


def test_the_latest_conclusions_come_latest_first_and_tell_nothing_of_whose(
    ledger_engine: Engine,
) -> None:
    bench = Bench(ledger_engine)
    worklist = Worklist(ledger_engine, bench.clock)
    bench.conclude(make_conclusion(Outcome.POSITIVE))
    bench.conclude(make_conclusion(Outcome.NEGATIVE), number=2)
    latest = worklist.latest_conclusions()
    assert [one.outcome for one in latest] == [Outcome.NEGATIVE, Outcome.POSITIVE]
    assert worklist.latest_conclusions(limit=1) == latest[:1]
    assert worklist.latest_analysis_id() == latest[0].analysis_id


def test_a_page_waits_for_no_writer_and_keeps_none_waiting(ledger_engine: Engine) -> None:
    bench = Bench(ledger_engine)
    bench.conclude()
    worklist = Worklist(ledger_engine, bench.clock)
    with transaction(ledger_engine) as session:
        session.execute(update(Study).values(calling_ae_title="WRITING"))
        assert len(worklist.page(WorklistFilter()).lines) == 1
