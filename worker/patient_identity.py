"""Whether the instances of a study are of one patient: pure, and the only place that decides.

Identity is Patient ID with its issuer, name and birth date (PS3.3 C.7.1.1).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from db.study_headers import fold
from dicom_node.patient import PatientFacts

DIFFERENT_PATIENTS = "instances of different patients"
"""Reason of a study that is held until an administrator resolves it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A patient of a study: what the first instance says, and the instances that agree."""

    patient: PatientFacts
    sop_instance_uids: tuple[str, ...]


def identities(instances: Iterable[tuple[str, PatientFacts]]) -> tuple[Identity, ...]:
    """Group (SOP Instance UID, patient) by patient, in their order; more than one: a conflict.

    An instance belongs to the first group with each of whose members it agrees.
    """
    groups: list[tuple[list[PatientFacts], list[str]]] = []
    for uid, patient in instances:
        for members, uids in groups:
            if all(is_same_patient(patient, member) for member in members):
                uids.append(uid)
                if patient not in members:
                    members.append(patient)
                break
        else:
            groups.append(([patient], [uid]))
    return tuple(Identity(_fullest(members), tuple(uids)) for members, uids in groups)


def is_same_patient(one: PatientFacts, other: PatientFacts) -> bool:
    """Whether two instances may be shown as one patient's.

    A Patient ID is compared letter by letter, a name as people spell it: case, accents, padding
    and titles do not count, nor a middle name or a group that only one of them states. Where one
    of them lacks the Patient ID, name and birth date must both be stated and agree. An issuer, a
    name or a birth date that only one of them states contradicts nothing.
    """
    if one == other:
        return True
    if _contradicts(one.patient_id, other.patient_id):
        return False
    if _contradicts(one.issuer_of_patient_id, other.issuer_of_patient_id):
        return False
    same_name = _same_name(one.name_groups, other.name_groups)
    same_birth_date = _same_birth_date(one, other)
    if same_name is False or same_birth_date is False:
        return False
    if one.patient_id and other.patient_id:
        return True
    nobody = not any((one.patient_id, other.patient_id, one.name_groups, other.name_groups))
    return nobody or (same_name is True and same_birth_date is True)


def _contradicts(one: str, other: str) -> bool:
    return bool(one and other and one != other)


def _same_birth_date(one: PatientFacts, other: PatientFacts) -> bool | None:
    if one.birth_date is None or other.birth_date is None:
        return None
    return one.birth_date == other.birth_date


def _same_name(one: Sequence[str], other: Sequence[str]) -> bool | None:
    """None: they state no group in common."""
    common = [(a, b) for a, b in zip(one, other, strict=False) if a and b]
    return any(_same_group(a, b) for a, b in common) if common else None


def _same_group(one: str, other: str) -> bool:
    if fold(one) == fold(other):
        return True
    mine, theirs = _components(one), _components(other)
    if mine[:2] != theirs[:2]:
        # One of them writes the whole name in one component: "DOE JANE" for "DOE^JANE".
        return _words(mine) == _words(theirs)
    return not (mine[2] and theirs[2]) or mine[2] == theirs[2]


def _components(group: str) -> list[str]:
    """Family, given and middle name; prefix and suffix name nobody."""
    return ([fold(part) for part in group.split("^")] + [""] * 3)[:3]


def _words(components: Sequence[str]) -> str:
    return " ".join(part for part in components if part)


def _fullest(members: Sequence[PatientFacts]) -> PatientFacts:
    """The member that states most, to be shown for all."""
    return max(members, key=lambda one: (bool(one.patient_id), bool(one.name_groups)))
