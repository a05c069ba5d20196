"""What a source has against what the ledger has."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from db.outcomes import Outcome
from db.states import StudyState
from db.sweep_records import KnownStudy
from dicom_node.query import FoundSeries
from dicom_node.retrieve import Wanted
from models.prediction import ModelIdentity
from worker.sweeps.difference import (
    MODEL_NEW_ENOUGH,
    NEVER_SCREENED,
    NO_RADIOGRAPH,
    NOT_NEGATIVE,
    NOT_SINCE,
    OTHER_BODY_PART,
    OTHER_INSTITUTION,
    SCREENED,
    UNDER_WAY,
    Excluded,
    Fetch,
    ScreenAgain,
    Taken,
    is_older,
    is_reported,
    wanted_series,
    what_to_do,
)
from worker.sweeps.selection import Selection

STUDY, SWEEP = "1.2", 7
MODEL = ModelIdentity("fracture", "2.0", "new digest")
HAND = FoundSeries("1.2.1", "DX", "HAND", "St. Elsewhere")
ALL = Selection()
SCREENED_BEFORE = KnownStudy(
    state=StudyState.SCREENED,
    sweep_id=None,
    sop_instance_uids=frozenset({"a", "b"}),
    model_version="1.0",
    model_digest="old digest",
    outcome=Outcome.NEGATIVE,
    looked_at=frozenset({"a", "b"}),
    finished_at=datetime(2026, 3, 4, tzinfo=UTC),
)
BY_THIS_MODEL = replace(SCREENED_BEFORE, model_version="2.0", model_digest="new digest")


def decide(
    known: KnownStudy | None, selection: Selection = ALL, **series: list[str]
) -> Excluded | ScreenAgain | Taken | Fetch:
    return what_to_do(STUDY, series or {"s": ["a", "b"]}, known, MODEL, selection, SWEEP)


def fetch(*wanted: Wanted, everything: str, missing: str) -> Fetch:
    """Instances of one letter each."""
    return Fetch(wanted, frozenset(everything), frozenset(missing))


@pytest.mark.parametrize(
    ("modality", "reported"), [("SR", True), ("DOC", True), ("DX", False), ("", False)]
)
def test_a_report_is_a_series_of_sr_or_doc_that_is_not_ours(modality: str, reported: bool) -> None:
    series = [HAND, replace(HAND, series_instance_uid="1.2.9", modality=modality)]
    assert is_reported(series, ()) is reported
    assert not is_reported(series, {"1.2.9"})


def test_what_is_not_known_is_fetched_by_series() -> None:
    assert decide(None) == fetch(Wanted(STUDY, "s"), everything="ab", missing="ab")


def test_of_a_late_instance_only_that_is_fetched() -> None:
    decision = decide(BY_THIS_MODEL, s=["a", "b", "c"])
    assert decision == fetch(Wanted(STUDY, "s", ("c",)), everything="abc", missing="c")


def test_what_this_model_screened_is_left_out() -> None:
    assert decide(BY_THIS_MODEL) == Excluded(SCREENED)


def test_what_an_older_model_screened_is_screened_again_without_fetching() -> None:
    assert decide(SCREENED_BEFORE) == ScreenAgain()


def test_what_is_received_but_was_never_looked_at_is_screened_again() -> None:
    received = replace(BY_THIS_MODEL, looked_at=frozenset({"a"}))
    assert decide(received) == ScreenAgain()


def test_what_failed_is_screened_again() -> None:
    failed = replace(
        BY_THIS_MODEL, state=StudyState.FAILED, outcome=Outcome.FAILED, looked_at=frozenset()
    )
    assert decide(failed) == ScreenAgain()


@pytest.mark.parametrize("state", ["RECEIVING", "READY", "QUEUED", "SCREENING"])
def test_what_is_being_screened_is_left_alone(state: str) -> None:
    busy = replace(SCREENED_BEFORE, state=StudyState(state))
    assert decide(busy) == Excluded(UNDER_WAY)


def test_what_came_by_this_very_sweep_is_taken() -> None:
    """After a kill between the last instance and the note that all came."""
    for known in (SCREENED_BEFORE, BY_THIS_MODEL):
        own = replace(known, sweep_id=SWEEP, state=StudyState.QUEUED)
        assert decide(own) == Taken(2)


def test_the_rest_of_what_came_by_this_very_sweep_is_fetched_while_it_is_screened() -> None:
    own = replace(SCREENED_BEFORE, sweep_id=SWEEP, state=StudyState.SCREENING)
    assert decide(own, s=["a", "b", "c"]) == fetch(
        Wanted(STUDY, "s", ("c",)), everything="abc", missing="c"
    )


@pytest.mark.parametrize(
    ("selection", "known", "decision"),
    [
        (Selection(only_negative=True), SCREENED_BEFORE, ScreenAgain()),
        (
            Selection(only_negative=True),
            replace(SCREENED_BEFORE, outcome=Outcome.POSITIVE),
            Excluded(NOT_NEGATIVE),
        ),
        (Selection(only_negative=True), None, Excluded(NEVER_SCREENED)),
        (Selection(model_older_than="1.5"), SCREENED_BEFORE, ScreenAgain()),
        (Selection(model_older_than="1.0"), SCREENED_BEFORE, Excluded(MODEL_NEW_ENOUGH)),
        (Selection(since=datetime(2026, 3, 4, tzinfo=UTC)), SCREENED_BEFORE, ScreenAgain()),
        (
            Selection(since=datetime(2026, 3, 5, tzinfo=UTC)),
            SCREENED_BEFORE,
            Excluded(NOT_SINCE),
        ),
    ],
)
def test_what_was_screened_before_is_chosen_by_outcome_model_and_time(
    selection: Selection, known: KnownStudy | None, decision: Excluded | ScreenAgain
) -> None:
    assert decide(known, selection) == decision


def test_versions_are_compared_as_versions() -> None:
    assert is_older("1.9.0", "1.10.0")
    assert not is_older("2.0", "1.10.0")
    assert is_older("nightly", "1.0"), "what is no version is another model"
    assert not is_older("nightly", "nightly")


def chosen(*series: FoundSeries, selection: Selection = ALL, own: tuple[str, ...] = ()) -> object:
    return wanted_series(series, selection, {"HAND", "WRIST"}, own)


def test_series_are_chosen_by_modality_body_part_and_institution() -> None:
    assert chosen(HAND) == [HAND]
    assert chosen(replace(HAND, modality="CT")) == Excluded(NO_RADIOGRAPH)
    assert chosen(replace(HAND, body_part_examined="CHEST")) == Excluded(OTHER_BODY_PART)
    assert chosen(HAND, selection=Selection(body_parts=("WRIST",))) == Excluded(OTHER_BODY_PART)
    assert chosen(HAND, selection=Selection(institution="elsewhere")) == [HAND]
    assert chosen(HAND, selection=Selection(institution="north")) == Excluded(OTHER_INSTITUTION)


@pytest.mark.parametrize("word", ["HANDS", "UNTERARM", "FOOT", "KÉZ", "UNKNOWN", "CHEST\\HAND"])
def test_a_series_that_is_not_surely_something_else_is_fetched(word: str) -> None:
    series = replace(HAND, body_part_examined=word)
    assert chosen(series) == [series]


def test_a_series_that_its_description_calls_a_chest_is_left_out() -> None:
    silent = replace(HAND, body_part_examined="", description="Thorax p.a.")
    assert chosen(silent) == Excluded(OTHER_BODY_PART)
    of_study = replace(HAND, body_part_examined="", study_description="XR CHEST PA")
    assert chosen(of_study) == Excluded(OTHER_BODY_PART)
    assert chosen(replace(silent, body_part_examined="HAND")) != Excluded(OTHER_BODY_PART)


def test_a_selection_of_body_parts_finds_their_other_words() -> None:
    hands, unknown = (replace(HAND, body_part_examined=word) for word in ("HANDS", "KÉZ"))
    only_hands = Selection(body_parts=("HAND",))
    assert chosen(hands, unknown, selection=only_hands) == [hands, unknown]
    assert chosen(hands, selection=Selection(body_parts=("KNEE",))) == Excluded(OTHER_BODY_PART)


def test_what_a_source_does_not_tell_excludes_nothing() -> None:
    silent = FoundSeries("1.2.1", "", "", "")
    assert chosen(silent, selection=Selection(institution="north", body_parts=("HAND",))) == [
        silent
    ]


def test_our_own_results_are_no_radiographs() -> None:
    assert chosen(HAND, own=("1.2.1",)) == Excluded(NO_RADIOGRAPH)
