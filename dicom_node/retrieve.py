"""Fetching what a remote AE has: C-MOVE to a listener of ours, C-GET to here (PS3.4 annex C)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from pydicom import Dataset
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_node.errors import AssociationFailed, MalformedInstance
from dicom_node.incoming import IncomingDataSet
from dicom_node.instance import RemoteAE
from dicom_node.receiver import Receiver, announced
from dicom_node.remote_association import name_of, open_association
from dicom_node.retry_classes import TransportProblem
from dicom_node.sop_classes import RADIOGRAPH_SOP_CLASSES, TRANSFER_SYNTAXES

_SUCCESS = 0x0000
_PENDING = (0xFF00, 0xFF01)

RETRIEVE_STATUSES: dict[int, str] = {
    0xA701: "it cannot count the matches",
    0xA702: "it cannot perform sub-operations",
    0xA801: "it does not know the move destination: our AE title, host and port must be entered",
    0xA900: "it does not understand the request",
    0xB000: "some sub-operations failed or met with warnings",
    0xFE00: "it cancelled",
    0x0122: "it does not support the SOP class",
    0x0124: "it does not allow us to",
}
"""What a final status other than success says (PS3.4 tables C.4-2 and C.4-3, PS3.7 annex C)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Instances of one series; none named: all of them."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Sub-operations of one request as the remote AE counts them; None: it gives no number."""

    completed: int | None
    failed: int | None
    warned: int | None
    problem: str
    """ "" if it says that all went well."""


def move(
    remote: RemoteAE,
    wanted: Sequence[Wanted],
    *,
    to_ae_title: str,
    calling_ae_title: str,
    timeout_s: float,
) -> Iterator[Retrieved]:
    """Have `remote` send instances to `to_ae_title`, whose address it must know.

    One request per series, on one association. Each is answered once all its sub-operations are
    done, so what it completed is then registered at its destination. `timeout_s` bounds the wait
    for an answer, pending ones too.

    Raises:
        AssociationFailed: there is none, or it broke, or there was no answer.
    """
    model = UID(StudyRootQueryRetrieveInformationModelMove)
    contexts = [(model, ImplicitVRLittleEndian)]
    with open_association(remote, calling_ae_title, contexts, timeout_s) as association:
        for each in wanted:
            _require_established(association, remote)
            answers = association.send_c_move(_identifier(each), to_ae_title, model)
            yield _retrieved(answers, remote)


def get(
    remote: RemoteAE,
    wanted: Sequence[Wanted],
    *,
    receiver: Receiver,
    calling_ae_title: str,
    timeout_s: float,
    largest_bytes: int,
) -> Iterator[Retrieved]:
    """Have `remote` send radiographs to `receiver` on the association that we open.

    Otherwise as `move`; an instance of more than `largest_bytes` is refused.
    """
    model = UID(StudyRootQueryRetrieveInformationModelGet)
    contexts = [
        (model, UID(ImplicitVRLittleEndian)),
        *(
            (UID(one), UID(syntax))
            for one in RADIOGRAPH_SOP_CLASSES
            for syntax in TRANSFER_SYNTAXES
        ),
    ]
    roles = [build_role(UID(one), scp_role=True) for one in RADIOGRAPH_SOP_CLASSES]
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_C_STORE, _storing(receiver, remote.ae_title, largest_bytes))
    ]
    with open_association(
        remote, calling_ae_title, contexts, timeout_s, handlers, roles=roles
    ) as association:
        for each in wanted:
            _require_established(association, remote)
            yield _retrieved(association.send_c_get(_identifier(each), model), remote)


def _storing(receiver: Receiver, ae_title: str, largest_bytes: int) -> Callable[[Event], Dataset]:
    def store(event: Event) -> Dataset:
        request = cast(C_STORE, event.request)
        uids = request.AffectedSOPClassUID, request.AffectedSOPInstanceUID
        encoded = b"" if request.DataSet is None else request.DataSet.getbuffer()
        refusal = None
        if len(encoded) > largest_bytes:
            refusal = MalformedInstance(f"larger than {largest_bytes} bytes")
        said = announced(event.assoc, request._context_id, uids, ae_title)
        incoming = IncomingDataSet(said, receiver.spool, refusal)
        incoming.write(encoded)
        return receiver.answer(incoming, ae_title).data_set()

    return store


def _require_established(association: Association, remote: RemoteAE) -> None:
    if not association.is_established:
        raise AssociationFailed(f"{name_of(remote)} ended the association early")


def _identifier(wanted: Wanted) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE" if wanted.sop_instance_uids else "SERIES"
    identifier.StudyInstanceUID = wanted.study_instance_uid
    identifier.SeriesInstanceUID = wanted.series_instance_uid
    if wanted.sop_instance_uids:
        identifier.SOPInstanceUID = list(wanted.sop_instance_uids)
    return identifier


def _retrieved(answers: Iterator[tuple[Dataset, Dataset | None]], remote: RemoteAE) -> Retrieved:
    for answer, _ in answers:
        status = answer.get("Status")
        if status is None:
            raise AssociationFailed(
                f"{name_of(remote)} gave no answer while it was to send",
                TransportProblem.TIMED_OUT,
            )
        if status not in _PENDING:
            return _final(int(status), answer, remote)
    raise AssociationFailed(f"{name_of(remote)} gave no final answer")


def _final(status: int, answer: Dataset, remote: RemoteAE) -> Retrieved:
    completed, failed, warned = (
        answer.get(f"NumberOf{kind}Suboperations") for kind in ("Completed", "Failed", "Warning")
    )
    problem = ""
    if status != _SUCCESS or failed:
        meaning = RETRIEVE_STATUSES.get(status, "")
        told = f"status 0x{status:04X}" + (f", {meaning}" if meaning else "")
        problem = f"{name_of(remote)}: {told}; {failed or 0} failed, {completed or 0} completed"
    return Retrieved(completed, failed, warned, problem)
