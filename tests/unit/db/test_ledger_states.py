"""The tables of legal moves, and that nothing goes round them."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from db.states import LEGAL_DELIVERY_MOVES, LEGAL_STUDY_MOVES, DeliveryState, StudyState
from db.transitions import move_deliveries, move_studies

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def test_every_state_has_its_row_of_legal_moves() -> None:
    assert set(LEGAL_STUDY_MOVES) == set(StudyState)
    assert set(LEGAL_DELIVERY_MOVES) == set(DeliveryState)


@pytest.mark.parametrize("state", [state for state in StudyState if state != StudyState.FAILED])
def test_a_study_may_fail_from_every_state(state: StudyState) -> None:
    assert StudyState.FAILED in LEGAL_STUDY_MOVES[state]


@pytest.mark.parametrize("state", [state for state in StudyState if state != "RECEIVING"])
def test_a_late_instance_may_open_a_study_again_in_every_state(state: StudyState) -> None:
    assert StudyState.RECEIVING in LEGAL_STUDY_MOVES[state]


def test_no_study_is_screened_without_having_been_claimed() -> None:
    before = [state for state, after in LEGAL_STUDY_MOVES.items() if StudyState.SCREENED in after]
    assert before == [StudyState.SCREENING]


def test_the_tables_of_moves_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        LEGAL_STUDY_MOVES[StudyState.READY] = frozenset()  # type: ignore[index]


@pytest.mark.parametrize(
    ("origin", "target"),
    [
        (origin, target)
        for origin in StudyState
        for target in StudyState
        if target not in LEGAL_STUDY_MOVES[origin]
    ],
)
def test_an_illegal_move_of_a_study_is_refused_before_the_database_is_asked(
    origin: StudyState, target: StudyState
) -> None:
    with Session(_no_database()) as session, pytest.raises(ValueError, match="may not move"):
        move_studies(session, origin, target, NOW)


def test_an_illegal_move_of_a_delivery_is_refused() -> None:
    with Session(_no_database()) as session, pytest.raises(ValueError, match="may not move"):
        move_deliveries(session, DeliveryState.PENDING, DeliveryState.COMMITTED)


def _no_database() -> Engine:
    return create_engine("sqlite:////nonexistent/folder/ledger.sqlite3")
