"""A few dozen kills at every step of receive, work and delivery; `make chaos` runs many."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.chaos.oracle import _answer_was_lost
from tests.chaos.run import run
from tests.chaos.schedule import Step, schedule
from tests.servers.scripted_pacs import Reception


@pytest.mark.parametrize(
    ("production", "seed", "kills"),
    [(False, 20260304, 18), (True, 20260305, 13)],
    ids=["embedded", "redis and postgresql"],
)
@pytest.mark.timeout(900)
def test_whatever_is_killed_nothing_acknowledged_is_lost_and_nothing_is_doubled(
    tmp_path: Path, production: bool, seed: int, kills: int
) -> None:
    report = run(tmp_path, seed=seed, kills=kills, production=production)

    assert report.complaints == [], asdict(report)
    assert report.kills == kills
    assert set(report.reached) == {step.name for step in Step}, "a step was never reached"


def test_a_schedule_follows_from_its_seed_and_leaves_no_step_out() -> None:
    kills = list(schedule(7, 100))

    assert kills == list(schedule(7, 100))
    assert kills != list(schedule(8, 100))
    assert {kill.step for kill in kills[: len(Step)]} == set(Step)


@pytest.mark.parametrize(
    ("kills", "excused"),
    [([], False), ([4.9], False), ([9.9], True), ([10.5], True), ([25.0], False), ([31.0], False)],
)
def test_an_object_that_comes_again_is_excused_only_by_a_kill_that_lost_its_answer(
    kills: Sequence[float], excused: bool
) -> None:
    first = Reception("1.2", "digest", 10.0, "A", "1.2.840.10008.1.2.1")
    second = Reception("1.2", "digest", 30.0, "A", "1.2.840.10008.1.2.1")

    assert _answer_was_lost(first, second, kills) == excused
