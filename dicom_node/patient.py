"""What a header says of its patient, cleaned by one rule for every page, message and report.

Nothing here compares patients: that is `worker.patient_identity`.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

LONGEST = 255
"""Characters of a value; VRs allow fewer, peers send more."""

_DATE = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")
"""DA (PS3.5 6.2), and as ACR-NEMA 300 had it: 1980.02.03."""
_UNPRINTABLE = frozenset({"Cc", "Cs", "Cn"})


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """The patient of one instance, in cleaned text; "" or None where nothing usable is stated."""

    name_groups: tuple[str, ...]
    """Alphabetic, ideographic and phonetic group of the name (PS3.5 6.2.1.2) with their "^"; ""
    for a group without letters, () where no name is stated."""
    patient_id: str
    issuer_of_patient_id: str
    birth_date: date | None
    sex: str
    """Upper-case."""

    @property
    def name(self) -> str:
        """ "Family, Given Middle" of the first group that is stated."""
        return next((shown for group in self.name_groups if (shown := shown_group(group))), "")


def patient_facts(header: Dataset) -> PatientFacts:
    """Return the patient that a data set names; text is decoded as its Specific Character Set."""
    name = text_of(header, "PatientName")
    groups = tuple(group if group.strip(" ^") else "" for group in name.split("=")[:3])
    return PatientFacts(
        name_groups=groups if any(groups) else (),
        patient_id=text_of(header, "PatientID"),
        issuer_of_patient_id=text_of(header, "IssuerOfPatientID"),
        birth_date=date_of(header, "PatientBirthDate"),
        sex=text_of(header, "PatientSex").upper(),
    )


def text_of(header: Dataset, keyword: str) -> str:
    r"""Return a value as one line; "" where none is stated, or none that can be used.

    Several values stay as they were sent, `12345\12346`: what a peer meant by the backslash is
    not known, and no part of an identifier is one.
    """
    try:
        return printable(_plain(header.get(keyword)))
    except Exception:  # pydicom converts when a value is used and raises whatever it provokes
        return ""


def date_of(header: Dataset, keyword: str) -> date | None:
    """Return a day of a DA value, also in ACR-NEMA's form; None where none is stated."""
    found = _DATE.fullmatch(text_of(header, keyword))
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def printable(text: str) -> str:
    """Return text on one line, without control characters, at most LONGEST characters."""
    spaced = " ".join(text.split())
    return "".join(c for c in spaced if unicodedata.category(c) not in _UNPRINTABLE)[:LONGEST]


def shown_group(group: str) -> str:
    """Return "Family, Given Middle" of one component group (PS3.5 6.2.1.2)."""
    family, _, rest = group.partition("^")
    given = " ".join(part.strip() for part in rest.split("^")[:2] if part.strip())
    return ", ".join(part for part in (family.strip(), given) if part)


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):  # of an unknown VR
        return value.decode("latin-1").strip("\0 ")
    if isinstance(value, str | PersonName):
        return str(value)
    if isinstance(value, MultiValue):
        parts: Iterable[object] = value
        return "\\".join(map(_plain, parts))
    return "" if isinstance(value, Iterable) else str(value)
