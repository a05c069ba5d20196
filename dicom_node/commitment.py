"""Storage commitment as its provider (Storage Commitment Push Model, PS3.4 annex J).

A request is durable before its N-ACTION is answered, and forgotten only after its N-EVENT-REPORT
was: whatever dies in between, the next start reports. A report sent twice says the same twice.
"""

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4
from weakref import WeakValueDictionary

import structlog
from pydicom import Dataset
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import build_role
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from dicom_node.errors import DicomNodeError, MalformedInstance
from dicom_node.instance import RemoteAE
from dicom_node.received import check_uid
from dicom_node.remote_association import open_association
from dicom_node.spool import write_file_durably

SUCCESS, NO_SUCH_INSTANCE, INVALID_ARGUMENT, CLASS_CONFLICT = 0x0000, 0x0112, 0x0115, 0x0119
NO_SUCH_ACTION, RESOURCE_LIMITATION = 0x0123, 0x0213

_REQUEST_COMMITMENT = 1
_ALL_KEPT, _SOME_FAILED = 1, 2
_MAXIMUM_WAITING = 1000
"""Requests on disk; beyond, a peer is told to ask later (resource limitation)."""
_MAXIMUM_REFERENCES = 10_000
_ANSWER_FIRST_S = 0.3
"""The N-ACTION's own answer goes out before its report."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 600.0
_GIVE_UP_AFTER_S = 24 * 3600.0

_log = structlog.get_logger(__name__)

Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""

Keeps = Callable[[Reference], int]
"""0 if the instance is durably ours, else the Failure Reason (0008,1197) of PS3.3 C.14.1.1. Any
exception: not known now, asked again later."""

AddressOf = Callable[[str], RemoteAE | None]
"""Where the AE of this title takes reports; None: on its own association only."""


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What an N-ACTION asked for."""

    transaction_uid: str
    ae_title: str
    references: tuple[Reference, ...]
    received_at: float


class CommitmentProvider:
    """Takes requests into `folder` and reports on them from a thread. Processes may share it.

    `ae_title` is what we call requestors with.
    """

    def __init__(
        self, folder: Path, ae_title: str, keeps: Keeps, address_of: AddressOf, poll_s: float = 0.2
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._ae_title = ae_title
        self._keeps = keeps
        self._address_of = address_of
        self._poll_s = poll_s
        self._asked_on: WeakValueDictionary[str, Association] = WeakValueDictionary()
        self._tries: dict[str, tuple[int, float]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Report from now on; what an earlier process left, too."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="commitments", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the report under way; the rest waits on disk."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(60)

    def accept(self, request: CommitmentRequest, association: Association) -> None:
        """Make a request durable. Raises OSError if that fails or too many are waiting."""
        if sum(1 for _ in self._folder.glob("*.json")) >= _MAXIMUM_WAITING:
            raise OSError(errno.EDQUOT, f"{_MAXIMUM_WAITING} requests are waiting")
        name = f"{uuid4().hex}.json"
        self._asked_on[name] = association
        write_file_durably(self._folder / name, json.dumps(asdict(request)).encode())

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            for path in sorted(self._folder.glob("*.json")):
                if self._stop.is_set():
                    return
                if self._tries.get(path.name, (0, 0.0))[1] <= time.monotonic():
                    self._work_on(path)

    def _work_on(self, path: Path) -> None:
        with _claimed(path) as content:
            if content is None:
                return
            request = _read(content)
            if time.time() - request.received_at < _ANSWER_FIRST_S:
                return
            try:
                reported = self._report(request, self._asked_on.get(path.name))
            except Exception as error:  # the boundary of a thread that must go on
                _log.warning("commitment_not_reported", reason=_reason(error))
                reported = False
            if reported:
                self._forget(path)
            elif time.time() - request.received_at > _GIVE_UP_AFTER_S:
                _log.critical("commitment_given_up", transaction_uid=request.transaction_uid)
                self._forget(path)
            else:
                self._postpone(path.name)

    def _report(self, request: CommitmentRequest, asked_on: Association | None) -> bool:
        remote = self._address_of(request.ae_title)
        if remote is None and (asked_on is None or not asked_on.is_established):
            return False
        kind, information = report_of(request, self._keeps)
        if remote is None:
            assert asked_on is not None  # noqa: S101  # for the type checker: checked above
            return _send(asked_on, kind, information)
        contexts = [(UID(StorageCommitmentPushModel), ImplicitVRLittleEndian)]
        # PS3.4 J.3.3: who reports on an association of its own says that it is the provider.
        roles = [build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)]
        with open_association(remote, self._ae_title, contexts, 30, roles=roles) as association:
            return _send(association, kind, information)

    def _postpone(self, name: str) -> None:
        tries = self._tries.get(name, (0, 0.0))[0] + 1
        pause = min(_FIRST_PAUSE_S * 2 ** min(tries - 1, 10), _LONGEST_PAUSE_S)
        if name in self._asked_on and tries <= 10:
            pause = self._poll_s  # its association may be about to be free
        self._tries[name] = (tries, time.monotonic() + pause)

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._tries.pop(path.name, None)
        self._asked_on.pop(path.name, None)


def answer_action(event: Event, provider: CommitmentProvider) -> tuple[int, Dataset | None]:
    """Handler of EVT_N_ACTION: status and no reply (PS3.4 J.3.2)."""
    if event.action_type != _REQUEST_COMMITMENT:
        return NO_SUCH_ACTION, None
    asked = cast(N_ACTION, event.request)
    if asked.RequestedSOPInstanceUID != StorageCommitmentPushModelInstance:
        return NO_SUCH_INSTANCE, None
    try:
        request = read_request(event)
    except MalformedInstance as error:
        _log.warning("commitment_refused", reason=str(error))
        return INVALID_ARGUMENT, None
    except Exception as error:  # whatever pydicom raises on bytes that are no data set
        _log.warning("commitment_refused", reason=type(error).__name__)
        return INVALID_ARGUMENT, None
    try:
        provider.accept(request, event.assoc)
    except OSError as error:
        _log.critical("commitment_not_stored", reason=error.strerror or type(error).__name__)
        return RESOURCE_LIMITATION, None
    return SUCCESS, None


def read_request(event: Event) -> CommitmentRequest:
    """The request in an N-ACTION (PS3.4 table J.3-1). Raises MalformedInstance for what is none."""
    information = event.action_information
    transaction_uid = str(information.get("TransactionUID") or "")
    check_uid(transaction_uid, "Transaction UID")
    items = information.get("ReferencedSOPSequence") or []
    if not 0 < len(items) <= _MAXIMUM_REFERENCES:
        raise MalformedInstance(f"{len(items)} references; 1 to {_MAXIMUM_REFERENCES} are taken")
    return CommitmentRequest(
        transaction_uid,
        str(event.assoc.requestor.ae_title).strip(),
        tuple(_reference(item) for item in items),
        time.time(),
    )


def report_of(request: CommitmentRequest, keeps: Keeps) -> tuple[int, Dataset]:
    """Event type and Event Information (PS3.4 table J.3-2), true per instance now."""
    reasons = {reference: keeps(reference) for reference in request.references}
    information = Dataset()
    information.TransactionUID = request.transaction_uid
    kept = [_item(each) for each, reason in reasons.items() if not reason]
    failed = [_item(each, reason) for each, reason in reasons.items() if reason]
    if kept:
        information.ReferencedSOPSequence = kept
    if failed:
        information.FailedSOPSequence = failed
    return (_SOME_FAILED if failed else _ALL_KEPT), information


def _reference(item: Dataset) -> Reference:
    uids = (
        str(item.get("ReferencedSOPClassUID") or ""),
        str(item.get("ReferencedSOPInstanceUID") or ""),
    )
    check_uid(uids[0], "Referenced SOP Class UID")
    check_uid(uids[1], "Referenced SOP Instance UID")
    return uids


def _item(reference: Reference, reason: int = 0) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    if reason:
        item.FailureReason = reason
    return item


def _send(association: Association, kind: int, information: Dataset) -> bool:
    status, _ = association.send_n_event_report(
        information, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    answer = status.get("Status")
    if answer != SUCCESS:
        _log.warning(
            "commitment_not_reported",
            reason="no answer" if answer is None else f"status 0x{answer:04X}",
        )
    return bool(answer == SUCCESS)


@contextmanager
def _claimed(path: Path) -> Iterator[bytes | None]:
    """The file's content, ours alone as long as we live; None where another process has it."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield None
        return
    with os.fdopen(descriptor, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # Another process may have finished it between our open and our lock.
        yield file.read() if path.exists() else None


def _read(content: bytes) -> CommitmentRequest:
    stored: dict[str, Any] = json.loads(content)  # Any: JSON
    references = tuple((str(one), str(two)) for one, two in stored.pop("references"))
    return CommitmentRequest(references=references, **stored)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, DicomNodeError) else type(error).__name__
