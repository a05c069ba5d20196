"""Whether a destination has what it was sent, asked by C-FIND (PS3.4 annex C), Study Root."""

from collections.abc import Iterable, Sequence

from pydicom import Dataset
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StudyRootQueryRetrieveInformationModelFind,
)

from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.remote_association import name_of, open_association
from dicom_node.retry_classes import TransportProblem

_SUCCESS = 0x0000
_PENDING = (0xFF00, 0xFF01)


def find_instances(
    remote: RemoteAE,
    series: Iterable[tuple[str, str]],
    *,
    calling_ae_title: str,
    timeout_s: float = 30,
) -> set[str]:
    """SOP Instance UIDs that `remote` has in each (study UID, series UID).

    One query per series at IMAGE level. Raises AssociationFailed where it cannot be asked.
    """
    contexts = [(UID(StudyRootQueryRetrieveInformationModelFind), ImplicitVRLittleEndian)]
    with open_association(remote, calling_ae_title, contexts, timeout_s) as association:
        found: set[str] = set()
        for study_instance_uid, series_instance_uid in dict.fromkeys(series):
            query = _query(study_instance_uid, series_instance_uid)
            found.update(_ask(association, remote, query))
    return found


def _query(study_instance_uid: str, series_instance_uid: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID = study_instance_uid
    query.SeriesInstanceUID = series_instance_uid
    query.SOPInstanceUID = ""
    return query


def _ask(association: Association, remote: RemoteAE, query: Dataset) -> Sequence[str]:
    found: list[str] = []
    if not association.is_established:
        raise AssociationFailed(f"{name_of(remote)} ended the association early")
    model = StudyRootQueryRetrieveInformationModelFind
    for answer, identifier in association.send_c_find(query, model):
        status = answer.get("Status")
        if status in _PENDING:
            found.append(str((identifier or Dataset()).get("SOPInstanceUID") or ""))
        elif status is None:
            raise AssociationFailed(
                f"{name_of(remote)} gave no answer to a query", TransportProblem.TIMED_OUT
            )
        elif status != _SUCCESS:
            raise AssociationFailed(
                f"{name_of(remote)} refused a query with status 0x{status:04X}: check that it "
                "lets us query",
                TransportProblem.NOT_NEGOTIATED,
            )
    return found
