"""The sender: C-STORE and C-ECHO to a remote AE (PS3.4 annexes A and B).

Sends files as they are; whether and when to try again is the caller's business.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.remote_association import name_of, open_association
from dicom_node.retry_classes import (
    TRANSPORT_RETRY,
    UNREACHABLE,
    RetryClass,
    TransportProblem,
    store_retry,
)

SUCCESS = 0x0000

_MAXIMUM_CONTEXTS = 128
_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What became of one file.

    `status` is the destination's DIMSE status, None where it gave none; `problem` then tells why.
    `error` is empty when `stored` without a warning.
    """

    path: Path
    sop_instance_uid: str
    status: int | None
    error: str
    problem: TransportProblem | None = None

    @property
    def retry_class(self) -> RetryClass:
        """What this attempt means for the next one."""
        if self.status is not None:
            return store_retry(self.status)
        return TRANSPORT_RETRY[self.problem or TransportProblem.BROKEN]

    @property
    def stored(self) -> bool:
        """Whether the destination has it: success or one of the warnings."""
        return self.retry_class in (RetryClass.SUCCESS, RetryClass.WARNING)

    @property
    def warning(self) -> bool:
        """Whether the destination has it and remarks on it (PS3.4 table B.2-1)."""
        return self.retry_class is RetryClass.WARNING

    @property
    def unreachable(self) -> bool:
        """Whether the destination as a whole could not be reached."""
        return self.problem in UNREACHABLE


@dataclass(frozen=True, slots=True)
class _Parcel:
    path: Path
    sop_class_uid: UID
    sop_instance_uid: UID
    transfer_syntax_uid: UID
    error: str = ""


def send_instances(
    remote: RemoteAE,
    paths: Sequence[Path],
    *,
    calling_ae_title: str,
    timeout_s: float = 30,
    budget_s: float | None = None,
    on_result: Callable[[StoreResult], None] = lambda result: None,
) -> list[StoreResult]:
    """Send DICOM files on one association; one result per path, in their order.

    Bytes go out as they lie in the file. Where a destination does not take a file's transfer
    syntax, it gets explicit or implicit VR little endian, decompressed if need be. `timeout_s`
    bounds connecting and each answer; no file is begun after `budget_s`. `on_result` is called
    with each result as soon as it is known. Never raises for what the destination or a file does
    wrong: each `StoreResult` tells.
    """
    parcels = [_parcel(path) for path in paths]
    sendable = [parcel for parcel in parcels if not parcel.error]
    results: list[StoreResult] = []

    def tell(result: StoreResult) -> None:
        results.append(result)
        on_result(result)

    ends_at = None if budget_s is None else time.monotonic() + budget_s
    try:
        if sendable:
            with open_association(
                remote, calling_ae_title, _contexts(sendable), timeout_s
            ) as association:
                for parcel in parcels:
                    tell(_send(association, remote, parcel, ends_at))
    except AssociationFailed as error:
        for parcel in parcels[len(results) :]:
            if parcel.error:
                tell(_unsent(parcel, parcel.error, TransportProblem.UNREADABLE_FILE))
            else:
                tell(_unsent(parcel, str(error), error.problem))
    for parcel in parcels[len(results) :]:
        tell(_unsent(parcel, parcel.error, TransportProblem.UNREADABLE_FILE))
    return results


@dataclass(frozen=True, slots=True)
class Implementation:
    """What a remote AE says that it runs (PS3.7 D.3.3.2); "" where it says nothing."""

    class_uid: str
    version_name: str


def echo(remote: RemoteAE, *, calling_ae_title: str, timeout_s: float = 10) -> Implementation:
    """Verify that `remote` answers C-ECHO with success; raises AssociationFailed if not."""
    contexts = [(UID(Verification), ImplicitVRLittleEndian)]
    with open_association(remote, calling_ae_title, contexts, timeout_s) as association:
        status = association.send_c_echo().get("Status") if association.is_established else None
        remote_side = association.acceptor
        implementation = Implementation(
            str(remote_side.implementation_class_uid or ""),
            str(remote_side.implementation_version_name or ""),
        )
    if status != SUCCESS:
        answer = "no answer" if status is None else f"status 0x{status:04X}"
        raise AssociationFailed(f"{name_of(remote)} did not verify the association: {answer}")
    return implementation


def _parcel(path: Path) -> _Parcel:
    try:
        meta, _ = split_dataset(path)
        return _Parcel(
            path,
            UID(meta.MediaStorageSOPClassUID),
            UID(meta.MediaStorageSOPInstanceUID),
            UID(meta.TransferSyntaxUID),
        )
    except OSError as error:
        problem = f"cannot read {path.name}: {error.strerror or error}"
    except Exception as error:  # whatever pydicom raises on bytes that aren't a DICOM file
        problem = f"{path.name} has no usable file meta information ({type(error).__name__})"
    return _Parcel(path, UID(""), UID(""), UID(""), problem)


def _contexts(parcels: Sequence[_Parcel]) -> list[tuple[UID, UID]]:
    pairs = [(parcel.sop_class_uid, parcel.transfer_syntax_uid) for parcel in parcels]
    convertible = [
        (sop_class, uncompressed)
        for sop_class, transfer_syntax in pairs
        if _is_convertible(transfer_syntax)
        for uncompressed in _UNCOMPRESSED
    ]
    return list(dict.fromkeys((*pairs, *convertible)))[:_MAXIMUM_CONTEXTS]


def _send(
    association: Association, remote: RemoteAE, parcel: _Parcel, ends_at: float | None
) -> StoreResult:
    if parcel.error:
        return _unsent(parcel, parcel.error, TransportProblem.UNREADABLE_FILE)
    if ends_at is not None and time.monotonic() > ends_at:
        return _unsent(parcel, "not begun: out of time", TransportProblem.LATE)
    if not association.is_established:
        problem = f"{name_of(remote)} ended the association early"
        return _unsent(parcel, problem, TransportProblem.BROKEN)
    try:
        status = _c_store(association, parcel).get("Status")
    except _NotNegotiated:
        return _unsent(parcel, _not_negotiated(remote, parcel), TransportProblem.NOT_NEGOTIATED)
    except _Unconvertible as error:
        return _unsent(parcel, str(error), TransportProblem.UNREADABLE_FILE)
    except Exception as error:  # pynetdicom's, when the association breaks in mid-send
        problem = f"sending to {name_of(remote)} failed ({type(error).__name__})"
        return _unsent(parcel, problem, TransportProblem.BROKEN)
    if status is None:
        problem = f"{name_of(remote)} gave no answer in time or broke the association"
        return _unsent(parcel, problem, TransportProblem.TIMED_OUT)
    return StoreResult(parcel.path, str(parcel.sop_instance_uid), status, _meaning(status))


class _NotNegotiated(Exception):
    """No accepted presentation context fits."""


class _Unconvertible(Exception):
    """The file cannot be turned into what the destination accepts."""


def _c_store(association: Association, parcel: _Parcel) -> Dataset:
    accepted = {
        c.transfer_syntax[0]
        for c in association.accepted_contexts
        if c.abstract_syntax == parcel.sop_class_uid
    }
    if parcel.transfer_syntax_uid in accepted:
        return association.send_c_store(parcel.path)
    if not _is_convertible(parcel.transfer_syntax_uid) or accepted.isdisjoint(_UNCOMPRESSED):
        raise _NotNegotiated
    # pynetdicom encodes it as the accepted context says.
    return association.send_c_store(_uncompressed(parcel))


def _uncompressed(parcel: _Parcel) -> Dataset:
    try:
        dataset = dcmread(parcel.path)
        if parcel.transfer_syntax_uid.is_compressed:
            dataset.decompress(generate_instance_uid=False)
    except Exception as error:  # whatever the decoders raise
        raise _Unconvertible(
            f"{parcel.path.name} cannot be decompressed ({type(error).__name__}), and the "
            f"destination does not accept {parcel.transfer_syntax_uid.name}"
        ) from error
    return dataset


def _is_convertible(transfer_syntax_uid: UID) -> bool:
    """Little endian, and not deflated: what pydicom turns into another encoding."""
    return transfer_syntax_uid in _UNCOMPRESSED or transfer_syntax_uid.is_encapsulated


def _unsent(parcel: _Parcel, error: str, problem: TransportProblem) -> StoreResult:
    return StoreResult(parcel.path, str(parcel.sop_instance_uid), None, error, problem)


def _meaning(status: int) -> str:
    """The standard's words; the peer's own Error Comment may quote patient data."""
    if status == SUCCESS:
        return ""
    category, words = STORAGE_SERVICE_CLASS_STATUS.get(status, ("Failure", "not in the standard"))
    return f"0x{status:04X} {category}: {words}" if words else f"0x{status:04X} {category}"


def _not_negotiated(remote: RemoteAE, parcel: _Parcel) -> str:
    return (
        f"{name_of(remote)} does not accept {parcel.sop_class_uid.name} as "
        f"{parcel.transfer_syntax_uid.name}: allow both at the destination"
    )
