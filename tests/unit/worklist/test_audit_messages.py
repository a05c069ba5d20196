"""Audit messages: by the schema of PS3.15 A.5.1, with the content that A.5.3 demands."""

import base64
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.audit import AuditRecord
from tests.unit.worklist.audit_schema import check
from worklist.people.audit_messages import ACTIONS, Source, audit_message, message_lines

SOURCE = Source("node7", {"1.2.3": "PAT-1"}.get)  # type: ignore[arg-type]  # None is as good as ""
WHEN = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)


def event(action: str, subject: str = "1.2.3", actor: str = "anna", **details: Any) -> AuditRecord:
    return AuditRecord(WHEN, actor, action, subject, details)


def message(action: str, subject: str = "1.2.3", **details: Any) -> Element:
    built = audit_message(event(action, subject, **details), SOURCE)
    check(built)
    return built


def code(element: Element | None) -> tuple[str | None, str | None, str | None]:
    assert element is not None
    return element.get("csd-code"), element.get("codeSystemName"), element.get("originalText")


def objects(built: Element) -> list[tuple[Any, ...]]:
    return [
        (
            one.get("ParticipantObjectTypeCode"),
            one.get("ParticipantObjectTypeCodeRole"),
            code(one.find("ParticipantObjectIDTypeCode")),
            one.get("ParticipantObjectID"),
        )
        for one in built.iter("ParticipantObjectIdentification")
    ]


def details(built: Element) -> dict[str, str]:
    return {
        one.attrib["type"]: base64.b64decode(one.attrib["value"]).decode()
        for one in built.iter("ParticipantObjectDetail")
    }


@pytest.mark.parametrize("action", [*ACTIONS, "sweep begun", "something new"])
def test_each_action_becomes_a_message_of_the_schema(action: str) -> None:
    built = message(action, address="192.0.2.7", reason="because", gates=[{"passed": True}])
    assert built[0].get("EventDateTime") == "2026-01-31T23:30:00.000+00:00"
    requestors = [one.get("UserIsRequestor") for one in built.iter("ActiveParticipant")]
    assert requestors.count("true") == 1


def test_a_sign_in_is_a_user_authentication_from_its_address() -> None:
    built = message("signed in", "anna", address="192.0.2.7")
    assert code(built.find("*/EventID")) == ("110114", "DCM", "User Authentication")
    assert code(built.find("*/EventTypeCode")) == ("110122", "DCM", "Login")
    person = built[1]
    assert person.get("UserID") == "anna@node7"
    assert person.get("NetworkAccessPointID") == "192.0.2.7"
    assert person.get("NetworkAccessPointTypeCode") == "2"
    assert objects(built) == []
    signed_out = message("signed out", "anna", address="192.0.2.7")
    assert code(signed_out.find("*/EventTypeCode")) == ("110123", "DCM", "Logout")


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("wrong password", "4"), ("wrong password, now locked", "12"), ("locked", "8")],
)
def test_a_refused_sign_in_is_a_failure_with_its_reason(reason: str, outcome: str) -> None:
    identification = message("sign-in refused", "anna", address="::1", reason=reason)[0]
    assert identification.get("EventOutcomeIndicator") == outcome
    assert identification.findtext("EventOutcomeDescription") == reason


def test_an_opened_study_is_instances_accessed_with_study_and_patient() -> None:
    built = message("opened study", "1.2.3", revision=2)
    assert code(built.find("*/EventID")) == ("110103", "DCM", "DICOM Instances Accessed")
    assert built[0].get("EventActionCode") == "R"
    assert objects(built) == [
        ("2", "3", ("110180", "DCM", "Study Instance UID"), "1.2.3"),
        ("1", "1", ("2", "RFC-3881", "Patient Number"), "PAT-1"),
    ]
    assert details(built) == {"action": "opened study", "revision": "2"}


def test_a_review_names_its_study_and_a_patient_not_known_is_none() -> None:
    built = message("reviewed", "9.9.9.1", study_instance_uid="9.9", outcome="AGREE")
    assert [one[3] for one in objects(built)] == ["9.9", "<none>"]


def test_an_export_has_its_source_its_media_and_one_requestor() -> None:
    built = message("reviews export", "reviews", written=7, out="/data/set 1")
    assert code(built.find("*/EventID")) == ("110106", "DCM", "Export")
    person, software, media = built.findall("ActiveParticipant")
    for source in (person, software):
        assert code(source.find("RoleIDCode")) == ("110153", "DCM", "Source Role ID")
    assert code(media.find("RoleIDCode")) == ("110154", "DCM", "Destination Media")
    assert code(media.find("MediaIdentifier/MediaType")) == ("110037", "DCM", "URI")
    assert media.get("UserID") == "file:///data/set%201"
    assert objects(built)[0][:3] == ("1", "1", ("2", "RFC-3881", "Patient Number"))


def test_a_read_trail_is_an_audit_log_used() -> None:
    built = message("exported audit trail", "audit trail")
    assert code(built.find("*/EventID")) == ("110101", "DCM", "Audit Log Used")
    assert built[0].get("EventActionCode") == "R"
    ((kind, role, id_type, _),) = objects(built)
    assert (kind, role, id_type) == ("2", "13", ("12", "RFC-3881", "URI"))
    assert built.findtext("*/ParticipantObjectName") == "Security Audit Log"


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("account disabled", ("110137", "DCM", "User Security Attributes Changed")),
        ("model promote", ("110131", "DCM", "Software Configuration")),
    ],
)
def test_a_changed_account_or_model_is_a_security_alert_that_describes_itself(
    action: str, kind: tuple[str, str, str]
) -> None:
    built = message(action, "weber", actor_note="x")
    assert code(built.find("*/EventID")) == ("110113", "DCM", "Security Alert")
    assert built[0].get("EventActionCode") == "E"
    assert code(built.find("*/EventTypeCode")) == kind
    assert objects(built)[0][0] == "2"
    assert details(built)["Alert Description"] == f"{action}: weber"


def test_what_the_standard_has_no_message_for_is_application_activity_of_our_own_type() -> None:
    built = message("sweep begun", "sweep 3")
    assert code(built.find("*/EventID")) == ("110100", "DCM", "Application Activity")
    assert code(built.find("*/EventTypeCode")) == ("sweep begun", "99FRACTURESCREEN", "sweep begun")
    roles = [code(one) for one in built.iter("RoleIDCode")]
    assert roles == [
        ("110151", "DCM", "Application Launcher"),
        ("110150", "DCM", "Application"),
    ]


def test_at_the_command_line_the_user_is_known_with_the_machine() -> None:
    built = audit_message(event("model retire", actor="root@node9"), SOURCE)
    assert built[1].get("UserID") == "root@node9"
    assert built[1].get("NetworkAccessPointID") == "node7"
    assert built[1].get("NetworkAccessPointTypeCode") == "1"


ANYTHING = st.text(max_size=20)


@given(ANYTHING, ANYTHING, ANYTHING, st.sampled_from([*ACTIONS, "new"]))
def test_whatever_the_trail_holds_each_line_is_one_document(
    subject: str, actor: str, detail: str, action: str
) -> None:
    record = event(action, f"x{subject}", actor, address=detail, reason=detail, other=detail)
    (line,) = message_lines([record], SOURCE)
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    check_parsed = ElementTree.fromstring(line.encode())  # noqa: S314  # our own message
    assert check_parsed.tag == "AuditMessage"
