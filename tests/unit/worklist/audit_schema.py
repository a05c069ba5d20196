"""The schema of DICOM PS3.15 A.5.1, as far as our messages use it: what may stand where."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree.ElementTree import Element

CODED = ("csd-code", "codeSystemName", "originalText")


@dataclass(frozen=True)
class Rule:
    """Of one element. Children in this order: name → (fewest, most)."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    children: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    has_text: bool = False


MANY = 10**6
NUMBERS = [str(number) for number in range(27)]
CODED_RULE = Rule(CODED, ("displayName",))

RULES: Mapping[str, Rule] = {
    "AuditMessage": Rule(
        children={
            "EventIdentification": (1, 1),
            "ActiveParticipant": (1, MANY),
            "AuditSourceIdentification": (1, 1),
            "ParticipantObjectIdentification": (0, MANY),
        }
    ),
    "EventIdentification": Rule(
        ("EventDateTime", "EventOutcomeIndicator"),
        ("EventActionCode",),
        {
            "EventActionCode": frozenset("CRUDE"),
            "EventOutcomeIndicator": frozenset({"0", "4", "8", "12"}),
        },
        {"EventID": (1, 1), "EventTypeCode": (0, MANY), "EventOutcomeDescription": (0, 1)},
    ),
    "EventID": CODED_RULE,
    "EventTypeCode": CODED_RULE,
    "EventOutcomeDescription": Rule(has_text=True),
    "ActiveParticipant": Rule(
        ("UserID", "UserIsRequestor"),
        ("AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"),
        {
            "UserIsRequestor": frozenset({"true", "false"}),
            "NetworkAccessPointTypeCode": frozenset("12345"),
        },
        {"RoleIDCode": (0, MANY), "MediaIdentifier": (0, 1)},
    ),
    "RoleIDCode": CODED_RULE,
    "MediaIdentifier": Rule(children={"MediaType": (1, 1)}),
    "MediaType": CODED_RULE,
    "AuditSourceIdentification": Rule(
        ("AuditSourceID",), ("AuditEnterpriseSiteID",), {}, {"AuditSourceTypeCode": (0, MANY)}
    ),
    "AuditSourceTypeCode": Rule(("csd-code",), (), {"csd-code": frozenset("123456789")}),
    "ParticipantObjectIdentification": Rule(
        ("ParticipantObjectID",),
        (
            "ParticipantObjectTypeCode",
            "ParticipantObjectTypeCodeRole",
            "ParticipantObjectDataLifeCycle",
            "ParticipantObjectSensitivity",
        ),
        {
            "ParticipantObjectTypeCode": frozenset("1234"),
            "ParticipantObjectTypeCodeRole": frozenset(NUMBERS[1:]),
        },
        {
            "ParticipantObjectIDTypeCode": (1, 1),
            "ParticipantObjectName": (1, 1),
            "ParticipantObjectDetail": (0, MANY),
        },
    ),
    "ParticipantObjectIDTypeCode": CODED_RULE,
    "ParticipantObjectName": Rule(has_text=True),
    "ParticipantObjectDetail": Rule(("type", "value")),
}


def check(element: Element) -> None:
    """Fail unless the element and all within it follow the schema."""
    rule = RULES[element.tag]
    given = set(element.attrib)
    assert set(rule.required) <= given <= {*rule.required, *rule.optional}, element.tag
    for name, allowed in rule.values.items():
        assert element.get(name, next(iter(allowed))) in allowed, name
    assert bool(element.text and element.text.strip()) == rule.has_text, element.tag
    _check_children(element, rule)
    _check_values(element)


def _check_children(element: Element, rule: Rule) -> None:
    tags = [child.tag for child in element]
    assert tags == sorted(tags, key=list(rule.children).index), tags
    for name, (fewest, most) in rule.children.items():
        assert fewest <= tags.count(name) <= most, name
    for child in element:
        check(child)


def _check_values(element: Element) -> None:
    if "EventDateTime" in element.attrib:
        assert datetime.fromisoformat(element.attrib["EventDateTime"]).tzinfo is not None
    if element.tag == "ParticipantObjectDetail":
        base64.b64decode(element.attrib["value"], validate=True)
