"""Storage commitment as its user (PS3.4 annex J): asking, and reading what comes back.

A result comes on the association of the request or on a new one that the destination opens to our
listener, which hands it to `answer_report`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as ThreadEvent
from typing import cast

import structlog
from pydicom import Dataset
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from dicom_node.errors import AssociationFailed, MalformedInstance
from dicom_node.instance import RemoteAE
from dicom_node.received import check_uid
from dicom_node.remote_association import name_of, open_association
from dicom_node.retry_classes import TransportProblem
from dicom_node.uids import is_probe_transaction

_REQUEST = 1
_SUCCESS, _NO_SUCH_EVENT, _PROCESSING_FAILURE, _INVALID_ARGUMENT = 0x0000, 0x0113, 0x0110, 0x0115
_EVENT_TYPES = (1, 2)
"""Complete, and complete with failures (PS3.4 J.3.3)."""
_MAXIMUM_REFERENCES = 10000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What a destination says of one request.

    `kept`: SOP Instance UIDs that it took responsibility for. `failed`: those that it did not, with
    the Failure Reason (0008,1197); what is named as both counts as failed.
    """

    transaction_uid: str
    kept: tuple[str, ...]
    failed: Mapping[str, int]


OnReport = Callable[[CommitmentReport], bool]
"""Records a report durably; False: nobody asked under its transaction UID. Called from the thread
of an association. Any exception makes the peer send the report again (status 0x0110)."""


def request_commitment(
    remote: RemoteAE,
    references: Sequence[tuple[str, str]],
    transaction_uid: str,
    on_report: OnReport,
    *,
    calling_ae_title: str,
    timeout_s: float = 30,
    wait_s: float = 2,
) -> bool:
    """Ask `remote` to keep (SOP class, SOP instance) `references`; whether the answer came at once.

    The association stays open for `wait_s`, in which a result goes to `on_report`. Raises
    AssociationFailed when the request could not be made or was refused.
    """
    answered, came = ThreadEvent(), ThreadEvent()

    def report(event: Event) -> tuple[int, Dataset | None]:
        answer = answer_report(event, on_report)
        answered.set()
        return answer

    def after_sending(event: Event) -> None:
        # Releasing before our response is out would leave the peer without it.
        if answered.is_set():
            came.set()

    contexts = [(UID(StorageCommitmentPushModel), ImplicitVRLittleEndian)]
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_N_EVENT_REPORT, report),
        (evt.EVT_PDU_SENT, after_sending),
    ]
    with open_association(remote, calling_ae_title, contexts, timeout_s, handlers) as association:
        status, _ = association.send_n_action(
            _action_information(references, transaction_uid),
            _REQUEST,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        _require_success(remote, status.get("Status"))
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and association.is_established:
            if came.wait(0.05):
                break
    return came.is_set()


def answer_report(event: Event, on_report: OnReport) -> tuple[int, Dataset | None]:
    """Handler of EVT_N_EVENT_REPORT, for the requestor's side and for the listener.

    The listener binds it as `(evt.EVT_N_EVENT_REPORT, answer_report, [on_report])` and accepts the
    Storage Commitment Push Model with the destination as SCP.
    """
    try:
        report = read_report(event.event_type, event.event_information)
    except MalformedInstance as error:
        _log.warning("commitment_report_refused", reason=str(error))
        return error.status, None
    except Exception as error:  # whatever pydicom raises on bytes that are no data set
        _log.warning("commitment_report_refused", reason=type(error).__name__)
        return _INVALID_ARGUMENT, None
    try:
        known = on_report(report)
    except Exception as error:  # the boundary: the peer must get an answer
        _log.error("commitment_report_not_recorded", kind=type(error).__name__)
        return _PROCESSING_FAILURE, None
    if is_probe_transaction(report.transaction_uid):
        _log.info("commitment_report_of_test_object", transaction_uid=report.transaction_uid)
    elif not known:
        _log.warning("commitment_report_unknown", transaction_uid=report.transaction_uid)
    return _SUCCESS, None


def read_report(event_type: int | None, information: Dataset) -> CommitmentReport:
    """The report in an N-EVENT-REPORT (PS3.4 table J.3-2).

    Raises MalformedInstance, with the DIMSE status to answer, for what is none.
    """
    if event_type not in _EVENT_TYPES:
        raise MalformedInstance(f"event type {event_type} is none of J.3.3", status=_NO_SUCH_EVENT)
    transaction_uid = str(information.get("TransactionUID") or "")
    check_uid(transaction_uid, "Transaction UID")
    kept = information.get("ReferencedSOPSequence") or []
    failed = information.get("FailedSOPSequence") or []
    if len(kept) + len(failed) > _MAXIMUM_REFERENCES:
        raise MalformedInstance("more references than were asked for", status=_INVALID_ARGUMENT)
    failures = {_referenced(item): _failure_reason(item) for item in failed}
    kept_uids = (_referenced(item) for item in kept)
    # Of an instance that is named as kept and as failed, the failure counts.
    return CommitmentReport(
        transaction_uid, tuple(each for each in kept_uids if each not in failures), failures
    )


def _failure_reason(item: Dataset) -> int:
    reason = int(item.get("FailureReason") or _PROCESSING_FAILURE)
    if not 0 < reason <= 0xFFFF:
        raise MalformedInstance(f"failure reason {reason}", status=_INVALID_ARGUMENT)
    return reason


def _referenced(item: Dataset) -> str:
    uid = str(item.get("ReferencedSOPInstanceUID") or "")
    check_uid(uid, "Referenced SOP Instance UID")
    return uid


def _action_information(references: Sequence[tuple[str, str]], transaction_uid: str) -> Dataset:
    """PS3.4 table J.3-1."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    items = []
    for sop_class_uid, sop_instance_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        items.append(item)
    information.ReferencedSOPSequence = items
    return information


def _require_success(remote: RemoteAE, status: object) -> None:
    if status == _SUCCESS:
        return
    if status is None:
        raise AssociationFailed(
            f"{name_of(remote)} gave no answer to a storage commitment request",
            TransportProblem.TIMED_OUT,
        )
    raise AssociationFailed(
        f"{name_of(remote)} refused a storage commitment request with status "
        f"0x{cast(int, status):04X}: check that it offers storage commitment to us",
        TransportProblem.NOT_NEGOTIATED,
    )
