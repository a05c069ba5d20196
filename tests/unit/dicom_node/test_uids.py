from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from dicom_node.result_identity import ResultIdentity
from dicom_node.uids import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    AnalysisKey,
    derived_uid,
    device_uid,
    is_probe_transaction,
    picture_uids,
    probe_transaction_uid,
    result_instance_uid,
    result_series_uid,
)

KEY = AnalysisKey("1.2.3", "digest", ("0.2", "0.8"))
SOURCE = ("1.2.3.4", "aa", 1)


@given(st.text(), st.lists(st.text(), max_size=5))
def test_a_derived_uid_is_valid_and_repeatable(kind: str, parts: list[str]) -> None:
    made = derived_uid(kind, *parts)

    assert UID(made).is_valid
    assert len(made) <= 64
    assert made == derived_uid(kind, *parts)


def test_parts_are_not_run_together() -> None:
    assert derived_uid("k", "ab", "c") != derived_uid("k", "a", "bc")


def test_the_implementation_identifies_itself_within_the_limits_of_the_standard() -> None:
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid
    assert 1 <= len(IMPLEMENTATION_VERSION_NAME) <= 16


@pytest.mark.parametrize(
    "other",
    [
        AnalysisKey("1.2.9", "digest", ("0.2", "0.8")),
        AnalysisKey("1.2.3", "other", ("0.2", "0.8")),
        AnalysisKey("1.2.3", "digest", ("0.2", "0.9")),
    ],
)
def test_another_study_model_or_operating_point_is_another_result(other: AnalysisKey) -> None:
    assert result_series_uid(KEY, "overlay") != result_series_uid(other, "overlay")
    assert result_instance_uid(KEY, "overlay", [SOURCE]) != result_instance_uid(
        other, "overlay", [SOURCE]
    )


@pytest.mark.parametrize(
    "source", [("1.2.3.5", "aa", 1), ("1.2.3.4", "bb", 1), ("1.2.3.4", "aa", 2)]
)
def test_another_source_digest_or_frame_is_another_result(source: tuple[str, str, int]) -> None:
    assert result_instance_uid(KEY, "overlay", [SOURCE]) != result_instance_uid(
        KEY, "overlay", [source]
    )


def test_the_order_of_sources_does_not_matter() -> None:
    sources = [SOURCE, ("1.2.3.5", "bb", 1)]

    forwards = result_instance_uid(KEY, "report", sources)

    assert forwards == result_instance_uid(KEY, "report", sources[::-1])
    assert forwards != result_instance_uid(KEY, "overlay", sources)


def test_a_retrained_model_is_another_device() -> None:
    assert device_uid("digest") != device_uid("other digest")


def test_a_picture_gets_three_uids_from_its_digest() -> None:
    assert len(set(picture_uids("aa"))) == 3
    assert picture_uids("aa") == picture_uids("aa") != picture_uids("ab")


@pytest.mark.parametrize("text", ["x" * 65, "Röntgen"])
def test_a_result_identity_refuses_text_that_would_not_hold_everywhere(text: str) -> None:
    with pytest.raises(ValueError, match="model_name"):
        ResultIdentity("1.2", "1.3", 1, 1, "series", text, "1", "1.4", "0.1")


@given(st.integers(0, 2**64))
def test_a_transaction_of_the_doctor_is_a_uid_of_its_own_and_known_as_such(number: int) -> None:
    transaction_uid = probe_transaction_uid(number)
    assert UID(transaction_uid).is_valid
    assert UUID(int=int(transaction_uid.removeprefix("2.25."))).variant == RFC_4122
    assert is_probe_transaction(transaction_uid)
    assert probe_transaction_uid(number + 1) != transaction_uid


@pytest.mark.parametrize("uid", ["", "2.25.", "2.25.x", "1.2.3", derived_uid("transaction", "a")])
def test_other_transactions_are_not_taken_for_the_doctors(uid: str) -> None:
    assert not is_probe_transaction(uid)
