"""Storage commitment: action and event information of peers, in the handlers of both roles.

A case is one byte and an encoded data set. Bit 0: implicit VR; bit 1: N-EVENT-REPORT instead of
N-ACTION; the other bits are the action or event type.
"""

import io
import json
from collections import Counter
from pathlib import Path

from pydicom import uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContextTuple
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from dicom_node.commitment import (
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    SUCCESS,
    CommitmentProvider,
    answer_action,
)
from dicom_node.commitment_scu import CommitmentReport, answer_report
from dicom_node.received import check_uid
from tests.fuzz.dicom_bytes import data_set_grammar, element, named, sequence
from tests.fuzz.finding import bounded, require
from tests.fuzz.pdu_bytes import CR, commitment_information

_IMPLICIT, _REPORT = 1, 2
_CPU_S, _MIB = 2.0, 64
_STATUSES = {
    "action": {SUCCESS, INVALID_ARGUMENT, NO_SUCH_ACTION},
    "report": {0x0000, 0x0113, 0x0115, 0xC000},
}

_REFERENCE = named("ReferencedSOPClassUID", CR.encode()) + named("ReferencedSOPInstanceUID", b"1.2")

GRAMMAR = data_set_grammar(
    (
        named("TransactionUID", b"1.2.3 "),
        named("TransactionUID", b"1\\2 "),
        named("TransactionUID", b"\xff\xff", b"SQ"),
        sequence("ReferencedSOPSequence", _REFERENCE, _REFERENCE),
        sequence("FailedSOPSequence", _REFERENCE + named("FailureReason", b"\x10\x01")),
        sequence("FailedSOPSequence", _REFERENCE + named("FailureReason", b"", b"US")),
        sequence("FailedSOPSequence", _REFERENCE + named("FailureReason", b"many ", b"LO")),
        sequence("FailedSOPSequence", _REFERENCE + named("FailureReason", b"\xff\xff", b"SS")),
        sequence("ReferencedSOPSequence", sequence("ReferencedSOPSequence", _REFERENCE)),
        named("ReferencedSOPSequence", b"text", b"LO"),
        named("ReferencedSOPSequence", _REFERENCE, b"UN"),
        named("SpecificCharacterSet", b"ISO 2022 IR 87\\ISO_IR 999 "),
        element(0x00081199, b"ZZ", b"\0\0"),
    )
)


def seeds(folder: Path) -> list[bytes]:
    """Valid requests and reports."""
    explicit = named("TransactionUID", b"1.2.3.99")
    explicit += sequence("FailedSOPSequence", _REFERENCE + named("FailureReason", b"\x10\x01"))
    explicit += sequence("ReferencedSOPSequence", _REFERENCE, _REFERENCE)
    return [
        bytes([_IMPLICIT | 1 << 2]) + commitment_information(3),
        bytes([_IMPLICIT | _REPORT | 1 << 2]) + commitment_information(3),
        bytes([_IMPLICIT | _REPORT | 2 << 2]) + commitment_information(1, 2),
        bytes([1 << 2]) + explicit,
        bytes([_REPORT | 2 << 2]) + explicit,
    ]


class CommitmentTarget:
    """Calls both handlers as pynetdicom does; requests are kept in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.notes: Counter[str] = Counter()
        self._folder = folder / "commitments"
        self._provider = CommitmentProvider(
            self._folder, "SCREEN", lambda reference: 0, lambda ae_title: None
        )
        self._association = Association(AE("FUZZ"), "acceptor")
        self._association.requestor.ae_title = "FUZZ"
        self._reports: list[CommitmentReport] = []

    def run(self, case: bytes) -> None:
        """Raise Finding, or what should not have been raised, when a contract is broken."""
        mode = case[0] if case else 0
        syntax = uid.ImplicitVRLittleEndian if mode & _IMPLICIT else uid.ExplicitVRLittleEndian
        with bounded(_CPU_S, _MIB):
            if mode & _REPORT:
                self._report(mode >> 2, syntax, case[1:])
            else:
                self._ask(mode >> 2, syntax, case[1:])

    def check(self) -> None:
        """Nothing is left between cases."""

    def close(self) -> None:
        """Nothing is held."""

    def _ask(self, kind: int, syntax: uid.UID, information: bytes) -> None:
        request = N_ACTION()
        request.ActionTypeID = kind
        request.RequestedSOPInstanceUID = StorageCommitmentPushModelInstance
        request.ActionInformation = io.BytesIO(information)
        status, reply = answer_action(
            self._event(evt.EVT_N_ACTION, request, syntax), self._provider
        )
        require(status in _STATUSES["action"] and reply is None, f"status 0x{status:04X}")
        files = list(self._folder.iterdir())
        require(len(files) == (status == SUCCESS), f"0x{status:04X} and {len(files)} files")
        for path in files:
            stored = json.loads(path.read_bytes())
            path.unlink()
            require(0 < len(stored["references"]) <= 10_000, "no or too many references")
            for sop_class_uid, sop_instance_uid in stored["references"]:
                check_uid(sop_class_uid, "SOP Class UID")
                check_uid(sop_instance_uid, "SOP Instance UID")

    def _report(self, kind: int, syntax: uid.UID, information: bytes) -> None:
        request = N_EVENT_REPORT()
        request.EventTypeID = kind
        request.EventInformation = io.BytesIO(information)
        self._reports.clear()
        event = self._event(evt.EVT_N_EVENT_REPORT, request, syntax)
        status, reply = answer_report(event, self._take)
        require(status in _STATUSES["report"] and reply is None, f"status 0x{status:04X}")
        require(
            len(self._reports) == (status == 0), f"0x{status:04X}, {len(self._reports)} reports"
        )
        for report in self._reports:
            check_uid(report.transaction_uid, "Transaction UID")
            for sop_instance_uid in (*report.kept, *report.failed):
                check_uid(sop_instance_uid, "SOP Instance UID")
            reasons = report.failed.values()
            require(all(0 <= reason <= 0xFFFF for reason in reasons), f"reasons {set(reasons)}")
            both = set(report.kept) & set(report.failed)
            require(not both, f"{len(both)} instances kept and failed in one report")

    def _take(self, report: CommitmentReport) -> bool:
        self._reports.append(report)
        return True

    def _event(
        self, kind: evt.InterventionEvent, request: N_ACTION | N_EVENT_REPORT, syntax: uid.UID
    ) -> Event:
        context = PresentationContextTuple(1, StorageCommitmentPushModel, syntax)
        return Event(self._association, kind, {"request": request, "context": context})
