"""The study's outcome: every row of the table of outcomes, and what holds for all studies."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.outcomes import Outcome
from db.records import NewFinding
from models.prediction import OperatingPoint
from worker.conclude import conclude

POINTS = ("", OperatingPoint.SENSITIVE.value, OperatingPoint.SPECIFIC.value)


def analysed(point: str = "", probability: float = 0.1, number: int = 1) -> NewFinding:
    return NewFinding(
        f"1.2.{number}", 1, analysed=True, probability=probability, operating_point=point
    )


def skipped(reason: str = "not a CR or DX image", number: int = 9) -> NewFinding:
    return NewFinding(f"1.2.{number}", 0, analysed=False, reason=reason)


findings_of_studies = st.lists(
    st.one_of(
        st.builds(analysed, st.sampled_from(POINTS), st.floats(0, 1)),
        st.builds(skipped, st.sampled_from(["a", "b"])),
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    ("points", "outcome"),
    [
        (("specific",), Outcome.POSITIVE),
        (("", "sensitive", "specific"), Outcome.POSITIVE),
        (("sensitive",), Outcome.DOUBTFUL),
        (("", "sensitive"), Outcome.DOUBTFUL),
        (("",), Outcome.NEGATIVE),
        (("", ""), Outcome.NEGATIVE),
    ],
)
def test_the_highest_operating_point_decides(points: tuple[str, ...], outcome: Outcome) -> None:
    verdict = conclude([analysed(point) for point in points], unread=0)
    assert (verdict.outcome, verdict.reason) == (outcome, "")


def test_the_studys_probability_is_its_highest() -> None:
    verdict = conclude([analysed("", 0.2), analysed("sensitive", 0.4), skipped()], unread=0)
    assert verdict.probability == 0.4


def test_nothing_eligible_is_not_analysed_with_each_reason_once() -> None:
    verdict = conclude([skipped("a", 1), skipped("b", 2), skipped("a", 3)], unread=0)
    assert verdict.outcome is Outcome.NOT_ANALYSED
    assert verdict.reason == "a (2 instances); b"
    assert verdict.probability is None


def test_a_study_without_any_finding_is_not_negative() -> None:
    assert conclude([], unread=0).outcome is Outcome.NOT_ANALYSED


def test_an_unread_radiograph_makes_a_study_incomplete() -> None:
    verdict = conclude([analysed(), skipped("pixel data cannot be decoded")], unread=1)
    assert verdict.outcome is Outcome.INCOMPLETE
    assert "1 of 2 radiographs could not be analysed" in verdict.reason
    assert "pixel data cannot be decoded" in verdict.reason
    assert verdict.probability == 0.1


@pytest.mark.parametrize("point", ["sensitive", "specific"])
def test_an_unread_radiograph_takes_nothing_from_a_flag(point: str) -> None:
    findings = [analysed(point, 0.8), skipped("pixel data cannot be decoded")]
    assert conclude(findings, unread=1) == conclude(findings[:1], unread=0)


def test_what_the_model_is_not_for_does_not_forbid_a_negative() -> None:
    assert conclude([analysed(), skipped()], unread=0).outcome is Outcome.NEGATIVE


@given(findings_of_studies, st.integers(0, 3))
def test_positive_if_and_only_if_some_radiograph_reaches_the_specific_point(
    findings: list[NewFinding], unread: int
) -> None:
    reached = any(one.operating_point == "specific" for one in findings)
    assert (conclude(findings, unread=unread).outcome is Outcome.POSITIVE) == reached


@given(findings_of_studies, st.integers(0, 3))
def test_negative_if_and_only_if_all_was_read_and_nothing_reached(
    findings: list[NewFinding], unread: int
) -> None:
    looked_at = [one for one in findings if one.analysed]
    clear = bool(looked_at) and not unread and not any(one.operating_point for one in findings)
    assert (conclude(findings, unread=unread).outcome is Outcome.NEGATIVE) == clear


@given(findings_of_studies, st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_order_of_the_radiographs_never_matters(
    findings: list[NewFinding], unread: int, random: Random
) -> None:
    shuffled = findings[:]
    random.shuffle(shuffled)
    first, second = (conclude(each, unread=unread) for each in (findings, shuffled))
    assert (first.outcome, first.probability) == (second.outcome, second.probability)


@given(findings_of_studies)
def test_only_a_study_without_an_outcome_of_the_model_needs_a_reason(
    findings: list[NewFinding],
) -> None:
    verdict = conclude(findings, unread=0)
    assert verdict.outcome is not Outcome.FAILED
    if verdict.outcome is not Outcome.NOT_ANALYSED:
        assert verdict.reason == ""
    elif findings:
        assert verdict.reason
