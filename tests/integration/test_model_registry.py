"""The registry of models on both databases: legal moves, rollback, the audit trail."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from db.errors import LedgerError, ModelMoveRefused
from db.registry import ModelRegistry, NewModel
from db.states import LEGAL_MODEL_MOVES, ModelState
from db.tables import ModelVersion
from tests.unit.db.ledger_factories import ManualClock

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

ACTOR = "anna@reading-room"


def new_model(number: int, content: str = "") -> NewModel:
    digest = f"{number:032x}" + (content or "0" * 32)
    return NewModel("net", f"{number}.0", digest, f"models/net-{number}.0")


@pytest.fixture
def registry(ledger_engine: Engine) -> ModelRegistry:
    return ModelRegistry(ledger_engine, ManualClock())


def imported(registry: ModelRegistry, *numbers: int) -> list[str]:
    return [registry.add(new_model(number), ACTOR, {}).digest for number in numbers]


def promote(registry: ModelRegistry, digest: str) -> None:
    champion = registry.speaking().champion
    registry.promote(digest, ACTOR, {}, replacing=champion and champion.digest)


def states(registry: ModelRegistry) -> dict[str, ModelState]:
    return {model.version: model.state for model in registry.models()}


def test_without_an_import_nothing_speaks_but_the_settings_bundle(registry: ModelRegistry) -> None:
    assert registry.models() == []
    assert (registry.speaking().champion, registry.speaking().shadow) == (None, None)
    with pytest.raises(ModelMoveRefused, match="nothing to roll back"):
        registry.roll_back(ACTOR, {})


def test_an_imported_model_is_used_for_nothing(registry: ModelRegistry) -> None:
    imported(registry, 1)
    assert states(registry) == {"1.0": ModelState.CANDIDATE}
    assert registry.speaking().champion is None


def test_a_promotion_retires_the_champion_before_and_rollbacks_go_back_to_the_settings(
    registry: ModelRegistry,
) -> None:
    first, second = imported(registry, 1, 2)
    promote(registry, first)
    promote(registry, second)
    assert states(registry) == {"1.0": ModelState.RETIRED, "2.0": ModelState.CHAMPION}

    brought_back = registry.roll_back(ACTOR, {})
    assert brought_back is not None
    assert brought_back.digest == first
    assert states(registry) == {"1.0": ModelState.CHAMPION, "2.0": ModelState.RETIRED}

    assert registry.roll_back(ACTOR, {}) is None
    assert states(registry) == {"1.0": ModelState.RETIRED, "2.0": ModelState.RETIRED}
    assert registry.speaking().champion is None


def test_a_promotion_of_what_a_rollback_would_bring_back_makes_no_circle(
    registry: ModelRegistry,
) -> None:
    first, second = imported(registry, 1, 2)
    for digest in (first, second, first):
        promote(registry, digest)
    assert registry.roll_back(ACTOR, {}) is None


def test_a_rolled_back_model_may_be_imported_and_promoted_again(registry: ModelRegistry) -> None:
    (first,) = imported(registry, 1)
    promote(registry, first)
    registry.roll_back(ACTOR, {})
    imported(registry, 1)
    assert states(registry) == {"1.0": ModelState.CANDIDATE}
    promote(registry, first)
    assert registry.speaking().champion is not None


def test_importing_a_model_in_use_again_changes_nothing(registry: ModelRegistry) -> None:
    (first,) = imported(registry, 1)
    promote(registry, first)
    imported(registry, 1)
    assert states(registry) == {"1.0": ModelState.CHAMPION}
    assert len(registry.events()) == 2


def test_another_content_under_the_same_name_and_version_is_refused(
    registry: ModelRegistry,
) -> None:
    imported(registry, 1)
    with pytest.raises(ModelMoveRefused, match="a version of its own"):
        registry.add(new_model(1, "f" * 32), ACTOR, {})
    assert len(registry.models()) == 1


def test_one_shadow_gives_way_to_the_next_and_may_become_champion(registry: ModelRegistry) -> None:
    first, second = imported(registry, 1, 2)
    registry.start_shadow(first, ACTOR, {})
    registry.start_shadow(second, ACTOR, {})
    assert states(registry) == {"1.0": ModelState.CANDIDATE, "2.0": ModelState.SHADOW}
    promote(registry, second)
    assert registry.speaking().shadow is None
    assert registry.stop_shadow(ACTOR, {}) is None


def test_a_stopped_shadow_is_a_candidate_again(registry: ModelRegistry) -> None:
    (first,) = imported(registry, 1)
    registry.start_shadow(first, ACTOR, {})
    assert registry.stop_shadow(ACTOR, {}) is not None
    assert states(registry) == {"1.0": ModelState.CANDIDATE}


def test_the_champion_cannot_be_a_shadow_nor_be_retired(registry: ModelRegistry) -> None:
    (first,) = imported(registry, 1)
    promote(registry, first)
    with pytest.raises(ModelMoveRefused, match="is CHAMPION and cannot become SHADOW"):
        registry.start_shadow(first, ACTOR, {})
    with pytest.raises(ModelMoveRefused, match="roll back"):
        registry.retire(first, ACTOR, {})
    assert states(registry) == {"1.0": ModelState.CHAMPION}


def test_an_unknown_model_cannot_be_promoted(registry: ModelRegistry) -> None:
    with pytest.raises(ModelMoveRefused, match="was imported"):
        promote(registry, "ab" * 32)


def test_a_champion_that_changed_since_the_comparison_stops_the_promotion(
    registry: ModelRegistry,
) -> None:
    first, second = imported(registry, 1, 2)
    promote(registry, first)
    with pytest.raises(ModelMoveRefused, match="compare again"):
        registry.promote(second, ACTOR, {}, replacing=None)
    assert states(registry) == {"1.0": ModelState.CHAMPION, "2.0": ModelState.CANDIDATE}


def test_of_two_promotions_at_once_one_wins(registry: ModelRegistry) -> None:
    both_here = Barrier(2)

    def wins(digest: str) -> bool:
        both_here.wait()
        try:
            registry.promote(digest, ACTOR, {}, replacing=None)
        except LedgerError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(wins, imported(registry, 1, 2))) == [False, True]
    assert sorted(states(registry).values()) == [ModelState.CANDIDATE, ModelState.CHAMPION]
    assert [event.action for event in registry.events()].count("model promote") == 1


def test_every_state_has_its_row_of_legal_moves() -> None:
    assert set(LEGAL_MODEL_MOVES) == set(ModelState)


@pytest.mark.parametrize("state", [ModelState.CHAMPION, ModelState.SHADOW])
def test_the_database_itself_refuses_two_champions_and_two_shadows(
    registry: ModelRegistry, ledger_engine: Engine, state: ModelState
) -> None:
    imported(registry, 1, 2)
    with pytest.raises(IntegrityError), ledger_engine.begin() as connection:
        connection.execute(update(ModelVersion).values(state=state))


def test_each_change_is_told_with_who_when_what_and_digest(ledger_engine: Engine) -> None:
    clock = ManualClock()
    registry = ModelRegistry(ledger_engine, clock)
    (first,) = imported(registry, 1)
    clock.forward(timedelta(hours=1))
    told = {"forced": True, "reason": "the old one broke"}
    registry.promote(first, "bela@night", told, replacing=None)
    registry.roll_back(ACTOR, {"reason": "worse"})

    rollback, promotion, imported_event = registry.events()
    assert [one.action for one in (imported_event, promotion, rollback)] == [
        "model import", "model promote", "model rollback",
    ]  # fmt: skip
    assert (promotion.actor, promotion.subject) == ("bela@night", "net-1.0")
    assert promotion.happened_at - imported_event.happened_at == timedelta(hours=1)
    assert promotion.details == {
        "digest": first, "forced": True, "reason": "the old one broke",
        "replaced": "the bundle of the settings",
    }  # fmt: skip
    assert rollback.details["brought_back"] == "the bundle of the settings"


def test_a_refused_move_leaves_no_line_in_the_trail(registry: ModelRegistry) -> None:
    (first,) = imported(registry, 1)
    promote(registry, first)
    before = registry.events()
    with pytest.raises(ModelMoveRefused):
        registry.start_shadow(first, ACTOR, {})
    assert registry.events() == before


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET actor = 'nobody'", "DELETE FROM audit_event"]
)
def test_the_trail_cannot_be_changed(
    registry: ModelRegistry, ledger_engine: Engine, statement: str
) -> None:
    imported(registry, 1)
    with pytest.raises(DBAPIError, match="append-only"), ledger_engine.begin() as connection:
        connection.execute(text(statement))
    assert [event.actor for event in registry.events()] == [ACTOR]


def test_no_sequence_of_moves_leaves_two_champions(registry: ModelRegistry) -> None:
    digests = imported(registry, 1, 2, 3)
    for first, second in itertools.permutations(digests, 2):
        for digest in (first, second):
            promote(registry, digest)
        registry.roll_back(ACTOR, {})
        champion = registry.speaking().champion
        assert champion is not None
        assert champion.digest == first
        assert list(states(registry).values()).count(ModelState.CHAMPION) == 1
        registry.roll_back(ACTOR, {})
        while registry.speaking().champion is not None:
            registry.roll_back(ACTOR, {})
