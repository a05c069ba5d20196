"""Who is the same patient, and who is not."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.patient import PatientFacts
from worker.patient_identity import identities, is_same_patient

JANE = PatientFacts(("Doe^Jane",), "123", "HOSPITAL", date(1980, 2, 3), "F")


def named(*groups: str) -> PatientFacts:
    return replace(JANE, name_groups=groups)


@pytest.mark.parametrize(
    "other",
    [
        named("DOE^JANE"),
        named("Doe^Jane^^^"),
        named(" Doe ^ Jane "),
        named("DOE JANE"),
        named("Doe^Jane^^Dr."),
        named("Doe^Jane^Maria"),
        named("Doe^Jane", "山田^花子"),
        named("Dóe^Jane"),
        named(),
        named("", "山田^花子"),
        replace(JANE, issuer_of_patient_id=""),
        replace(JANE, birth_date=None),
        replace(JANE, sex="O"),
        replace(JANE, patient_id=""),
    ],
)
def test_another_spelling_or_a_gap_is_the_same_patient(other: PatientFacts) -> None:
    assert is_same_patient(JANE, other)
    assert is_same_patient(other, JANE)


@pytest.mark.parametrize(
    "other",
    [
        replace(JANE, patient_id="124"),
        replace(JANE, patient_id="0123"),
        replace(JANE, patient_id="123a"),
        replace(JANE, issuer_of_patient_id="CLINIC"),
        named("Roe^Jane"),
        named("Doe^Janet"),
        replace(JANE, birth_date=date(1980, 3, 2)),
        replace(JANE, patient_id="", birth_date=None),
        replace(JANE, patient_id="", name_groups=()),
        PatientFacts((), "", "", None, ""),
    ],
)
def test_another_identity_or_none_that_proves_it_is_another_patient(other: PatientFacts) -> None:
    assert not is_same_patient(JANE, other)
    assert not is_same_patient(other, JANE)


def test_a_patient_id_is_compared_by_case() -> None:
    one, other = replace(JANE, patient_id="ab1"), replace(JANE, patient_id="AB1")
    assert not is_same_patient(one, other)


def test_middle_names_that_differ_are_different_people() -> None:
    assert not is_same_patient(named("Doe^Jane^Maria"), named("Doe^Jane^Ann"))


def test_two_headers_without_any_identity_contradict_nothing() -> None:
    nobody = PatientFacts((), "", "", None, "")
    assert is_same_patient(nobody, replace(nobody, sex="F"))


def test_instances_are_grouped_by_patient_in_their_order() -> None:
    other = replace(JANE, patient_id="9")
    found = identities([("1", JANE), ("2", other), ("3", named("DOE^JANE")), ("4", other)])
    assert [one.sop_instance_uids for one in found] == [("1", "3"), ("2", "4")]
    assert [one.patient.patient_id for one in found] == ["123", "9"]


def test_an_instance_without_a_patient_id_joins_no_two_patients() -> None:
    """Both agree with it, not with each other."""
    unnamed, other = replace(JANE, patient_id=""), replace(JANE, patient_id="9")
    assert len(identities([("1", unnamed), ("2", JANE), ("3", other)])) == 2


_FACTS = st.builds(
    PatientFacts,
    st.sampled_from([(), ("Doe^Jane",), ("doe^jane^ann",), ("", "山田")]),
    st.sampled_from(["", "1", "2"]),
    st.sampled_from(["", "A", "B"]),
    st.sampled_from([None, date(1980, 2, 3), date(1990, 1, 1)]),
    st.sampled_from(["", "F"]),
)


@given(_FACTS, _FACTS)
def test_the_comparison_is_symmetric_and_reflexive(one: PatientFacts, other: PatientFacts) -> None:
    assert is_same_patient(one, one)
    assert is_same_patient(one, other) == is_same_patient(other, one)


@given(st.lists(_FACTS, max_size=6))
def test_there_is_one_group_if_and_only_if_all_agree(patients: list[PatientFacts]) -> None:
    groups = identities((str(i), one) for i, one in enumerate(patients))
    agree = all(is_same_patient(a, b) for a in patients for b in patients)
    assert (len(groups) <= 1) == agree
    assert sum(len(one.sop_instance_uids) for one in groups) == len(patients)
