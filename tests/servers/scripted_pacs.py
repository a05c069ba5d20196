"""A PACS that answers as it is told: any status, any moment; storage commitment on either way."""

import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydicom import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from dicom_node.instance import RemoteAE
from tests.servers.ports import free_port

SOP_CLASSES = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
    EncapsulatedPDFStorage,
)


@dataclass(frozen=True)
class Reception:
    """One C-STORE request that arrived whole."""

    sop_instance_uid: str
    digest: str
    """SHA-256 of the encoded data set."""
    time: float
    """time.monotonic() before it was answered."""
    calling_ae_title: str
    transfer_syntax_uid: str


@dataclass
class ScriptedPacs:
    """Started and stopped as a context manager, or by `start` and `stop` on the same port."""

    port: int = field(default_factory=free_port)
    ae_title: str = "PACS"
    transfer_syntaxes: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    status: Callable[[str], int] = lambda uid: 0x0000
    before_answer: Callable[[Reception], None] = lambda reception: None
    commitment: Literal["same", "new", "never", "refused"] | None = None
    report_to: RemoteAE | None = None
    lost: dict[str, int] = field(default_factory=dict)
    """SOP Instance UID → failure reason in the commitment result."""
    tls: ssl.SSLContext | None = None
    require_calling: Sequence[str] = ()
    receptions: list[Reception] = field(default_factory=list)
    transactions: list[str] = field(default_factory=list)

    @property
    def remote(self) -> RemoteAE:
        return RemoteAE(self.ae_title, "127.0.0.1", self.port)

    @property
    def received(self) -> list[str]:
        """SOP Instance UIDs in the order of arrival, repeated ones too."""
        return [reception.sop_instance_uid for reception in self.receptions]

    def start(self) -> None:
        ae = AE(self.ae_title)
        ae.require_calling_aet = list(self.require_calling)
        ae.maximum_associations = 50
        ae.add_supported_context(Verification)
        for sop_class in SOP_CLASSES:
            ae.add_supported_context(sop_class, list(self.transfer_syntaxes))
        if self.commitment is not None:
            ae.add_supported_context(StorageCommitmentPushModel)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._commit),
        ]
        self._server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=self.tls
        )

    def stop(self) -> None:
        self._server.shutdown()

    def __enter__(self) -> "ScriptedPacs":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _store(self, event: Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        reception = Reception(
            uid,
            hashlib.sha256(event.request.DataSet.getvalue()).hexdigest(),
            time.monotonic(),
            str(event.assoc.requestor.ae_title),
            str(event.context.transfer_syntax),
        )
        status = self.status(uid)
        if status in (0x0000, 0xB000, 0xB006, 0xB007):
            self.receptions.append(reception)
        self.before_answer(reception)
        return status

    def _commit(self, event: Event) -> tuple[int, None]:
        if self.commitment == "refused":
            return 0x0110, None
        information = event.action_information
        self.transactions.append(str(information.TransactionUID))
        if self.commitment in ("same", "new"):
            association = event.assoc if self.commitment == "same" else None
            threading.Thread(target=self.report, args=(information, association)).start()
        return 0x0000, None

    def report(self, request: Dataset, association: object = None) -> None:
        """Send the result of a request, on this association or on a new one."""
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        asked = request.ReferencedSOPSequence
        report.ReferencedSOPSequence = [
            item for item in asked if item.ReferencedSOPInstanceUID not in self.lost
        ]
        failed = [item for item in asked if item.ReferencedSOPInstanceUID in self.lost]
        for item in failed:
            item.FailureReason = self.lost[item.ReferencedSOPInstanceUID]
        if failed:
            report.FailedSOPSequence = failed
        send = (
            report,
            2 if failed else 1,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        if association is not None:
            time.sleep(0.1)
            association.send_n_event_report(*send)  # type: ignore[attr-defined]
            return
        assert self.report_to is not None
        ae = AE(self.ae_title)
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        remote = self.report_to
        new = ae.associate(remote.host, remote.port, ae_title=remote.ae_title, ext_neg=[role])
        assert new.is_established, "our listener does not take the result"
        new.send_n_event_report(*send)
        new.release()
