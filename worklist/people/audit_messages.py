"""Lines of the audit trail as audit messages of DICOM PS3.15 A.5: pure, records in, XML out.

The schema is that of A.5.1, the content that of A.5.3: what each action becomes stands in
`ACTIONS`. Whatever the standard knows no message for becomes an Application Activity whose type is
the action itself, under our own coding scheme.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from pathlib import PurePath
from types import MappingProxyType
from xml.etree import ElementTree

from db.audit import RETRIED_STUDY, AuditRecord

AUDIT_TRAIL = "audit trail"
"""The subject of the two actions below."""
VIEWED_TRAIL = "viewed audit trail"
EXPORTED_TRAIL = "exported audit trail"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value: PS3.15 A.5.1, CodedValueType."""

    value: str
    meaning: str
    scheme: str = "DCM"


class Message(StrEnum):
    """The messages of PS3.15 A.5.3 that we write: code values of CID 400."""

    APPLICATION_ACTIVITY = "110100"
    """A.5.3.1."""
    AUDIT_LOG_USED = "110101"
    """A.5.3.2."""
    INSTANCES_ACCESSED = "110103"
    """A.5.3.6."""
    EXPORT = "110106"
    """A.5.3.4."""
    SECURITY_ALERT = "110113"
    """A.5.3.11."""
    USER_AUTHENTICATION = "110114"
    """A.5.3.12."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an action becomes: the message, and its type if it has one (CID 401, 403)."""

    message: Message
    type: Code | None = None


_LOGIN = Kind(Message.USER_AUTHENTICATION, Code("110122", "Login"))
_LOGOUT = Kind(Message.USER_AUTHENTICATION, Code("110123", "Logout"))
_ACCOUNT = Kind(Message.SECURITY_ALERT, Code("110137", "User Security Attributes Changed"))
_MODEL = Kind(Message.SECURITY_ALERT, Code("110131", "Software Configuration"))
_ACCESS = Kind(Message.INSTANCES_ACCESSED)
_EXPORT = Kind(Message.EXPORT)
_LOG_USED = Kind(Message.AUDIT_LOG_USED)

ACTIONS: Mapping[str, Kind] = MappingProxyType(
    {
        "signed in": _LOGIN,
        "sign-in refused": _LOGIN,
        "signed out": _LOGOUT,
        "opened study": _ACCESS,
        "reviewed": _ACCESS,
        RETRIED_STUDY: _ACCESS,
        "resolved identities": _ACCESS,
        "accepted from quarantine": _ACCESS,
        "exported reviews": _EXPORT,
        "reviews export": _EXPORT,
        VIEWED_TRAIL: _LOG_USED,
        EXPORTED_TRAIL: _LOG_USED,
        "account added": _ACCOUNT,
        "account disabled": _ACCOUNT,
        "account enabled": _ACCOUNT,
        "account unlocked": _ACCOUNT,
        "password reset": _ACCOUNT,
        "sessions ended": _ACCOUNT,
        "model import": _MODEL,
        "model promote": _MODEL,
        "model promote refused": _MODEL,
        "model rollback": _MODEL,
        "model shadow": _MODEL,
        "model shadow stop": _MODEL,
        "model retire": _MODEL,
    }
)

_MEANINGS: Mapping[Message, str] = MappingProxyType(
    {
        Message.APPLICATION_ACTIVITY: "Application Activity",
        Message.AUDIT_LOG_USED: "Audit Log Used",
        Message.INSTANCES_ACCESSED: "DICOM Instances Accessed",
        Message.EXPORT: "Export",
        Message.SECURITY_ALERT: "Security Alert",
        Message.USER_AUTHENTICATION: "User Authentication",
    }
)
_READ, _EXECUTE = "R", "E"
_ACTION_CODES: Mapping[Message, str] = MappingProxyType(
    {
        Message.APPLICATION_ACTIVITY: _EXECUTE,
        Message.AUDIT_LOG_USED: _READ,
        Message.INSTANCES_ACCESSED: _READ,
        Message.EXPORT: _READ,
        Message.SECURITY_ALERT: _EXECUTE,
        Message.USER_AUTHENTICATION: _EXECUTE,
    }
)

_SUCCESS, _MINOR, _SERIOUS, _MAJOR = "0", "4", "8", "12"
_OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "unknown name": _MINOR,
        "wrong password": _MINOR,
        "disabled": _SERIOUS,
        "locked": _SERIOUS,
        "wrong password, now locked": _MAJOR,
    }
)
"""Of refused sign-ins, by the examples of Table A.5.2-1."""

_OWN_SCHEME = "99FRACTURESCREEN"
_SOFTWARE = "fracture-screen"
_NO_PATIENT_ID = "<none>"
_APPLICATION_SERVER = "4"
_ROLES: Mapping[Message, tuple[Code, Code]] = MappingProxyType(
    {
        Message.APPLICATION_ACTIVITY: (
            Code("110151", "Application Launcher"),
            Code("110150", "Application"),
        ),
        Message.EXPORT: (Code("110153", "Source Role ID"), Code("110153", "Source Role ID")),
    }
)
"""RoleIDCode of the person and of our process, where a message demands them (CID 402)."""


@dataclass(frozen=True, slots=True)
class Source:
    """The node that writes the messages, and where it finds what the trail does not hold."""

    host: str
    patient_id: Callable[[str], str]
    """Of a Study Instance UID; "" if it is not known."""


def message_lines(records: Iterable[AuditRecord], source: Source) -> Iterator[str]:
    """One message a line, each an XML document of its own that ends with a newline.

    So a collector of syslog takes each line as it is (PS3.15 A.6, RFC 5424), and people read and
    search the file with whatever shows lines.
    """
    for one in records:
        yield ElementTree.tostring(audit_message(one, source), encoding="unicode") + "\n"


def audit_message(one: AuditRecord, source: Source) -> ElementTree.Element:
    """The AuditMessage of one line of the trail."""
    kind = ACTIONS.get(one.action) or Kind(
        Message.APPLICATION_ACTIVITY, Code(one.action, one.action, _OWN_SCHEME)
    )
    message = ElementTree.Element("AuditMessage")
    _add_event(message, one, kind)
    _add_participants(message, one, kind, source)
    _add_source(message, source)
    _OBJECTS[kind.message](message, one, source)
    return message


def _add_event(message: ElementTree.Element, one: AuditRecord, kind: Kind) -> None:
    reason = str(one.details.get("reason", ""))
    refused = one.action.endswith("refused")
    event = _add(
        message,
        "EventIdentification",
        EventActionCode=_ACTION_CODES[kind.message],
        EventDateTime=one.happened_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=_OUTCOMES.get(reason, _MINOR) if refused else _SUCCESS,
    )
    _add_code(event, "EventID", Code(kind.message, _MEANINGS[kind.message]))
    if kind.type is not None:
        _add_code(event, "EventTypeCode", kind.type)
    if refused and reason:
        _add(event, "EventOutcomeDescription").text = _printable(reason)


def _add_participants(
    message: ElementTree.Element, one: AuditRecord, kind: Kind, source: Source
) -> None:
    person, process = _ROLES.get(kind.message, (None, None))
    _add_person(message, one, person, source)
    software = _add(
        message,
        "ActiveParticipant",
        UserID=f"{_SOFTWARE}@{source.host}",
        UserName=_SOFTWARE,
        UserIsRequestor="false",
    )
    if process is not None:
        _add_code(software, "RoleIDCode", process)
    if kind.message is Message.EXPORT:
        _add_media(message, one, source)


def _add_person(
    message: ElementTree.Element, one: AuditRecord, role: Code | None, source: Source
) -> None:
    """A.5.2.1: loginName@domain-name. At the command line the domain is the machine's name."""
    address = str(one.details.get("address", ""))
    person = _add(
        message,
        "ActiveParticipant",
        UserID=one.actor if "@" in one.actor else f"{one.actor}@{source.host}",
        UserName=one.actor,
        UserIsRequestor="true",
        NetworkAccessPointID=address or source.host,
        NetworkAccessPointTypeCode="2" if address else "1",
    )
    if role is not None:
        _add_code(person, "RoleIDCode", role)


def _add_media(message: ElementTree.Element, one: AuditRecord, source: Source) -> None:
    out = PurePath(str(one.details.get("out", "")))
    media = _add(
        message,
        "ActiveParticipant",
        UserID=out.as_uri() if out.is_absolute() else f"file://{source.host}/",
        UserIsRequestor="false",
    )
    _add_code(media, "RoleIDCode", Code("110154", "Destination Media"))
    _add_code(_add(media, "MediaIdentifier"), "MediaType", Code("110037", "URI"))


def _add_source(message: ElementTree.Element, source: Source) -> None:
    identification = _add(message, "AuditSourceIdentification", AuditSourceID=source.host)
    _add(identification, "AuditSourceTypeCode", **{"csd-code": _APPLICATION_SERVER})


def _nothing(message: ElementTree.Element, one: AuditRecord, source: Source) -> None:
    """A.5.3.12: no Participant Objects are needed."""


def _study(message: ElementTree.Element, one: AuditRecord, source: Source) -> None:
    uid = str(one.details.get("study_instance_uid", one.subject))
    study = _add_object(message, uid, Code("110180", "Study Instance UID"), uid, "2", "3")
    _add_details(study, one)
    _add_patient(message, source.patient_id(uid))


def _patients(message: ElementTree.Element, one: AuditRecord, source: Source) -> None:
    """A labelled set holds no Patient ID; the message must name one all the same."""
    _add_details(_add_patient(message, ""), one)


def _log(message: ElementTree.Element, one: AuditRecord, source: Source) -> None:
    uri = f"file://{source.host}/audit_event"
    code = Code("12", "URI", "RFC-3881")
    _add_details(_add_object(message, uri, code, "Security Audit Log", "2", "13"), one)


def _subject(message: ElementTree.Element, one: AuditRecord, source: Source) -> None:
    is_account = ACTIONS.get(one.action) is _ACCOUNT
    code = (
        Code("11", "User Identifier", "RFC-3881")
        if is_account
        else Code("subject", "Subject of the event", _OWN_SCHEME)
    )
    role = "13" if is_account else "5"
    subject = _add_object(message, one.subject, code, one.subject, "2", role)
    _add_pair(subject, "Alert Description", f"{one.action}: {one.subject}")
    _add_details(subject, one)


_OBJECTS: Mapping[Message, Callable[[ElementTree.Element, AuditRecord, Source], None]] = (
    MappingProxyType(
        {
            Message.APPLICATION_ACTIVITY: _subject,
            Message.AUDIT_LOG_USED: _log,
            Message.INSTANCES_ACCESSED: _study,
            Message.EXPORT: _patients,
            Message.SECURITY_ALERT: _subject,
            Message.USER_AUTHENTICATION: _nothing,
        }
    )
)


def _add_patient(message: ElementTree.Element, patient_id: str) -> ElementTree.Element:
    """By Patient ID only: the name is optional, and stands in no audit trail of ours."""
    known, code = patient_id or _NO_PATIENT_ID, Code("2", "Patient Number", "RFC-3881")
    return _add_object(message, known, code, known, "1", "1")


def _add_object(
    message: ElementTree.Element, identifier: str, code: Code, name: str, kind: str, role: str
) -> ElementTree.Element:
    """ParticipantObjectIdentification with what A.5.1 makes mandatory."""
    found = _add(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=identifier,
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    _add_code(found, "ParticipantObjectIDTypeCode", code)
    _add(found, "ParticipantObjectName").text = _printable(name)
    return found


def _add_details(found: ElementTree.Element, one: AuditRecord) -> None:
    _add_pair(found, "action", one.action)
    for key, value in one.details.items():
        _add_pair(found, key, value if isinstance(value, str) else json.dumps(value))


def _add_pair(found: ElementTree.Element, name: str, value: str) -> None:
    encoded = base64.b64encode(value.encode("utf-8", "replace")).decode("ascii")
    _add(found, "ParticipantObjectDetail", type=name, value=encoded)


def _add_code(parent: ElementTree.Element, name: str, code: Code) -> None:
    attributes = {
        "csd-code": str(code.value),
        "codeSystemName": code.scheme,
        "originalText": code.meaning,
    }
    _add(parent, name, **attributes)


def _add(parent: ElementTree.Element, name: str, **attributes: str) -> ElementTree.Element:
    clean = {key: _printable(value) for key, value in attributes.items()}
    return ElementTree.SubElement(parent, name, clean)


def _printable(text: str) -> str:
    """XML 1.0 has no way to write control characters and lone surrogates; nothing hides here."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
