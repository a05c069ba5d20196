"""Drift per device and region: moved, stable, or too few to say."""

from datetime import UTC, datetime

import numpy as np
import pytest

from db.measurements import Measurement
from models.reference import MEASURES, histogram_of
from worker.model_updates.drift import FEWEST, DriftRow, drift, reference_from

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def measured(
    count: int,
    *,
    device: str = "Maker A",
    region: str = "HAND",
    brighter: float = 0.0,
    seed: int = 1,
) -> list[Measurement]:
    random = np.random.default_rng(seed)
    return [
        Measurement(WHEN, device, region, True, p, p > 0.5, float(p / 2 + brighter), 1000)
        for p in random.random(count)
    ]


def not_analysed(count: int, device: str = "Maker A") -> list[Measurement]:
    return [Measurement(WHEN, device, "HAND", False, None, False, None, None)] * count


def rows(found: list[Measurement], before: list[Measurement]) -> dict[tuple[str, str], DriftRow]:
    return {(row.by, row.group): row for row in drift(found, reference_from(before))}


def test_the_same_population_is_stable() -> None:
    row = rows(measured(2000, seed=2), measured(2000))["all", ""]
    assert {shift.word for shift in row.shifts.values()} == {"stable"}
    assert row.shifts.keys() == set(MEASURES)
    assert row.flagged_share == pytest.approx(0.5, abs=0.05)
    assert not row.too_few


def test_one_device_that_turned_brighter_stands_out_from_the_others() -> None:
    found = measured(500) + measured(500, device="Maker B", brighter=0.4, seed=3)
    by = rows(found, measured(2000, seed=4))
    assert by["device", "Maker A"].shifts["mean_intensity"].word == "stable"
    moved = by["device", "Maker B"].shifts["mean_intensity"]
    assert moved.word == "moved a lot"
    assert moved.ks > 0.5
    assert by["device", "Maker B"].shifts["probability"].word == "stable"


def test_the_share_that_was_not_analysed_is_told_per_device() -> None:
    by = rows(measured(300) + not_analysed(100, "Maker B"), measured(2000))
    assert by["all", ""].not_analysed_share == 0.25
    broken = by["device", "Maker B"]
    assert (broken.not_analysed_share, broken.flagged_share, broken.shifts) == (1.0, None, {})


def test_few_radiographs_are_called_too_few() -> None:
    by = rows(measured(FEWEST) + measured(FEWEST - 1, region="FOOT"), measured(2000))
    assert not by["region", "HAND"].too_few
    assert by["region", "FOOT"].too_few
    assert by["device and region", "Maker A, FOOT"].too_few


def test_what_is_not_stated_is_a_group_of_its_own() -> None:
    by = rows(measured(10, device="", region=""), measured(2000))
    assert by["device and region", "not stated, not stated"].radiographs == 10


def test_a_short_period_before_is_no_reference() -> None:
    assert reference_from(measured(FEWEST - 1)) == {}
    (row,) = [row for row in drift(measured(10), {}) if row.by == "all"]
    assert row.shifts == {}


def test_a_histogram_of_the_reference_may_come_from_a_bundle() -> None:
    reference = {"probability": histogram_of(np.linspace(0, 1, 100))}
    (row,) = [row for row in drift(measured(1000), reference) if row.by == "all"]
    assert row.shifts.keys() == {"probability"}
