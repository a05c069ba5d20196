"""The tables of retry classes: complete, and as the standard has its statuses."""

import pytest
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

from dicom_node.retry_classes import (
    TRANSPORT_RETRY,
    UNREACHABLE,
    RetryClass,
    TransportProblem,
    commitment_retry,
    store_retry,
)


def test_every_transport_problem_has_a_class() -> None:
    assert set(TRANSPORT_RETRY) == set(TransportProblem)


def test_what_makes_a_destination_unreachable_is_worth_another_try() -> None:
    assert {TRANSPORT_RETRY[problem] for problem in UNREACHABLE} == {RetryClass.TRANSIENT}


def test_the_standard_s_warnings_and_its_success_are_never_sent_again() -> None:
    for status, (category, _) in STORAGE_SERVICE_CLASS_STATUS.items():
        kept = store_retry(status) in (RetryClass.SUCCESS, RetryClass.WARNING)
        # 0x0111: the destination has this UID, which nobody else makes.
        assert kept == (category in ("Success", "Warning") or status == 0x0111), hex(status)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0xA700, RetryClass.TRANSIENT),
        (0xA7FF, RetryClass.TRANSIENT),
        (0x0110, RetryClass.TRANSIENT),
        (0xA900, RetryClass.PERMANENT),
        (0xC123, RetryClass.PERMANENT),
        (0x0124, RetryClass.PERMANENT),
        (0xB000, RetryClass.WARNING),
        (0x4711, RetryClass.TRANSIENT),
    ],
)
def test_statuses_are_told_apart_by_their_ranges(status: int, expected: RetryClass) -> None:
    assert store_retry(status) is expected


def test_a_lost_object_is_not_asked_for_for_ever() -> None:
    assert commitment_retry(0x0112) is RetryClass.PERMANENT
    assert commitment_retry(0x0213) is RetryClass.TRANSIENT
    assert commitment_retry(0xFFFF) is RetryClass.TRANSIENT
