"""Which values of a source may stand in our own objects: by VR (PS3.5 6.2) and by module.

Headers are dirty: empty sequences, lower-case codes, dates in ACR-NEMA's form. What is copied from
one into a result must be legal there, or the result is invalid by our doing.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VM, keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.valuerep import VR

IDENTIFYING = frozenset(
    {
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "StudyInstanceUID",
        "StudyID",
        "AccessionNumber",
    }
)
"""Copied as they are, legal or not: another identity is worse than an invalid object."""

_PATTERNS: Mapping[str, re.Pattern[str]] = {
    VR.AS: re.compile(r"\d{3}[DWMY]"),
    VR.CS: re.compile(r"[A-Z0-9 _]{1,16}"),
    VR.DS: re.compile(r"(?=.{1,16}$) *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *"),
    VR.IS: re.compile(r" *[+-]?\d{1,11} *"),
    VR.TM: re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)? *"),
    VR.UI: re.compile(r"(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))+"),
}
_LONGEST: Mapping[str, int] = {VR.SH: 16, VR.LO: 64, VR.ST: 1024, VR.LT: 10240}
_LONGEST_GROUP, _MOST_GROUPS, _MOST_COMPONENTS = 64, 3, 5
_ONE_LINE = frozenset({VR.SH, VR.LO, VR.PN})
_CONTROLS = re.compile(r"[\x00-\x09\x0b\x0e-\x1a\x1c-\x1f]")
_ACR_NEMA_DATE = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")

_TERMS: Mapping[str, frozenset[str]] = {
    "PatientSex": frozenset({"M", "F", "O"}),
    "TypeOfPatientID": frozenset({"TEXT", "RFID", "BARCODE"}),
    "SmokingStatus": frozenset({"YES", "NO", "UNKNOWN"}),
    "PatientIdentityRemoved": frozenset({"YES", "NO"}),
    "ResponsiblePersonRole": frozenset(
        {
            *("OWNER", "PARENT", "CHILD", "SPOUSE", "SIBLING", "RELATIVE", "GUARDIAN"),
            *("CUSTODIAN", "AGENT", "INVESTIGATOR", "VETERINARIAN"),
        }
    ),
}
"""Enumerated values and defined terms (PS3.3 C.7.1.1, C.7.2.2)."""

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "ReferencedStudySequence": ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"),
    "OtherPatientIDsSequence": ("PatientID",),
}
"""Attributes without which an item is dropped; of code sequences, see `_is_code`."""


def legal_element(element: DataElement) -> DataElement | None:
    """Return a copy of an element that may stand in our objects; None: it may not stand there.

    Dates in ACR-NEMA's form (1980.02.03) are written in today's. Items of sequences lose what is
    not legal in them, and go where they lack what they need; an empty sequence goes.
    """
    keyword = keyword_for_tag(element.tag)
    copied = deepcopy(element)
    if keyword in IDENTIFYING:
        return copied
    if element.VR == VR.SQ:
        copied.value = [item for item in map(_legal_item, copied.value) if _is_whole(keyword, item)]
        return copied if copied.value else None
    if element.VR == VR.DA and isinstance(element.value, str):
        copied.value = _ACR_NEMA_DATE.sub(r"\1\2\3", element.value.strip())
    return copied if _is_legal(keyword, copied) else None


def drop_contradictions(copied: Dataset) -> None:
    """Remove attributes that need another one that is not there (PS3.3 C.7.1.1, types 1C)."""
    methods = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
    if copied.get("PatientIdentityRemoved") == "YES" and not any(map(copied.get, methods)):
        del copied.PatientIdentityRemoved
    if "ResponsiblePersonRole" in copied and not copied.get("ResponsiblePerson"):
        del copied.ResponsiblePersonRole
    if "IssuerOfPatientIDQualifiersSequence" in copied and not copied.get("IssuerOfPatientID"):
        del copied.IssuerOfPatientIDQualifiersSequence


def is_code_string(value: str) -> bool:
    """Whether a text is a legal CS of one value."""
    return _PATTERNS[VR.CS].fullmatch(value) is not None


def _legal_item(item: Dataset) -> Dataset:
    kept = Dataset()
    for element in item:
        if element.tag.is_private:
            continue
        legal = legal_element(element)
        if legal is not None:
            kept.add(legal)
    return kept


def _is_whole(keyword: str, item: Dataset) -> bool:
    if keyword.endswith("CodeSequence"):
        return _is_code(item)
    return len(item) > 0 and all(map(item.get, _NEEDED.get(keyword, ())))


def _is_code(item: Dataset) -> bool:
    values = ("CodeValue", "LongCodeValue", "URNCodeValue")
    stated = any(map(item.get, values)) and bool(item.get("CodeMeaning"))
    return stated and bool(item.get("CodingSchemeDesignator") or item.get("URNCodeValue"))


def _is_legal(keyword: str, element: DataElement) -> bool:
    value = element.value
    values = list(value) if isinstance(value, (MultiValue, list)) else [value]
    if len(values) > 1 and dictionary_VM(element.tag) == "1":
        return False
    stated = [value for value in values if value not in (None, "")]
    return all(_is_legal_value(keyword, str(element.VR), value) for value in stated)


def _is_legal_value(keyword: str, vr: str, value: object) -> bool:
    if vr in (VR.US, VR.UL, VR.SS, VR.SL, VR.FL, VR.FD):
        return isinstance(value, int | float)
    text = str(value)
    if keyword in _TERMS:
        return text.strip() in _TERMS[keyword]
    if vr == VR.DA:
        return _is_date(text)
    if vr in _PATTERNS:
        return _PATTERNS[vr].fullmatch(text) is not None
    if vr == VR.PN:
        return _is_name(text)
    if len(text) > _LONGEST.get(vr, len(text)) or _CONTROLS.search(text):
        return False
    return not (vr in _ONE_LINE and re.search(r"[\n\r\f]", text))


def _is_date(text: str) -> bool:
    try:
        datetime.strptime(text.strip(), "%Y%m%d")
    except ValueError:
        return False
    return len(text.strip()) == 8


def _is_name(text: str) -> bool:
    groups = text.split("=")
    return (
        len(groups) <= _MOST_GROUPS
        and all(len(group) <= _LONGEST_GROUP for group in groups)
        and all(group.count("^") < _MOST_COMPONENTS for group in groups)
        and not _CONTROLS.search(text)
    )
