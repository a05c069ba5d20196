"""A data set on its way in: to the spool as it arrives, judged once it is whole."""

import threading
from dataclasses import dataclass

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ImplicitVRLittleEndian

from dicom_node.errors import DATA_SET_MISMATCH, DicomNodeError, MalformedInstance
from dicom_node.instance import ReceivedInstance
from dicom_node.received import check_uid, identify
from dicom_node.spool import Spool, SpoolWriter
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


@dataclass(frozen=True, slots=True)
class Announced:
    """What a C-STORE request says of the instance that comes with it."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    association_id: str = ""


class IncomingDataSet:
    """Stands in for the file of pynetdicom's chunked reception; `refusal` if it's unwanted anyway.

    Writing never raises: the peer sends on to the end in any case, and `store` says what was wrong.
    One thread writes and closes, when its association ends; another stores.
    """

    def __init__(
        self, announced: Announced, spool: Spool, refusal: DicomNodeError | None = None
    ) -> None:
        self._announced = announced
        self._error = refusal
        self._writer: SpoolWriter | None = None
        self._storing = threading.Lock()
        self._head_size = 0
        self._size = 0
        if refusal is None:
            self._begin(spool)

    @property
    def name(self) -> str:
        """A path that is gone after `close`; pynetdicom removes it once more."""
        return "" if self._writer is None else str(self._writer.temporary)

    @property
    def association_id(self) -> str:
        """Of our listener's association that it comes on; empty: none."""
        return self._announced.association_id

    @property
    def size(self) -> int:
        """Bytes of the data set so far."""
        return self._size

    @property
    def file(self) -> "IncomingDataSet":
        """pynetdicom flushes the file within."""
        return self

    def flush(self) -> None:
        """Nothing is buffered."""

    def write(self, piece: bytes | memoryview) -> None:
        """Add the next bytes of the data set."""
        self._size += len(piece)
        if self._writer is None or self._error is not None:
            return
        try:
            self._writer.write(piece)
        except DicomNodeError as error:
            self._error = error

    def store(self) -> ReceivedInstance:
        """Make it durable. Raises MalformedInstance or SpoolError; then nothing of it is left."""
        with self._storing:
            if self._writer is None or self._error is not None or not self._size:
                raise self._error or MalformedInstance("the request has no data set")
            return self._stored(self._writer)

    def close(self) -> None:
        """Remove what was not stored; what is being stored is stored first."""
        with self._storing:
            if self._writer is not None:
                self._writer.discard()
            self._error = self._error or MalformedInstance("the association has ended")

    def _stored(self, writer: SpoolWriter) -> ReceivedInstance:
        announced = self._announced
        implicit_vr = announced.transfer_syntax_uid == ImplicitVRLittleEndian
        with writer.written() as whole, whole[self._head_size :] as encoded:
            uids = identify(encoded, implicit_vr=implicit_vr)
        if (uids.sop_class_uid, uids.sop_instance_uid) != (
            announced.sop_class_uid,
            announced.sop_instance_uid,
        ):
            raise MalformedInstance(
                "SOP Class or Instance UID differs from the request", status=DATA_SET_MISMATCH
            )
        spooled = writer.commit()
        return ReceivedInstance(
            study_instance_uid=uids.study_instance_uid,
            series_instance_uid=uids.series_instance_uid,
            sop_instance_uid=uids.sop_instance_uid,
            sop_class_uid=uids.sop_class_uid,
            transfer_syntax_uid=announced.transfer_syntax_uid,
            calling_ae_title=announced.calling_ae_title,
            path=spooled.path,
            sha256=spooled.sha256,
            size=spooled.size,
            association_id=announced.association_id,
        )

    def _begin(self, spool: Spool) -> None:
        try:
            check_uid(self._announced.sop_class_uid, "Affected SOP Class UID")
            check_uid(self._announced.sop_instance_uid, "Affected SOP Instance UID")
            head = file_head(self._announced)
            self._writer = spool.open()
            self._writer.write(head)
            self._head_size = len(head)
        except DicomNodeError as error:
            self._error = error


def file_head(announced: Announced) -> bytes:
    """Preamble and file meta information (PS3.10 7.1), the same whoever sent the instance.

    So the digest of a file tells whether the same bytes came again, from whatever AE.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(announced.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(announced.sop_instance_uid)
    meta.TransferSyntaxUID = UID(announced.transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(buffer, meta)
    return buffer.getvalue()
