"""The sender: C-STORE and C-ECHO to a remote AE (PS3.4 annexes A and B).

Sends files as they are; whether and when to try again is the caller's business.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

SUCCESS = 0x0000
WARNINGS = frozenset({0xB000, 0xB006, 0xB007})
"""Stored all the same: coerced elements, elements discarded, data set doesn't match SOP class."""

_MAXIMUM_CONTEXTS = 128
_MAXIMUM_PDU_SIZE = 131072


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What became of one file.

    `status` is the destination's DIMSE status, None where it gave none (no association, no accepted
    presentation context, an unreadable file, no answer). `error` is empty when `stored` without a
    warning.
    """

    path: Path
    sop_instance_uid: str
    status: int | None
    error: str

    @property
    def stored(self) -> bool:
        """Whether the destination has it: success or one of the warnings."""
        return self.status == SUCCESS or self.warning

    @property
    def warning(self) -> bool:
        """Whether the destination stored it with a warning (PS3.4 table B.2-1)."""
        return self.status in WARNINGS


@dataclass(frozen=True, slots=True)
class _Parcel:
    path: Path
    sop_class_uid: UID
    sop_instance_uid: UID
    transfer_syntax_uid: UID
    error: str = ""


def send_instances(
    remote: RemoteAE, paths: Sequence[Path], *, calling_ae_title: str, timeout_s: float = 30
) -> list[StoreResult]:
    """Send DICOM files on one association; one result per path, in their order.

    Bytes go out as they lie in the file. Where a destination takes Implicit VR only, explicit VR
    little endian files are converted on the way. `timeout_s` bounds connecting and each answer.
    Never raises for what the destination or a file does wrong: each `StoreResult` tells.
    """
    parcels = [_parcel(path) for path in paths]
    sendable = [parcel for parcel in parcels if not parcel.error]
    if not sendable:
        return [_unsent(parcel, parcel.error) for parcel in parcels]
    try:
        contexts = _contexts(sendable)
        with _association(remote, calling_ae_title, contexts, timeout_s) as association:
            return [_send(association, remote, parcel) for parcel in parcels]
    except AssociationFailed as error:
        return [_unsent(parcel, parcel.error or str(error)) for parcel in parcels]


def echo(remote: RemoteAE, *, calling_ae_title: str, timeout_s: float = 10) -> None:
    """Verify that `remote` answers C-ECHO with success; raises AssociationFailed if not."""
    contexts = [(UID(Verification), ImplicitVRLittleEndian)]
    with _association(remote, calling_ae_title, contexts, timeout_s) as association:
        status = association.send_c_echo().get("Status") if association.is_established else None
    if status != SUCCESS:
        answer = "no answer" if status is None else f"status 0x{status:04X}"
        raise AssociationFailed(f"{_name(remote)} did not verify the association: {answer}")


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
        (sop_class, ImplicitVRLittleEndian)
        for sop_class, transfer_syntax in pairs
        if transfer_syntax == ExplicitVRLittleEndian
    ]
    return list(dict.fromkeys((*pairs, *convertible)))[:_MAXIMUM_CONTEXTS]


@contextmanager
def _association(
    remote: RemoteAE,
    calling_ae_title: str,
    contexts: Sequence[tuple[UID, UID]],
    timeout_s: float,
) -> Iterator[Association]:
    # Process-wide: file paths go out as raw bytes, in pieces, and no identifier is logged.
    _config.STORE_SEND_CHUNKED_DATASET = True
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(calling_ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout_s
    for sop_class_uid, transfer_syntax_uid in contexts:
        ae.add_requested_context(sop_class_uid, transfer_syntax_uid)
    association = _associate(ae, remote)
    try:
        if not association.is_established:
            raise AssociationFailed(_why_not_established(association, remote, calling_ae_title))
        yield association
    finally:
        if association.is_established:
            association.release()


def _associate(ae: AE, remote: RemoteAE) -> Association:
    try:
        return ae.associate(
            remote.host,
            remote.port,
            ae_title=remote.ae_title,
            max_pdu=_MAXIMUM_PDU_SIZE,
            evt_handlers=[(evt.EVT_CONN_OPEN, _send_without_delay)],
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise AssociationFailed(f"cannot associate with {_name(remote)}: {error}") from error


def _send_without_delay(event: Event) -> None:
    """Nagle's algorithm and delayed acknowledgement together cost tens of ms per instance."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _send(association: Association, remote: RemoteAE, parcel: _Parcel) -> StoreResult:
    if parcel.error:
        return _unsent(parcel, parcel.error)
    if not association.is_established:
        return _unsent(parcel, f"{_name(remote)} ended the association early")
    try:
        status = _c_store(association, parcel).get("Status")
    except ValueError:
        return _unsent(parcel, _not_negotiated(remote, parcel))
    except Exception as error:  # pynetdicom's, when the association breaks in mid-send
        return _unsent(parcel, f"sending to {_name(remote)} failed ({type(error).__name__})")
    if status is None:
        return _unsent(parcel, f"{_name(remote)} gave no answer in time or broke the association")
    return StoreResult(parcel.path, str(parcel.sop_instance_uid), status, _meaning(status))


def _c_store(association: Association, parcel: _Parcel) -> Dataset:
    accepted = {(c.abstract_syntax, c.transfer_syntax[0]) for c in association.accepted_contexts}
    pair = (parcel.sop_class_uid, parcel.transfer_syntax_uid)
    convertible = (parcel.sop_class_uid, ImplicitVRLittleEndian)
    is_convertible = parcel.transfer_syntax_uid == ExplicitVRLittleEndian
    if is_convertible and pair not in accepted and convertible in accepted:
        return association.send_c_store(dcmread(parcel.path))
    return association.send_c_store(parcel.path)


def _unsent(parcel: _Parcel, error: str) -> StoreResult:
    return StoreResult(parcel.path, str(parcel.sop_instance_uid), None, error)


def _meaning(status: int) -> str:
    """The standard's words; the peer's own Error Comment may quote patient data."""
    if status == SUCCESS:
        return ""
    category, words = STORAGE_SERVICE_CLASS_STATUS.get(status, ("Failure", "not in the standard"))
    return f"0x{status:04X} {category}: {words}" if words else f"0x{status:04X} {category}"


def _not_negotiated(remote: RemoteAE, parcel: _Parcel) -> str:
    return (
        f"{_name(remote)} does not accept {parcel.sop_class_uid.name} as "
        f"{parcel.transfer_syntax_uid.name}: allow both at the destination"
    )


def _why_not_established(association: Association, remote: RemoteAE, calling: str) -> str:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return (
            f"{_name(remote)} rejected the association ({answer.reason_str}): check that it knows "
            f"the calling AE title {calling!r} and is called {remote.ae_title!r}"
        )
    if association.is_aborted and answer is not None:
        return f"{_name(remote)} accepted none of the presentation contexts: check its SOP classes"
    return (
        f"no association with {_name(remote)}: check that it runs, "
        "the host and port, and the firewall"
    )


def _name(remote: RemoteAE) -> str:
    return f"{remote.ae_title} at {remote.host}:{remote.port}"
